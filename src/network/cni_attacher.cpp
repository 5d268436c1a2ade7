#include "network/cni_attacher.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "network/first_failure.h"
#include "network/namespaces.h"
#include "network/pod_namespace.h"

namespace skiff::network {

namespace fs = std::filesystem;
using async::Task;

namespace {

constexpr std::string_view kReason = "FailedCreatePodSandBox";
constexpr std::string_view kNotReady = "NetworkNotReady";
// No uid has a slash.
constexpr std::string_view kLookLane = "/look";
constexpr std::string_view kRecoverLane = "/recover";
constexpr std::string_view kPinPrefix = "cni-";
// An agent that is restarted should not say for a moment that its node is not ready; nor should it
// wait for a plugin that hangs.
constexpr Duration kFirstLook = std::chrono::seconds(3);
constexpr Duration kStopTime = std::chrono::seconds(20);

fs::path pin_of(const CniAttacherSettings& its, const PodUid& uid) {
    return its.namespaces / fmt::format("{}{}", kPinPrefix, uid.str());
}

bool is_recorded(const std::vector<CniKey>& keys, const CniKey& key) {
    return std::ranges::find(keys, key) != keys.end();
}

// Detaches a pod of which anything is recorded, and drops its namespace. A pod that the plugins
// never heard of is none of their business: they may be gone.
Result<void> undo(const CniAttacherSettings& its, const CniNetwork* network,
                  const CniAttachment& attachment, const PodUid& uid) {
    const fs::path pin = pin_of(its, uid);
    if (!open_pinned(pin)) {
        // A file that nothing is mounted over: no plugin may take it for a namespace.
        SKIFF_CHECK(unpin_namespace(pin));
    }
    SKIFF_TRY(const auto keys, list_cni_attachments(its.cni));
    if (is_recorded(keys, attachment.key)) {
        const SteadyTime deadline = after(its.call_time);
        SKIFF_CHECK(network != nullptr ? network->remove(attachment, deadline)
                                       : remove_cni_attachment(its.cni, attachment.key, deadline));
    }
    return unpin_namespace(pin);
}

CniAttachment bare_attachment(const CniAttacherSettings& its, const PodUid& uid,
                              const PodName& name) {
    CniAttachment attachment;
    attachment.key = cni_key_of(its.instance, uid);
    attachment.network_namespace = pin_of(its, uid);
    attachment.pod = name;
    attachment.pod_uid = uid;
    return attachment;
}

Result<Attachment> attachment_of(const CniAttacherSettings& its, const PodUid& uid,
                                 const CniResult& result) {
    Attachment attachment;
    attachment.name_space = pin_of(its, uid);
    SKIFF_TRY(attachment.addresses,
              pod_addresses(result, cni_key_of(its.instance, uid).interface, its.preferred));
    return attachment;
}

// A pod's whole way into the network, for a thread of the pool.
Result<Attachment> attach_now(const CniAttacherSettings& its, const CniNetwork& network,
                              const CniAttachment& wanted, const PodUid& uid) {
    SKIFF_TRY(const auto keys, list_cni_attachments(its.cni));
    if (is_recorded(keys, wanted.key)) {
        SKIFF_TRY(const auto before, network.find_result(wanted.key));
        if (before && open_pinned(wanted.network_namespace)) {
            return attachment_of(its, uid, *before);
        }
    }
    // What an attempt before left, or a boot.
    SKIFF_CHECK(undo(its, &network, wanted, uid));
    SKIFF_CHECK(os::make_folders(its.namespaces, 0700));
    SKIFF_CHECK(in_new_namespace([&] { return dress_pod_namespace(wanted.network_namespace); }));
    auto added = network.add(wanted, after(its.call_time));
    auto attached = added ? attachment_of(its, uid, *added)
                          : Result<Attachment>(fail(std::move(added.error())));
    if (!attached && attached.error().code != Code::cancelled) {
        // A plugin that cannot be undone now finds the namespace when it is undone later.
        if (auto undone = undo(its, &network, wanted, uid); !undone) {
            log::debug("a failed attachment stays", log::kv("uid", uid),
                       log::kv("error", undone.error().message));
        }
    }
    return attached;
}

// What a network is made of: when this text is the same, so is the network.
void add_file(std::string& text, const fs::path& file) {
    struct stat facts{};
    if (::stat(file.c_str(), &facts) == 0) {
        text += fmt::format("{} {} {} {}.{}\n", file.string(), facts.st_ino, facts.st_size,
                            facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
    }
}

void add_folder(std::string& text, const fs::path& folder) {
    add_file(text, folder);
    for (const std::string& name : os::list_folder(folder).value_or(std::vector<std::string>())) {
        add_file(text, folder / name);
    }
}

std::string describe_files(const CniSettings& settings, const CniNetwork* network) {
    std::string text;
    add_folder(text, settings.config_folder);
    if (network == nullptr) {
        return text;
    }
    add_folder(text, settings.config_folder / network->config().name);
    for (const CniPlugin& plugin : network->config().plugins) {
        for (const fs::path& folder : settings.plugin_folders) {
            add_file(text, folder / plugin.type);
        }
    }
    return text;
}

tl::unexpected<Error> no_network(const CniSettings& settings) {
    // The first words are containerd's, by which people search.
    return fail(
        Code::unavailable,
        "cni plugin not initialized: there is no configuration in {}; install the cluster's "
        "network plugin, set cniConfDir to where it writes one, or podNetwork to routed",
        settings.config_folder.string());
}

std::string text_of(const Result<void>& state) {
    return state ? std::string() : state.error().message;
}

// The pods that have a pin.
std::vector<PodUid> pinned_pods(const fs::path& folder) {
    std::vector<PodUid> uids;
    for (const std::string& name : os::list_folder(folder).value_or(std::vector<std::string>())) {
        if (name.starts_with(kPinPrefix)) {
            uids.emplace_back(name.substr(kPinPrefix.size()));
        }
    }
    return uids;
}

}  // namespace

// One look, for a thread of the pool.
struct CniAttacher::Look {
    Network network;
    std::string files;
    bool ask = false;  // STATUS, also when nothing has changed
    bool asked = false;
    Result<void> state;

