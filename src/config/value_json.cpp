#include "config/value_json.h"

#include <boost/json.hpp>

#include "config/value.h"

namespace skiff::config {

namespace json = boost::json;

static json::string text(std::string_view value) {
    return json::string(value.data(), value.size());
}

static json::array list(const std::vector<std::string>& values) {
    json::array out;
    for (const std::string& value : values) {
        out.emplace_back(text(value));
    }
    return out;
}

std::string json_value(const std::string& value) {
    return json::serialize(text(value));
}
std::string json_value(const std::filesystem::path& value) {
    return json_value(value.string());
}
std::string json_value(bool value) {
    return value ? "true" : "false";
}
std::string json_value(std::int64_t value) {
    return std::to_string(value);
}
std::string json_value(Duration value) {
    return json_value(show_value(value));
}
std::string json_value(Bytes value) {
    return json_value(show_value(value));
}
std::string json_value(const std::vector<std::string>& value) {
    return json::serialize(list(value));
}

std::string json_value(const std::map<std::string, std::string>& value) {
    json::object out;
    for (const auto& [key, entry] : value) {
        out[key] = text(entry);
    }
    return json::serialize(out);
}

std::string json_value(const HeaderSettings& value) {
    json::object out;
    for (const auto& [name, values] : value.fields) {
        out[name] = json::array{text(kMasked)};
    }
    return json::serialize(out);
}

std::string json_value(const std::vector<TaintSetting>& value) {
    json::array out;
    for (const TaintSetting& taint : value) {
        json::object one;
        one["key"] = text(taint.key);
        one["value"] = text(taint.value);
        one["effect"] = text(taint.effect);
        out.emplace_back(std::move(one));
    }
    return json::serialize(out);
}

std::string json_value(const std::vector<RegistrySetting>& value) {
    json::array out;
    for (const RegistrySetting& registry : value) {
        json::object one;
        one["host"] = text(registry.host);
        one["scheme"] = registry.scheme == RegistrySetting::Scheme::http ? "http" : "https";
        one["verify"] = registry.verify == RegistrySetting::Verify::certificate;
        one["caFile"] = text(registry.ca_file.string());
        one["mirrors"] = list(registry.mirrors);
        out.emplace_back(std::move(one));
    }
    return json::serialize(out);
}

std::string json_value(const std::vector<ShutdownSetting>& value) {
    json::array out;
    for (const ShutdownSetting& group : value) {
        json::object one;
        one["priority"] = group.priority;
        one["shutdownGracePeriodSeconds"] = group.seconds;
        out.emplace_back(std::move(one));
    }
    return json::serialize(out);
}

}  // namespace skiff::config
