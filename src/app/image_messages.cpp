#include "app/image_messages.h"

#include <array>
#include <boost/json.hpp>

namespace skiff::app {

namespace json = boost::json;

namespace {

constexpr std::array<std::pair<PrecompileStep::Kind, std::string_view>, 4> kKinds = {
    {{PrecompileStep::Kind::pulling, "pulling"},
     {PrecompileStep::Kind::began, "began"},
     {PrecompileStep::Kind::cached, "cached"},
     {PrecompileStep::Kind::compiled, "compiled"}}};

Result<json::object> parse(std::string_view text) {
    boost::system::error_code error;
    json::value value = json::parse({text.data(), text.size()}, error);
    if (error || !value.is_object()) {
        return fail(Code::invalid, "the node's answer is no JSON object");
    }
    return std::move(value.as_object());
}

// Absent or of another type: empty or zero.
std::string text_in(const json::object& in, std::string_view name) {
    const json::value* value = in.if_contains({name.data(), name.size()});
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::uint64_t number_in(const json::object& in, std::string_view name) {
    const json::value* value = in.if_contains({name.data(), name.size()});
    if (value == nullptr) {
        return 0;
    }
    boost::system::error_code error;
    auto number = value->to_number<std::uint64_t>(error);
    return error ? 0 : number;
}

}  // namespace

std::string format_json(const ImageList& list) {
    json::array images;
    for (const ImageList::Entry& image : list.images) {
        images.push_back(json::object{
            {"reference", image.reference}, {"digest", image.digest}, {"size", image.size.value}});
    }
    json::object all{{"rootDir", list.root_dir}, {"images", std::move(images)}};
    return json::serialize(all) + "\n";
}

Result<ImageList> parse_image_list(std::string_view text) {
    SKIFF_TRY(json::object all, parse(text));
    ImageList list;
    list.root_dir = text_in(all, "rootDir");
    const json::value* images = all.if_contains("images");
    if (images == nullptr || !images->is_array()) {
        return fail(Code::invalid, "the node's answer has no list of images");
    }
    for (const json::value& one : images->get_array()) {
        if (one.is_object()) {
            const json::object& image = one.get_object();
            list.images.push_back({text_in(image, "reference"), text_in(image, "digest"),
                                   Bytes{number_in(image, "size")}});
        }
    }
    return list;
}

std::string format_json(const RemovedImage& removed) {
    json::object all{{"reference", removed.reference}, {"freed", removed.freed.value}};
    return json::serialize(all) + "\n";
}

Result<RemovedImage> parse_removed(std::string_view text) {
    SKIFF_TRY(json::object all, parse(text));
    return RemovedImage{text_in(all, "reference"), Bytes{number_in(all, "freed")}};
}

std::string format_json(const PrecompileLine& line) {
    json::object all;
    if (const auto* step = std::get_if<PrecompileStep>(&line)) {
        const auto* kind =
            std::ranges::find(kKinds, step->kind, &decltype(kKinds)::value_type::first);
        all["step"] = kind->second;
        all["module"] = step->module;
        all["size"] = step->size.value;
        all["tookMs"] = std::chrono::duration_cast<std::chrono::milliseconds>(step->took).count();
    } else if (const auto& end = std::get<PrecompileEnd>(line); !end.problem.empty()) {
        all["error"] = end.problem;
    }
    return json::serialize(all) + "\n";
}

Result<PrecompileLine> parse_precompile_line(std::string_view text) {
    SKIFF_TRY(json::object all, parse(text));
    std::string word = text_in(all, "step");
    if (word.empty()) {
        return PrecompileEnd{text_in(all, "error")};
    }
    const auto* kind = std::ranges::find(kKinds, word, &decltype(kKinds)::value_type::second);
    if (kind == kKinds.end()) {
        return fail(Code::invalid, "the node speaks of a step {:?}", word);
    }
    PrecompileStep step;
    step.kind = kind->first;
    step.module = text_in(all, "module");
    step.size = Bytes{number_in(all, "size")};
    step.took = std::chrono::milliseconds(number_in(all, "tookMs"));
    return step;
}

}  // namespace skiff::app
