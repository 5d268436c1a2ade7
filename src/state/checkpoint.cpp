#include "state/checkpoint.h"

#include <unistd.h>

#include "base/fnv.h"
#include "base/log.h"
#include "base/random.h"

namespace skiff::state {

namespace {

constexpr std::string_view kMagic = "skiff-checkpoint-1";
constexpr std::size_t kQuarantinedMax = 100;

// Against torn and rotten bytes, not against malice.
std::string checksum(std::string_view kind, std::string_view bytes) {
    return fmt::format("{:016x}", Fnv1a().mix(kind).mix("\n").mix(bytes).value());
}

std::string header(std::string_view kind, std::string_view bytes) {
    return fmt::format("{} {} {} {}\n", kMagic, kind, bytes.size(), checksum(kind, bytes));
}

}  // namespace

std::string format_checkpoint(std::string_view kind, std::string_view bytes) {
    std::string whole = header(kind, bytes);
    whole += bytes;
    return whole;
}

Result<std::string> parse_checkpoint(std::string_view whole, std::string_view kind) {
    const std::size_t end = whole.find('\n');
    if (end == std::string_view::npos) {
        return fail(Code::corrupt, "the record has no header");
    }
    const std::string_view bytes = whole.substr(end + 1);
    if (whole.substr(0, end + 1) != header(kind, bytes)) {
        return fail(Code::corrupt, "the record fails its checksum");
    }
    return std::string(bytes);
}

Result<void> store_checkpoint(const std::filesystem::path& path, std::string_view kind,
                              std::string_view bytes, os::Durability durability) {
    if (bytes.size() > kCheckpointMax.value) {
        return fail(Code::exhausted, "a {} record is larger than {}", kind, kCheckpointMax);
    }
    return os::write_file_atomic(path, format_checkpoint(kind, bytes), 0600, durability);
}

Result<std::string> load_checkpoint(const std::filesystem::path& path, std::string_view kind) {
    auto whole = os::read_file(path, Bytes{kCheckpointMax.value + 4096});
    if (!whole) {
        if (whole.error().code == Code::exhausted || whole.error().code == Code::invalid) {
            whole.error().code = Code::corrupt;
        }
        return fail(std::move(whole.error()));
    }
    auto bytes = parse_checkpoint(*whole, kind);
    if (!bytes) {
        return fail(std::move(bytes.error()).context(path.string()));
    }
    return bytes;
}

void quarantine(const std::filesystem::path& path, const std::filesystem::path& folder,
                std::string_view why) {
    log::warn("file quarantined", log::kv("path", path.string()), log::kv("why", why));
    auto made = os::make_folders(folder, 0700);
    auto names = os::list_folder(folder);
    bool has_room = made && names && names->size() < kQuarantinedMax;
    SystemRandom random;
    auto target = folder / fmt::format("{}.{}", path.filename().string(), random.hex(4));
    if (has_room && ::rename(path.c_str(), target.c_str()) == 0) {
        return;
    }
    // On another filesystem, or too many: what matters is that it is out of the way.
    ::unlink(path.c_str());
}

}  // namespace skiff::state
