#include "kube/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/mark.h>

#include <sstream>

#include "base/text.h"
#include "kube/codec.h"

namespace skiff::kube {

namespace {

constexpr std::size_t kShownBytesMax = 100;

// Sees where documents begin. yaml-cpp 0.7 makes an empty document of a ',' that is in no bracket
// ("{a: b}," is enough) and does not go past it, so that it finds the next one there, for ever.
class DocumentStarts final : public YAML::EventHandler {
public:
    [[nodiscard]] bool stands_still() const { return stands_still_; }
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] int line() const { return last_.line + 1; }

    void OnDocumentStart(const YAML::Mark& mark) override {
        stands_still_ = count_ > 0 && mark.pos == last_.pos;
        last_ = mark;
        ++count_;
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                    YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}

private:
    YAML::Mark last_;
    std::size_t count_ = 0;
    bool stands_still_ = false;
};

Result<void> check_documents(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentStarts starts;
    while (parser.HandleNextDocument(starts)) {
        if (starts.stands_still()) {
            return fail(Code::invalid, "line {}: a ',' outside of brackets", starts.line());
        }
        if (starts.count() > kManifestDocumentsMax) {
            return fail(Code::invalid, "line {}: more than {} documents", starts.line(),
                        kManifestDocumentsMax);
        }
    }
    return {};
}

}  // namespace

Result<std::vector<YAML::Node>> load_yaml(std::string_view text, std::size_t bytes_max) {
    if (text.size() > bytes_max) {
        return fail(Code::invalid, "the file has {} bytes, more than {}", text.size(), bytes_max);
    }
    const std::string copy(text);
    try {
        SKIFF_CHECK(check_documents(copy));
        return YAML::LoadAll(copy);
    } catch (const YAML::Exception& problem) {
        // yaml-cpp repeats bytes of the file as they are.
        return fail(Code::invalid, "line {}: {}", problem.mark.line + 1,
                    bounded_utf8(problem.msg, kShownBytesMax));
    }
}

}  // namespace skiff::kube
