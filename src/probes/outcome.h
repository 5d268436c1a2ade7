// What one probe said.
#pragma once

#include <string>

namespace skiff::probes {

struct Outcome {
    // warning: a success that ends in an event.
    enum class Kind { success, warning, failure } kind = Kind::success;
    std::string text;  // for the event

    [[nodiscard]] static Outcome failed(std::string text) {
        return Outcome{Kind::failure, std::move(text)};
    }
};

}  // namespace skiff::probes
