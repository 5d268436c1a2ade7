// The client of the API server: typed requests, bounded in rate and time, errors with the server's
// own words. Reactor thread only.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "http/client.h"
#include "kube/client_config.h"
#include "kube/client_credentials.h"
#include "kube/codec.h"
#include "kube/resource.h"

namespace skiff::kube {

// Requests per second over time, and how many may go at once after a pause (contract row 12).
struct RequestRate {
    double per_second = 50;
    double burst = 100;
};
inline constexpr Duration kRequestTimeout = std::chrono::seconds(30);
// A 429 or 503 with Retry-After is tried again this often, waiting at most so long each time.
inline constexpr int kRetryAfterTries = 4;
inline constexpr Duration kRetryAfterMax = std::chrono::seconds(10);
// How long one of several servers has to say that it is ready, and how long none is asked again
// after none was.
inline constexpr Duration kReadyTimeout = std::chrono::seconds(2);
inline constexpr Duration kFailOverPause = std::chrono::seconds(5);

enum class Throttle {
    limited,
    exempt,  // heartbeats: a busy node must not lose its lease to its own rate limit
};

struct ApiRequest {
    std::string method = "GET";
    std::string path;  // "/api/v1/nodes", without the server's prefix
    std::vector<std::pair<std::string, std::string>> query;
    std::string body;
    std::string content_type = "application/json";
    Duration timeout = kRequestTimeout;
    Throttle throttle = Throttle::limited;
};

// "/api/v1/namespaces/ns/pods/name/status"; empty parts are left out.
[[nodiscard]] std::string resource_path(const Resource& resource, std::string_view ns,
                                        std::string_view name = {},
                                        std::string_view subresource = {});

// What an HTTP failure of the API server means. Error::reason is Status.reason ("NotFound",
// "AlreadyExists", "Expired" …), the message is the server's.
// 400, 422 invalid · 401 unauthenticated · 403 denied · 404 not_found · 409 exists or conflict ·
// 410 conflict with reason Expired · 429 and 5xx unavailable · 504 timeout.
[[nodiscard]] Error error_from_status(int http_status, std::string_view body);

// A WATCH in progress: one JSON text per event. Destroying it ends the watch.
class WatchStream {
public:
    explicit WatchStream(std::unique_ptr<http::Stream> stream) : stream_(std::move(stream)) {}
    // The next event's JSON, nullopt when the server ended the watch regularly. Fails with timeout
    // (nothing came for the idle limit), unavailable, exhausted (an event beyond the limit).
    [[nodiscard]] async::Task<Result<std::optional<std::string>>> next();

private:
    std::unique_ptr<http::Stream> stream_;
    std::string buffered_;
    std::size_t scanned_ = 0;
};

// With several servers (ClientConfig::other_servers) the first that is ready is used from the
// moment on when the one in use does not answer, or says 502 or 503 and is not ready. A request
// that met that is made once more: whoever asks twice for the same thing gets told so by the API
// server, because every object has a name.
class ApiClient {
public:
    // `clock` outlives the client.
    ApiClient(async::Executor executor, const Clock& clock, ClientConfig config,
              RequestRate rate = {});
    ApiClient(const ApiClient&) = delete;
    ApiClient& operator=(const ApiClient&) = delete;

    // Sends one request and returns the body of its 2xx answer.
    [[nodiscard]] async::Task<Result<std::string>> call(ApiRequest request);
    // Opens a WATCH. `idle` is how long it may stay silent.
    [[nodiscard]] async::Task<Result<std::unique_ptr<WatchStream>>> watch(ApiRequest request,
                                                                          Duration idle);

    template <typename T>
    [[nodiscard]] async::Task<Result<T>> get(std::string ns, std::string name) {
        ApiRequest request;
        request.path = resource_path(kResource<T>, ns, name);
        return decode<T>(call(std::move(request)));
    }
    // All objects at once: for small answers. `ns` empty lists all namespaces.
    template <typename T>
    [[nodiscard]] async::Task<Result<List<T>>> list(std::string ns, std::string field_selector) {
        ApiRequest request;
        request.path = resource_path(kResource<T>, ns);
        if (!field_selector.empty()) {
            request.query.emplace_back("fieldSelector", std::move(field_selector));
        }
        return decode_list<T>(call(std::move(request)));
    }
    template <typename T>
    [[nodiscard]] async::Task<Result<T>> create(const T& object,
                                                Throttle throttle = Throttle::limited) {
        ApiRequest request = write_request("POST", object, {}, {});
        request.throttle = throttle;
        return decode<T>(call(std::move(request)));
    }
    // PUT of the whole object: for the own Lease only.
    template <typename T>
    [[nodiscard]] async::Task<Result<T>> update(const T& object,
                                                Throttle throttle = Throttle::limited) {
        ApiRequest request = write_request("PUT", object, object.metadata.name, {});
        request.throttle = throttle;
        return decode<T>(call(std::move(request)));
    }
    // `subresource` may be empty or "status"; `type` is kStrategicMergePatch or kMergePatch.
    template <typename T>
    [[nodiscard]] async::Task<Result<T>> patch(std::string ns, std::string name,
                                               std::string subresource, std::string patch,
                                               std::string_view type,
                                               Throttle throttle = Throttle::limited) {
        ApiRequest request;
        request.method = "PATCH";
        request.path = resource_path(kResource<T>, ns, name, subresource);
        request.body = std::move(patch);
        request.content_type = type;
        request.throttle = throttle;
        return decode<T>(call(std::move(request)));
    }
    // DELETE with metadata.uid as the precondition; not_found is an error like any other.
    template <typename T>
    [[nodiscard]] async::Task<Result<void>> remove(std::string ns, std::string name,
                                                   std::string uid,
                                                   std::int64_t grace_period_seconds) {
        return remove_path(resource_path(kResource<T>, ns, name), std::move(uid),
                           grace_period_seconds);
    }

