// bench_net wire INSTANCE FOLDER NUMBER ADDRESS: a namespace wired as a pod's is by the built-in
// network, in the caller's namespace, until standard input ends; prints the file that pins it.
//
// bench_net setup FOLDER COUNT: attaches COUNT pods one after the other and closes to them what is
// closed to pods, then detaches them; first with wires laid ahead, then without. bench_net cni
// FOLDER COUNT PLUGINS: the same by the bridge plugin and CniNetwork, in turn with the plugin run
// bare. Both work in a network namespace of their own and print one line of JSON.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/text.h"
#include "network/cni.h"
#include "network/egress.h"
#include "network/namespaces.h"
#include "network/routed_network.h"
#include "os/file.h"
#include "os/mount.h"

namespace skiff::bench {
namespace {

namespace fs = std::filesystem;
using Times = std::vector<double>;

double ms_since(SteadyTime begun) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
        .count();
}

double percentile(Times times, double share) {
    std::ranges::sort(times);
    const auto rank = static_cast<std::size_t>(share * static_cast<double>(times.size()));
    return times.empty() ? 0 : times[std::min(rank, times.size() - 1)];
}

Result<network::IpRange> pods_range() {
    return network::IpRange::parse("10.1.0.0/16");
}

std::shared_ptr<const kube::Pod> pod_number(std::size_t number) {
    auto pod = std::make_shared<kube::Pod>();
    pod->metadata.name = fmt::format("p{}", number);
    pod->metadata.namespace_ = "bench";
    pod->metadata.uid = fmt::format("uid-{}", number);
    return pod;
}

Result<void> wire(const std::string& instance, const fs::path& folder, std::uint32_t number,
                  std::string_view address) {
    SKIFF_CHECK(os::make_folders(folder, 0700));
    const network::WireSettings settings{instance, folder,
                                         network::WireSettings::NodeEnd::addressed};
    SKIFF_TRY(auto its, network::IpAddress::parse(address));
    SKIFF_TRY(network::Wire laid, network::lay_wire(settings, number));
    auto connected = network::connect_wire(settings, laid, {its}, "bench");
    if (connected) {
        std::printf("%s\n", network::wire_pin(settings, number).c_str());
        std::fflush(stdout);
        char byte = 0;
        while (::read(STDIN_FILENO, &byte, 1) > 0) {
        }
    }
    auto removed = network::remove_wire(settings, number);
    return connected ? removed : connected;
}

struct SetUp {
    Times attach;
    Times detach;
};

struct NoEvents final : pods::EventSink {
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view,
              std::string_view) override {}
};

const std::vector<std::uint16_t>& agent_ports() {
    static const std::vector<std::uint16_t> ports = {10250};
    return ports;
}

async::Task<Result<SetUp>> set_up_pods(network::RoutedNetwork& network,
                                       network::EgressControl& egress, std::size_t count) {
    std::vector<PodUid> nobody;
    SKIFF_CO_CHECK(co_await network.recover(std::move(nobody)));
    SKIFF_CO_TRY(auto range, pods_range());
    std::vector<network::IpRange> ranges{range};
    SKIFF_CO_CHECK(co_await network.set_ranges(std::move(ranges)));
    SetUp times;
    for (std::size_t i = 0; i < count; ++i) {
        SKIFF_CO_CHECK(co_await network.prepare());
        auto pod = pod_number(i);
        auto begun = std::chrono::steady_clock::now();
        SKIFF_CO_TRY(auto attached, co_await network.attach(pod));
        network::EgressControl::Place place;
        place.name_space = attached.name_space;
        place.addresses = attached.addresses;
        place.dns.nameservers = {"10.96.0.10"};
        place.table = std::move(attached.egress_table);
        SKIFF_CO_CHECK(co_await egress.apply(*pod, std::move(place)));
        times.attach.push_back(ms_since(begun));
    }
    for (std::size_t i = 0; i < count; ++i) {
        auto begun = std::chrono::steady_clock::now();
        PodUid uid(fmt::format("uid-{}", i));
        PodUid same = uid;
        SKIFF_CO_CHECK(co_await egress.forget(std::move(same)));
        SKIFF_CO_CHECK(co_await network.detach(std::move(uid)));
        times.detach.push_back(ms_since(begun));
    }
    SKIFF_CO_CHECK(co_await egress.stop());
    SKIFF_CO_CHECK(co_await network.stop());
    co_return times;
}

Result<SetUp> measure_set_up(const fs::path& folder, std::size_t count, std::size_t prepared) {
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 4, 4096};
    SystemRandom random;
    network::RoutedSettings settings;
    settings.wire = {"be9c0000", folder / "netns", network::WireSettings::NodeEnd::addressed};
    settings.records = folder / "network";
    settings.quarantine = folder / "quarantine";
    settings.prepared_max = prepared;
    settings.close_ahead = [](const fs::path& pin) {
        return network::close_ahead(pin, agent_ports());
    };
    network::RoutedNetwork network(reactor.executor(), settings, pool, random);
    NoEvents events;
    network::EgressSettings closed;
    closed.allowed_of = [](const kube::Pod&) -> Result<Egress> { return Egress{}; };
    closed.node_ports = agent_ports();
    network::EgressControl egress({reactor.executor(), pool, random, events}, std::move(closed));
    return async::run_to_end(reactor, set_up_pods(network, egress, count));
}

Result<void> set_up(const fs::path& folder, std::size_t count) {
    SKIFF_TRY(SetUp with, measure_set_up(folder, count, 4));
    SKIFF_TRY(SetUp without, measure_set_up(folder, count, 0));
    std::printf(
        "{\"setup_p50_ms\": %.3f, \"setup_p99_ms\": %.3f, \"unprepared_p50_ms\": %.3f, "
        "\"detach_p50_ms\": %.3f}\n",
        percentile(with.attach, 0.5), percentile(with.attach, 0.99),
        percentile(without.attach, 0.5), percentile(with.detach, 0.5));
    return {};
}

