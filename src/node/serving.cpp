#include "node/serving.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "node/certificate_files.h"
#include "node/k3s.h"
#include "node/private_files.h"
#include "os/file.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr Bytes kPemBytesMax = 1_MiB;
constexpr Duration kRemainingMin = std::chrono::hours(24 * 30);

// Whether the certificate is for this node, where it is reached now, and for a while.
bool serves(const std::string& certificate_pem, const NodeSettings& settings, WallTime now) {
    auto facts = read_certificate(certificate_pem);
    return facts && facts->not_after - now > kRemainingMin && names_the_node(*facts, settings);
}

// What the supervisor of k3s gave (k3s.h), as long as it is of use; nullopt elsewhere.
std::optional<ServingCertificate> k3s_serving(const NodeSettings& settings, WallTime now) {
    auto pair = os::read_file(k3s_serving_file(settings), kPemBytesMax);
    auto facts =
        pair ? read_certificate(*pair) : Result<CertificateFacts>(fail(Code::not_found, ""));
    if (!facts || facts->not_after <= now || !key_fits(*pair, *pair)) {
        return std::nullopt;
    }
    return ServingCertificate{*pair, *pair};
}

}  // namespace

std::vector<std::string> serving_names(const NodeSettings& settings) {
    std::vector<std::string> names = {settings.name};
    if (!settings.hostname.empty() && settings.hostname != settings.name) {
        names.push_back(settings.hostname);
    }
    return names;
}

bool names_the_node(const CertificateFacts& facts, const NodeSettings& settings) {
    auto set_of = [](const std::vector<std::string>& list) {
        return std::set<std::string>(list.begin(), list.end());
    };
    std::set<std::string> ips;
    for (const std::string& ip : settings.ips) {
        ips.insert(format_ip(ip).value_or(ip));
    }
    return set_of(facts.dns_names) == set_of(serving_names(settings)) && set_of(facts.ips) == ips;
}

Result<ServingCertificate> ensure_serving_certificate(const NodeSettings& settings,
                                                      const Clock& clock) {
    fs::path certificate_file = settings.cert_dir / "kubelet.crt";
    fs::path key_file = settings.cert_dir / "kubelet.key";
    SKIFF_CHECK(check_private(key_file));
    auto certificate = os::read_file(certificate_file, kPemBytesMax);
    auto key = os::read_file(key_file, kPemBytesMax);
    if (certificate && key && key_fits(*certificate, *key) &&
        serves(*certificate, settings, clock.wall_now())) {
        return ServingCertificate{std::move(*certificate), std::move(*key)};
    }
    SKIFF_TRY(auto made, make_self_signed(settings.name, serving_names(settings), settings.ips,
                                          clock.wall_now()));
    SKIFF_CHECK(os::make_folders(settings.cert_dir, 0700));
    SKIFF_CHECK(os::write_file_atomic(key_file, made.key_pem, 0600, os::Durability::power));
    SKIFF_CHECK(
        os::write_file_atomic(certificate_file, made.certificate_pem, 0644, os::Durability::power));
    log::info("serving certificate made", log::kv("path", certificate_file.string()));
    return ServingCertificate{std::move(made.certificate_pem), std::move(made.key_pem)};
}

Result<void> ServingTls::read_own(http::ServerTlsSettings& now) {
    if (files_.certificate.empty()) {
        if (auto given = k3s_serving(settings_, clock_.wall_now())) {
            now.certificate_pem = std::move(given->certificate_pem);
            now.key_pem = std::move(given->key_pem);
            return {};
        }
        SKIFF_TRY(auto own, ensure_serving_certificate(settings_, clock_));
        now.certificate_pem = std::move(own.certificate_pem);
        now.key_pem = std::move(own.key_pem);
        return {};
    }
    auto is_private = check_private(files_.key);
    if (!is_private) {
        return fail(std::move(is_private.error()).context("tlsPrivateKeyFile"));
    }
    SKIFF_TRY(now.certificate_pem, os::read_file(files_.certificate, kPemBytesMax));
    SKIFF_TRY(now.key_pem, os::read_file(files_.key, kPemBytesMax));
    return {};
}

Result<void> ServingTls::read_clusters(http::ServerTlsSettings& now) {
    auto stored = CertificateFiles(settings_.cert_dir, kServingFiles).load();
    if (!stored && stored.error().code == Code::denied) {
        return fail(std::move(stored.error()));
    }
    auto facts = stored ? read_certificate(stored->pem)
                        : Result<CertificateFacts>(fail(std::move(stored.error())));
    if (facts && facts->not_after > clock_.wall_now()) {
        now.certificate_pem = stored->pem;
        now.key_pem = std::move(stored->pem);
    }
    return {};
}

Result<std::shared_ptr<const http::ServerTls>> ServingTls::refresh() {
    http::ServerTlsSettings now;
    SKIFF_CHECK(files_.source == ServingSource::cluster ? read_clusters(now) : read_own(now));
    if (!files_.client_ca.empty()) {
        SKIFF_TRY(now.client_ca_pem, os::read_file(files_.client_ca, kPemBytesMax));
    } else if (auto given = os::read_file(k3s_client_ca_file(settings_), kPemBytesMax)) {
        now.client_ca_pem = std::move(*given);
    }
    bool same = last_ && now.certificate_pem == last_->certificate_pem &&
                now.key_pem == last_->key_pem && now.client_ca_pem == last_->client_ca_pem;
    if (same) {
        return std::shared_ptr<const http::ServerTls>();
    }
    SKIFF_TRY(auto tls, http::ServerTls::create(now));
    last_ = std::move(now);
    return tls;
}

async::Task<bool> ServingTls::wait(Duration every) {
    auto woken = co_await poked_.wait(after(every));
    poked_.reset();
    co_return woken || woken.error().code == Code::timeout;
}

async::Task<void> keep_serving(ServingTls& tls,
                               std::function<void(std::shared_ptr<const http::ServerTls>)> use,
                               Duration every) {
    std::string told;
    while (true) {
        bool goes_on = co_await tls.wait(every);
        if (!goes_on) {
            co_return;
        }
        auto fresh = tls.refresh();
        std::string problem = fresh ? std::string() : format_as(fresh.error());
        if (!fresh && problem != told) {
            log::warn("serving certificate not renewed, the one in use stays",
                      log::kv("error", problem));
        }
        told = std::move(problem);
        if (fresh && *fresh != nullptr) {
            use(std::move(*fresh));
            log::info("certificates of port 10250 renewed");
        }
    }
}

}  // namespace skiff::node
