#include "app/powers.h"

#include <linux/capability.h>
#include <unistd.h>

#include "base/log.h"
#include "wire/powers.h"

namespace skiff::app {

os::CapabilitySet agent_capabilities() {
    return {
        // Volumes: tmpfs, bind mounts, asking whether a filesystem can map ids; pods' network
        // namespaces.
        CAP_SYS_ADMIN,
        // Interfaces, addresses, routes and firewall rules of pods; raw sockets of iptables.
        CAP_NET_ADMIN,
        CAP_NET_RAW,
        // Ports below 1024 of the agent's own doors.
        CAP_NET_BIND_SERVICE,
        // Volumes with an fsGroup, token files of a user, image layers with their owners and modes.
        CAP_CHOWN,
        CAP_FOWNER,
        CAP_FSETID,
        // Removing and measuring what pods left, whoever owns it and whatever its modes.
        CAP_DAC_OVERRIDE,
        // Seeing whose socket holds a host port, to name it in the event.
        CAP_SYS_PTRACE,
    };
}

os::CapabilitySet started_capabilities() {
    os::CapabilitySet set;
    for (const int number : wire::kKeeperCapabilities) {
        set = set | os::CapabilitySet{number};
    }
    return set;
}

static os::IdMapProbe make_probe() {
    auto probe = os::IdMapProbe::create();
    if (!probe) {
        log::warn("volumes on filesystems that cannot map ids are not recognised",
                  log::kv("error", format_as(probe.error())));
        return {};
    }
    return std::move(*probe);
}

os::IdMapProbe settle_powers() {
    if (::geteuid() != 0) {
        return {};
    }
    os::IdMapProbe probe = make_probe();
    const os::CapabilitySet wanted = agent_capabilities() | started_capabilities();
    auto had = os::permitted_capabilities();
    if (had && !(wanted - *had).empty()) {
        log::warn("capabilities are missing", log::kv("missing", os::names_of(wanted - *had)));
    }
    auto kept = os::keep_capabilities(agent_capabilities(), started_capabilities());
    if (!kept) {
        log::warn("capabilities are not given up", log::kv("error", format_as(kept.error())));
    }
    return probe;
}

}  // namespace skiff::app
