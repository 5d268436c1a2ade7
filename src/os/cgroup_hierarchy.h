// Inside of the cgroup code: what /proc says about hierarchies, and folders that both versions
// share.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/cgroup.h"

namespace skiff::os::cgroup {

// The unified hierarchy's key in a HierarchyMap; version 1 hierarchies are keyed by controller.
inline constexpr std::string_view kUnified = "unified";

// Controller name → folder.
using HierarchyMap = std::map<std::string, std::filesystem::path, std::less<>>;

// Parses /proc/self/mountinfo and /proc/self/cgroup: for each hierarchy that Skiff uses the folder
// of `root` (absolute cgroup path), or of this process's own group when `root` is empty.
[[nodiscard]] HierarchyMap find_hierarchies(std::string_view mountinfo, std::string_view own,
                                            const std::string& root);

// Where a group lies whose parent has no folder: nowhere, it cannot be made; or as "parent:child"
// in the base itself.
enum class Orphans { refused, beside };

// Parts that both versions share. A group's folder in a hierarchy is the base with its name
// appended, but for orphans.
class Folders : public CgroupTree {
public:
    [[nodiscard]] std::vector<std::string> bases() const override;
    [[nodiscard]] std::vector<std::string> warnings() const override { return warnings_; }
    [[nodiscard]] std::vector<int> processes(const std::string& name) const override;
    [[nodiscard]] Result<void> remove(const std::string& name) const override;
    [[nodiscard]] std::vector<std::string> children(const std::string& name) const override;

protected:
    Folders(HierarchyMap bases, Orphans orphans);
    // Makes the group's folder in every hierarchy, or in one; fine where it is there or the machine
    // has no such hierarchy.
    [[nodiscard]] Result<void> make(const std::string& name) const;
    [[nodiscard]] Result<void> make_in(std::string_view hierarchy, const std::string& name) const;
    // Where the group lies or would lie, each folder once.
    [[nodiscard]] std::vector<std::filesystem::path> folders(const std::string& name) const;
    // The group's folder in one hierarchy, nullopt when that is not there.
    [[nodiscard]] std::optional<std::filesystem::path> folder(std::string_view hierarchy,
                                                              const std::string& name) const;
    [[nodiscard]] const HierarchyMap& map() const { return bases_; }
    void warn(std::string text) { warnings_.push_back(std::move(text)); }

private:
    // folders(), and those of its children that do not lie below them.
    [[nodiscard]] std::vector<std::filesystem::path> whole(const std::string& name) const;
    [[nodiscard]] std::filesystem::path folder_in(const std::filesystem::path& base,
                                                  const std::string& name) const;

    Orphans orphans_;
    HierarchyMap bases_;
    std::vector<std::filesystem::path> distinct_;
    std::vector<std::string> warnings_;
};

// Number in a file of one number; nullopt for "max" or anything else.
[[nodiscard]] std::optional<std::uint64_t> read_number(const std::filesystem::path& path);
// Number behind `key` and a blank in a file of such lines.
[[nodiscard]] std::optional<std::uint64_t> read_field(const std::filesystem::path& path,
                                                      std::string_view key);
// Writes a limit; a refusal is logged, not returned.
void write_limit(const std::filesystem::path& path, std::string_view value);
// The same where the group has that file; nothing else.
void write_limit_if_offered(const std::filesystem::path& path, std::string_view value);
// Makes a group idle, where the limits ask for that; false where they do not, or the kernel
// (before 5.15) has no idle groups.
[[nodiscard]] bool write_idle(const std::filesystem::path& group, const CgroupLimits& limits);

// As write_limit(), for limits that change: the first refusal is kept.
class LimitWriter {
public:
    void write(const std::filesystem::path& path, std::string_view value);
    [[nodiscard]] Result<void> result() &&;

private:
    std::optional<Error> refused_;
};

[[nodiscard]] std::unique_ptr<CgroupTree> make_v1(HierarchyMap bases);
[[nodiscard]] std::unique_ptr<CgroupTree> make_v2(std::filesystem::path base);

}  // namespace skiff::os::cgroup
