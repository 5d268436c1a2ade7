#include "node/logind.h"

#include <fcntl.h>
#include <systemd/sd-bus.h>

#include <cerrno>
#include <cstring>

namespace skiff::node {

namespace {

constexpr const char* kService = "org.freedesktop.login1";
constexpr const char* kPath = "/org/freedesktop/login1";
constexpr const char* kManager = "org.freedesktop.login1.Manager";
constexpr std::uint64_t kCallMicros = 2'000'000;

Result<void> check(int result, std::string_view what) {
    if (result < 0) {
        return fail(Code::unavailable, "{}: {}", what, std::strerror(-result));
    }
    return {};
}

// The bus's own words for a failed call.
class CallError {
public:
    ~CallError() { sd_bus_error_free(&error_); }
    CallError() = default;
    CallError(const CallError&) = delete;
    CallError& operator=(const CallError&) = delete;
    sd_bus_error* get() { return &error_; }
    Result<void> check(int result, std::string_view what) const {
        if (result >= 0) {
            return {};
        }
        return fail(Code::unavailable, "{}: {}", what,
                    error_.message != nullptr ? error_.message : std::strerror(-result));
    }

private:
    sd_bus_error error_ = SD_BUS_ERROR_NULL;
};

}  // namespace

void Logind::Unref::operator()(sd_bus* bus) const {
    sd_bus_flush_close_unref(bus);
}

void Logind::Unref::operator()(sd_bus_slot* slot) const {
    sd_bus_slot_unref(slot);
}

Logind::~Logind() = default;

Result<std::unique_ptr<Logind>> Logind::connect(const std::string& address) {
    sd_bus* raw = nullptr;
    if (address.empty()) {
        SKIFF_CHECK(check(sd_bus_open_system(&raw), "system bus"));
    } else {
        SKIFF_CHECK(check(sd_bus_new(&raw), "bus"));
    }
    std::unique_ptr<sd_bus, Unref> bus(raw);
    if (!address.empty()) {
        SKIFF_CHECK(check(sd_bus_set_address(raw, address.c_str()), "bus"));
        SKIFF_CHECK(check(sd_bus_set_bus_client(raw, 1), "bus"));
        SKIFF_CHECK(check(sd_bus_negotiate_fds(raw, 1), "bus"));
        SKIFF_CHECK(check(sd_bus_start(raw), "bus"));
    }
    SKIFF_CHECK(check(sd_bus_set_method_call_timeout(raw, kCallMicros), "bus"));
    std::unique_ptr<Logind> logind(new Logind(std::move(bus)));
    SKIFF_CHECK(logind->listen());
    std::uint64_t micros = 0;
    CallError error;
    SKIFF_CHECK(
        error.check(sd_bus_get_property_trivial(raw, kService, kPath, kManager,
                                                "InhibitDelayMaxUSec", error.get(), 't', &micros),
                    "logind"));
    logind->delay_max_ = std::chrono::microseconds(
        std::min<std::uint64_t>(micros, std::uint64_t{24} * 3600 * 1'000'000));
    return logind;
}

Result<void> Logind::listen() {
    sd_bus_slot* slot = nullptr;
    auto handler = [](sd_bus_message* message, void* self, sd_bus_error* error) {
        return on_prepare(message, self, error);
    };
    SKIFF_CHECK(check(sd_bus_match_signal(bus_.get(), &slot, kService, kPath, kManager,
                                          "PrepareForShutdown", handler, this),
                      "logind's signals"));
    match_.reset(slot);
    return {};
}

int Logind::on_prepare(sd_bus_message* message, void* self, void*) {
    int begins = 0;
    if (sd_bus_message_read(message, "b", &begins) >= 0) {
        static_cast<Logind*>(self)->changes_.push_back(begins != 0 ? Change::begins
                                                                   : Change::called_off);
    }
    return 0;
}

Result<void> Logind::hold_back() {
    CallError error;
    sd_bus_message* raw = nullptr;
    int called =
        sd_bus_call_method(bus_.get(), kService, kPath, kManager, "Inhibit", error.get(), &raw,
                           "ssss", "shutdown", "skiff", "Pods are given time to end", "delay");
    std::unique_ptr<sd_bus_message, decltype(&sd_bus_message_unref)> reply(raw,
                                                                           &sd_bus_message_unref);
    SKIFF_CHECK(error.check(called, "logind's Inhibit"));
    int fd = -1;
    SKIFF_CHECK(check(sd_bus_message_read(reply.get(), "h", &fd), "logind's Inhibit"));
    // The message closes its own.
    os::Fd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!own) {
        return fail_errno(errno, "keep logind's lock");
    }
    lock_ = std::move(own);
    return {};
}

async::Task<Result<Logind::Change>> Logind::next() {
    for (;;) {
        int processed = 1;
        while (changes_.empty() && processed > 0) {
            processed = sd_bus_process(bus_.get(), nullptr);
        }
        if (!changes_.empty()) {
            Change change = changes_.front();
            changes_.pop_front();
            co_return change;
        }
        SKIFF_CO_CHECK(check(processed, "system bus"));
        auto readable = co_await async::wait_readable(sd_bus_get_fd(bus_.get()));
        if (!readable) {
            co_return fail(std::move(readable.error()));
        }
    }
}

}  // namespace skiff::node
