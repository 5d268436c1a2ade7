// Whose turn it is: bounds how many tasks do something at once, without letting one group of them
// keep the others out. Reactor thread only.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "async/event.h"

namespace skiff::images {

class Turns {
public:
    struct Limits {
        std::size_t in_all = 0;
        // A turn held for longer counts no more: its holder goes on, but keeps nobody waiting.
        Duration counts_for = Duration::max();
        // What the first of a group does when `in_all` is reached. With `passes` the bound is
        // `in_all` and one for each other group.
        enum class First { waits, passes } first_of_group = First::waits;
    };
    // Something whose turns are counted: "registry ghcr.io". At most `max` (not zero) at once.
    struct Group {
        std::string name;
        std::size_t max = 0;
    };

    explicit Turns(Limits limits) : limits_(limits) {}
    Turns(const Turns&) = delete;
    Turns& operator=(const Turns&) = delete;

    // Somebody who has the turn or waits for it. Giving it up is destroying it, which must come
    // before the end of the Turns.
    class Turn {
    public:
        Turn(Turns& turns, std::vector<Group> groups);
        ~Turn();
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        friend class Turns;
        Turns& turns_;
        std::vector<Group> groups_;
        std::list<Turn*>::iterator place_;
        async::Event granted_;
        SteadyTime since_{};
    };

    // Waits for the turn of one who is in all of `groups`; the first one is what First speaks of.
    // Those who wait are served in the order of their coming, but nobody waits for one who cannot
    // have the turn yet because of its own groups. Fails with timeout or cancelled.
    [[nodiscard]] async::Task<Result<std::unique_ptr<Turn>>> take(
        std::vector<Group> groups, SteadyTime deadline = async::kNoDeadline);

    [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

private:
    void advance();
    [[nodiscard]] bool may_go(const Turn& turn, SteadyTime now) const;
    // How many turns count, of all or of one group.
    [[nodiscard]] std::size_t counted(SteadyTime now) const;
    [[nodiscard]] std::size_t counted_in(const std::string& group, SteadyTime now) const;
    // When the next turn stops counting.
    [[nodiscard]] SteadyTime next_change(SteadyTime now) const;

    Limits limits_;
    std::list<Turn*> running_;
    std::list<Turn*> waiting_;
};

}  // namespace skiff::images