    // New connections from now on, with this configuration. Requests in progress end on the old
    // connections, which close after them; watches are made anew at once.
    void set_config(ClientConfig config);
    // `server` is the one in use.
    [[nodiscard]] const ClientConfig& config() const { return config_; }
    // How often connections were made anew on purpose: for another identity or server.
    [[nodiscard]] std::uint64_t renewals() const { return renewals_; }
    // When the server last answered anything; nullopt before.
    [[nodiscard]] std::optional<SteadyTime> last_answer() const { return last_answer_; }

    // Since when the server has answered nothing but 401: it does not know who we are. nullopt
    // while it does.
    [[nodiscard]] std::optional<SteadyTime> refused_since() const { return refused_since_; }

    // A request as it was sent, a repeated one each time, to the head of its answer.
    struct Exchange {
        const std::string& server;  // as in ClientConfig
        const std::string& method;
        int status = 0;  // of HTTP; 0: no answer
        Duration took{};
    };
    // Told of each; empty for nobody.
    void set_observer(std::function<void(const Exchange&)> observer) {
        observer_ = std::move(observer);
    }

    // Called when connections are given up: those who wait on one (watches) do better to start
    // anew. Either a request timed out, so they are probably half-open, or they were renewed
    // (renewals() has another value then). Returned token ends the subscription.
    using Suspicion = std::list<std::function<void()>>;
    [[nodiscard]] Suspicion::iterator on_suspicion(std::function<void()> callback) {
        return suspicion_.insert(suspicion_.end(), std::move(callback));
    }
    void forget_suspicion(Suspicion::iterator token) { suspicion_.erase(token); }

private:
    template <typename T>
    [[nodiscard]] static ApiRequest write_request(std::string method, const T& object,
                                                  std::string_view name,
                                                  std::string_view subresource) {
        ApiRequest request;
        request.method = std::move(method);
        request.path = resource_path(kResource<T>, object.metadata.namespace_, name, subresource);
        request.body = to_json(object);
        return request;
    }
    template <typename T>
    [[nodiscard]] static async::Task<Result<T>> decode(async::Task<Result<std::string>> call) {
        SKIFF_CO_TRY(auto body, co_await std::move(call));
        co_return from_json<T>(body);
    }
    template <typename T>
    [[nodiscard]] static async::Task<Result<List<T>>> decode_list(
        async::Task<Result<std::string>> call) {
        SKIFF_CO_TRY(auto body, co_await std::move(call));
        co_return list_from_json<T>(body);
    }
    [[nodiscard]] async::Task<Result<void>> remove_path(std::string path, std::string uid,
                                                        std::int64_t grace_period_seconds);
    // The answer's stream, whatever its status. `idle` zero: the whole must end in time.
    [[nodiscard]] async::Task<Result<std::unique_ptr<http::Stream>>> open(const ApiRequest& request,
                                                                          Duration idle);
    [[nodiscard]] async::Task<Result<void>> wait_turn(Throttle throttle);
    [[nodiscard]] async::Task<Result<std::shared_ptr<const Credential>>> credential();
    [[nodiscard]] http::Request make_request(const ApiRequest& request, const Credential& used);
    // Whether another server than `server` is used from now on (or already).
    [[nodiscard]] async::Task<Result<bool>> fail_over(std::string server);
    [[nodiscard]] async::Task<bool> is_ready(std::string server);
    void suspect(const Error& error);
    void note_answer(int status);
    void renew_connections();
    void tell_waiting();
    void tell(const Exchange& exchange) const;

    const Clock& clock_;
    ClientConfig config_;
    http::Client http_;
    RequestRate rate_;
    double tokens_;
    SteadyTime refilled_;
    CredentialCache credentials_;
    std::string plugin_certificate_;  // what connections were made with, if a plugin's
    std::uint64_t renewals_ = 0;
    std::optional<SteadyTime> nobody_ready_;  // when all servers were asked in vain
    async::Semaphore failing_over_{1};
    std::optional<SteadyTime> last_answer_;
    std::optional<SteadyTime> refused_since_;
    Suspicion suspicion_;
    std::function<void(const Exchange&)> observer_;
};

}  // namespace skiff::kube
