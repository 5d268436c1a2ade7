// `skiff check`.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "app/check_cluster.h"
#include "app/check_identity.h"
#include "app/check_kernel.h"
#include "app/check_machine.h"
#include "app/check_network.h"
#include "app/commands.h"
#include "app/rooms.h"
#include "http/url.h"

namespace skiff::app {

namespace {

void add(Findings& all, Findings more) {
    std::ranges::move(more, std::back_inserter(all));
}

// With which credentials the node would come to the API server; nullptr: it has none.
const kube::ClientConfig* client_of(const IdentityFacts& facts) {
    bool usable =
        facts.client &&
        (!facts.certificate || (*facts.certificate && (*facts.certificate)->not_after > facts.now));
    return usable ? &*facts.client : facts.bootstrap ? &*facts.bootstrap : nullptr;
}

Findings check_all(const CheckOptions& options) {
    const config::Settings& settings = options.settings;
    Findings all = judge_kernel(observe_kernel());
    add(all, judge_machine(observe_machine_for(settings), settings));
    if (options.standalone) {
        add(all, judge_network(observe_network(settings, "")));
        return all;
    }
    Base base;
    IdentityFacts identity = observe_identity(settings, base.clock.wall_now());
    const kube::ClientConfig* client = client_of(identity);
    std::string host;
    if (client != nullptr) {
        if (auto url = http::parse_url(client->server)) {
            host = url->host;
        }
    }
    add(all, judge_network(observe_network(settings, host)));
    add(all, judge_identity(identity));
    if (client != nullptr) {
        using Credentials = ClusterFacts::Credentials;
        bool own = identity.client && client == &*identity.client;
        Credentials credentials = client->exec ? Credentials::plugin
                                  : own        ? Credentials::node
                                               : Credentials::bootstrap;
        auto facts = observe_cluster(*client, credentials, settings.node_name);
        add(all, judge_cluster(async::run_to_end(base.reactor, std::move(facts))));
    }
    return all;
}

}  // namespace

int check_command(const CheckOptions& options) {
    Findings findings = check_all(options);
    bool coloured = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    print_to(stdout, options.format == OutputFormat::json
                         ? findings_json(findings)
                         : render_findings(findings, coloured ? Colour::ansi : Colour::none));
    return worst_of(findings) == Verdict::fail ? kExitFailure : kExitOk;
}

}  // namespace skiff::app
