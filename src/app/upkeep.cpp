#include "app/upkeep.h"

#include "base/log.h"

namespace skiff::app {

namespace {

node::PressureSettings pressure_settings(const config::Settings& settings,
                                         std::vector<node::Threshold> thresholds) {
    node::PressureSettings its;
    its.thresholds = std::move(thresholds);
    its.transition_period = settings.eviction_pressure_transition_period;
    its.grace_max = std::chrono::seconds(settings.eviction_max_pod_grace_period);
    return its;
}

images::GcSettings gc_settings(const config::Settings& settings) {
    images::GcSettings its;
    its.high = settings.image_gc_high;
    its.low = settings.image_gc_low;
    its.age_min = settings.image_minimum_age;
    its.age_max = settings.image_maximum_age;
    return its;
}

std::function<Result<node::MachineFacts>()> observer(const config::Settings& settings) {
    return [root_dir = settings.root_dir] { return node::observe_machine(root_dir); };
}

}  // namespace

Result<std::unique_ptr<Upkeep>> Upkeep::create(Base& base, Rooms& rooms,
                                               const config::Settings& settings, Node node) {
    node::EvictionMaps maps{settings.eviction_hard, settings.eviction_soft,
                            settings.eviction_soft_grace_period, settings.eviction_minimum_reclaim};
    SKIFF_TRY(auto thresholds, node::thresholds_of(maps));
    return std::unique_ptr<Upkeep>(
        new Upkeep(base, rooms, settings, std::move(node), std::move(thresholds)));
}

Upkeep::Upkeep(Base& base, Rooms& rooms, const config::Settings& settings, Node node,
               std::vector<node::Threshold> thresholds)
    : usage_(rooms.runtime(), rooms.volumes()),
      service_({rooms.image_rooms(), rooms.runtime(), settings.root_dir,
                [its = &rooms](const images::StoredImage& image) {
                    return pod_that_needs(its->pods(), image);
                }}),
      collector_({service_, rooms.store(), base.pool, base.clock, observer(settings), node.tell},
                 gc_settings(settings)),
      pressure_(
          {base.pool, base.clock, rooms.pods(), rooms.events(), usage_, observer(settings),
           node.tell, node.changed,
           [&base](std::string_view signal) { base.meters.evictions.add({std::string(signal)}); },
           [this] { return collector_.drop_unused(); }},
          pressure_settings(settings, std::move(thresholds))),
      scope_(base.reactor.executor()) {}

async::Task<void> Upkeep::start() {
    auto looked = co_await pressure_.look();
    if (!looked) {
        log::error("pressure not known", log::kv("error", format_as(looked.error())));
    }
    scope_.spawn("pressure", pressure_.run());
    scope_.spawn("image collection", collector_.run());
}

async::Task<void> Upkeep::stop() {
    co_await scope_.stop();
}

}  // namespace skiff::app
