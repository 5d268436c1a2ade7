// How one YAML value becomes a C++ value: a parser, a printer and a name for each type of setting.
#pragma once

#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace skiff::config {

// parse_value(node, out): the error states only what is allowed ("is not a whole number").
Result<void> parse_value(const YAML::Node& node, std::string& out);
Result<void> parse_value(const YAML::Node& node, std::filesystem::path& out);
Result<void> parse_value(const YAML::Node& node, bool& out);
Result<void> parse_value(const YAML::Node& node, std::int64_t& out);
Result<void> parse_value(const YAML::Node& node, Duration& out);
Result<void> parse_value(const YAML::Node& node, Bytes& out);
Result<void> parse_value(const YAML::Node& node, std::vector<std::string>& out);
Result<void> parse_value(const YAML::Node& node, std::map<std::string, std::string>& out);
Result<void> parse_value(const YAML::Node& node, HeaderSettings& out);
Result<void> parse_value(const YAML::Node& node, std::vector<TaintSetting>& out);
Result<void> parse_value(const YAML::Node& node, std::vector<RegistrySetting>& out);
Result<void> parse_value(const YAML::Node& node, std::vector<ShutdownSetting>& out);

std::string show_value(const std::string& value);
std::string show_value(const std::filesystem::path& value);
std::string show_value(bool value);  // tidy: allow names: the value is what it prints
std::string show_value(std::int64_t value);
std::string show_value(Duration value);
std::string show_value(Bytes value);
std::string show_value(const std::vector<std::string>& value);
std::string show_value(const std::map<std::string, std::string>& value);
std::string show_value(const HeaderSettings& value);
std::string show_value(const std::vector<TaintSetting>& value);
std::string show_value(const std::vector<RegistrySetting>& value);
std::string show_value(const std::vector<ShutdownSetting>& value);

// What stands for a value that is never shown.
inline constexpr std::string_view kMasked = "<masked>";

template <typename T>
constexpr std::string_view type_name() {
    if constexpr (std::is_same_v<T, bool>) {
        return "true or false";
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
        return "number";
    } else if constexpr (std::is_same_v<T, Duration>) {
        return "duration (`90s`, `5m`)";
    } else if constexpr (std::is_same_v<T, Bytes>) {
        return "size (`10Mi`)";
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
        return "path";
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
        return "list of text";
    } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
        return "map of text";
    } else if constexpr (std::is_same_v<T, HeaderSettings>) {
        return "map of lists of text";
    } else if constexpr (std::is_same_v<T, std::vector<TaintSetting>>) {
        return "list of {key, value, effect}";
    } else if constexpr (std::is_same_v<T, std::vector<RegistrySetting>>) {
        return "list of {host, scheme, verify, caFile, mirrors}";
    } else if constexpr (std::is_same_v<T, std::vector<ShutdownSetting>>) {
        return "list of {priority, shutdownGracePeriodSeconds}";
    } else {
        return "text";
    }
}

}  // namespace skiff::config
