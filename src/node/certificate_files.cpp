#include "node/certificate_files.h"

#include <algorithm>

#include "base/log.h"
#include "node/certificates.h"
#include "node/private_files.h"
#include "os/file.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr Bytes kPemBytesMax = 1_MiB;

}  // namespace

fs::path CertificateFiles::current() const {
    return folder_ / (name_ + "-current.pem");
}

fs::path CertificateFiles::pending() const {
    return folder_ / (name_ + ".key.tmp");
}

Result<StoredCertificate> CertificateFiles::load() const {
    std::error_code error;
    fs::path file = fs::canonical(current(), error);
    if (error) {
        return fail(errno_error(error.value(), current().string()));
    }
    SKIFF_CHECK(check_private(file));
    StoredCertificate stored;
    SKIFF_TRY(stored.pem, os::read_file(file, kPemBytesMax));
    if (!key_fits(stored.pem, stored.pem)) {
        return fail(Code::corrupt, "{}: certificate and key do not fit one another", file.string());
    }
    SKIFF_TRY(auto opened, os::open_regular(file));
    SKIFF_TRY(auto stamp, os::stamp_of(opened.get()));
    stored.obtained = WallTime(std::chrono::nanoseconds(stamp.modified_ns));
    return stored;
}

Result<std::string> CertificateFiles::pending_or_new_key() const {
    auto kept = os::read_file(pending(), kPemBytesMax);
    if (kept && certificate_request_name(*kept, "", "", {})) {
        SKIFF_CHECK(check_private(pending()));
        return kept;
    }
    SKIFF_TRY(auto key, generate_key());
    SKIFF_CHECK(os::make_folders(folder_, 0700));
    SKIFF_CHECK(os::write_file_atomic(pending(), key, 0600, os::Durability::power));
    return key;
}

Result<void> CertificateFiles::drop_pending_key() const {
    return os::remove_file(pending());
}

Result<void> CertificateFiles::store(const std::string& certificate_pem, const std::string& key_pem,
                                     WallTime now) const {
    auto stamp = format_rfc3339(now);
    std::ranges::replace(stamp, ':', '-');
    fs::path file = folder_ / fmt::format("{}-{}.pem", name_, stamp);
    SKIFF_CHECK(os::make_folders(folder_, 0700));
    SKIFF_CHECK(
        os::write_file_atomic(file, certificate_pem + key_pem, 0600, os::Durability::power));
    fs::path fresh = current();
    fresh += ".new";
    std::error_code error;
    fs::remove(fresh, error);
    fs::create_symlink(file.filename(), fresh, error);
    if (!error) {
        fs::rename(fresh, current(), error);
    }
    if (error) {
        return fail(Code::internal, "{}: {}", current().string(), error.message());
    }
    SKIFF_CHECK(os::fsync_folder(folder_));
    prune(file.filename());
    return drop_pending_key();
}

void CertificateFiles::prune(const std::string& newest) const {
    auto names = os::list_folder(folder_);
    if (!names) {
        return;
    }
    std::vector<std::string> pairs;
    for (const std::string& name : *names) {
        // NAME-2026-…: the link begins otherwise.
        if (name.starts_with(name_ + "-2") && name.ends_with(".pem") && name != newest) {
            pairs.push_back(name);
        }
    }
    // Sorted by time; the last stays for whoever reads it at this moment.
    for (std::size_t i = 0; i + 1 < pairs.size(); ++i) {
        if (auto removed = os::remove_file(folder_ / pairs[i]); !removed) {
            log::warn("old certificate not removed", log::kv("error", format_as(removed.error())));
        }
    }
}

}  // namespace skiff::node
