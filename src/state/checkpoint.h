// Small records that are whole or not there: a header with kind and checksum, then the bytes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "os/file.h"

namespace skiff::state {

constexpr Bytes kCheckpointMax = 1_MiB;

// Replaces the record in one step (mode 0600). `kind` is one word, the same at load.
[[nodiscard]] Result<void> store_checkpoint(const std::filesystem::path& path,
                                            std::string_view kind, std::string_view bytes,
                                            os::Durability durability);

// The record's bytes. not_found when there is none; corrupt when it fails its check or is of
// another kind: the caller quarantines it.
[[nodiscard]] Result<std::string> load_checkpoint(const std::filesystem::path& path,
                                                  std::string_view kind);

// The same without the file: the record's whole bytes, and what they hold. Pure.
[[nodiscard]] std::string format_checkpoint(std::string_view kind, std::string_view bytes);
[[nodiscard]] Result<std::string> parse_checkpoint(std::string_view whole, std::string_view kind);

// Moves a file that failed its check into `folder` under a new name, for a person to look at. At
// most 100 are kept there, then the file is removed instead. Logs a warning; never fails.
void quarantine(const std::filesystem::path& path, const std::filesystem::path& folder,
                std::string_view why);

}  // namespace skiff::state
