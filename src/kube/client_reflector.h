// Keeps a copy of some objects of the API server: LIST, then WATCH, for ever. Changes go to a
// callback, the copy can be read at any time. Reactor thread only.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "kube/client_api.h"

namespace skiff::kube {

// Which objects.
struct Selection {
    std::string ns;  // empty: all namespaces, or a cluster-scoped resource
    std::string field_selector;
    std::string label_selector;
};

// The pace of a Reflector. The defaults are for the real API server; tests shorten them.
struct ReflectorPace {
    Duration back_off_min = std::chrono::milliseconds(100);
    Duration back_off_max = std::chrono::seconds(30);
    // The server ends a watch after this long times 1 to 2, so that load spreads over its replicas.
    Duration watch_duration = std::chrono::minutes(5);
    // Bookmarks come about every minute: a watch that is silent for longer is dead.
    Duration watch_idle = std::chrono::seconds(100);
    // A LIST that lost more than half of what was there is made again before it is believed.
    Duration confirm_delay = std::chrono::seconds(1);
};

inline constexpr std::int64_t kListPageItems = 500;
// So many objects must vanish at once before a LIST is doubted.
inline constexpr std::size_t kDoubtedLossMin = 4;

// The part of a Reflector that does not depend on the type.
class ReflectorBase {
public:
    virtual ~ReflectorBase() = default;
    ReflectorBase(const ReflectorBase&) = delete;
    ReflectorBase& operator=(const ReflectorBase&) = delete;

    // Lists and watches until cancelled. Spawn it once, in a Scope that stops before this object
    // is destroyed.
    [[nodiscard]] async::Task<void> run();
    // True once the first LIST was complete; stays true.
    [[nodiscard]] bool synced() const { return synced_.is_set(); }
    // Resolves at the first complete LIST. Fails with timeout or cancelled.
    [[nodiscard]] async::Task<Result<void>> wait_synced(SteadyTime deadline);
    // Why the last attempt failed; nullopt while all is well.
    [[nodiscard]] const std::optional<Error>& last_error() const { return last_error_; }
    // The server is there (again): try at once instead of waiting for the back-off to end.
    void nudge() { nudge_.set(); }

    // What can still be said of an object that this version cannot decode.
    struct Undecoded {
        std::string ns;
        std::string name;
        std::string uid;
        std::string resource_version;
        std::string text;                      // the object's JSON; empty in an event
        WatchKind kind = WatchKind::bookmark;  // of an event
    };
    // Whether the object of that uid may be there although its newest version cannot be decoded:
    // it is in no callback and perhaps not in the store, but it is not deleted.
    [[nodiscard]] bool has_undecoded(std::string_view uid) const;
    // Told of every version that cannot be decoded, beside the log. Set before run().
    using UndecodedCallback = std::function<void(const Undecoded&, const Error&)>;
    void set_undecoded_callback(UndecodedCallback callback) {
        undecoded_callback_ = std::move(callback);
    }

protected:
    // Fail when not even so much can be read.
    [[nodiscard]] static Result<Undecoded> undecoded_event(std::string_view json);
    struct Page {
        std::string resource_version;
        std::string continue_token;
    };
    struct UndecodedPage {
        Page page;
        std::vector<Undecoded> items;
    };
    [[nodiscard]] static Result<UndecodedPage> undecoded_page(std::string_view json);
    void tell_skipped(const Undecoded& object, const Error& error) const;
    // Name → uid, as keys of the store: of what the server has and nobody here can decode. Of the
    // pages of a LIST until it is complete.
    using UndecodedUids = std::map<std::string, std::string>;
    UndecodedUids undecoded_;
    UndecodedUids undecoded_pages_;

    ReflectorBase(ApiClient& client, const Clock& clock, Random& random, Resource resource,
                  Selection selection, ReflectorPace pace);

