#include "images/turns.h"

#include <algorithm>

#include "base/assert.h"

namespace skiff::images {

Turns::Turn::Turn(Turns& turns, std::vector<Group> groups)
    : turns_(turns), groups_(std::move(groups)) {
    place_ = turns_.waiting_.insert(turns_.waiting_.end(), this);
}

Turns::Turn::~Turn() {
    (granted_.is_set() ? turns_.running_ : turns_.waiting_).erase(place_);
    turns_.advance();
}

std::size_t Turns::counted(SteadyTime now) const {
    return static_cast<std::size_t>(
        std::count_if(running_.begin(), running_.end(),
                      [&](const Turn* turn) { return now - turn->since_ < limits_.counts_for; }));
}

std::size_t Turns::counted_in(const std::string& group, SteadyTime now) const {
    return static_cast<std::size_t>(
        std::count_if(running_.begin(), running_.end(), [&](const Turn* turn) {
            return now - turn->since_ < limits_.counts_for &&
                   std::any_of(
                       turn->groups_.begin(), turn->groups_.end(),
                       [&](const Group& one) { return one.name == group; });
        }));
}

bool Turns::may_go(const Turn& turn, SteadyTime now) const {
    for (const Group& group : turn.groups_) {
        if (counted_in(group.name, now) >= group.max) {
            return false;
        }
    }
    return counted(now) < limits_.in_all || (limits_.first_of_group == Limits::First::passes &&
                                             counted_in(turn.groups_.front().name, now) == 0);
}

void Turns::advance() {
    SteadyTime now = std::chrono::steady_clock::now();
    for (auto at = waiting_.begin(); at != waiting_.end();) {
        Turn* turn = *at;
        auto next = std::next(at);
        if (may_go(*turn, now)) {
            running_.splice(running_.end(), waiting_, at);
            turn->since_ = now;
            turn->granted_.set();
        }
        at = next;
    }
}

SteadyTime Turns::next_change(SteadyTime now) const {
    SteadyTime next = async::kNoDeadline;
    if (limits_.counts_for == Duration::max()) {
        return next;
    }
    for (const Turn* turn : running_) {
        SteadyTime end =
            turn->since_ + std::chrono::duration_cast<SteadyTime::duration>(limits_.counts_for);
        if (end > now) {
            next = std::min(next, end);
        }
    }
    return next;
}

async::Task<Result<std::unique_ptr<Turns::Turn>>> Turns::take(std::vector<Group> groups,
                                                              SteadyTime deadline) {
    SKIFF_ASSERT(!groups.empty());
    auto turn = std::make_unique<Turn>(*this, std::move(groups));
    advance();
    while (!turn->granted_.is_set()) {
        SteadyTime now = std::chrono::steady_clock::now();
        SteadyTime change = next_change(now);
        auto granted = co_await turn->granted_.wait(std::min(change, deadline));
        bool is_over = !granted && (granted.error().code != Code::timeout || change >= deadline);
        if (is_over && !turn->granted_.is_set()) {
            co_return fail(std::move(granted.error()));
        }
        advance();
    }
    co_return std::move(turn);
}

}  // namespace skiff::images
