#include "app/local.h"

#include <cstdio>

#include "base/text.h"
#include "base/time.h"
#include "kube/codec.h"

namespace skiff::app {

std::filesystem::path local_socket(const std::filesystem::path& run_dir) {
    return run_dir / "skiff.sock";
}

Error no_node(Error error, const std::filesystem::path& socket) {
    return Error{
        Code::unavailable,
        {},
        fmt::format("no node answers at {} ({}); is `skiff node` running, and is --run-dir "
                    "its folder?",
                    socket.string(), error.message),
        error.where};
}

async::Task<Result<http::Response>> ask_node(http::Client& client, http::Request request,
                                             std::filesystem::path socket) {
    request.unix_socket = socket.string();
    auto response = co_await client.fetch(std::move(request));
    if (!response) {
        co_return fail(no_node(std::move(response.error()), socket));
    }
    if (response->status != 200) {
        co_return fail(Code::unavailable, "the node answers {}: {}", response->status,
                       bounded_utf8(trim(response->body), 500));
    }
    co_return std::move(*response);
}

static async::Task<Result<kube::List<kube::Pod>>> fetch_pods(http::Client& client,
                                                             std::filesystem::path socket) {
    http::Request request;
    request.url = "http://localhost/pods";
    request.body_bytes_max = kube::kWireBytesMax;
    SKIFF_CO_TRY(auto response, co_await ask_node(client, std::move(request), std::move(socket)));
    co_return kube::list_from_json<kube::Pod>(response.body);
}

std::string age_of(WallTime since, WallTime now) {
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
    if (seconds < 120) {
        return fmt::format("{}s", std::max<std::int64_t>(0, seconds));
    }
    if (seconds < 2 * 3600) {
        return fmt::format("{}m", seconds / 60);
    }
    return seconds < 48 * 3600 ? fmt::format("{}h", seconds / 3600)
                               : fmt::format("{}d", seconds / 86400);
}

// What kubectl's STATUS column says: the first reason that explains the pod better than its phase.
static std::string status_of(const kube::Pod& pod) {
    if (pod.metadata.deletionTimestamp) {
        return "Terminating";
    }
    if (!pod.status.reason.empty()) {
        return pod.status.reason;
    }
    for (const kube::ContainerStatus& status : pod.status.containerStatuses) {
        if (status.state.waiting && !status.state.waiting->reason.empty()) {
            return status.state.waiting->reason;
        }
        bool failed = status.state.terminated && pod.status.phase != "Running";
        if (failed && !status.state.terminated->reason.empty()) {
            return status.state.terminated->reason;
        }
    }
    return pod.status.phase.empty() ? "Pending" : pod.status.phase;
}

static void print_table(const std::vector<kube::Pod>& pods) {
    std::size_t ns = 9;
    std::size_t name = 4;
    for (const kube::Pod& pod : pods) {
        ns = std::max(ns, pod.metadata.namespace_.size());
        name = std::max(name, pod.metadata.name.size());
    }
    fmt::print("{:<{}}  {:<{}}  {:<7}  {:<24}  {:<8}  {}\n", "NAMESPACE", ns, "NAME", name, "READY",
               "STATUS", "RESTARTS", "AGE");
    for (const kube::Pod& pod : pods) {
        std::size_t ready = 0;
        std::int64_t restarts = 0;
        for (const kube::ContainerStatus& status : pod.status.containerStatuses) {
            ready += status.ready ? 1 : 0;
            restarts += status.restartCount;
        }
        std::string age = pod.status.startTime
                              ? age_of(pod.status.startTime->at, SystemClock().wall_now())
                              : std::string("-");
        fmt::print("{:<{}}  {:<{}}  {:<7}  {:<24}  {:<8}  {}\n", pod.metadata.namespace_, ns,
                   pod.metadata.name, name, fmt::format("{}/{}", ready, pod.spec.containers.size()),
                   status_of(pod), restarts, age);
    }
}

async::Task<Result<void>> print_pods(std::filesystem::path socket, OutputFormat format) {
    http::Client client(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    SKIFF_CO_TRY(auto list, co_await fetch_pods(client, socket));
    if (format == OutputFormat::table) {
        print_table(list.items);
        co_return Result<void>{};
    }
    fmt::print("[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
        fmt::print("{}{}", i == 0 ? "" : ",\n ", kube::to_json(list.items[i]));
    }
    fmt::print("]\n");
    co_return Result<void>{};
}

// The container that the query means; an error lists the choices.
static Result<std::string> choose_container(const kube::List<kube::Pod>& list,
                                            const LogsQuery& query) {
    for (const kube::Pod& pod : list.items) {
        if (pod.metadata.namespace_ != query.ns || pod.metadata.name != query.pod) {
            continue;
        }
        if (!query.container.empty() || pod.spec.containers.size() == 1) {
            return query.container.empty() ? pod.spec.containers[0].name : query.container;
        }
        std::string names;
        for (const kube::Container& container : pod.spec.containers) {
            names += (names.empty() ? "" : ", ") + container.name;
        }
        return fail(Code::invalid, "pod {} has several containers, choose one with -c: {}",
                    query.pod, names);
    }
    return fail(Code::not_found, "no pod \"{}\" in namespace \"{}\" on this node", query.pod,
                query.ns);
}

static std::string logs_url(const LogsQuery& query, const std::string& container) {
    std::string url =
        fmt::format("http://localhost/containerLogs/{}/{}/{}?", query.ns, query.pod, container);
    url += query.follow ? "follow=true&" : "";
    url += query.previous ? "previous=true&" : "";
    url += query.timestamps ? "timestamps=true&" : "";
    url += query.tail_lines ? fmt::format("tailLines={}&", *query.tail_lines) : "";
    url += query.since_seconds ? fmt::format("sinceSeconds={}&", *query.since_seconds) : "";
    url.pop_back();
    return url;
}

async::Task<Result<void>> print_logs(std::filesystem::path socket, LogsQuery query) {
    http::Client client(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    SKIFF_CO_TRY(auto list, co_await fetch_pods(client, socket));
    SKIFF_CO_TRY(std::string container, choose_container(list, query));
    http::Request request;
    request.url = logs_url(query, container);
    request.unix_socket = socket.string();
    request.timeouts.total = Duration::zero();
    request.timeouts.idle = Duration::zero();
    SKIFF_CO_TRY(auto stream, co_await client.open(request));
    if (stream->status() != 200) {
        SKIFF_CO_TRY(std::string text, co_await stream->read_all(64 << 10));
        co_return fail(Code::invalid, "{}", bounded_utf8(trim(text), 1000));
    }
    while (true) {
        SKIFF_CO_TRY(auto chunk, co_await stream->next_chunk());
        if (!chunk) {
            co_return Result<void>{};
        }
        std::fwrite(chunk->data(), 1, chunk->size(), stdout);
        std::fflush(stdout);
    }
}

}  // namespace skiff::app
