#include "pods/env_file.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view without_leading_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    return text;
}

class Lines {
public:
    explicit Lines(std::string_view text) : rest_(text) {}

    std::optional<std::string_view> next() {
        if (rest_.empty()) {
            return std::nullopt;
        }
        std::size_t end = std::min(rest_.find('\n'), rest_.size());
        std::string_view line = rest_.substr(0, end);
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
        ++number_;
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        return line;
    }
    [[nodiscard]] int number() const { return number_; }

private:
    std::string_view rest_;
    int number_ = 0;
};

tl::unexpected<Error> wrong(int line, std::string_view what) {
    return fail(Code::invalid, "line {}: {}", line, what);
}

// From behind the opening quote to the closing one.
Result<std::string> quoted(Lines& lines, std::string_view rest) {
    std::string value;
    const int begun = lines.number();
    while (true) {
        std::size_t end = rest.find('\'');
        if (end == std::string_view::npos) {
            value.append(rest).append(1, '\n');
            auto next = lines.next();
            if (!next) {
                return wrong(begun, "the single quote is not closed");
            }
            rest = *next;
            continue;
        }
        value.append(rest.substr(0, end));
        std::string_view after = without_leading_blanks(rest.substr(end + 1));
        if (!after.empty() && !after.starts_with('#')) {
            return wrong(lines.number(), "something stands after the closing quote");
        }
        return value;
    }
}

}  // namespace

Result<std::optional<std::string>> find_in_env_file(std::string_view text, std::string_view key) {
    Lines lines(text);
    auto as_found = [](std::string value) {
        return value.empty() ? std::nullopt : std::optional(std::move(value));
    };
    while (auto line = lines.next()) {
        std::string_view its = without_leading_blanks(*line);
        if (its.empty() || its.starts_with('#')) {
            continue;
        }
        std::size_t equals = its.find('=');
        if (equals == std::string_view::npos) {
            return wrong(lines.number(), "there is no '='");
        }
        std::string_view name = its.substr(0, equals);
        if (name.empty() || kBlanks.find(name.back()) != std::string_view::npos) {
            return wrong(lines.number(), "there is no name right before '='");
        }
        std::string_view rest = its.substr(equals + 1);
        std::string value;
        if (!rest.empty() && kBlanks.find(rest.front()) == std::string_view::npos) {
            if (rest.front() != '\'') {
                return wrong(lines.number(), "the value does not stand in single quotes");
            }
            SKIFF_TRY(value, quoted(lines, rest.substr(1)));
        } else if (rest.empty()) {
            return wrong(lines.number(), "the value does not stand in single quotes");
        }
        if (name == key) {
            return as_found(std::move(value));
        }
    }
    return std::optional<std::string>();
}

}  // namespace skiff::pods
