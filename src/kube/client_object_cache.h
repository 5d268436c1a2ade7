// Objects that pods refer to by name: one single-object watch for each, shared by the pods that
// hold it (contract row 30: the node authorizer allows nothing else). Reactor thread only.
#pragma once

#include <algorithm>
#include <functional>
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

    // Called for each holder of an object that changed, came or went after it was first read; it
    // must not call the cache. An empty one is none.
    void set_observer(std::function<void(const std::string& holder)> observer) {
        observer_ = std::move(observer);
    }

    // The object as it is now (as last seen, while the server is away). `holder` keeps it watched
    // until release(holder); an immutable one is not watched once it was read, and read again for
    // a new holder, since it may have been deleted and made anew. Fails with not_found, or why it
    // could not be read (denied, unavailable, timeout): then ask again later.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const T>>> get(std::string ns,
                                                                    std::string name,
                                                                    std::string holder) {
        std::shared_ptr<Entry> entry = enter(ns, name, std::move(holder));
        if (!entry->reflector->synced()) {
            auto deadline = clock_.steady_now() + kFirstReadTimeout;
            auto synced = co_await entry->reflector->wait_synced(deadline);
            if (!synced && synced.error().code != Code::cancelled && entry->former != nullptr) {
                co_return entry->former;
            }
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
        if (object->immutable.value_or(false) && entry->watch == Watch::on) {
            entry->watch = Watch::off;
            reaper_.spawn("end object watch", drop(entry));
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
    // How many objects are held.
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    // How many of them are watched.
    [[nodiscard]] std::size_t watched() const {
        return static_cast<std::size_t>(std::ranges::count_if(
            entries_, [](const auto& entry) { return entry.second->watch == Watch::on; }));
    }
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
    enum class Watch { on, off };
    struct Entry {
        explicit Entry(async::Executor executor) : scope(std::move(executor)) {}
        std::unique_ptr<Reflector<T>> reflector;
        std::set<std::string> holders;
        Watch watch = Watch::on;
        // What an immutable object was before it was read again; given while that does not succeed.
        std::shared_ptr<const T> former;
        async::Scope scope;
    };

    std::shared_ptr<Entry> enter(const std::string& ns, const std::string& name,
                                 std::string holder) {
        auto& entry = entries_[{ns, name}];
        bool again =
            entry != nullptr && entry->watch == Watch::off && !entry->holders.contains(holder);
        if (entry == nullptr || again) {
            auto next = std::make_shared<Entry>(executor_);
            if (again) {
                next->holders = entry->holders;
                next->former = entry->reflector->find(ns, name);
            }
            entry = std::move(next);
            watch(*entry, ns, name);
        }
        entry->holders.insert(std::move(holder));
        return entry;
    }
    void watch(Entry& entry, const std::string& ns, const std::string& name) {
        Selection selection{ns, "metadata.name=" + name, {}};
        auto changed = [this, its = &entry](const Change<T>&) { tell(*its); };
        entry.reflector = std::make_unique<Reflector<T>>(client_, clock_, random_,
                                                         std::move(selection), std::move(changed));
        entry.scope.spawn("object watch", entry.reflector->run());
    }
    void tell(const Entry& entry) {
        // What comes with the first read is its answer, and no change.
        if (!observer_ || !entry.reflector->synced()) {
            return;
        }
        for (const std::string& holder : entry.holders) {
            observer_(holder);
        }
    }
    static async::Task<void> drop(std::shared_ptr<Entry> entry) { co_await entry->scope.stop(); }

    async::Executor executor_;
    ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    std::function<void(const std::string&)> observer_;
    std::map<std::pair<std::string, std::string>, std::shared_ptr<Entry>> entries_;
    async::Scope reaper_;
};

}  // namespace skiff::kube
