// What `skiff run` shows: guests' output on stdout and stderr, its own notices and progress on
// stderr.
//
// Colour and moving lines only on a terminal. Reactor thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/time.h"
#include "pods/ports.h"

namespace skiff::app {

enum class Quiet { no, yes };

class Console final : public pods::EventSink {
public:
    // With Quiet::yes only warnings and guests' output are shown.
    Console(const Clock& clock, Quiet quiet);
    ~Console() override;
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    enum class Stream { out, err };
    // Passes on guest output. With an empty `label` the bytes go through as they are, else each
    // line gets the label in front. `text` may hold several lines and need not end with one.
    void output(std::string_view label, Stream stream, std::string_view text);

    // One line about what goes on: "resvg: pulled 2.1 MiB in 0.3s".
    void notice(std::string_view text);
    void warning(std::string_view text);

    // Something that takes time: shown as one moving line on a terminal, else silent until done.
    // `key` identifies it; total 0 means that the end is not known.
    void progress(const std::string& key, std::string_view what, std::uint64_t done,
                  std::uint64_t total);
    void progress_done(const std::string& key);
    // progress(), and at its end progress_done().
    void progress_of(const std::string& key, std::string_view what, std::uint64_t done,
                     std::uint64_t total);

    // Events of pods: warnings are shown, of the others those that a user waits for (pulls,
    // compiles).
    void emit(const kube::Pod& pod, std::string_view container, pods::EventType type,
              std::string_view reason, std::string_view message) override;

    // Called when a pod could not be set up (volumes, network, cgroups): its containers' states do
    // not tell. `then` outlives this object's use, or is taken back with an empty one.
    void on_set_up_failure(std::function<void()> then) { on_set_up_failure_ = std::move(then); }

    // Called once, when guests' output has no reader any more (`skiff run … | head -1`). `then` as
    // above.
    void on_output_lost(std::function<void()> then) { on_output_lost_ = std::move(then); }

    // Longest label so far, so that columns line up.
    void reserve_label(std::string_view label);

private:
    struct Progress {
        std::string what;
        std::uint64_t done = 0;
        std::uint64_t total = 0;
        SteadyTime since;
    };
    void output_lines(std::string_view label, Stream stream, std::string_view text);
    void erase_progress();
    void draw_progress();
    [[nodiscard]] std::string decorate(std::string_view label) const;

    const Clock& clock_;
    std::function<void()> on_set_up_failure_;
    std::function<void()> on_output_lost_;
    Quiet quiet_;
    bool out_is_terminal_;
    bool err_is_terminal_;
    std::size_t label_width_ = 0;
    bool drawn_ = false;
    SteadyTime drawn_at_{};
    std::map<std::string, Progress> progress_;
    std::map<std::string, std::string>
        last_warning_;                           // by pod and container: repeats are not shown
    std::map<std::string, bool> at_line_start_;  // by label and stream
};

}  // namespace skiff::app
