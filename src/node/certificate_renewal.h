// What the keepers of the node's two certificates share: when one is replaced, and by what.
// Reactor thread only.
#pragma once

#include <string>

#include "async/task.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/client_api.h"
#include "node/certificate_files.h"
#include "node/certificate_requests.h"
#include "node/certificates.h"
#include "node/identity_record.h"

namespace skiff::node {

// The certificate in use, and when it is replaced: at 70–90 % of its life.
class RenewalSchedule {
public:
    // Whether `pem` is what it follows already.
    [[nodiscard]] bool follows(const std::string& pem) const { return pem == pem_; }
    [[nodiscard]] bool is_empty() const { return pem_.empty(); }
    // From now on this one, obtained at that time; `record` tells its end.
    void follow(std::string pem, const CertificateFacts& facts, WallTime obtained,
                CertificateRecord& record, Random& random);
    // There is none: one is due at once.
    void forget();

    [[nodiscard]] Duration until_due(WallTime now) const { return due_ - now; }
    [[nodiscard]] Duration until_end(WallTime now) const { return ends_ - now; }
    // Nothing where there is none.
    [[nodiscard]] Duration age(WallTime now) const {
        return is_empty() ? Duration() : now - obtained_;
    }

private:
    std::string pem_;
    WallTime obtained_{};
    WallTime due_{};
    WallTime ends_{};
};

// One request, from its key to the stored pair. Fails as obtain_certificate(); after a conflict the
// next request has a new key.
[[nodiscard]] async::Task<Result<void>> obtain_and_store(kube::ApiClient& client,
                                                         CertificateFiles files,
                                                         CertificateWish wish, const Clock& clock,
                                                         BootstrapPace pace);

}  // namespace skiff::node
