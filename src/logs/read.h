// Reads a container's log for `kubectl logs`: all of its files in order, with every option,
// following while it grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "async/blocking.h"
#include "async/task.h"
#include "base/result.h"
#include "logs/cri.h"
#include "pods/ports.h"

namespace skiff::logs {

// How often a follower looks for more, and the most bytes it holds.
inline constexpr auto kFollowEvery = std::chrono::milliseconds(100);
inline constexpr std::size_t kChunkBytes = 256 << 10;
// A line that is longer than this is not a CRI line (partial lines are 16 KiB): it is skipped.
inline constexpr std::size_t kLineBytesMax = 64 << 10;

struct ReadRequest {
    std::filesystem::path folder;  // of the container: <pod-log-dir>/<pod>/<container>
    std::uint32_t attempt = 0;     // the files are `<attempt>.log` and what it was before rotation
    pods::LogOptions options;
    // Whether more may be written: asked while following. Once false, what is there is the rest.
    std::function<bool()> is_running;
    // Whole lines go there with their stream, instead of text to the sink's one stream. The sink is
    // then written nothing, between chunks: it may wait, or end the reading.
    std::function<void(CriLine::Stream, std::string_view)> by_stream;
};

// Sends the log to `sink`. The files are ordered by the time of their first line, so it does not
// matter whether a rotation is being named at this moment. Fails with not_found when there is no
// log, else as the sink does. Only regular files are opened, no symbolic link is followed.
[[nodiscard]] async::Task<Result<void>> read_log(ReadRequest request, pods::LogSink& sink,
                                                 async::BlockingPool& pool);

}  // namespace skiff::logs
