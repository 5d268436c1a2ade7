#include "node/serving_request.h"

#include "base/log.h"
#include "node/certificate_renewal.h"
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
    wish.subject.common_name = node_user(settings.name);
    wish.subject.organization = kNodeGroup;
    wish.subject.dns_names = serving_names(settings);
    wish.subject.ips = settings.ips;
    return wish;
}

// Looks at the file of the node's certificate: one that is not for it is none.
void look(RenewalSchedule& schedule, const NodeSettings& settings, ServingRequestParts& parts) {
    auto stored = CertificateFiles(settings.cert_dir, kServingFiles).load();
    auto facts = stored ? read_certificate(stored->pem)
                        : Result<CertificateFacts>(fail(std::move(stored.error())));
    if (!facts || facts->common_name != node_user(settings.name) ||
        !names_the_node(*facts, settings)) {
        schedule.forget();
    } else if (!schedule.follows(stored->pem)) {
        schedule.follow(std::move(stored->pem), *facts, stored->obtained, parts.record,
                        parts.random);
    }
}

}  // namespace

async::Task<void> keep_serving_certificate(NodeSettings settings, ServingRequestParts parts,
                                           BootstrapPace pace) {
    pace.approval_max = kApprovalMax;
    pace.answer_longest = std::max(pace.answer_longest, kAnswerLongest);
    RenewalSchedule schedule;
    Duration pause = kRetryMin;
    while (true) {
        look(schedule, settings, parts);
        Duration wait = schedule.until_due(parts.clock.wall_now());
        if (wait > Duration::zero()) {
            auto slept = co_await async::sleep_for(std::min(wait, pace.look_every));
            if (!slept) {
                co_return;
            }
            continue;
        }
        log::info("port 10250 waits for its certificate to be approved");
        auto obtaining =
            obtain_and_store(parts.client, CertificateFiles(settings.cert_dir, kServingFiles),
                             wish_of(settings), parts.clock, pace);
        auto done = co_await std::move(obtaining);
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
