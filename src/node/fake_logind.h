// A bus of a test's own, and one that answers on it as systemd-logind does.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "base/result.h"

namespace skiff::node::fakes {

// Its address is empty where the machine has no dbus-daemon.
class Bus {
public:
    Bus() {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) {
            return;
        }
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(ends[1], 1);
            ::execlp("dbus-daemon", "dbus-daemon", "--session", "--print-address", "--nofork",
                     static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(ends[1]);
        std::array<char, 512> text{};
        ssize_t size = ::read(ends[0], text.data(), text.size() - 1);
        ::close(ends[0]);
        if (size > 1) {
            address_.assign(text.data(), static_cast<std::size_t>(size) - 1);
        }
    }
    ~Bus() {
        if (pid_ > 0) {
            ::kill(pid_, SIGTERM);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;
    [[nodiscard]] const std::string& address() const { return address_; }

private:
    pid_t pid_ = -1;
    std::string address_;
};

inline sd_bus* open_bus(const std::string& address) {
    sd_bus* bus = nullptr;
    EXPECT_GE(sd_bus_new(&bus), 0);
    EXPECT_GE(sd_bus_set_address(bus, address.c_str()), 0);
    EXPECT_GE(sd_bus_set_bus_client(bus, 1), 0);
    EXPECT_GE(sd_bus_negotiate_fds(bus, 1), 0);
    EXPECT_GE(sd_bus_start(bus), 0);
    return bus;
}

// Answers as logind does, on a thread of its own.
class FakeLogind {
public:
    explicit FakeLogind(const std::string& address) : bus_(open_bus(address)) {
        static const sd_bus_vtable kTable[] = {
            SD_BUS_VTABLE_START(0),
            SD_BUS_METHOD("Inhibit", "ssss", "h", inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
            SD_BUS_PROPERTY("InhibitDelayMaxUSec", "t", delay, 0, 0), SD_BUS_VTABLE_END};
        EXPECT_GE(sd_bus_add_object_vtable(bus_, nullptr, "/org/freedesktop/login1",
                                           "org.freedesktop.login1.Manager", kTable, this),
                  0);
        EXPECT_GE(sd_bus_request_name(bus_, "org.freedesktop.login1", 0), 0);
        EXPECT_EQ(::pipe(lock_.data()), 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeLogind() {
        over_ = true;
        thread_.join();
        sd_bus_flush_close_unref(bus_);
        ::close(lock_[0]);
        if (lock_[1] >= 0) {
            ::close(lock_[1]);
        }
    }
    FakeLogind(const FakeLogind&) = delete;
    FakeLogind& operator=(const FakeLogind&) = delete;
    // The thread says on its next round that the machine goes down, or not.
    void say(int begins) { saying_ = begins; }
    // Whether nobody holds the lock any more: the other end of its pipe is closed everywhere.
    bool is_let_go(int timeout_ms) {
        if (lock_[1] >= 0) {
            ::close(lock_[1]);
            lock_[1] = -1;
        }
        pollfd waiting{lock_[0], 0, 0};
        return ::poll(&waiting, 1, timeout_ms) == 1 && (waiting.revents & POLLHUP) != 0;
    }
    // How often a shutdown was held back.
    [[nodiscard]] int holds() const { return holds_; }
    std::string what;

private:
    void serve() {
        while (!over_) {
            while (sd_bus_process(bus_, nullptr) > 0) {
            }
            int saying = saying_.exchange(-1);
            if (saying >= 0) {
                sd_bus_emit_signal(bus_, "/org/freedesktop/login1",
                                   "org.freedesktop.login1.Manager", "PrepareForShutdown", "b",
                                   saying);
                sd_bus_flush(bus_);
            }
            sd_bus_wait(bus_, 5000);
        }
    }
    static int inhibit(sd_bus_message* message, void* self, sd_bus_error*) {
        auto* fake = static_cast<FakeLogind*>(self);
        const char* what = nullptr;
        const char* who = nullptr;
        const char* why = nullptr;
        const char* mode = nullptr;
        sd_bus_message_read(message, "ssss", &what, &who, &why, &mode);
        fake->what = fmt::format("{} {} {}", what, who, mode);
        ++fake->holds_;
        return sd_bus_reply_method_return(message, "h", fake->lock_[1]);
    }
    static int delay(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
                     sd_bus_error*) {
        return sd_bus_message_append(reply, "t", std::uint64_t{5'000'000});
    }

    sd_bus* bus_;
    std::array<int, 2> lock_{-1, -1};
    std::atomic<int> saying_{-1};
    std::atomic<bool> over_{false};
    std::atomic<int> holds_{0};
    std::thread thread_;
};

}  // namespace skiff::node::fakes
