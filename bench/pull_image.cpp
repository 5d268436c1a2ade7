// bench_pull REFERENCE FOLDER: pulls one image into an OCI layout as the agent does, unpacking
// apart.
#include <cstdio>

#include "async/scope.h"
#include "http/client.h"
#include "images/downloads.h"
#include "images/puller.h"
#include "images/registry.h"
#include "images/store.h"

namespace skiff {
namespace {

// As many as the agent has.
constexpr std::size_t kThreads = 4;

async::Task<int> pull(async::Reactor& reactor, std::string text, std::string folder) {
    async::BlockingPool pool(reactor, kThreads, 256);
    http::Client client(reactor.executor(), "skiff-bench");
    SystemRandom random;
    SystemClock clock;
    images::RegistrySettings settings;
    settings.proxy = "";
    images::Registry registry(client, random, std::move(settings));
    auto store = co_await images::Store::open(pool, folder);
    auto reference = images::parse_reference(text);
    if (!store || !reference) {
        fmt::print(stderr, "bench_pull: bad folder or reference\n");
        co_return 2;
    }
    images::Downloads downloads(reactor.executor(), **store, registry);
    images::Puller puller(**store, registry, downloads, clock, 1);
    images::PullRequest request;
    request.reference = *reference;
    request.until = images::PullRequest::Until::stored;
    auto outcome = co_await puller.pull(std::move(request));
    co_await downloads.stop();
    if (!outcome) {
        fmt::print(stderr, "bench_pull: {}\n", format_as(outcome.error()));
        co_return 1;
    }
    fmt::print("{}\n", outcome->image.stored.size.value);
    co_return 0;
}

}  // namespace
}  // namespace skiff

int main(int count, char** words) {
    if (count != 3) {
        fmt::print(stderr, "usage: bench_pull REFERENCE FOLDER\n");
        return 2;
    }
    skiff::async::Reactor reactor;
    return skiff::async::run_to_end(reactor, skiff::pull(reactor, words[1], words[2]));
}
