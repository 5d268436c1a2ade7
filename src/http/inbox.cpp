#include "http/inbox.h"

namespace skiff::http {

namespace {

constexpr auto kPingPause = std::chrono::seconds(3);

}  // namespace

Inbox::~Inbox() {
    clear();
}

void Inbox::clear() {
    budget_.bytes -= bytes_.size();
    bytes_ = {};
    budget_.taken.set();
}

void Inbox::put(std::string_view bytes) {
    if (ended_ || broken_ || discards_ || bytes.empty()) {
        return;
    }
    bytes_ += bytes;
    budget_.bytes += bytes.size();
    changed_.set();
}

void Inbox::end() {
    ended_ = true;
    changed_.set();
}

void Inbox::break_off() {
    broken_ = true;
    changed_.set();
}

void Inbox::discard() {
    discards_ = true;
    clear();
}

async::Task<Result<void>> Inbox::wait_for_room(Ping ping) {
    while (is_full()) {
        budget_.taken.reset();
        auto woken = co_await budget_.taken.wait(after(kPingPause));
        if (woken) {
            continue;
        }
        if (woken.error().code != Code::timeout) {
            co_return woken;
        }
        SKIFF_CO_CHECK(co_await ping());
    }
    co_return Result<void>{};
}

async::Task<Result<std::string>> Inbox::take() {
    while (bytes_.empty() && !ended_ && !broken_) {
        changed_.reset();
        SKIFF_CO_CHECK(co_await changed_.wait());
    }
    if (bytes_.empty() && broken_) {
        co_return fail(Code::unavailable, "the peer broke the stream off");
    }
    std::string taken = std::exchange(bytes_, {});
    budget_.bytes -= taken.size();
    budget_.taken.set();
    co_return taken;
}

}  // namespace skiff::http