constexpr std::string_view kBridge = R"({{"cniVersion": "1.0.0", "name": "bench", "plugins": [
 {{"type": "bridge", "bridge": "bench0", "isGateway": true, "ipam": {{"type": "host-local",
   "dataDir": "{}", "ranges": [[{{"subnet": "10.99.0.0/16"}}]]}}}}]}})";
// What the bare plugin reads: of the file above, as section 3 of the specification derives it.
constexpr std::string_view kBare = R"({{"cniVersion": "1.0.0", "name": "bench",
 "type": "bridge", "bridge": "bench0", "isGateway": true, "ipam": {{"type": "host-local",
   "dataDir": "{}", "ranges": [[{{"subnet": "10.99.0.0/16"}}]]}}}})";

// The shortest way to run a program: the time from its start to its end.
Result<double> time_bare(const std::string& program, const fs::path& input,
                         std::vector<std::string> variables) {
    std::vector<char*> environment;
    for (std::string& variable : variables) {
        environment.push_back(variable.data());
    }
    environment.push_back(nullptr);
    posix_spawn_file_actions_t actions{};
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    std::string name = program;
    std::array<char*, 2> words{name.data(), nullptr};
    pid_t pid = 0;
    auto begun = std::chrono::steady_clock::now();
    const int failed =
        ::posix_spawn(&pid, program.c_str(), &actions, nullptr, words.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        return fail_errno(failed, program);
    }
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || status != 0) {
        return fail(Code::internal, "{}: status {}", program, status);
    }
    return ms_since(begun);
}

Result<void> set_up_by_bridge(const fs::path& folder, std::size_t count, const fs::path& plugins) {
    const std::string leases = (folder / "leases").string();
    for (const char* name : {"net.d", "cache", "ns"}) {
        SKIFF_CHECK(os::make_folders(folder / name, 0700));
    }
    using os::Durability;
    SKIFF_CHECK(os::write_file_atomic(folder / "net.d/10-bench.conflist",
                                      fmt::format(kBridge, leases), 0600, Durability::process));
    SKIFF_CHECK(os::write_file_atomic(folder / "bare.json", fmt::format(kBare, leases), 0600,
                                      Durability::process));
    network::CniSettings settings;
    settings.config_folder = folder / "net.d";
    settings.plugin_folders = {plugins};
    settings.cache_folder = folder / "cache";
    SKIFF_TRY(auto network, network::CniNetwork::load(settings, after(std::chrono::minutes(1))));
    if (!network) {
        return fail(Code::not_found, "no network below {}", folder.string());
    }
    Times ours;
    Times bare;
    for (std::size_t i = 0; i < count; ++i) {
        for (const std::string_view kind : {"ours", "bare"}) {
            network::CniAttachment attachment;
            attachment.key.container_id = fmt::format("{}{}", kind, i);
            attachment.pod = {"bench", fmt::format("{}-{}", kind, i)};
            attachment.pod_uid = PodUid(attachment.key.container_id);
            attachment.network_namespace = folder / "ns" / attachment.key.container_id;
            SKIFF_CHECK(network::in_new_namespace(
                [&] { return network::pin_namespace(attachment.network_namespace); }));
            if (kind == "ours") {
                auto begun = std::chrono::steady_clock::now();
                auto added = network->add(attachment, after(std::chrono::minutes(1)));
                if (!added) {
                    return fail(std::move(added.error()));
                }
                ours.push_back(ms_since(begun));
                continue;
            }
            SKIFF_TRY(auto parameters, network::make_cni_parameters(attachment));
            SKIFF_TRY(double its, time_bare(plugins / "bridge", folder / "bare.json",
                                            network::format_cni_environment(
                                                network::CniCommand::add, &parameters, {plugins})));
            bare.push_back(its);
        }
    }
    const double with = percentile(ours, 0.5);
    const double without = percentile(bare, 0.5);
    std::printf("{\"cni_p50_ms\": %.3f, \"plugin_p50_ms\": %.3f, \"cni_overhead_ms\": %.3f}\n",
                with, without, with - without);
    return {};
}

// Before the first thread, which all that come inherit it from.
Result<void> move_into_own_namespace() {
    if (::unshare(CLONE_NEWNET) != 0) {
        return fail_errno(errno, "unshare the network");
    }
    return {};
}

Result<void> run(const std::vector<std::string>& words) {
    auto number = [&](std::size_t at) { return parse_uint(words[at]).value_or(0); };
    if (words.size() == 5 && words[0] == "wire") {
        return wire(words[1], words[2], static_cast<std::uint32_t>(number(3)), words[4]);
    }
    if (words.size() == 3 && words[0] == "setup" && number(2) > 0) {
        SKIFF_CHECK(move_into_own_namespace());
        return set_up(words[1], number(2));
    }
    if (words.size() == 4 && words[0] == "cni" && number(2) > 0) {
        SKIFF_CHECK(move_into_own_namespace());
        auto done = set_up_by_bridge(words[1], number(2), words[3]);
        auto unmounted = os::unmount_below(words[1]);
        return done ? unmounted : done;
    }
    return fail(Code::invalid,
                "usage: bench_net wire INSTANCE FOLDER NUMBER ADDRESS | setup FOLDER COUNT | cni "
                "FOLDER COUNT PLUGINS");
}

}  // namespace
}  // namespace skiff::bench

int main(int count, char** words) {
    auto done = skiff::bench::run({words + 1, words + count});
    if (!done) {
        fmt::print(stderr, "bench_net: {}\n", format_as(done.error()));
        return 1;
    }
    return 0;
}
