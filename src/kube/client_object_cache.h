// Objects that pods refer to by name: one single-object watch for each, shared by the pods that
// hold it (contract row 30: the node authorizer allows nothing else). Reactor thread only.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "async/scope.h"
#include "kube/client_reflector.h"

namespace skiff::kube {

// How long the first read of an object may take. Right after a pod is bound, the node authorizer
// may refuse its objects for a moment: the watch retries meanwhile.
inline constexpr Duration kFirstReadTimeout = std::chrono::seconds(5);

template <typename T>
class ObjectCache {
public:
    // All outlive the cache.
    ObjectCache(async::Executor executor, ApiClient& client, const Clock& clock, Random& random)
        : executor_(executor),
          client_(client),
          clock_(clock),
          random_(random),
          reaper_(std::move(executor)) {}
    ObjectCache(const ObjectCache&) = delete;
    ObjectCache& operator=(const ObjectCache&) = delete;

    // The object as it is now (as last seen, while the server is away). `holder` keeps it watched
    // until release(holder). Fails with not_found, or why it could not be read (denied,
    // unavailable, timeout): then ask again later.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const T>>> get(std::string ns,
                                                                    std::string name,
                                                                    std::string holder) {
        std::shared_ptr<Entry> entry = enter(ns, name, std::move(holder));
        if (!entry->reflector->synced()) {
            auto deadline = clock_.steady_now() + kFirstReadTimeout;
            auto synced = co_await entry->reflector->wait_synced(deadline);
            if (!synced) {
                bool timed_out = synced.error().code == Code::timeout;
                if (timed_out && entry->reflector->last_error()) {
                    co_return fail(Error(*entry->reflector->last_error()));
                }
                co_return fail(std::move(synced.error()));
            }
        }
        auto object = entry->reflector->find(ns, name);
        if (object == nullptr) {
            // "configmap", as a kubelet says it.
            std::string_view kind = kResource<T>.plural;
            kind.remove_suffix(1);
            co_return fail_because(Code::not_found, "NotFound", "{} \"{}\" not found", kind, name);
        }
        co_return object;
    }

    // The holder is gone: what nobody else holds is watched no longer.
    void release(const std::string& holder) {
        for (auto at = entries_.begin(); at != entries_.end();) {
            at->second->holders.erase(holder);
            if (at->second->holders.empty()) {
                reaper_.spawn("drop object watch", drop(std::move(at->second)));
                at = entries_.erase(at);
            } else {
                ++at;
            }
        }
    }
    // How many objects are watched.
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    // Ends all watches. Call before the cache is destroyed.
    [[nodiscard]] async::Task<void> stop() {
        for (auto& [key, entry] : entries_) {
            co_await entry->scope.stop();
        }
        entries_.clear();
        auto joined = co_await reaper_.join();
        (void)joined;
        co_await reaper_.stop();
    }

private:
    struct Entry {
        explicit Entry(async::Executor executor) : scope(std::move(executor)) {}
        std::unique_ptr<Reflector<T>> reflector;
        std::set<std::string> holders;
        async::Scope scope;
    };

    std::shared_ptr<Entry> enter(const std::string& ns, const std::string& name,
                                 std::string holder) {
        auto& entry = entries_[{ns, name}];
        if (entry == nullptr) {
            entry = std::make_shared<Entry>(executor_);
            Selection selection{ns, "metadata.name=" + name, {}};
            entry->reflector = std::make_unique<Reflector<T>>(
                client_, clock_, random_, std::move(selection), typename Reflector<T>::Callback());
            entry->scope.spawn("object watch", entry->reflector->run());
        }
        entry->holders.insert(std::move(holder));
        return entry;
    }
    static async::Task<void> drop(std::shared_ptr<Entry> entry) { co_await entry->scope.stop(); }

    async::Executor executor_;
    ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    std::map<std::pair<std::string, std::string>, std::shared_ptr<Entry>> entries_;
    async::Scope reaper_;
};

}  // namespace skiff::kube
