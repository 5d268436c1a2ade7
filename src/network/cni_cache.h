// What the node has attached to networks of CNI, kept so that DEL and CHECK say to the plugins what
// ADD said, also after a restart of the agent and a change of the configuration: the specification
// (1.1, section 3) wants the result of ADD and the same parameters.
//
// One file for each attachment, <container id>@<interface>, in a folder of our own: what another
// runtime keeps in /var/lib/cni is its own. Blocking; any thread, for one attachment one at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/cni_config.h"
#include "network/cni_request.h"
#include "network/cni_result.h"
#include "os/file.h"

namespace skiff::network {

struct CniRecord {
    CniParameters parameters;
    CniConfig config;  // as it was at ADD
    // nullopt: ADD has begun and its end is not known. The plugins may have made something.
    std::optional<CniResult> result;
    friend bool operator==(const CniRecord&, const CniRecord&) = default;
};
[[nodiscard]] std::string format_cni_record(const CniRecord& record);
// Fails with Code::corrupt.
[[nodiscard]] Result<CniRecord> parse_cni_record(std::string_view text);

class CniCache {
public:
    // The folder is made when it is first written to.
    CniCache(std::filesystem::path folder, os::Durability durability)
        : folder_(std::move(folder)), durability_(durability) {}

    // Replaces the attachment's record in one step.
    [[nodiscard]] Result<void> store(const CniRecord& record) const;
    // nullopt: there is none, or it fails its check (a warning is logged): whatever it said is
    // lost.
    [[nodiscard]] Result<std::optional<CniRecord>> find(const CniKey& key) const;
    // Missing is fine.
    [[nodiscard]] Result<void> remove(const CniKey& key) const;
    // The attachments that have a record, also one that fails its check; sorted.
    [[nodiscard]] Result<std::vector<CniKey>> list() const;

private:
    [[nodiscard]] std::filesystem::path path_of(const CniKey& key) const;

    std::filesystem::path folder_;
    os::Durability durability_;
};

}  // namespace skiff::network
