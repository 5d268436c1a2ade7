// From the grant on the wire to the policy that the sandbox applies.
#pragma once

#include <span>

#include "base/result.h"
#include "engine/runner.h"
#include "sandbox/policy.h"
#include "wasm/engine.h"
#include "wire/grant.h"

namespace skiff::engine {

// Of a server, open at the same time. Their descriptors come on top of what the guest may open.
constexpr std::uint32_t kConnectionsMax = 1024;

// `fds`: the descriptors that the grant's indexes mean.
[[nodiscard]] Result<sandbox::Policy> policy_of(const wire::Grant& grant, std::span<const int> fds,
                                                Privilege privilege, Lifetime lifetime);

// The engine's words for what a guest may do in its network.
[[nodiscard]] wasm::NetworkUse network_use_of(const wire::NetworkUse& use);

}  // namespace skiff::engine
