// Gives up images that no pod needs when the disk fills, when they are too old, or when the node is
// short of disk (contract row 63). Reactor thread only.
#pragma once

#include <functional>
#include <string>

#include "app/image_service.h"
#include "async/blocking.h"
#include "async/task.h"
#include "images/gc.h"
#include "node/status.h"

namespace skiff::app {

class ImageCollector {
public:
    // All outlive it.
    struct Parts {
        ImageService& service;
        images::Store& store;
        async::BlockingPool& pool;
        const Clock& clock;
        // The machine as it is now. Blocking; called by the pool.
        std::function<Result<node::MachineFacts>()> observe;
        // A Warning about the node; may be empty.
        std::function<void(std::string_view reason, std::string message)> tell_node;
    };
    ImageCollector(Parts parts, images::GcSettings settings)
        : parts_(std::move(parts)), settings_(settings) {}
    ImageCollector(const ImageCollector&) = delete;
    ImageCollector& operator=(const ImageCollector&) = delete;

    // Every five minutes, as long as it is not cancelled.
    [[nodiscard]] async::Task<void> run();
    [[nodiscard]] async::Task<Result<void>> collect();
    // Every image that nobody needs, whatever its age.
    [[nodiscard]] async::Task<void> drop_unused();

private:
    [[nodiscard]] std::vector<images::GcImage> look() const;
    // How many of them went.
    [[nodiscard]] async::Task<Result<std::size_t>> remove(std::vector<std::string> references);

    Parts parts_;
    images::GcSettings settings_;
    images::GcMemory memory_;
};

}  // namespace skiff::app
