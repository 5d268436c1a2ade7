// What a simulation tells: its trace, line by line, and the first rule that was broken.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>

#include "base/time.h"

namespace skiff::sim {

class Journal {
public:
    enum class Trace { off, on };
    Journal(const Clock& clock, Trace trace)
        : clock_(clock), trace_(trace), began_(clock.steady_now()) {}

    template <typename... A>
    void note(fmt::format_string<const A&...> format, const A&... values) {
        ++notes_;
        if (trace_ == Trace::on) {
            fmt::print("{:12.3f}  {}\n", elapsed_s(), fmt::format(format, values...));
        }
    }
    // A rule was broken. Only the first one is kept: what follows may follow from it.
    template <typename... A>
    void broken(fmt::format_string<const A&...> format, const A&... values) {
        std::string text = fmt::format(format, values...);
        note("BROKEN: {}", text);
        if (!broken_) {
            broken_ = fmt::format("after {:.3f} s: {}", elapsed_s(), text);
        }
    }
    [[nodiscard]] const std::optional<std::string>& first_broken() const { return broken_; }
    // How much happened; two runs of one seed have the same.
    [[nodiscard]] std::uint64_t notes() const { return notes_; }

private:
    [[nodiscard]] double elapsed_s() const {
        return std::chrono::duration<double>(clock_.steady_now() - began_).count();
    }
    const Clock& clock_;
    Trace trace_;
    SteadyTime began_;
    std::uint64_t notes_ = 0;
    std::optional<std::string> broken_;
};

}  // namespace skiff::sim
