// One certificate of the node on disk, as a kubelet keeps it: key and certificate in one file, a
// link to the newest, and the key of a request in progress.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace skiff::node {

// Names of the files of the client certificate and of port 10250's.
inline constexpr const char* kClientFiles = "kubelet-client";
inline constexpr const char* kServingFiles = "kubelet-server";

struct StoredCertificate {
    std::string pem;    // certificate and key
    WallTime obtained;  // when the file was written
};

// Files of cert_dir that begin with `name`: kClientFiles or kServingFiles. All are 0600, the
// folder 0700 when it is made here.
class CertificateFiles {
public:
    CertificateFiles(std::filesystem::path folder, std::string name)
        : folder_(std::move(folder)), name_(std::move(name)) {}

    // NAME-current.pem, the link.
    [[nodiscard]] std::filesystem::path current() const;
    // What the link leads to. Fails with not_found, with denied when group or others may read it,
    // and with corrupt when certificate and key do not fit one another.
    [[nodiscard]] Result<StoredCertificate> load() const;

    // The key of the request in progress, made if there is none: kept, so that a restarted node
    // asks by the same name.
    [[nodiscard]] Result<std::string> pending_or_new_key() const;
    // The next request has a new key.
    [[nodiscard]] Result<void> drop_pending_key() const;

    // Stores the pair in a file of its own and turns the link to it in one step: whoever opens it
    // finds a whole pair. The pending key goes, and all older pairs but the last.
    [[nodiscard]] Result<void> store(const std::string& certificate_pem, const std::string& key_pem,
                                     WallTime now) const;

private:
    [[nodiscard]] std::filesystem::path pending() const;
    void prune(const std::string& newest) const;

    std::filesystem::path folder_;
    std::string name_;
};

}  // namespace skiff::node
