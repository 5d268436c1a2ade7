#include "node/certificate_requests.h"

#include <algorithm>

#include "base/log.h"

namespace skiff::node {

namespace {

using kube::CertificateSigningRequest;

constexpr Duration kPollMin = std::chrono::milliseconds(100);
constexpr Duration kHealthTimeout = std::chrono::seconds(5);
constexpr Duration kHealthPauseMax = std::chrono::seconds(2);

const kube::CertificateSigningRequestCondition* find_condition(
    const CertificateSigningRequest& request, std::string_view type) {
    for (const auto& condition : request.status.conditions) {
        if (condition.type == type && condition.status != "False") {
            return &condition;
        }
    }
    return nullptr;
}

// A server that does not answer: one line when it begins, however long it lasts.
class Outage {
public:
    explicit Outage(std::string server) : server_(std::move(server)) {}
    void note(const Error& error) {
        if (!std::exchange(told_, true)) {
            log::warn("API server does not answer, waiting for it", log::kv("server", server_),
                      log::kv("error", format_as(error)));
        }
    }

private:
    std::string server_;
    bool told_ = false;
};

// Whether what the server has under our name can become our certificate.
Result<void> check_same(const CertificateSigningRequest& seen,
                        const CertificateSigningRequest& ours, WallTime now) {
    const std::string& name = ours.metadata.name;
    if (seen.spec.signerName != ours.spec.signerName ||
        !is_same_request(seen.spec.request.bytes, ours.spec.request.bytes)) {
        return fail(Code::conflict, "certificate request {} is there, but for something else",
                    name);
    }
    const std::string& certificate = seen.status.certificate.bytes;
    if (certificate.empty()) {
        return {};
    }
    auto facts = read_certificate(certificate);
    if (!facts || facts->not_after <= now) {
        return fail(Code::conflict,
                    "the certificate of request {} has ended: it is of an earlier try, or the "
                    "machine's clock is wrong",
                    name);
    }
    return {};
}

// Hands the request in, for as long as it takes: a machine may boot long before its control plane.
async::Task<Result<void>> submit(kube::ApiClient& client, CertificateSigningRequest request,
                                 BootstrapPace pace) {
    Outage outage(client.config().server);
    Duration pause = pace.first;
    while (true) {
        auto created = co_await client.create(request);
        if (created || created.error().code == Code::exists) {
            log::info("certificate requested", log::kv("csr", request.metadata.name),
                      log::kv("signer", request.spec.signerName));
            co_return Result<void>{};
        }
        if (!is_away(created.error())) {
            co_return fail(std::move(created.error()).context("certificate request"));
        }
        outage.note(created.error());
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, pace.longest);
    }
}

// The certificate, empty while there is none.
Result<std::string> answer_of(const CertificateSigningRequest& seen,
                              const CertificateSigningRequest& ours, WallTime now) {
    SKIFF_CHECK(check_same(seen, ours, now));
    const std::string& name = ours.metadata.name;
    for (std::string_view verdict : {"Denied", "Failed"}) {
        if (const auto* refused = find_condition(seen, verdict)) {
            return fail(Code::denied, "certificate request {}: {} {}: {}", name, verdict,
                        refused->reason, refused->message);
        }
    }
    if (find_condition(seen, "Approved") == nullptr) {
        return std::string();
    }
    return seen.status.certificate.bytes;
}

}  // namespace

Result<CertificateSigningRequest> make_signing_request(const CertificateWish& wish,
                                                       const std::string& key) {
    CertificateSigningRequest request;
    request.spec.signerName = wish.signer;
    request.spec.usages = {"digital signature", wish.usage};
    if (is_rsa_key(key)) {
        request.spec.usages.insert(request.spec.usages.begin() + 1, "key encipherment");
    }
    SKIFF_TRY(request.metadata.name,
              certificate_request_name(key, wish.subject.common_name, wish.subject.organization,
                                       request.spec.usages));
    SKIFF_TRY(request.spec.request.bytes, make_certificate_request(key, wish.subject));
    return request;
}

async::Task<Result<void>> wait_healthy(kube::ApiClient& client, const Clock& clock,
                                       BootstrapPace pace) {
    Outage outage(client.config().server);
    auto deadline =
        clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(pace.healthz_max);
    Duration pause = pace.first;
    while (clock.steady_now() < deadline) {
        kube::ApiRequest request;
        request.path = "/healthz";
        request.timeout = kHealthTimeout;
        auto healthy = co_await client.call(std::move(request));
        if (healthy || !is_away(healthy.error())) {
            break;
        }
        outage.note(healthy.error());
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, kHealthPauseMax);
    }
    co_return Result<void>{};
}

async::Task<Result<std::string>> obtain_certificate(kube::ApiClient& client,
                                                    CertificateSigningRequest request,
                                                    const Clock& clock, BootstrapPace pace) {
    std::string name = request.metadata.name;
    SKIFF_CO_CHECK(co_await submit(client, request, pace));
    auto deadline =
        clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(pace.approval_max);
    Duration pause = kPollMin;
    while (clock.steady_now() < deadline) {
        auto seen = co_await client.get<CertificateSigningRequest>("", name);
        if (!seen && seen.error().code == Code::not_found) {
            co_return fail(Code::not_found, "certificate request {} was deleted", name);
        }
        if (!seen && seen.error().code == Code::unauthenticated) {
            co_return fail(std::move(seen.error()).context("certificate request"));
        }
        if (seen) {
            SKIFF_CO_TRY(auto certificate, answer_of(*seen, request, clock.wall_now()));
            if (!certificate.empty()) {
                co_return std::move(certificate);
            }
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, pace.answer_longest);
    }
    co_return fail(Code::timeout,
                   "certificate request {} was not approved (approve it with "
                   "`kubectl certificate approve {}`)",
                   name, name);
}

}  // namespace skiff::node
