#include "app/image_rooms.h"

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"

namespace skiff::app {

constexpr Bytes kDockerConfigMax = 4_MiB;

static images::RegistrySettings registry_settings(const config::Settings& settings) {
    images::RegistrySettings out;
    for (const config::RegistrySetting& its : settings.registries) {
        images::RegistryHost host;
        host.host = its.host;
        host.scheme = its.scheme == config::RegistrySetting::Scheme::http
                          ? images::RegistryHost::Scheme::http
                          : images::RegistryHost::Scheme::https;
        host.tls.ca_file = its.ca_file.string();
        host.tls.verify = its.verify == config::RegistrySetting::Verify::nothing
                              ? http::Verify::kNothing
                              : http::Verify::kPeer;
        host.mirrors = its.mirrors;
        out.hosts.push_back(std::move(host));
    }
    return out;
}

async::Task<Result<std::unique_ptr<ImageRooms>>> ImageRooms::create(
    Ground ground, const config::Settings& settings, const state::Paths& paths) {
    std::unique_ptr<ImageRooms> rooms(new ImageRooms);
    rooms->http_.emplace(ground.executor, "skiff/" SKIFF_VERSION);
    SKIFF_CO_TRY(rooms->store_, co_await images::Store::open(ground.pool, paths.images()));
    images::RegistrySettings registry = registry_settings(settings);
    if (!settings.docker_config.empty()) {
        SKIFF_CO_TRY(std::string text, os::read_file(settings.docker_config, kDockerConfigMax));
        SKIFF_CO_TRY(registry.node_credentials,
                     images::parse_docker_config(text, images::ConfigFormat::config_json, ""));
        if (auto helpers = images::named_helpers(text); !helpers.empty()) {
            log::warn("credential helpers are not run, images that need them are pulled without",
                      log::kv("helpers", fmt::format("{}", fmt::join(helpers, ", "))),
                      log::kv("config", settings.docker_config.string()));
        }
    }
    rooms->registry_.emplace(*rooms->http_, ground.random, std::move(registry));
    rooms->downloads_.emplace(ground.executor, *rooms->store_, *rooms->registry_);
    auto parallel = settings.serialize_image_pulls
                        ? std::size_t{1}
                        : static_cast<std::size_t>(settings.max_parallel_image_pulls);
    rooms->puller_.emplace(*rooms->store_, *rooms->registry_, *rooms->downloads_, ground.clock,
                           parallel);
    SKIFF_CO_TRY(rooms->access_, co_await images::AccessRecords::open(
                                     ground.pool, paths.root_dir / "image-access"));
    co_return std::move(rooms);
}

async::Task<Result<images::LocalImage>> ImageRooms::fetch(std::string reference, Pull pull,
                                                          images::ProgressSink progress) {
    SKIFF_CO_TRY(images::Reference parsed, images::parse_reference(reference));
    auto stored = store_->find(parsed);
    if (pull != Pull::always && stored) {
        auto local = co_await puller_->inspect(*stored, "");
        bool broken = !local && local.error().code == Code::not_found;
        if (!broken) {
            co_return std::move(local);
        }
    }
    if (pull == Pull::never) {
        co_return fail(Code::not_found, "the image {} is not on this machine",
                       bounded_utf8(reference, 256));
    }
    images::PullRequest request;
    request.reference = parsed;
    request.credentials =
        images::find_credentials(registry_->settings().node_credentials, parsed.name());
    request.progress = std::move(progress);
    SKIFF_CO_TRY(images::PullOutcome outcome, co_await puller_->pull(std::move(request)));
    SKIFF_CO_CHECK(co_await access_->grant(outcome.image.stored, outcome.used));
    co_return std::move(outcome.image);
}

async::Task<void> ImageRooms::stop() {
    if (downloads_) {
        co_await downloads_->stop();
    }
}

}  // namespace skiff::app
