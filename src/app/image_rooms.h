// What gets images onto this machine: the part of the composition that `skiff inspect` needs alone.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "async/blocking.h"
#include "base/random.h"
#include "base/time.h"
#include "config/settings.h"
#include "http/client.h"
#include "images/access.h"
#include "images/downloads.h"
#include "images/puller.h"
#include "images/registry.h"
#include "images/store.h"
#include "state/paths.h"

namespace skiff::app {

class ImageRooms {
public:
    // What they work with. All outlive them.
    struct Ground {
        async::Executor executor;
        async::BlockingPool& pool;
        const Clock& clock;
        Random& random;
    };
    // Opens the store below the root-dir of `paths`, whose instance the caller has locked.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<ImageRooms>>> create(
        Ground ground, const config::Settings& settings, const state::Paths& paths);
    ImageRooms(const ImageRooms&) = delete;
    ImageRooms& operator=(const ImageRooms&) = delete;

    [[nodiscard]] images::Store& store() { return *store_; }
    [[nodiscard]] images::Registry& registry() { return *registry_; }
    [[nodiscard]] images::Puller& puller() { return *puller_; }
    [[nodiscard]] images::AccessRecords& access() { return *access_; }

    enum class Pull { missing, always, never };
    // The image for the node itself, not for a pod: with the node's own credentials. Fails as
    // Puller's functions, with not_found for Pull::never.
    [[nodiscard]] async::Task<Result<images::LocalImage>> fetch(std::string reference, Pull pull,
                                                                images::ProgressSink progress);

    [[nodiscard]] async::Task<void> stop();

private:
    ImageRooms() = default;

    std::optional<http::Client> http_;
    std::unique_ptr<images::Store> store_;
    std::optional<images::Registry> registry_;
    std::optional<images::Downloads> downloads_;
    std::optional<images::Puller> puller_;
    std::unique_ptr<images::AccessRecords> access_;
};

}  // namespace skiff::app
