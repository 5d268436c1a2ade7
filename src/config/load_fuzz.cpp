#include "base/fuzz.h"
#include "base/text.h"
#include "config/fields.h"

namespace skiff::config {

// A value that a flag takes is shown so that the flag takes it again.
static void check_flag(const Field& field, std::string_view text) {
    Settings settings;
    const auto set = set_flag(settings, field, text);
    if (!set) {
        fuzz::check_error(set.error());
        return;
    }
    const std::string shown = field.show(settings);
    const bool plain = field.type.starts_with("number") || field.type.starts_with("duration") ||
                       field.type.starts_with("size") || field.type.starts_with("true");
    if (plain) {
        const auto again = set_flag(settings, field, shown);
        SKIFF_ASSERT(again.has_value(), again ? "" : again.error().message);
        SKIFF_ASSERT(field.show(settings) == shown, shown);
    }
}

// The input: a byte that chooses a flag, then its value, which is also tried as a file.
SKIFF_FUZZ(config_load) {
    fuzz::Input input(bytes);
    const auto& field = fields()[input.byte() % fields().size()];
    const std::string_view text = input.rest();
    if (!field.flag.empty()) {
        check_flag(field, text);
    }
    const auto loaded = parse_settings(text, "config.yaml", Settings{});
    if (!loaded) {
        fuzz::check_error(loaded.error());
        return;
    }
    for (const std::string& warning : loaded->warnings) {
        SKIFF_ASSERT(!warning.empty() && warning.size() <= fuzz::kMessageBytesMax, warning);
    }
    SKIFF_ASSERT(!render_settings(loaded->settings).empty());
}

}  // namespace skiff::config
