#include "node/serving_request.h"

#include "base/log.h"
#include "node/certificate_files.h"
#include "node/serving.h"

namespace skiff::node {

namespace {

constexpr std::string_view kServingSigner = "kubernetes.io/kubelet-serving";
constexpr Duration kRetryMin = std::chrono::seconds(2);
constexpr Duration kRetryMax = std::chrono::minutes(1);
// The controller manager deletes what nobody approved after a day: then it is asked for anew.
constexpr Duration kApprovalMax = std::chrono::hours(25);
constexpr Duration kAnswerLongest = std::chrono::seconds(15);

CertificateWish wish_of(const NodeSettings& settings) {
    CertificateWish wish;
    wish.signer = kServingSigner;
    wish.usage = "server auth";
    wish.subject.common_name = "system:node:" + settings.name;
    wish.subject.organization = kNodeGroup;
    wish.subject.dns_names = serving_names(settings);
    wish.subject.ips = settings.ips;
    return wish;
}

async::Task<Result<void>> obtain(NodeSettings settings, ServingRequestParts& parts,
                                 BootstrapPace pace) {
    CertificateFiles files(settings.cert_dir, kServingFiles);
    SKIFF_CO_TRY(auto key, files.pending_or_new_key());
    SKIFF_CO_TRY(auto request, make_signing_request(wish_of(settings), key));
    log::info("port 10250 waits for its certificate to be approved",
              log::kv("csr", request.metadata.name));
    auto certificate =
        co_await obtain_certificate(parts.client, std::move(request), parts.clock, pace);
    if (certificate) {
        co_return files.store(*certificate, key, parts.clock.wall_now());
    }
    if (certificate.error().code == Code::conflict) {
        // What is there under this key's name is of no use.
        SKIFF_CO_CHECK(files.drop_pending_key());
    }
    co_return fail(std::move(certificate.error()));
}

// The certificate in use, and when it is replaced.
class Schedule {
public:
    explicit Schedule(const NodeSettings& settings)
        : settings_(settings), files_(settings.cert_dir, kServingFiles) {}

    void look(CertificateRecord& record, Random& random) {
        auto stored = files_.load();
        auto facts = stored ? read_certificate(stored->pem)
                            : Result<CertificateFacts>(fail(std::move(stored.error())));
        if (!facts || facts->common_name != "system:node:" + settings_.name ||
            !names_the_node(*facts, settings_)) {
            pem_.clear();
            due_ = {};
            return;
        }
        if (stored->pem == pem_) {
            return;
        }
        pem_ = stored->pem;
        obtained_ = stored->obtained;
        due_ = renewal_time(*facts, obtained_, 0.7 + 0.2 * random.uniform());
        record.expires = facts->not_after;
    }
    [[nodiscard]] Duration until_due(WallTime now) const { return due_ - now; }
    [[nodiscard]] Duration age(WallTime now) const {
        return pem_.empty() ? Duration() : now - obtained_;
    }

private:
    const NodeSettings& settings_;
    CertificateFiles files_;
    std::string pem_;
    WallTime obtained_{};
    WallTime due_{};
};

}  // namespace

async::Task<void> keep_serving_certificate(NodeSettings settings, ServingRequestParts parts,
                                           BootstrapPace pace) {
    pace.approval_max = kApprovalMax;
    pace.answer_longest = std::max(pace.answer_longest, kAnswerLongest);
    Schedule schedule(settings);
    Duration pause = kRetryMin;
    while (true) {
        schedule.look(parts.record, parts.random);
        Duration wait = schedule.until_due(parts.clock.wall_now());
        if (wait > Duration::zero()) {
            auto slept = co_await async::sleep_for(std::min(wait, pace.look_every));
            if (!slept) {
                co_return;
            }
            continue;
        }
        auto done = co_await obtain(settings, parts, pace);
        if (done) {
            ++parts.record.renewals;
            parts.record.replaced_after = schedule.age(parts.clock.wall_now());
            pause = kRetryMin;
            log::info("certificate of port 10250 stored");
            parts.stored();
            continue;
        }
        if (done.error().code != Code::cancelled) {
            ++parts.record.failures;
            log::error("no certificate for port 10250", log::kv("error", format_as(done.error())));
        }
        auto slept = co_await async::sleep_for(pause);
        if (!slept) {
            co_return;
        }
        pause = std::min(pause * 2, kRetryMax);
    }
}

}  // namespace skiff::node
