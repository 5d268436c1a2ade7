#include "node/certificate_renewal.h"

namespace skiff::node {

void RenewalSchedule::follow(std::string pem, const CertificateFacts& facts, WallTime obtained,
                             CertificateRecord& record, Random& random) {
    pem_ = std::move(pem);
    obtained_ = obtained;
    ends_ = facts.not_after;
    due_ = renewal_time(facts, obtained, 0.7 + 0.2 * random.uniform());
    record.expires = ends_;
}

void RenewalSchedule::forget() {
    pem_.clear();
    due_ = {};
}

async::Task<Result<void>> obtain_and_store(kube::ApiClient& client, CertificateFiles files,
                                           CertificateWish wish, const Clock& clock,
                                           BootstrapPace pace) {
    SKIFF_CO_TRY(auto key, files.pending_or_new_key());
    SKIFF_CO_TRY(auto request, make_signing_request(wish, key));
    auto certificate = co_await obtain_certificate(client, std::move(request), clock, pace);
    if (certificate) {
        co_return files.store(*certificate, key, clock.wall_now());
    }
    if (certificate.error().code == Code::conflict) {
        // What is there under this key's name is of no use.
        SKIFF_CO_CHECK(files.drop_pending_key());
    }
    co_return fail(std::move(certificate.error()));
}

}  // namespace skiff::node
