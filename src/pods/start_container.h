// The way of one container from its spec to its first instruction: image, module, compile,
// environment, mounts, start.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "pods/decide.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"

namespace skiff::pods {

// The rooms that pods lives on. They outlive every pod.
struct Ports {
    EventSink& events;
    Objects& objects;
    Images& images;
    Volumes& volumes;
    Network& network;
    Runtime& runtime;
    StatusSink& status;
    Commands& commands;
    Probes& probes;
};

struct StartRequest {
    std::shared_ptr<const kube::Pod> pod;
    std::string container;
    ContainerKind kind = ContainerKind::regular;
    std::uint32_t attempt = 0;
    std::uint32_t round = 0;  // rounds.h
    std::string handler;      // wasmtime, pulley, wasmi
    PodFacts facts;
    Egress default_egress;  // the node's
    NodeFacts::Listening listening = NodeFacts::Listening::node_address;
    NodeFacts::GuestInput guest_input = NodeFacts::GuestInput::none;
    PodNetwork network;
    std::map<std::string, MountedVolume> volumes;
};

// Starts the container, emitting Compiling, Compiled, Created, Started, and on failure Failed (the
// image's own events come from Images). Error::reason is the waiting reason.
[[nodiscard]] Task<Result<ContainerId>> start_container(const Ports& ports, StartRequest request);

}  // namespace skiff::pods
