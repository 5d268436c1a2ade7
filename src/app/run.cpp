// `skiff run`: pods without a cluster, in a private instance that ends with this process.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <iterator>

#include "app/commands.h"
#include "app/file_objects.h"
#include "app/local_images.h"
#include "app/own_instance.h"
#include "app/powers.h"
#include "app/pressure_loop.h"
#include "app/rooms.h"
#include "app/run_session.h"
#include "base/log.h"
#include "base/text.h"
#include "config/fields.h"
#include "kube/validate.h"
#include "os/file.h"
#include "runtime/reset.h"

namespace skiff::app {

namespace {

namespace fs = std::filesystem;

Result<std::string> read_text(const std::string& path) {
    if (path == "-") {
        std::string text{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
        return text;
    }
    return os::read_file(path, Bytes{kube::kManifestBytesMax});
}

bool is_manifest(const std::string& target) {
    return target == "-" || target.ends_with(".yaml") || target.ends_with(".yml") ||
           target.ends_with(".json");
}

// A name for the pod of an image or file: what the last part of its path says.
std::string name_of(const std::string& target) {
    std::string last = fs::path(target).filename().string();
    last = last.substr(0, last.find_first_of(":@"));
    std::size_t dot = last.rfind('.');
    if (dot != std::string::npos && dot > 0) {
        last.resize(dot);
    }
    std::string name;
    for (char c : to_lower(last)) {
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (plain || (!name.empty() && name.back() != '-')) {
            name += plain ? c : '-';
        }
    }
    name = name.substr(0, 50);
    while (!name.empty() && name.back() == '-') {
        name.pop_back();
    }
    return name.empty() ? "run" : name;
}

std::string pull_policy(const std::string& flag) {
    return flag == "always" ? "Always" : flag == "never" ? "Never" : "IfNotPresent";
}

Result<Workload> workload_of(RunOptions& options) {
    if (is_manifest(options.target)) {
        if (!options.image.args.empty()) {
            return fail(Code::invalid,
                        "arguments go with an image or a module, not with a manifest");
        }
        if (!options.image.ports.empty()) {
            return fail(Code::invalid,
                        "-p goes with an image or a module; a manifest says ports itself");
        }
        SKIFF_TRY(std::string text, read_text(options.target));
        auto parsed = parse_workload(text);
        if (!parsed) {
            return fail(std::move(parsed.error()).context(options.target));
        }
        return parsed;
    }
    std::error_code error;
    bool file = fs::exists(options.target, error);
    options.image.image = file ? fs::absolute(options.target).string() : options.target;
    options.image.name = options.name.empty() ? name_of(options.target) : options.name;
    Workload workload;
    bool no_terminal = options.image.terminal && options.image.interactive && !::isatty(0);
    if (no_terminal) {
        options.image.terminal = false;
        workload.warnings.emplace_back("-t has no effect: standard input is no terminal");
    }
    SKIFF_TRY(kube::Pod pod, pod_of_image(options.image));
    pod.spec.containers[0].imagePullPolicy = pull_policy(options.pull);
    auto valid = kube::validate(pod);
    if (!valid) {
        return fail(std::move(valid.error()));
    }
    PodSet set;
    set.name = pod.metadata.name;
    set.pod = std::move(pod);
    workload.sets.push_back(std::move(set));
    return workload;
}

Labels labels_for(const RunOptions& options, const Workload& workload) {
    if (!is_manifest(options.target)) {
        return Labels::none;
    }
    std::size_t pods = 0;
    for (const PodSet& set : workload.sets) {
        pods += static_cast<std::size_t>(set.count);
    }
    return pods > 1 ? Labels::pod_and_container : Labels::container;
}

// One `skiff run`.
class Run {
public:
    Run(Base& base, RunOptions& options, const state::Instance& instance, Workload workload)
        : base_(base),
          options_(options),
          instance_(instance),
          workload_(std::move(workload)),
          objects_(workload_),
          console_(base.clock, options.quiet ? Quiet::yes : Quiet::no) {}

    async::Task<int> run() {
        for (const std::string& warning : workload_.warnings) {
            console_.warning(warning);
        }
        auto rooms = co_await open();
        if (!rooms) {
            print_error(format_as(rooms.error()));
            co_return kExitCannotRun;
        }
        auto loaded = co_await load_images(**rooms);
        int code = kExitCannotRun;
        if (loaded) {
            code = co_await run_session(**rooms);
        } else {
            print_error(format_as(loaded.error()));
        }
        co_await (*rooms)->stop();
        co_return code;
    }

private:
    async::Task<Result<std::unique_ptr<Rooms>>> open() {
        int stdin_fd = options_.image.interactive ? STDIN_FILENO : -1;
        Outside outside{objects_, console_, status_, stdin_fd, os::OnParentDeath::die};
        if (!options_.image.ports.empty()) {
            outside.pod_network = PodNetwork::Company::alone;
        }
        SKIFF_CO_TRY(auto ips, node_addresses(options_.settings, Company::alone));
        if (ips.empty()) {
            ips.push_back("127.0.0.1");
        }
        co_return co_await Rooms::create(base_, options_.settings, instance_, outside, ips);
    }

    async::Task<Result<void>> load_images(Rooms& rooms) {
        Console* console = &console_;
        rooms.images().set_progress([console](const images::BlobProgress& blob) {
            console->progress_of("blob " + blob.digest.str(), "pulling", blob.done, blob.total);
        });
        std::error_code error;
        fs::path here = fs::current_path(error);
        for (PodSet& set : workload_.sets) {
            SKIFF_CO_CHECK(co_await load_local_images(rooms.store(), set.pod, here));
        }
        co_return Result<void>{};
    }

    async::Task<int> run_session(Rooms& rooms) {
        RunSession session(base_, rooms, status_, console_, labels_for(options_, workload_));
        if (options_.image.interactive) {
            session.leave_terminal_to_guests();
        }
        async::Scope signals(base_.reactor.executor());
        signals.spawn("signals", obey_signals(&session, &console_));
        // Pods are held to their own disk limits; the machine's shortages are not ours to mend.
        PodUsage usage(rooms.runtime(), rooms.volumes());
        PressureLoop limits({base_.pool,
                             base_.clock,
                             rooms.pods(),
                             rooms.events(),
                             usage,
                             [] { return Result<node::MachineFacts>(node::MachineFacts()); },
                             {},
                             {},
                             {},
                             {}},
                            {});
        signals.spawn("disk limits", limits.run());
        int code = co_await session.run(workload_.sets);
        co_await signals.stop();
        co_await session.clean_up();
        co_return code;
    }

    // The first Ctrl-C asks the pods to end, the second ends everything at once: keeper and runners
    // die with us.
    static async::Task<void> obey_signals(RunSession* session, Console* console) {
        std::vector<int> signals = {SIGINT, SIGTERM, SIGHUP};
        auto first = co_await async::wait_signal(signals);
        if (!first) {
            co_return;
        }
        console->notice("stopping; once more to kill");
        session->stop();
        auto second = co_await async::wait_signal(signals);
        if (second) {
            ::_exit(128 + *second);
        }
    }

    Base& base_;
    RunOptions& options_;
    const state::Instance& instance_;
    Workload workload_;
    FileObjects objects_;
    Console console_;
    RunStatus status_;
};

// Every wire and rule of the instance, of which no process is left.
void remove_network(const state::Instance& instance) {
    auto removed = network::remove_routed_network(wire_settings(instance, {}),
                                                  instance.paths().pod_networks());
    if (!removed) {
        print_error(format_as(removed.error()));
    }
}

}  // namespace

int run_command(RunOptions options) {
    ::signal(SIGPIPE, SIG_IGN);
    options.settings.max_pods = kWorkloadPodsMax;
    options.settings.pod_network = options.image.ports.empty() ? "node" : "routed";
    auto settled = settle_own(options.settings, options.plain_http);
    if (!settled) {
        print_error(format_as(settled.error()));
        return kExitUsage;
    }
    auto workload = workload_of(options);
    if (!workload) {
        print_error(format_as(workload.error()));
        return kExitCannotRun;
    }
    if (!options.image.ports.empty() && ::geteuid() != 0) {
        print_error("-p: a network of its own takes root; without -p a guest has this machine's");
        return kExitCannotRun;
    }
    os::IdMapProbe probe = settle_powers();
    Base base;
    base.id_map_probe = std::move(probe);
    auto instance = open_own_instance(options.root_dir, options.settings, base.random);
    if (!instance) {
        print_error(format_as(instance.error()));
        return kExitCannotRun;
    }
    std::error_code error;
    if (::geteuid() == 0 && fs::exists((*instance)->paths().pod_networks(), error)) {
        remove_network(**instance);  // what a run left that was killed
    }
    int code = kExitCannotRun;
    {
        Run run(base, options, **instance, std::move(*workload));
        code = async::run_to_end(base.reactor, run.run());
    }
    if (!log::enabled(log::Level::info)) {
        log::set_level(log::Level::error);  // that everything goes is no surprise now
    }
    runtime::ResetSettings reset;
    auto cleaned =
        async::run_to_end(base.reactor, runtime::reset(**instance, base.reactor.executor(), reset));
    if (!cleaned) {
        print_error(format_as(cleaned.error()));
    }
    if (!options.image.ports.empty()) {
        remove_network(**instance);
    }
    return code;
}

}  // namespace skiff::app
