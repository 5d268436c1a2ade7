// The cluster's network plugin, called as container runtimes call it: CNI specification 1.1 over
// the programs of /opt/cni/bin, versions 0.3.0 to 1.1.0.
//
// Every call blocks and runs foreign programs: it belongs into the blocking pool, in a thread that
// is in the node's network namespace. Each has a deadline, at which the program that runs is killed
// with its process group. Calls for different containers may run side by side; that calls for one
// container do not, and nothing else during collect_garbage(), is the caller's part (section 3,
// "lifecycle & ordering").
//
// Every failure of a plugin is one Error that names plugin, network, command and what is wrong. Its
// code: unavailable = the plugin says that it cannot now (also its code 11) or died, try again;
// timeout; cancelled; exhausted = it wrote too much; corrupt = it did not say what the protocol
// wants, or in another version; not_found and denied = no program to run; invalid, unsupported =
// the plugin does not take the configuration. The plugin's own code is in the message.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "network/cni_cache.h"
#include "network/cni_config.h"
#include "network/cni_request.h"
#include "network/cni_result.h"
#include "os/file.h"

namespace skiff::network {

struct CniSettings {
    std::filesystem::path config_folder = "/etc/cni/net.d";
    // Searched in this order; the plugins search them, too. Where upstream, Debian and Fedora put
    // them.
    std::vector<std::filesystem::path> plugin_folders = {"/opt/cni/bin", "/usr/lib/cni",
                                                         "/usr/libexec/cni"};
    // Ours alone, and of this instance alone.
    std::filesystem::path cache_folder;
    // What a record survives. Without one DEL is still sent, but a plugin may leave something.
    os::Durability durability = os::Durability::process;
    // Readable once the agent ends (an eventfd): whatever plugin runs is killed, nothing more is
    // begun, Code::cancelled. What was begun is undone at the next start. nullptr: never.
    std::shared_ptr<const os::Fd> end;
};

// After a failed ADD: the time for DEL, which has no deadline of the caller's left.
inline constexpr Duration kCniUndoTime = std::chrono::seconds(10);

// Whether other runtimes attach containers to the same network. Plugins cannot tell whose an
// attachment is: they would take those of a kubelet beside Skiff for leaks.
enum class NetworkUse { exclusive, shared };

// A network of the node. A value: it knows nothing that is not in the files.
class CniNetwork {
public:
    // The network that containerd would choose: see load_cni_config(), also for failures. nullopt:
    // there is none yet. Where the configuration offers several versions, the plugins are asked for
    // theirs (VERSION) and the highest that all speak is used; one that does not answer, or is not
    // there, is left out of account.
    [[nodiscard]] static Result<std::optional<CniNetwork>> load(const CniSettings& settings,
                                                                SteadyTime deadline);

    CniNetwork(CniSettings settings, CniConfig config);

    // What is called, in which version: two that are equal need no reload.
    [[nodiscard]] const CniConfig& config() const { return config_; }

    // Attaches a pod: ADD to each plugin in turn. When one fails, DEL goes to all of them, for up
    // to kCniUndoTime more; what that could not undo the record keeps for remove(). An ADD that was
    // interrupted by the agent's death is undone first. Code::exists when the pod is attached: its
    // result is what find_result() says, or remove() it before.
    [[nodiscard]] Result<CniResult> add(const CniAttachment& attachment, SteadyTime deadline) const;

    // The result of ADD; nullopt when the pod is not attached, or only half.
    [[nodiscard]] Result<std::optional<CniResult>> find_result(const CniKey& key) const;

    // Detaches a pod: DEL to each plugin in reverse, with parameters, configuration and result of
    // ADD where they are recorded, else with what is given here. A namespace that is gone is not
    // named to the plugins; better is to detach first, for some leave rules that only the addresses
    // in it tell (bridge with ipMasq). Stops at the first failure and keeps the record: calling
    // again goes on. A pod that is not attached is fine, and plugins are asked all the same.
    [[nodiscard]] Result<void> remove(const CniAttachment& attachment, SteadyTime deadline) const;

    // CHECK to each plugin: fails when the pod's network is not as ADD left it. Nothing is asked
    // where the configuration says disableCheck, or is older than 0.4.0. Code::not_found when the
    // pod is not attached.
    [[nodiscard]] Result<void> check(const CniAttachment& attachment, SteadyTime deadline) const;

    // Detaches what is recorded and not in `valid`, in whatever network it is; then GC to each
    // plugin, which frees what is not in `valid`: only from version 1.1.0 on, for an exclusive
    // network that does not say disableGC. Goes on after a failure; returns all of them as one.
    [[nodiscard]] Result<void> collect_garbage(const std::vector<CniKey>& valid, NetworkUse use,
                                               SteadyTime deadline) const;

    // Whether pods can be attached now: every program is there, and from version 1.1.0 on no plugin
    // says otherwise to STATUS. Plugins that know no STATUS are taken for ready.
    [[nodiscard]] Result<void> status(SteadyTime deadline) const;

private:
    CniSettings settings_;
    CniConfig config_;
    CniCache cache_;
};

// The attachments of a cache folder, whether ADD has ended or not: for recovery at the agent's
// start.
[[nodiscard]] Result<std::vector<CniKey>> list_cni_attachments(const CniSettings& settings);
// The result of ADD for one of them; nullopt when ADD has not ended, or nothing is recorded.
[[nodiscard]] Result<std::optional<CniResult>> find_cni_result(const CniSettings& settings,
                                                               const CniKey& key);
// Detaches one of them without a network, as recorded; fine when it is not recorded. For a node
// whose configuration has gone.
[[nodiscard]] Result<void> remove_cni_attachment(const CniSettings& settings, const CniKey& key,
                                                 SteadyTime deadline);

}  // namespace skiff::network
