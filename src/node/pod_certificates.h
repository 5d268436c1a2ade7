// Certificates of pods (contract row 69): for each podCertificate source of a projected volume a
// key, a PodCertificateRequest that some signer in the cluster answers, and the next one before
// the certificate ends. Nothing of it outlives the agent: the next one asks anew. Reactor thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "async/blocking.h"
#include "async/scope.h"
#include "kube/client_reflector.h"
#include "node/pod_keys.h"
#include "pods/ports.h"

namespace skiff::node {

// How long a first certificate is waited for before the caller is told to come again.
inline constexpr Duration kFirstCertificateWait = std::chrono::seconds(5);
// A request that is not to be seen for so long was deleted by somebody.
inline constexpr Duration kRequestLostAfter = std::chrono::minutes(10);
// Nobody answered for so long after the time to renew: told by an event.
inline constexpr Duration kRenewalOverdueAfter = std::chrono::minutes(10);

class PodCertificates {
public:
    // All outlive it.
    struct Parts {
        async::Executor executor;
        kube::ApiClient& client;
        const Clock& clock;
        Random& random;
        async::BlockingPool& pool;  // for keys
        pods::EventSink& events;    // CertificateOverdueForRefresh, CertificateExpired
        std::string node_name;
        kube::ReflectorPace pace = {};
    };
    explicit PodCertificates(Parts parts);

    // As pods::Objects::pod_certificate().
    [[nodiscard]] async::Task<Result<pods::PodCredentials>> get(const kube::Pod& pod,
                                                                std::string volume,
                                                                std::size_t source);
    // Called when a signer has answered a pod's request; it must not call back.
    void set_observer(std::function<void(const PodUid&)> observer) {
        observer_ = std::move(observer);
    }
    // Forgets the pod's keys and certificates.
    void release(const PodUid& pod);
    // Before destruction.
    [[nodiscard]] async::Task<void> stop();

private:
    struct Asked {
        std::string name;  // of the PodCertificateRequest
        std::string key_pem;
        WallTime lost_at;
    };
    struct Credential {
        std::shared_ptr<const kube::Pod> pod;
        kube::PodCertificateProjection source;
        std::optional<pods::PodCredentials> current;
        WallTime renew_at;
        WallTime ends_at;
        std::optional<Asked> asked;
        enum class Asking { no, yes } asking = Asking::no;
        std::optional<Error> error;    // of the last attempt to ask
        std::optional<Error> refused;  // for good
        enum class Told { nothing, overdue, expired } told = Told::nothing;
        async::Event answered;
    };
    using Held = std::shared_ptr<Credential>;
    using Key = std::tuple<PodUid, std::string, std::size_t>;

    [[nodiscard]] Held enter(const kube::Pod& pod, const std::string& volume, std::size_t source);
    void ask_if_due(const Held& credential);
    [[nodiscard]] async::Task<void> ask(Held credential);
    [[nodiscard]] async::Task<Result<Asked>> make_request(Held credential);
    void take(const kube::PodCertificateRequest& request);
    void settle(Credential& credential, const kube::PodCertificateRequest& request);
    void issue(Credential& credential, const kube::PodCertificateRequest& request);
    void tell_late(Credential& credential);

    Parts parts_;
    std::function<void(const PodUid&)> observer_;
    std::map<Key, Held> credentials_;
    kube::Reflector<kube::PodCertificateRequest> requests_;
    enum class Watching { no, yes } watching_ = Watching::no;
    async::Scope scope_;
};

}  // namespace skiff::node
