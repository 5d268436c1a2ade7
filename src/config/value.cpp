#include "config/value.h"

#include <fmt/ranges.h>

#include "base/text.h"

namespace skiff::config {

// The longest key that a message repeats.
constexpr std::size_t kShownBytesMax = 80;

static Result<std::string> scalar(const YAML::Node& node, std::string_view expected) {
    if (!node.IsScalar()) {
        return fail(Code::invalid, "is not {}", expected);
    }
    return node.Scalar();
}

Result<void> parse_value(const YAML::Node& node, std::string& out) {
    SKIFF_TRY(out, scalar(node, "text"));
    return {};
}

Result<void> parse_value(const YAML::Node& node, std::filesystem::path& out) {
    SKIFF_TRY(std::string text, scalar(node, "a path"));
    if (!text.empty() && text.front() != '/') {
        return fail(Code::invalid, "is not an absolute path");
    }
    out = text;
    return {};
}

Result<void> parse_value(const YAML::Node& node, bool& out) {
    SKIFF_TRY(std::string text, scalar(node, "true or false"));
    if (text != "true" && text != "false") {
        return fail(Code::invalid, "is not true or false");
    }
    out = text == "true";
    return {};
}

Result<void> parse_value(const YAML::Node& node, std::int64_t& out) {
    SKIFF_TRY(std::string text, scalar(node, "a whole number"));
    auto value = parse_int(text);
    if (!value) {
        return fail(Code::invalid, "is not a whole number");
    }
    out = *value;
    return {};
}

Result<void> parse_value(const YAML::Node& node, Duration& out) {
    SKIFF_TRY(std::string text, scalar(node, "a duration such as 90s or 5m"));
    auto value = parse_duration(text);
    if (!value || *value < Duration::zero()) {
        return fail(Code::invalid, "is not a duration such as 90s or 5m");
    }
    out = *value;
    return {};
}

Result<void> parse_value(const YAML::Node& node, Bytes& out) {
    constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {
        {"Ki", 1ull << 10}, {"Mi", 1ull << 20}, {"Gi", 1ull << 30}, {"Ti", 1ull << 40},
        {"k", 1000},        {"M", 1000000},     {"G", 1000000000},  {"", 1}};
    SKIFF_TRY(std::string text, scalar(node, "a size such as 10Mi"));
    for (auto [unit, factor] : kUnits) {
        if (!text.ends_with(unit)) {
            continue;
        }
        auto number = parse_uint(std::string_view(text).substr(0, text.size() - unit.size()));
        if (!number || *number > UINT64_MAX / factor) {
            break;
        }
        out = Bytes{*number * factor};
        return {};
    }
    return fail(Code::invalid, "is not a size such as 10Mi");
}

Result<void> parse_value(const YAML::Node& node, std::vector<std::string>& out) {
    if (!node.IsSequence()) {
        return fail(Code::invalid, "is not a list");
    }
    out.clear();
    for (const YAML::Node& item : node) {
        SKIFF_TRY(std::string text, scalar(item, "a list of text"));
        out.push_back(std::move(text));
    }
    return {};
}

Result<void> parse_value(const YAML::Node& node, std::map<std::string, std::string>& out) {
    if (!node.IsMap()) {
        return fail(Code::invalid, "is not a map");
    }
    out.clear();
    for (const auto& item : node) {
        SKIFF_TRY(std::string value, scalar(item.second, "a map of text"));
        out[item.first.Scalar()] = std::move(value);
    }
    return {};
}

Result<void> parse_value(const YAML::Node& node, HeaderSettings& out) {
    if (!node.IsMap()) {
        return fail(Code::invalid, "is not a map of lists of text");
    }
    out.fields.clear();
    for (const auto& item : node) {
        std::string name = item.first.Scalar();
        if (name.empty() || name.find_first_of(" \t\r\n:") != std::string::npos) {
            return fail(Code::invalid, "has a field name that is empty, or with a blank or colon");
        }
        std::vector<std::string> values;
        SKIFF_CHECK(parse_value(item.second, values));
        for (const std::string& value : values) {
            if (value.find_first_of("\r\n") != std::string::npos ||
                value.find('\0') != std::string::npos) {
                return fail(Code::invalid, "has a value with a line break");
            }
        }
        out.fields[name] = std::move(values);
    }
    return {};
}

// Calls `set(key, value)` for every entry of a map; `set` answers false for a key it does not know.
template <typename F>
static Result<void> each_entry(const YAML::Node& node, std::string_view allowed, F set) {
    if (!node.IsMap()) {
        return fail(Code::invalid, "has an entry that is not a map of {}", allowed);
    }
    for (const auto& item : node) {
        SKIFF_TRY(bool known, set(item.first.Scalar(), item.second));
        if (!known) {
            return fail(Code::invalid, "has the unknown key \"{}\"; allowed: {}",
                        bounded_utf8(item.first.Scalar(), kShownBytesMax), allowed);
        }
    }
    return {};
}

Result<void> parse_value(const YAML::Node& node, std::vector<ShutdownSetting>& out) {
    if (!node.IsSequence()) {
        return fail(Code::invalid, "is not a list");
    }
    out.clear();
    for (const YAML::Node& item : node) {
        ShutdownSetting group;
        auto set = [&](const std::string& key, const YAML::Node& value) -> Result<bool> {
            std::int64_t* target = key == "priority"                     ? &group.priority
                                   : key == "shutdownGracePeriodSeconds" ? &group.seconds
                                                                         : nullptr;
            if (target == nullptr) {
                return false;
            }
            SKIFF_CHECK(parse_value(value, *target));
            return true;
        };
        SKIFF_CHECK(each_entry(item, "priority, shutdownGracePeriodSeconds", set));
        constexpr std::int64_t kPriorityMax = 2'147'483'647;
        constexpr std::int64_t kSecondsMax = 86'400;
        if (group.priority < -kPriorityMax || group.priority > kPriorityMax || group.seconds < 0 ||
            group.seconds > kSecondsMax) {
            return fail(Code::invalid,
                        "has a group whose priority is no 32-bit number or whose "
                        "shutdownGracePeriodSeconds is not in 0–86400");
        }
        out.push_back(group);
    }
    return {};
}

Result<void> parse_value(const YAML::Node& node, std::vector<TaintSetting>& out) {
    if (!node.IsSequence()) {
        return fail(Code::invalid, "is not a list");
    }
    out.clear();
    for (const YAML::Node& item : node) {
        TaintSetting taint;
        auto set = [&](const std::string& key, const YAML::Node& value) -> Result<bool> {
            std::string* target = key == "key"      ? &taint.key
                                  : key == "value"  ? &taint.value
                                  : key == "effect" ? &taint.effect
                                                    : nullptr;
            if (target == nullptr) {
                return false;
            }
            SKIFF_CHECK(parse_value(value, *target));
            return true;
        };
        SKIFF_CHECK(each_entry(item, "key, value, effect", set));
        bool effect_known = taint.effect == "NoSchedule" || taint.effect == "NoExecute" ||
                            taint.effect == "PreferNoSchedule";
        if (taint.key.empty() || !effect_known) {
            return fail(Code::invalid,
                        "has a taint without a key or whose effect is not NoSchedule, "
                        "PreferNoSchedule or NoExecute");
        }
        out.push_back(std::move(taint));
    }
    return {};
}

static Result<bool> set_registry(RegistrySetting& registry, const std::string& key,
                                 const YAML::Node& value) {
    std::string text;
    if (key == "host") {
        SKIFF_CHECK(parse_value(value, registry.host));
    } else if (key == "scheme") {
        SKIFF_CHECK(parse_value(value, text));
        if (text != "http" && text != "https") {
            return fail(Code::invalid, "has the scheme \"{}\"; allowed: http, https",
                        bounded_utf8(text, kShownBytesMax));
        }
        registry.scheme =
            text == "http" ? RegistrySetting::Scheme::http : RegistrySetting::Scheme::https;
    } else if (key == "verify") {
        bool verify = true;
        SKIFF_CHECK(parse_value(value, verify));
        registry.verify =
            verify ? RegistrySetting::Verify::certificate : RegistrySetting::Verify::nothing;
    } else if (key == "caFile") {
        SKIFF_CHECK(parse_value(value, registry.ca_file));
    } else if (key == "mirrors") {
        SKIFF_CHECK(parse_value(value, registry.mirrors));
    } else {
        return false;
    }
    return true;
}

Result<void> parse_value(const YAML::Node& node, std::vector<RegistrySetting>& out) {
    if (!node.IsSequence()) {
        return fail(Code::invalid, "is not a list");
    }
    out.clear();
    for (const YAML::Node& item : node) {
        RegistrySetting registry;
        SKIFF_CHECK(each_entry(item, "host, scheme, verify, caFile, mirrors",
                               [&](const std::string& key, const YAML::Node& value) {
                                   return set_registry(registry, key, value);
                               }));
        if (registry.host.empty() || registry.host.find('/') != std::string::npos) {
            return fail(Code::invalid, "has a registry whose host is empty or has a path");
        }
        out.push_back(std::move(registry));
    }
    return {};
}

std::string show_value(const std::string& value) {
    return value.empty() ? "\"\"" : value;
}
std::string show_value(const std::filesystem::path& value) {
    return show_value(value.string());
}
std::string show_value(bool value) {
    return value ? "true" : "false";
}
std::string show_value(std::int64_t value) {
    return std::to_string(value);
}
std::string show_value(Duration value) {
    return format_duration(value);
}

std::string show_value(Bytes value) {
    constexpr std::pair<std::string_view, int> kUnits[] = {{"Gi", 30}, {"Mi", 20}, {"Ki", 10}};
    for (auto [unit, shift] : kUnits) {
        if (value.value != 0 && value.value % (1ull << shift) == 0) {
            return fmt::format("{}{}", value.value >> shift, unit);
        }
    }
    return std::to_string(value.value);
}

std::string show_value(const std::vector<std::string>& value) {
    return fmt::format("[{}]", fmt::join(value, ", "));
}

std::string show_value(const std::map<std::string, std::string>& value) {
    std::vector<std::string> parts;
    for (const auto& [key, text] : value) {
        parts.push_back(key + ": " + show_value(text));
    }
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string show_value(const HeaderSettings& value) {
    std::vector<std::string> parts;
    for (const auto& [name, values] : value.fields) {
        parts.push_back(fmt::format("{}: [{}]", name, kMasked));
    }
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string show_value(const std::vector<TaintSetting>& value) {
    std::vector<std::string> parts;
    for (const TaintSetting& taint : value) {
        parts.push_back(fmt::format("{{key: {}, value: {}, effect: {}}}", taint.key,
                                    show_value(taint.value), taint.effect));
    }
    return show_value(parts);
}

std::string show_value(const std::vector<ShutdownSetting>& value) {
    std::vector<std::string> parts;
    for (const ShutdownSetting& group : value) {
        parts.push_back(fmt::format("{{priority: {}, shutdownGracePeriodSeconds: {}}}",
                                    group.priority, group.seconds));
    }
    return show_value(parts);
}

std::string show_value(const std::vector<RegistrySetting>& value) {
    std::vector<std::string> parts;
    for (const RegistrySetting& registry : value) {
        bool http = registry.scheme == RegistrySetting::Scheme::http;
        bool verify = registry.verify == RegistrySetting::Verify::certificate;
        parts.push_back(fmt::format("{{host: {}, scheme: {}, verify: {}, caFile: {}, mirrors: {}}}",
                                    registry.host, http ? "http" : "https", verify,
                                    show_value(registry.ca_file), show_value(registry.mirrors)));
    }
    return show_value(parts);
}

}  // namespace skiff::config
