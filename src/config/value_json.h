// Settings as JSON text: one printer for each type of setting, as KubeletConfiguration writes it.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"

namespace skiff::config {

std::string json_value(const std::string& value);
std::string json_value(const std::filesystem::path& value);
std::string json_value(bool value);  // tidy: allow names: the value is what it prints
std::string json_value(std::int64_t value);
std::string json_value(Duration value);  // "1m30s"
std::string json_value(Bytes value);     // "10Mi"
std::string json_value(const std::vector<std::string>& value);
std::string json_value(const std::map<std::string, std::string>& value);
std::string json_value(const HeaderSettings& value);  // masked
std::string json_value(const std::vector<TaintSetting>& value);
std::string json_value(const std::vector<RegistrySetting>& value);
std::string json_value(const std::vector<ShutdownSetting>& value);

}  // namespace skiff::config
