// File descriptors that close themselves, and the few ways to make and use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/types.h"

namespace skiff::os {

// Owns one descriptor; -1 means none. Everything here is made close-on-exec.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    explicit operator bool() const { return valid(); }
    // Gives the descriptor up without closing it.
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    // Closes what is owned and owns `fd` instead.
    void reset(int fd = -1);
    // A second descriptor of the same open file.
    [[nodiscard]] Result<Fd> duplicate() const;

private:
    int fd_ = -1;
};

// open(2) and openat(2) with O_CLOEXEC added. EINTR is retried.
[[nodiscard]] Result<Fd> open(const std::filesystem::path& path, int flags, unsigned mode = 0);
[[nodiscard]] Result<Fd> open_at(int folder, const std::filesystem::path& path, int flags,
                                 unsigned mode = 0);

struct Pipe {
    Fd read;
    Fd write;
};
[[nodiscard]] Result<Pipe> make_pipe();

// eventfd(2), not blocking.
[[nodiscard]] Result<Fd> make_eventfd();

// memfd_create(2) that can be sealed. `name` shows in /proc only.
[[nodiscard]] Result<Fd> make_memfd(const std::string& name);
// A memfd with `bytes` in it, sealed against every change, offset at its start.
[[nodiscard]] Result<Fd> make_sealed_memfd(const std::string& name, std::string_view bytes);

// Writes all of `bytes`, retrying short writes and EINTR. For blocking descriptors.
[[nodiscard]] Result<void> write_all(int fd, std::string_view bytes);
// Reads to the end. Fails with exhausted when there is more than `limit`.
[[nodiscard]] Result<std::string> read_all(int fd, Bytes limit);

}  // namespace skiff::os
