// For tests of this room: events and commands that are kept, and what the test says.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"

namespace skiff::probes {

class KeptEvents final : public pods::EventSink {
public:
    void emit(const kube::Pod&, std::string_view container, pods::EventType,
              std::string_view reason, std::string_view message) override {
        lines.push_back(fmt::format("{} {}: {}", container, reason, message));
    }
    std::vector<std::string> lines;
};

class SaidCommands final : public pods::Commands {
public:
    SaidCommands() { gate.set(); }
    async::Task<Result<pods::CommandEnd>> run(pods::CommandRun run) override {
        runs.push_back(std::move(run));
        SKIFF_CO_CHECK(co_await gate.wait());
        if (failure) {
            co_return fail(Error(*failure));
        }
        co_return end;
    }
    async::Event gate;  // closed: they go on
    pods::CommandEnd end;
    std::optional<Error> failure;
    std::vector<pods::CommandRun> runs;
};

inline kube::Container container_named(const std::string& name) {
    kube::Container container;
    container.name = name;
    return container;
}

inline kube::IntOrString port_number(std::int32_t number) {
    kube::IntOrString port;
    port.value = number;
    return port;
}

inline kube::IntOrString port_name(std::string name) {
    kube::IntOrString port;
    port.value = std::move(name);
    return port;
}

}  // namespace skiff::probes
