#include "base/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/text.h"

namespace skiff::fuzz {

namespace {

// What a dying replay says and keeps: a signal handler sees nothing but statics.
struct LastInput {
    std::string path;
    std::string text;
    std::string_view bytes;
};
LastInput g_last;

void keep_input(int) {
    int file = ::open(g_last.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool kept = file >= 0 && ::write(file, g_last.bytes.data(), g_last.bytes.size()) >= 0;
    if (kept) {
        (void)!::write(STDERR_FILENO, g_last.text.data(), g_last.text.size());
    }
}

// Keeps the input of a run that aborts or crashes, while it lives.
class InputKeeper {
public:
    explicit InputKeeper(std::string_view name) {
        g_last.path =
            (std::filesystem::temp_directory_path() / fmt::format("skiff-fuzz-{}", name)).string();
        g_last.text = fmt::format("fuzz {}: the input is kept in {}\n", name, g_last.path);
        struct sigaction action{};
        action.sa_handler = keep_input;
        action.sa_flags = static_cast<int>(SA_RESETHAND);
        ::sigaction(SIGABRT, &action, &before_);
    }
    ~InputKeeper() { ::sigaction(SIGABRT, &before_, nullptr); }
    InputKeeper(const InputKeeper&) = delete;
    InputKeeper& operator=(const InputKeeper&) = delete;

private:
    struct sigaction before_{};
};

std::vector<std::string> load_corpus(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error)) {
        names.push_back(at->path());
    }
    std::ranges::sort(names);
    std::vector<std::string> inputs;
    for (const auto& name : names) {
        std::ifstream file(name, std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return inputs;
}

// One small change: what libFuzzer does most, without its feedback.
void mutate(std::string& input, const std::string& other, Random& random) {
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random.next() % n); };
    const std::size_t at = below(input.size() + 1);
    switch (below(5)) {
        case 0:
            if (at < input.size()) {
                input[at] = static_cast<char>(random.next());
            }
            break;
        case 1:
            if (at < input.size()) {
                input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
            }
            break;
        case 2:
            input.erase(at, 1 + below(8));
            break;
        case 3:
            input.insert(at, input.substr(below(input.size() + 1), 1 + below(16)));
            break;
        default:
            input.replace(at, below(8), other.substr(below(other.size() + 1), 1 + below(32)));
            break;
    }
    input.resize(std::min(input.size(), kInputBytesMax));
}

}  // namespace

std::size_t replay(std::string_view name, const std::filesystem::path& corpus, Fuzzer fuzzer) {
    const std::vector<std::string> inputs = load_corpus(corpus);
    const InputKeeper keeper(name);
    const auto run = [&](const std::string& input) {
        g_last.bytes = input;
        fuzzer(input);
    };
    run("");
    for (const std::string& input : inputs) {
        run(input);
    }
    SeededRandom random(inputs.size());
    for (std::size_t i = 0; !inputs.empty() && i < kMutations; ++i) {
        std::string input = inputs[i % inputs.size()];
        for (std::uint64_t changes = 1 + random.next() % 4; changes > 0; --changes) {
            mutate(input, inputs[random.next() % inputs.size()], random);
        }
        run(input);
    }
    return inputs.size();
}

void check_error(const Error& error) {
    SKIFF_ASSERT(!error.message.empty(), "a failure without a message");
    SKIFF_ASSERT(error.message.size() <= kMessageBytesMax, error.message);
    SKIFF_ASSERT(bounded_utf8(error.message, error.message.size()) == error.message, error.message);
    SKIFF_ASSERT(error.code != Code::internal, error.message);
    SKIFF_ASSERT(error.code != Code::cancelled, error.message);
}

std::uint8_t Input::byte() {
    if (rest_.empty()) {
        return 0;
    }
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
}

std::string_view Input::part() {
    const std::size_t end = rest_.find('\0');
    const std::string_view part = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return part;
}

}  // namespace skiff::fuzz