    Result<void> carry_out(const CniAttacherSettings& its) {
        const std::string now = describe_files(its.cni, network.get());
        if (now != files || network == nullptr || !state) {
            const SteadyTime deadline = after(its.status_time);
            auto loaded = CniNetwork::load(its.cni, deadline);
            network = nullptr;
            state = loaded ? Result<void>() : fail(std::move(loaded.error()));
            if (loaded && !*loaded) {
                state = no_network(its.cni);
            } else if (loaded) {
                network = std::make_shared<const CniNetwork>(std::move(**loaded));
                ask = true;
            }
            files = describe_files(its.cni, network.get());
        }
        if (network != nullptr && ask) {
            state = network->status(after(its.status_time));
            asked = true;
        }
        return {};
    }
};

CniAttacher::CniAttacher(async::Executor executor, CniAttacherSettings settings,
                         async::BlockingPool& plugins, async::BlockingPool& pool)
    : settings_(std::move(settings)),
      pool_(pool),
      lanes_(executor, plugins),
      background_(std::move(executor)),
      state_(fail(Code::unavailable, "the network plugin has not been asked yet")) {
    if (auto end = os::make_eventfd()) {
        settings_.cni.end = std::make_shared<const os::Fd>(std::move(*end));
    }
}

Task<Result<void>> CniAttacher::recover(std::vector<PodUid> pods) {
    struct Found {
        std::map<PodUid, Pod> pods;
        std::set<PodUid> leftovers;
    };
    auto found = std::make_shared<Found>();
    const CniAttacherSettings its = settings_;
    auto work = [its, pods, found]() -> Result<void> {
        SKIFF_TRY(const auto keys, list_cni_attachments(its.cni));
        for (const PodUid& uid : pinned_pods(its.namespaces)) {
            if (std::ranges::find(pods, uid) == pods.end()) {
                found->leftovers.insert(uid);
            } else {
                // Perhaps without a record: an agent was killed before it asked the plugin.
                found->pods.try_emplace(uid);
            }
        }
        for (const CniKey& key : keys) {
            const auto uid = pod_of(its.instance, key);
            if (!uid) {
                continue;
            }
            if (std::ranges::find(pods, *uid) == pods.end()) {
                found->leftovers.insert(*uid);
                continue;
            }
            Pod& pod = found->pods[*uid];
            pod.is_adopted = true;
            SKIFF_TRY(const auto result, find_cni_result(its.cni, key));
            if (result && open_pinned(pin_of(its, *uid))) {
                auto attachment = attachment_of(its, *uid, *result);
                pod.attachment = attachment ? std::optional(*attachment) : std::nullopt;
            }
        }
        return {};
    };
    auto done = co_await lanes_.run(std::string(kRecoverLane), std::move(work));
    if (done) {
        pods_ = std::move(found->pods);
        leftovers_ = std::move(found->leftovers);
    }
    co_return done;
}

Task<void> CniAttacher::start(Intake intake, std::function<void()> changed) {
    changed_ = std::move(changed);
    if (intake == Intake::open) {
        background_.spawn("network plugin", watch());
    } else {
        settled_.set();
    }
    if (!leftovers_.empty()) {
        background_.spawn("ended pods' network", drop_leftovers());
    }
    auto waited = co_await settled_.wait(after(kFirstLook));
    (void)waited;
}

Task<void> CniAttacher::watch() {
    while (true) {
        co_await look();
        if (!settled_.is_set() && network_ != nullptr) {
            co_await collect_garbage();
        }
        settled_.set();
        auto woken = co_await look_now_.wait(after(settings_.look_every));
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
        look_now_.reset();
    }
}

Task<void> CniAttacher::look() {
    auto look = std::make_shared<Look>();
    look->network = network_;
    look->files = files_;
    look->state = state_;
    look->ask =
        !state_ || !asked_at_ || SystemClock().steady_now() - *asked_at_ >= settings_.status_every;
    const CniAttacherSettings its = settings_;
    auto work = [its, look] { return look->carry_out(its); };
    auto done = co_await lanes_.run(std::string(kLookLane), pool_, std::move(work));
    if (!done) {
        co_return;
    }
    const bool is_other = look->files != files_ && look->network != nullptr;
    network_ = look->network;
    files_ = look->files;
    if (look->asked) {
        asked_at_ = SystemClock().steady_now();
    }
    if (is_other) {
        log::info("network plugin", log::kv("network", network_->config().name),
                  log::kv("version", to_string(network_->config().version)),
                  log::kv("plugins", network_->config().plugins.size()));
    }
    const std::string before = text_of(state_);
    state_ = look->state;
    if (const std::string now = text_of(state_); now != before) {
        if (state_) {
            log::info("pods have a network");
        } else {
            log::warn("pods have no network", log::kv("error", now));
        }
        if (changed_) {
            changed_();
        }
    }
}

Task<void> CniAttacher::collect_garbage() {
    if (settings_.use != NetworkUse::exclusive) {
        co_return;
    }
    std::vector<CniKey> valid;
    for (const auto& [uid, pod] : pods_) {
        valid.push_back(cni_key_of(settings_.instance, uid));
    }
    const Network network = network_;
    const CniAttacherSettings its = settings_;
    auto work = [its, network, valid] {
        return network->collect_garbage(valid, its.use, after(its.status_time));
    };
    auto done = co_await lanes_.run(std::string(kLookLane), std::move(work));
    if (!done && done.error().code != Code::cancelled) {
        log::warn("the network plugin's garbage stays", log::kv("error", done.error().message));
    }
}

Task<void> CniAttacher::drop_leftovers() {
    auto settled = co_await settled_.wait();
    while (settled && !leftovers_.empty()) {
        const PodUid uid = *leftovers_.begin();
        const Network network = network_;
        const CniAttacherSettings its = settings_;
        auto work = [its, network, uid] {
            return undo(its, network.get(), bare_attachment(its, uid, {}), uid);
        };
        auto done = co_await lanes_.run(uid.str(), std::move(work));
        if (done) {
            leftovers_.erase(uid);
            continue;
        }
        if (done.error().code == Code::cancelled) {
            co_return;
        }
        log::warn("an ended pod's network stays, tried again", log::kv("uid", uid),
                  log::kv("error", done.error().message));
        settled = co_await async::sleep_for(settings_.status_every);
    }
}

Task<Result<Attachment>> CniAttacher::attach(std::shared_ptr<const kube::Pod> pod) {
    const PodUid uid(pod->metadata.uid);
    auto ports = port_maps_of(*pod);
    if (!ports) {
        co_return fail(std::move(ports.error()).with_reason(kReason));
    }
    // Plugins would take a port from the other without a word.
    for (const auto& [other, its] : pods_) {
        auto free = other == uid ? Result<void>() : check_ports_free(*ports, its.ports, its.name);
        if (!free) {
            co_return fail(std::move(free.error()).with_reason(kReason));
        }
    }
    auto wanted = make_cni_attachment(*pod, *ports);
    if (!wanted) {
        co_return fail(std::move(wanted.error()).with_reason(kReason));
    }
    auto known = pods_.find(uid);
    if (known != pods_.end() && known->second.attachment) {
        known->second.name = wanted->pod;
        known->second.ports = std::move(*ports);
        if (std::exchange(known->second.is_adopted, false)) {
            background_.spawn("check a pod's network", check(uid));
        }
        co_return *known->second.attachment;
    }
    auto settled = co_await settled_.wait(after(settings_.call_time));
    if (!settled) {
        co_return fail(std::move(settled.error()).with_default_reason(kNotReady));
    }
    if (!state_) {
        co_return fail(Error(state_.error()).with_reason(kNotReady));
    }
    SKIFF_ASSERT(network_ != nullptr);
    leftovers_.erase(uid);
    pods_[uid] = Pod{wanted->pod, std::move(*ports), std::nullopt, false};
    wanted->key = cni_key_of(settings_.instance, uid);
    wanted->network_namespace = pin_of(settings_, uid);
    wanted->ip_ranges = ranges_;
    const Network network = network_;
    const CniAttacherSettings its = settings_;
    auto made = std::make_shared<Attachment>();
    auto work = [its, network, pod, uid, made, attachment = *wanted]() mutable -> Result<void> {
        if (its.dns) {
            attachment.dns = its.dns(*pod);
        }
        SKIFF_TRY(*made, attach_now(its, *network, attachment, uid));
        return {};
    };
    auto done = co_await lanes_.run(uid.str(), std::move(work));
    if (!done) {
        asked_at_.reset();
        look_now_.set();
        co_return fail(std::move(done.error()).with_default_reason(kReason));
    }
    if (auto now = pods_.find(uid); now != pods_.end()) {
        now->second.attachment = *made;
    }
    co_return *made;
}

Task<void> CniAttacher::check(PodUid uid) {
    const Network network = network_;
    if (network == nullptr) {
        co_return;
    }
    const CniAttacherSettings its = settings_;
    auto work = [its, network, uid]() -> Result<void> {
        return network->check(bare_attachment(its, uid, {}), after(its.call_time));
    };
    auto done = co_await lanes_.run(uid.str(), std::move(work));
    if (!done && done.error().code != Code::cancelled && done.error().code != Code::not_found) {
        log::warn("the network plugin finds a pod's network changed", log::kv("uid", uid),
                  log::kv("error", done.error().message));
    }
}

Task<Result<void>> CniAttacher::detach(PodUid pod) {
    const PodUid uid = pod;
    auto known = pods_.find(uid);
    if (known == pods_.end()) {
        co_return Result<void>{};
    }
    const Network network = network_;
    const CniAttacherSettings its = settings_;
    auto work = [its, network, uid, name = known->second.name] {
        return undo(its, network.get(), bare_attachment(its, uid, name), uid);
    };
    auto done = co_await lanes_.run(uid.str(), std::move(work));
    if (done) {
        pods_.erase(uid);
    }
    co_return done;
}

std::optional<Attachment> CniAttacher::find(const PodUid& pod) const {
    const auto known = pods_.find(pod);
    return known == pods_.end() ? std::nullopt : known->second.attachment;
}

std::vector<PodUid> CniAttacher::list() const {
    std::vector<PodUid> uids;
    for (const auto& [uid, pod] : pods_) {
        uids.push_back(uid);
    }
    return uids;
}

Task<Result<void>> CniAttacher::stop() {
    if (settings_.cni.end) {
        const std::uint64_t one = 1;
        (void)!::write(settings_.cni.end->get(), &one, sizeof one);
    }
    co_await background_.stop();
    co_return co_await lanes_.stop(after(kStopTime));
}

Result<void> remove_cni_network(const CniAttacherSettings& settings) {
    Result<void> first;
    auto keys = list_cni_attachments(settings.cni);
    if (!keys) {
        keep_first(first, fail(std::move(keys.error())));
    }
    // One for all: where the plugin hangs, it hangs for each.
    const SteadyTime deadline = after(settings.call_time);
    for (const CniKey& key : keys.value_or(std::vector<CniKey>())) {
        keep_first(first, remove_cni_attachment(settings.cni, key, deadline));
    }
    for (const PodUid& uid : pinned_pods(settings.namespaces)) {
        keep_first(first, unpin_namespace(pin_of(settings, uid)));
    }
    return first;
}

}  // namespace skiff::network