    // A page of a LIST: decode and keep aside.
    [[nodiscard]] virtual Result<Page> take_page(std::string_view json) = 0;
    virtual void drop_pages() = 0;
    // How many known objects the pages taken do not have; and how many are known.
    [[nodiscard]] virtual std::pair<std::size_t, std::size_t> loss() const = 0;
    // The LIST is complete: deliver the differences.
    virtual void commit_pages() = 0;
    // A watch event: deliver it. Returns the new resourceVersion; an ERROR event is the failure.
    [[nodiscard]] virtual Result<std::string> take_event(std::string_view json) = 0;

private:
    [[nodiscard]] static Undecoded undecoded(const boost::json::value* object);
    [[nodiscard]] async::Task<Result<void>> list();
    [[nodiscard]] async::Task<Result<void>> list_pages();
    [[nodiscard]] async::Task<Result<void>> watch();
    [[nodiscard]] async::Task<void> watch_body(Result<void>* result, async::Event* done);
    [[nodiscard]] async::Task<Result<void>> watch_events();
    [[nodiscard]] async::Task<bool> pause();
    [[nodiscard]] ApiRequest request() const;

    ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    Resource resource_;
    Selection selection_;
    ReflectorPace pace_;
    std::string resource_version_;
    std::string listed_version_;
    Duration back_off_;
    async::Event synced_;
    async::Event nudge_;
    std::optional<Error> last_error_;
    UndecodedCallback undecoded_callback_;
};

enum class ChangeKind { added, updated, removed };

// What happened to one object. When a name comes back with another uid, the old object is removed
// first. For `removed`, the object is its last known state.
template <typename T>
struct Change {
    ChangeKind kind = ChangeKind::added;
    std::shared_ptr<const T> object;
};

template <typename T>
class Reflector final : public ReflectorBase {
public:
    // Called for every change, on the reactor thread, never inside a call into the Reflector; it
    // must not destroy the Reflector. Several changes of one object between two turns may arrive
    // as one. May be empty.
    using Callback = std::function<void(const Change<T>&)>;
    using Store = std::map<std::string, std::shared_ptr<const T>>;

    // client, clock and random outlive it.
    Reflector(ApiClient& client, const Clock& clock, Random& random, Selection selection,
              Callback callback, ReflectorPace pace = {})
        : ReflectorBase(client, clock, random, kResource<T>, std::move(selection), pace),
          callback_(std::move(callback)) {}

    // Keyed by "namespace/name" ("name" for cluster-scoped objects).
    [[nodiscard]] const Store& store() const { return store_; }
    // Takes out of an object what is not to be kept, before it is stored and told of. Name, uid and
    // resourceVersion have to stay. Set before run().
    using Transform = std::function<void(T&)>;
    void set_transform(Transform transform) { transform_ = std::move(transform); }
    // nullptr if there is none (or not yet).
    [[nodiscard]] std::shared_ptr<const T> find(std::string_view ns, std::string_view name) const {
        auto found = store_.find(key(ns, name));
        return found == store_.end() ? nullptr : found->second;
    }

private:
    static std::string key(std::string_view ns, std::string_view name) {
        return ns.empty() ? std::string(name) : fmt::format("{}/{}", ns, name);
    }
    static std::string key(const T& object) {
        return key(object.metadata.namespace_, object.metadata.name);
    }

    Result<Page> take_page(std::string_view json) override {
        auto decoded = list_from_json<T>(json);
        if (!decoded) {
            return take_page_piecemeal(json);
        }
        List<T>& list = *decoded;
        for (T& item : list.items) {
            std::string name = key(item);
            pages_[std::move(name)] = keep(std::move(item));
        }
        return Page{list.metadata.resourceVersion, list.metadata.continue_};
    }
    // One object that cannot be decoded must not hide all others. If it was known, it stays as it
    // was; if not, has_undecoded() knows that it is there.
    Result<Page> take_page_piecemeal(std::string_view json) {
        SKIFF_TRY(auto page, undecoded_page(json));
        for (const Undecoded& item : page.items) {
            std::string name = key(item.ns, item.name);
            auto object = from_json<T>(item.text);
            if (object) {
                pages_[name] = keep(std::move(*object));
                continue;
            }
            tell_skipped(item, object.error());
            undecoded_pages_[name] = item.uid;
            auto known = store_.find(name);
            if (known != store_.end() && known->second->metadata.uid == item.uid) {
                pages_[name] = known->second;
            }
        }
        return page.page;
    }
    // A deletion of an earlier object of the name may be told again.
    void forget_undecoded(const std::string& name, const std::string& uid) {
        auto found = undecoded_.find(name);
        if (found != undecoded_.end() && found->second == uid) {
            undecoded_.erase(found);
        }
    }

