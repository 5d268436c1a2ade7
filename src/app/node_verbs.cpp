// The verbs that ask a node, join it or reset it.
#include <unistd.h>

#include "app/commands.h"
#include "app/local.h"
#include "app/pod_network.h"
#include "app/rooms.h"
#include "async/scope.h"
#include "base/log.h"
#include "node/join.h"
#include "node/k3s.h"
#include "runtime/reset.h"

namespace skiff::app {

int exit_code_of(const Result<void>& result) {
    if (result || result.error().code == Code::cancelled) {
        return kExitOk;
    }
    print_error(format_as(result.error()));
    return kExitFailure;
}

int join_command(const JoinOptions& options) {
    Base base;
    node::JoinRequest request;
    request.server = options.server;
    request.token = options.token;
    request.ca_cert_hashes = options.ca_cert_hashes;
    request.bootstrap_kubeconfig = options.bootstrap_kubeconfig;
    const auto written = node::is_k3s_token(request.token)
                             ? node::k3s_cluster_file(request.bootstrap_kubeconfig)
                             : request.bootstrap_kubeconfig;
    auto done = async::run_to_end(base.reactor, node::join(std::move(request), base.clock));
    if (!done) {
        return exit_code_of(done);
    }
    fmt::print("wrote {}; start the node with: skiff node\n", written.string());
    return kExitOk;
}

int reset_command(const config::Settings& settings, ResetScope scope) {
    Base base;
    auto instance = state::Instance::open(paths_of(settings), base.random);
    if (!instance) {
        print_error(format_as(instance.error()));
        return kExitFailure;
    }
    runtime::ResetSettings its;
    its.cgroup_root = settings.cgroup_root;
    its.scope = scope == ResetScope::everything ? runtime::ResetSettings::Scope::all
                                                : runtime::ResetSettings::Scope::running;
    // Before what is recorded of them goes.
    auto detached = detach_plugins(**instance, settings);
    if (!detached) {
        log::error("reset step failed", log::kv("error", format_as(detached.error())));
    }
    auto done =
        async::run_to_end(base.reactor, runtime::reset(**instance, base.reactor.executor(), its));
    if (::geteuid() != 0) {
        return exit_code_of(done);
    }
    // After the pods' processes: what the kernel still has of their network.
    auto unwired = remove_wires(**instance);
    if (!unwired) {
        log::error("reset step failed", log::kv("error", format_as(unwired.error())));
    }
    return exit_code_of(!detached ? detached : done ? unwired : done);
}

int ps_command(const std::filesystem::path& run_dir, OutputFormat format) {
    Base base;
    return exit_code_of(async::run_to_end(base.reactor, print_pods(local_socket(run_dir), format)));
}

int top_command(const std::filesystem::path& run_dir, OutputFormat format, Watching watching) {
    Base base;
    auto printed = print_top(local_socket(run_dir), format, watching);
    return exit_code_of(async::run_to_end(base.reactor, std::move(printed)));
}

int events_command(const std::filesystem::path& run_dir, EventsQuery query) {
    Base base;
    return exit_code_of(
        async::run_to_end(base.reactor, print_events(local_socket(run_dir), std::move(query))));
}

int logs_command(const std::filesystem::path& run_dir, LogsQuery query) {
    Base base;
    return exit_code_of(
        async::run_to_end(base.reactor, print_logs(local_socket(run_dir), std::move(query))));
}

void print_error(std::string_view message) {
    print_to(stderr, fmt::format("skiff: {}\n", message));
}

void print_to(std::FILE* file, std::string_view text) {
    (void)!std::fwrite(text.data(), 1, text.size(), file);
}

}  // namespace skiff::app
