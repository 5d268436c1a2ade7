#include "node/pod_certificates.h"

#include <algorithm>

#include "base/log.h"

namespace skiff::node {

using async::Task;

namespace {

// Pods that came together shall not renew together.
constexpr Duration kRenewJitterMax = std::chrono::minutes(5);
constexpr int kRenewJitterShare = 10;  // of what is left between renewal and end

const kube::PodCertificateProjection* find_source(const kube::Pod& pod, const std::string& volume,
                                                  std::size_t source) {
    for (const kube::Volume& each : pod.spec.volumes) {
        bool found = each.name == volume && each.projected &&
                     source < each.projected->sources.size() &&
                     each.projected->sources[source].podCertificate;
        if (found) {
            return &*each.projected->sources[source].podCertificate;
        }
    }
    return nullptr;
}

kube::PodCertificateRequest request_for(const kube::Pod& pod,
                                        const kube::PodCertificateProjection& source) {
    kube::PodCertificateRequest request;
    request.metadata.namespace_ = pod.metadata.namespace_;
    request.metadata.generateName = "req-";
    kube::OwnerReference owner;
    owner.apiVersion = "v1";
    owner.kind = "Pod";
    owner.name = pod.metadata.name;
    owner.uid = pod.metadata.uid;
    request.metadata.ownerReferences.push_back(std::move(owner));
    request.spec.signerName = source.signerName;
    request.spec.podName = pod.metadata.name;
    request.spec.podUID = pod.metadata.uid;
    request.spec.serviceAccountName =
        pod.spec.serviceAccountName.empty() ? "default" : pod.spec.serviceAccountName;
    request.spec.maxExpirationSeconds = source.maxExpirationSeconds;
    request.spec.unverifiedUserAnnotations = source.userAnnotations;
    return request;
}

kube::Selection of_node(const std::string& node_name) {
    kube::Selection selection;
    selection.field_selector = "spec.nodeName=" + node_name;
    return selection;
}

}  // namespace

PodCertificates::PodCertificates(Parts parts)
    : parts_(std::move(parts)),
      requests_(
          parts_.client, parts_.clock, parts_.random, of_node(parts_.node_name),
          [this](const kube::Change<kube::PodCertificateRequest>& change) {
              if (change.kind != kube::ChangeKind::removed) {
                  take(*change.object);
              }
          },
          parts_.pace),
      scope_(parts_.executor) {}

Task<void> PodCertificates::stop() {
    co_await scope_.stop();
}

void PodCertificates::release(const PodUid& pod) {
    std::erase_if(credentials_,
                  [&](const auto& entry) { return std::get<PodUid>(entry.first) == pod; });
}

PodCertificates::Held PodCertificates::enter(const kube::Pod& pod, const std::string& volume,
                                             std::size_t source) {
    const kube::PodCertificateProjection* wanted = find_source(pod, volume, source);
    if (wanted == nullptr) {
        return nullptr;
    }
    Held& held = credentials_[{PodUid(pod.metadata.uid), volume, source}];
    if (held == nullptr) {
        held = std::make_shared<Credential>();
        held->source = *wanted;
    }
    held->pod = std::make_shared<const kube::Pod>(pod);
    return held;
}

Task<Result<pods::PodCredentials>> PodCertificates::get(const kube::Pod& pod, std::string volume,
                                                        std::size_t source) {
    Held credential = enter(pod, volume, source);
    if (credential == nullptr) {
        co_return fail(Code::invalid, "volume {} has no podCertificate source {}", volume, source);
    }
    ask_if_due(credential);
    if (!credential->refused && !credential->current) {
        auto deadline = parts_.clock.steady_now() +
                        std::chrono::duration_cast<SteadyTime::duration>(kFirstCertificateWait);
        auto waited = co_await credential->answered.wait(deadline);
        if (!waited && waited.error().code == Code::cancelled) {
            co_return fail(std::move(waited.error()));
        }
    }
    if (credential->refused) {
        co_return fail(Error(*credential->refused));
    }
    if (credential->current) {
        co_return *credential->current;
    }
    if (credential->error) {
        co_return fail(Error(*credential->error));
    }
    if (!requests_.synced() && requests_.last_error()) {
        co_return fail(Error(*requests_.last_error()).context("watch PodCertificateRequests"));
    }
    co_return fail(Code::unavailable,
                   "PodCertificateRequest {}/{} is not answered yet by the signer {}",
                   pod.metadata.namespace_,
                   credential->asked ? credential->asked->name : std::string("(being made)"),
                   credential->source.signerName);
}

void PodCertificates::ask_if_due(const Held& credential) {
    WallTime now = parts_.clock.wall_now();
    if (credential->refused || (credential->current && now < credential->renew_at)) {
        return;
    }
    tell_late(*credential);
    auto& asked = credential->asked;
    if (asked && now >= asked->lost_at &&
        requests_.find(credential->pod->metadata.namespace_, asked->name) == nullptr) {
        asked.reset();
    }
    if (asked || credential->asking == Credential::Asking::yes) {
        return;
    }
    if (watching_ == Watching::no) {
        watching_ = Watching::yes;
        scope_.spawn("watch pod certificate requests", requests_.run());
    }
    credential->asking = Credential::Asking::yes;
    credential->answered.reset();
    scope_.spawn("ask for a pod's certificate", ask(credential));
}

Task<void> PodCertificates::ask(Held credential) {
    auto asked = co_await make_request(credential);
    credential->asking = Credential::Asking::no;
    if (!asked) {
        if (asked.error().code != Code::cancelled) {
            log::warn("no certificate asked for", log::kv("uid", credential->pod->metadata.uid),
                      log::kv("error", asked.error().message));
        }
        credential->error = std::move(asked.error());
        credential->answered.set();
        co_return;
    }
    credential->error.reset();
    credential->asked = std::move(*asked);
    // The watch may have been faster than the answer.
    auto seen = requests_.find(credential->pod->metadata.namespace_, credential->asked->name);
    if (seen != nullptr) {
        settle(*credential, *seen);
    }
}

Task<Result<PodCertificates::Asked>> PodCertificates::make_request(Held credential) {
    std::shared_ptr<const kube::Pod> pod = credential->pod;
    kube::PodCertificateRequest request = request_for(*pod, credential->source);
    std::string account = request.spec.serviceAccountName;
    SKIFF_CO_TRY(auto its_account, co_await parts_.client.get<kube::ServiceAccount>(
                                       pod->metadata.namespace_, account));
    request.spec.serviceAccountUID = its_account.metadata.uid;
    SKIFF_CO_TRY(auto node, co_await parts_.client.get<kube::Node>("", parts_.node_name));
    request.spec.nodeName = parts_.node_name;
    request.spec.nodeUID = node.metadata.uid;
    std::string type = credential->source.keyType;
    auto work = [type] { return make_key_and_proof(type); };
    SKIFF_CO_TRY(auto made, co_await parts_.pool.run(std::move(work)));
    request.spec.stubPKCS10Request = kube::Base64{std::move(made.request_der)};
    SKIFF_CO_TRY(auto created, co_await parts_.client.create(request));
    Asked asked;
    asked.name = created.metadata.name;
    asked.key_pem = std::move(made.key_pem);
    asked.lost_at = parts_.clock.wall_now() + kRequestLostAfter;
    co_return asked;
}

void PodCertificates::take(const kube::PodCertificateRequest& request) {
    for (auto& [key, credential] : credentials_) {
        bool its = credential->asked && credential->asked->name == request.metadata.name &&
                   credential->pod->metadata.namespace_ == request.metadata.namespace_;
        if (its) {
            settle(*credential, request);
            return;
        }
    }
}

void PodCertificates::settle(Credential& credential, const kube::PodCertificateRequest& request) {
    for (const kube::Condition& condition : request.status.conditions) {
        if (condition.status != "True") {
            continue;
        }
        bool denied = condition.type == "Denied";
        if (denied || condition.type == "Failed") {
            credential.refused =
                Error{Code::denied,
                      {},
                      fmt::format("PodCertificateRequest {}/{} was {} by the signer {}: {}: {}",
                                  request.metadata.namespace_, request.metadata.name,
                                  denied ? "denied" : "failed", request.spec.signerName,
                                  condition.reason, condition.message),
                      std::source_location::current()};
        } else if (condition.type == "Issued") {
            issue(credential, request);
        } else {
            continue;
        }
        credential.asked.reset();
        credential.answered.set();
        if (observer_) {
            observer_(PodUid(credential.pod->metadata.uid));
        }
        return;
    }
}

void PodCertificates::issue(Credential& credential, const kube::PodCertificateRequest& request) {
    WallTime now = parts_.clock.wall_now();
    pods::PodCredentials made;
    made.key_pem = credential.asked->key_pem;
    made.chain_pem = clean_chain(request.status.certificateChain);
    credential.current = std::move(made);
    credential.ends_at = request.status.notAfter ? request.status.notAfter->at : now;
    credential.renew_at = request.status.beginRefreshAt ? request.status.beginRefreshAt->at : now;
    Duration left = std::max(Duration(credential.ends_at - credential.renew_at), Duration(0));
    auto jitter = std::min(kRenewJitterMax, left / kRenewJitterShare);
    credential.renew_at +=
        std::chrono::duration_cast<WallTime::duration>(jitter * parts_.random.uniform());
    credential.told = Credential::Told::nothing;
}

void PodCertificates::tell_late(Credential& credential) {
    if (!credential.current) {
        return;
    }
    WallTime now = parts_.clock.wall_now();
    using Told = Credential::Told;
    auto tell = [&](std::string_view reason, std::string_view what) {
        parts_.events.emit(
            *credential.pod, {}, pods::EventType::warning, reason,
            fmt::format("The certificate of the signer {} {}", credential.source.signerName, what));
    };
    if (now >= credential.ends_at && credential.told != Told::expired) {
        credential.told = Told::expired;
        tell("CertificateExpired", "has expired and was not renewed");
    } else if (now >= credential.renew_at + kRenewalOverdueAfter &&
               credential.told == Told::nothing) {
        credential.told = Told::overdue;
        tell("CertificateOverdueForRefresh", "should have been renewed more than ten minutes ago");
    }
}

}  // namespace skiff::node
