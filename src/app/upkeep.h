// What a node does for itself beside its pods: it watches what the machine has left, ends pods for
// it, and gives up images.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/image_collector.h"
#include "app/image_service.h"
#include "app/pod_use.h"
#include "app/pressure_loop.h"
#include "app/rooms.h"
#include "async/scope.h"

namespace skiff::app {

class Upkeep {
public:
    // How the node is told of; both may be empty.
    struct Node {
        std::function<void(std::string_view reason, std::string message)> tell;
        std::function<void()> changed;  // its conditions
    };
    // Fails with Code::invalid for thresholds that mean nothing. All references outlive it.
    [[nodiscard]] static Result<std::unique_ptr<Upkeep>> create(Base& base, Rooms& rooms,
                                                                const config::Settings& settings,
                                                                Node node);
    Upkeep(const Upkeep&) = delete;
    Upkeep& operator=(const Upkeep&) = delete;

    // Looks once, then goes on in the background.
    [[nodiscard]] async::Task<void> start();
    [[nodiscard]] async::Task<void> stop();
    [[nodiscard]] const std::vector<std::string>& pressures() const {
        return pressure_.conditions();
    }

private:
    Upkeep(Base& base, Rooms& rooms, const config::Settings& settings, Node node,
           std::vector<node::Threshold> thresholds);

    PodUsage usage_;
    ImageService service_;
    ImageCollector collector_;
    PressureLoop pressure_;
    async::Scope scope_;
};

}  // namespace skiff::app
