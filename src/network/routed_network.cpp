#include "network/routed_network.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/log.h"
#include "network/bandwidth.h"
#include "network/conntrack.h"
#include "network/first_failure.h"
#include "network/nftables.h"
#include "network/peer_routes.h"
#include "os/file.h"
#include "state/checkpoint.h"

namespace skiff::network {

namespace fs = std::filesystem;
using async::Task;

namespace {

constexpr std::string_view kKind = "pod-network";
constexpr std::string_view kReason = "FailedCreatePodSandBox";
// No uid has a slash.
constexpr std::string_view kFirewallLane = "/firewall";
constexpr std::string_view kPrepareLane = "/prepare";
constexpr std::string_view kRecoverLane = "/recover";
// Addresses in a row that something else on the machine has: more is a range that is not ours.
constexpr int kTakenMax = 16;

Result<void> store(const fs::path& folder, const PodUid& uid, const PodRecord& record) {
    return state::store_checkpoint(folder / uid.str(), kKind, format_pod_record(record),
                                   os::Durability::process);
}

Result<PodRecord> load(const fs::path& path) {
    SKIFF_TRY(std::string bytes, state::load_checkpoint(path, kKind));
    return parse_pod_record(bytes);
}

}  // namespace

// Which ports lead to which addresses of pods.
static std::set<std::pair<PortMap, IpAddress>> ports_led(const Firewall& firewall) {
    std::set<std::pair<PortMap, IpAddress>> found;
    for (const Firewall::Ports& pod : firewall.ports) {
        for (const PortMap& map : pod.maps) {
            for (const IpAddress& address : pod.addresses) {
                found.emplace(map, address);
            }
        }
    }
    return found;
}

static bool is_taken(const Result<void>& done) {
    return !done && done.error().code == Code::exists;
}

// What the agent before left.
struct RoutedNetwork::Found {
    std::map<PodUid, PodRecord> pods;
    Result<void> removed;
};

struct RoutedNetwork::Laid {
    Wire wire;
    std::string egress_table;  // its script, if it is in force
};

// One attempt to give a pod its network, for a thread of the pool.
struct RoutedNetwork::Work {
    PodRecord record;
    std::shared_ptr<Laid> laid;  // one that was laid ahead; else it is looked for
    bool is_new = false;         // the pod had no record
    PodBandwidth bandwidth;
};

RoutedNetwork::RoutedNetwork(async::Executor executor, RoutedSettings settings,
                             async::BlockingPool& pool, Random& random)
    : settings_(std::move(settings)),
      random_(random),
      lanes_(executor, pool),
      background_(executor),
      upkeep_(std::move(executor)) {}

Task<Result<void>> RoutedNetwork::recover(std::vector<PodUid> pods) {
    auto found = std::make_shared<Found>();
    const RoutedSettings its = settings_;
    auto work = [its, found, pods]() -> Result<void> {
        SKIFF_CHECK(os::make_folders(its.records, 0700));
        SKIFF_CHECK(os::make_folders(its.wire.folder, 0700));
        os::remove_stale_temporaries(its.records);
        SKIFF_TRY(auto names, os::list_folder(its.records));
        std::set<std::uint32_t> kept;
        std::vector<fs::path> gone;
        for (const std::string& name : names) {
            auto record = load(its.records / name);
            if (!record && record.error().code == Code::corrupt) {
                state::quarantine(its.records / name, its.quarantine, record.error().message);
            } else if (record && std::ranges::find(pods, PodUid(name)) != pods.end()) {
                kept.insert(record->wire);
                found->pods.emplace(name, std::move(*record));
            } else {
                gone.push_back(its.records / name);
            }
        }
        SKIFF_TRY(auto wires, list_wires(its.wire));
        for (const std::uint32_t number : wires) {
            if (!kept.contains(number)) {
                keep_first(found->removed, remove_wire(its.wire, number));
            }
        }
        // Last, as a record is what a wire is found by.
        for (const fs::path& path : gone) {
            keep_first(found->removed, os::remove_file(path));
        }
        return {};
    };
    auto done = co_await lanes_.run(std::string(kRecoverLane), std::move(work));
    if (!done) {
        co_return done;
    }
    pods_ = std::move(found->pods);
    for (const auto& [uid, record] : pods_) {
        last_number_ = std::max(last_number_, record.wire);
    }
    co_return found->removed;
}

Task<Result<void>> RoutedNetwork::set_ranges(std::vector<IpRange> wanted) {
    if (wanted == ranges() && !problem_) {
        co_return Result<void>{};
    }
    std::vector<RangePool> pools;
    for (const IpRange& range : wanted) {
        auto same = std::ranges::find(pools_, range, &RangePool::range);
        RangePool& pool =
            same != pools_.end() ? pools.emplace_back(*same) : pools.emplace_back(range, random_);
        for (const auto& [uid, record] : pods_) {
            for (const IpAddress& address : record.addresses) {
                (void)pool.adopt(address);
            }
        }
    }
    pools_ = std::move(pools);
    auto work = [wanted]() -> Result<void> {
        for (const IpRange& range : wanted) {
            SKIFF_CHECK(enable_forwarding(range.first.family));
        }
        return {};
    };
    auto done = co_await lanes_.run(std::string(kRecoverLane), std::move(work));
    problem_ = done ? std::nullopt : std::optional(done.error());
    auto applied = co_await apply_firewall();
    if (!applied && done) {
        done = fail(std::move(applied.error())
                        .context("pods reach nothing beyond the node; load nf_tables, "
                                 "nft_chain_nat and nft_masq, or set podNetwork to node"));
        problem_ = done.error();
    }
    if (!std::exchange(is_kept_, true)) {
        upkeep_.spawn("keep the table", keep_firewall());
    }
    refill();
    co_return done;
}

Task<Result<void>> RoutedNetwork::set_direct(std::vector<IpRange> ranges) {
    if (ranges == direct_) {
        co_return Result<void>{};
    }
    auto before = std::exchange(direct_, std::move(ranges));
    auto applied = co_await apply_firewall();
    if (!applied) {
        direct_ = std::move(before);
    }
    co_return applied;
}

Task<Result<void>> RoutedNetwork::set_mtu(std::uint32_t mtu) {
    Result<void> first;
    if (std::exchange(settings_.wire.mtu, mtu) == mtu) {
        co_return first;
    }
    for (const PodUid& uid : list()) {
        auto known = pods_.find(uid);
        if (known == pods_.end()) {
            continue;
        }
        // A pod that goes meanwhile has no wire any more, and gets none.
        auto work = [wires = settings_.wire, number = known->second.wire] {
            return set_wire_mtu(wires, number);
        };
        auto done = co_await lanes_.run(uid.str(), std::move(work));
        keep_first(first, std::move(done));
    }
    co_return first;
}

std::vector<IpRange> RoutedNetwork::ranges() const {
    std::vector<IpRange> all;
    for (const RangePool& pool : pools_) {
        all.push_back(pool.range());
    }
    return all;
}

Result<void> RoutedNetwork::ready() const {
    if (pools_.empty()) {
        return fail(Code::unavailable, "no range of addresses for pods is known: {}",
                    settings_.remedy);
    }
    if (problem_) {
        return fail(*problem_);
    }
    return {};
}

Result<std::vector<IpAddress>> RoutedNetwork::allocate() {
    std::vector<IpAddress> addresses;
    for (RangePool& pool : pools_) {
        auto address = pool.allocate();
        if (!address) {
            release(addresses);
            return fail(Code::exhausted, "all {} addresses of {} are in use", pool.capacity(),
                        pool.range());
        }
        addresses.push_back(*address);
    }
    return addresses;
}

void RoutedNetwork::release(const std::vector<IpAddress>& addresses) {
    for (RangePool& pool : pools_) {
        for (const IpAddress& address : addresses) {
            pool.release(address);
        }
    }
}

// Numbers are given round and round, so that an interface's name is not another pod's at once.
std::uint32_t RoutedNetwork::next_number() {
    std::set<std::uint32_t> used;
    for (const auto& [uid, record] : pods_) {
        used.insert(record.wire);
    }
    for (const auto& laid : prepared_) {
        used.insert(laid->wire.number);
    }
    do {
        last_number_ = last_number_ + 1 >= kWireNumbers ? 1 : last_number_ + 1;
    } while (used.contains(last_number_));
    return last_number_;
}

Result<std::shared_ptr<RoutedNetwork::Work>> RoutedNetwork::begin(const kube::Pod& pod) {
    const PodUid uid(pod.metadata.uid);
    auto work = std::make_shared<Work>();
    SKIFF_TRY(auto ports, port_maps_of(pod));
    SKIFF_TRY(work->bandwidth, parse_bandwidth(pod));
    for (const auto& [other, record] : pods_) {
        if (other != uid) {
            SKIFF_CHECK(check_ports_free(ports, record.ports, record.pod));
        }
    }
    auto known = pods_.find(uid);
    if (known == pods_.end()) {
        SKIFF_CHECK(ready());
        PodRecord record;
        SKIFF_TRY(record.addresses, allocate());
        record.pod = {pod.metadata.namespace_, pod.metadata.name};
        if (!prepared_.empty()) {
            work->laid = std::move(prepared_.front());
            prepared_.pop_front();
        }
        record.wire = work->laid ? work->laid->wire.number : next_number();
        work->is_new = true;
        known = pods_.emplace(uid, std::move(record)).first;
    }
    known->second.ports = std::move(ports);
    work->record = known->second;
    return work;
}

Task<Result<void>> RoutedNetwork::carry_out(PodUid uid, std::shared_ptr<Work> work) {
    const WireSettings wires = settings_.wire;
    const fs::path records = settings_.records;
    // The record first: whatever is made after it is found again by it.
    auto job = [wires, records, uid, work]() -> Result<void> {
        SKIFF_CHECK(store(records, uid, work->record));
        if (!work->laid) {
            auto wire = find_wire(wires, work->record.wire);
            if (!wire) {
                wire = lay_wire(wires, work->record.wire);
            }
            if (!wire) {
                // `exists` says that an address is taken, and nothing else.
                wire.error().code = Code::internal;
                return fail(std::move(wire.error()));
            }
            work->laid = std::make_shared<Laid>(Laid{std::move(*wire), ""});
        }
        Wire& wire = work->laid->wire;
        auto connected =
            connect_wire(wires, wire, work->record.addresses, format_as(work->record.pod));
        if (connected && !work->record.ports.empty()) {
            connected = open_to_loopback(wires.instance, work->record.wire);
        }
        if (connected) {
            connected = apply_bandwidth(wire, work->bandwidth);
        }
        return connected;
    };
    co_return co_await lanes_.run(uid.str(), std::move(job));
}

Task<Result<Attachment>> RoutedNetwork::attach(std::shared_ptr<const kube::Pod> pod) {
    PodUid uid(pod->metadata.uid);
    auto begun = begin(*pod);
    if (!begun) {
        co_return fail(std::move(begun.error()).with_default_reason(kReason));
    }
    std::shared_ptr<Work> work = *begun;
    auto done = co_await carry_out(uid, work);
    // `work` may be looked at only once its job is done: not after a cancellation.
    for (int i = 0; i < kTakenMax && is_taken(done) && work->is_new; ++i) {
        // One of another instance's pods, or a route of the machine's own.
        auto others = allocate();
        if (!others) {
            done = fail(std::move(others.error()));
            break;
        }
        release(work->record.addresses);
        work->record.addresses = *others;
        pods_.at(uid).addresses = std::move(*others);
        done = co_await carry_out(uid, work);
    }
    if (done && !work->record.ports.empty()) {
        done = co_await apply_firewall();
    }
    refill();
    if (!done) {
        co_return fail(std::move(done.error()).with_default_reason(kReason));
    }
    Attachment attachment = attachment_of(work->record);
    attachment.egress_table = std::move(work->laid->egress_table);
    co_return attachment;
}

Task<Result<void>> RoutedNetwork::detach(PodUid pod) {
    const PodUid uid = pod;
    auto known = pods_.find(uid);
    if (known == pods_.end()) {
        co_return Result<void>{};
    }
    const PodRecord record = known->second;
    // Ports of the node first: they must not lead to whoever gets the address next.
    if (!record.ports.empty()) {
        known->second.ports.clear();
        auto applied = co_await apply_firewall();
        if (!applied) {
            known->second.ports = record.ports;
            co_return applied;
        }
    }
    const WireSettings wires = settings_.wire;
    const fs::path path = settings_.records / uid.str();
    const std::uint32_t number = record.wire;
    auto job = [wires, path, number]() -> Result<void> {
        SKIFF_CHECK(remove_wire(wires, number));
        return os::remove_file(path);
    };
    auto done = co_await lanes_.run(uid.str(), std::move(job));
    if (done) {
        release(record.addresses);
        pods_.erase(uid);
    }
    co_return done;
}

Attachment RoutedNetwork::attachment_of(const PodRecord& record) const {
    Attachment attachment;
    attachment.name_space = wire_pin(settings_.wire, record.wire);
    attachment.node_link = wire_name(settings_.wire.instance, record.wire);
    for (const IpAddress& address : record.addresses) {
        attachment.addresses.push_back(format_as(address));
    }
    return attachment;
}

std::optional<Attachment> RoutedNetwork::find(const PodUid& pod) const {
    auto known = pods_.find(pod);
    return known == pods_.end() ? std::nullopt : std::optional(attachment_of(known->second));
}

std::vector<PodUid> RoutedNetwork::list() const {
    std::vector<PodUid> uids;
    for (const auto& [uid, record] : pods_) {
        uids.push_back(uid);
    }
    return uids;
}

Task<Result<void>> RoutedNetwork::apply_firewall() {
    Firewall firewall;
    firewall.instance = settings_.wire.instance;
    firewall.pods = ranges();
    firewall.direct = direct_;
    for (const auto& [uid, record] : pods_) {
        if (!record.ports.empty()) {
            firewall.ports.push_back({record.addresses, record.ports});
        }
    }
    auto led = ports_led(firewall);
    std::vector<std::pair<PortMap, IpAddress>> moved;
    std::ranges::set_symmetric_difference(led, led_, std::back_inserter(moved));
    std::vector<PortMap> changed;
    std::ranges::transform(moved, std::back_inserter(changed),
                           &std::pair<PortMap, IpAddress>::first);
    auto work = [script = format_table(firewall), changed]() -> Result<void> {
        SKIFF_CHECK(run_nft(script));
        auto forgotten = forget_udp_flows(changed);
        if (!forgotten) {
            log::warn("flows to ports of the node not forgotten",
                      log::kv("error", format_as(forgotten.error())));
        }
        return {};
    };
    auto applied = co_await lanes_.run(std::string(kFirewallLane), std::move(work));
    if (applied) {
        led_ = std::move(led);
    }
    co_return applied;
}

Task<void> RoutedNetwork::keep_firewall() {
    while (true) {
        auto slept = co_await async::sleep_for(settings_.repair_every);
        if (!slept) {
            co_return;
        }
        auto look = [name = table_name(settings_.wire.instance)] {
            return run_nft(fmt::format("list chain inet {} leaving\n", name));
        };
        auto present = co_await lanes_.run(std::string(kFirewallLane), std::move(look));
        if (present || present.error().code != Code::invalid) {
            continue;
        }
        auto applied = co_await apply_firewall();
        log::warn("somebody removed the table of pods' packets",
                  log::kv("table", table_name(settings_.wire.instance)),
                  log::kv("put_back", applied ? "yes" : format_as(applied.error())));
    }
}

void RoutedNetwork::refill() {
    if (preparing_ || stopping_ || pools_.empty() || prepared_.size() >= settings_.prepared_max) {
        return;
    }
    preparing_ = true;
    background_.spawn("prepare wires", prepare_wires());
}

Task<void> RoutedNetwork::prepare_wires() {
    while (!stopping_ && prepared_.size() < settings_.prepared_max) {
        auto laid = std::make_shared<std::shared_ptr<Laid>>();
        const RoutedSettings its = settings_;
        const std::uint32_t number = next_number();
        auto work = [its, number, laid]() -> Result<void> {
            SKIFF_TRY(Wire wire, lay_wire(its.wire, number));
            *laid = std::make_shared<Laid>(Laid{std::move(wire), ""});
            if (its.close_ahead) {
                // A pod's own attempt says why it fails.
                (*laid)->egress_table = its.close_ahead(wire_pin(its.wire, number)).value_or("");
            }
            return {};
        };
        auto done = co_await lanes_.run(std::string(kPrepareLane), std::move(work));
        if (!done) {
            // A pod's own attempt says why.
            log::debug("no wire laid ahead", log::kv("error", format_as(done.error())));
            break;
        }
        prepared_.push_back(*laid);
    }
    preparing_ = false;
}

Task<Result<void>> RoutedNetwork::stop() {
    stopping_ = true;
    co_await upkeep_.stop();
    auto joined = co_await background_.join();
    (void)joined;
    co_await background_.stop();
    const WireSettings wires = settings_.wire;
    while (!prepared_.empty()) {
        const std::uint32_t number = prepared_.front()->wire.number;
        prepared_.pop_front();
        auto work = [wires, number] { return remove_wire(wires, number); };
        auto removed = co_await lanes_.run(std::string(kPrepareLane), std::move(work));
        if (!removed) {
            log::debug("a wire stays", log::kv("error", format_as(removed.error())));
        }
    }
    co_return co_await lanes_.stop();
}

Result<void> remove_routed_network(const WireSettings& wire, const fs::path& records) {
    Result<void> first;
    auto wires = list_wires(wire);
    if (!wires) {
        keep_first(first, fail(std::move(wires.error())));
    }
    for (const std::uint32_t number : wires.value_or(std::set<std::uint32_t>())) {
        keep_first(first, remove_wire(wire, number));
    }
    // A kernel without nftables has no table of ours either.
    auto removed = run_nft(format_table_removal(wire.instance));
    if (!removed && removed.error().code != Code::unsupported) {
        keep_first(first, std::move(removed));
    }
    keep_first(first, remove_peer_routes(wire.instance));
    keep_first(first, os::remove_tree(records));
    return first;
}

}  // namespace skiff::network