    // The same in a watch: the next events must come through.
    Result<std::string> skip_event(std::string_view json, const Error& error) {
        SKIFF_TRY(auto event, undecoded_event(json));
        std::string name = key(event.ns, event.name);
        if (event.kind == WatchKind::deleted) {
            forget_undecoded(name, event.uid);
        } else {
            tell_skipped(event, error);
        }
        if (event.kind == WatchKind::modified) {
            undecoded_[name] = event.uid;
        }
        auto known = store_.find(name);
        if (known != store_.end()) {
            bool same = known->second->metadata.uid == event.uid;
            if (same == (event.kind == WatchKind::deleted)) {
                remove(name, nullptr);
            }
        }
        return event.resource_version;
    }
    void drop_pages() override {
        pages_.clear();
        undecoded_pages_.clear();
    }
    std::pair<std::size_t, std::size_t> loss() const override {
        std::size_t lost = 0;
        for (const auto& [name, object] : store_) {
            lost += pages_.contains(name) ? 0 : 1;
        }
        return {lost, store_.size()};
    }
    void commit_pages() override {
        Store next;
        next.swap(pages_);
        undecoded_ = std::exchange(undecoded_pages_, {});
        std::vector<std::string> gone;
        for (const auto& [name, object] : store_) {
            if (!next.contains(name)) {
                gone.push_back(name);
            }
        }
        for (const std::string& name : gone) {
            remove(name, nullptr);
        }
        for (auto& [name, object] : next) {
            put(name, std::move(object));
        }
    }
    Result<std::string> take_event(std::string_view json) override {
        auto decoded = watch_event_from_json<T>(json);
        if (!decoded) {
            return skip_event(json, decoded.error());
        }
        WatchEvent<T>& event = *decoded;
        std::string version = event.object.metadata.resourceVersion;
        switch (event.kind) {
            case WatchKind::error:
                return fail(error_from_status(0, to_json(event.status)));
            case WatchKind::bookmark:
                break;
            case WatchKind::deleted: {
                std::string name = key(event.object);
                forget_undecoded(name, event.object.metadata.uid);
                remove(name, keep(std::move(event.object)));
                break;
            }
            case WatchKind::added:
            case WatchKind::modified: {
                std::string name = key(event.object);
                undecoded_.erase(name);
                put(name, keep(std::move(event.object)));
                break;
            }
        }
        return version;
    }

    std::shared_ptr<const T> keep(T&& object) {
        if (transform_) {
            transform_(object);
        }
        return std::make_shared<const T>(std::move(object));
    }
    void put(const std::string& name, std::shared_ptr<const T> object) {
        auto found = store_.find(name);
        if (found != store_.end()) {
            if (found->second->metadata.uid != object->metadata.uid) {
                remove(name, nullptr);
            } else if (found->second->metadata.resourceVersion ==
                       object->metadata.resourceVersion) {
                return;
            }
        }
        auto [at, inserted] = store_.insert_or_assign(name, std::move(object));
        deliver(inserted ? ChangeKind::added : ChangeKind::updated, at->second);
    }
    void remove(const std::string& name, std::shared_ptr<const T> last) {
        auto found = store_.find(name);
        if (found == store_.end()) {
            return;
        }
        // A replayed deletion of an object whose name has come back is not about the new one.
        if (last != nullptr && last->metadata.uid != found->second->metadata.uid) {
            return;
        }
        auto object = last != nullptr ? std::move(last) : std::move(found->second);
        store_.erase(found);
        deliver(ChangeKind::removed, std::move(object));
    }
    void deliver(ChangeKind kind, std::shared_ptr<const T> object) {
        if (callback_) {
            callback_(Change<T>{kind, std::move(object)});
        }
    }

    Callback callback_;
    Transform transform_;
    Store store_;
    Store pages_;
};

}  // namespace skiff::kube
