// What happens to a simulated node: pods that users make, edit and delete, and the accidents.
#pragma once

#include "api.h"
#include "guests.h"
#include "world.h"

namespace skiff::sim {

// A pod with up to three containers before and three beside one another, of random policies.
[[nodiscard]] kube::Pod random_pod(Dice& dice, int number);

// What users do; at most `kPodsMax` pods exist at a time.
class Users {
public:
    static constexpr std::size_t kPodsMax = 4;
    Users(World& world, Api& api) : world_(world), api_(api) {}
    // One thing.
    void act();
    void delete_all();

private:
    void create();
    void edit(const std::string& uid);
    void edit_spec(const std::string& uid);

    World& world_;
    Api& api_;
    int created_ = 0;
};

}  // namespace skiff::sim
