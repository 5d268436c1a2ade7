#include "app/check_identity.h"

#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "node/certificate_requests.h"
#include "node/join.h"
#include "os/file.h"

namespace skiff::app {

namespace {

constexpr Bytes kCertificateBytesMax = 1_MiB;
constexpr auto kSoon = std::chrono::hours(24);

std::optional<Result<node::CertificateFacts>> certificate_of(const kube::ClientConfig& client) {
    if (!client.tls.client_certificate_pem.empty()) {
        return node::read_certificate(client.tls.client_certificate_pem);
    }
    if (client.tls.client_certificate_file.empty()) {
        return std::nullopt;
    }
    auto text = os::read_kernel_file(client.tls.client_certificate_file);
    if (!text || text->size() > kCertificateBytesMax.value) {
        return Result<node::CertificateFacts>(
            fail(Code::not_found, "{} cannot be read", client.tls.client_certificate_file));
    }
    return node::read_certificate(*text);
}

Finding judge_certificate(const IdentityFacts& facts) {
    const std::string check = "identity: client certificate";
    const Result<node::CertificateFacts>& certificate = *facts.certificate;
    bool can_renew = facts.bootstrap.has_value();
    std::string remedy = can_renew ? "The node asks for a new one with its bootstrap kubeconfig."
                                   : fmt::format("Write a fresh {}: skiff node join.",
                                                 facts.bootstrap_kubeconfig.string());
    Verdict bad = can_renew ? Verdict::warn : Verdict::fail;
    if (!certificate) {
        return {check, bad, certificate.error().message, remedy};
    }
    std::string wanted = node::node_user(facts.node_name);
    if (certificate->common_name != wanted) {
        return {check, Verdict::warn,
                fmt::format("it is of \"{}\"", bounded_utf8(certificate->common_name, 80)),
                fmt::format("The node authorizer knows this node as {}: set nodeName, or get a "
                            "certificate of that name.",
                            wanted)};
    }
    if (certificate->not_before > facts.now) {
        return {check, Verdict::fail,
                fmt::format("it is valid from {} on", format_rfc3339(certificate->not_before)),
                "Set the clock right."};
    }
    std::string until = format_rfc3339(certificate->not_after);
    if (certificate->not_after <= facts.now) {
        return {check, bad, fmt::format("it ended at {}", until), remedy};
    }
    if (certificate->not_after - facts.now < kSoon) {
        return {check, Verdict::warn, fmt::format("it ends at {}", until),
                "The node renews it at 70 to 90 % of its life, if the cluster approves."};
    }
    return fine(check, fmt::format("{} until {}", certificate->common_name, until));
}

Finding judge_bootstrap(const IdentityFacts& facts) {
    const std::string check = "identity: bootstrap kubeconfig";
    std::string remedy = "Write it with: skiff node join SERVER --token … --ca-cert-hash …";
    if (!facts.bootstrap) {
        return {check, Verdict::fail, facts.bootstrap.error().message, remedy};
    }
    const kube::ClientConfig& client = *facts.bootstrap;
    if (!client.exec && client.token.empty() && client.token_file.empty() &&
        client.tls.client_certificate_pem.empty() && client.tls.client_certificate_file.empty()) {
        return {check, Verdict::fail, "it has neither a token nor a certificate", remedy};
    }
    if (!client.token.empty() && !node::is_bootstrap_token(client.token)) {
        return {check, Verdict::warn, "its token is no bootstrap token",
                "A token of the form abcdef.0123456789abcdef is made by: kubeadm token create."};
    }
    return fine(check, client.server);
}

}  // namespace

IdentityFacts observe_identity(const config::Settings& settings, WallTime now) {
    IdentityFacts facts;
    facts.node_name = settings.node_name;
    facts.now = now;
    facts.kubeconfig = settings.kubeconfig;
    facts.bootstrap_kubeconfig = settings.bootstrap_kubeconfig;
    facts.client = kube::load_kubeconfig(settings.kubeconfig);
    facts.bootstrap = kube::load_kubeconfig(settings.bootstrap_kubeconfig);
    std::vector<std::filesystem::path> secrets = {settings.kubeconfig,
                                                  settings.bootstrap_kubeconfig,
                                                  settings.tls_private_key_file,
                                                  settings.docker_config,
                                                  settings.cert_dir / "kubelet.key",
                                                  settings.cert_dir / "kubelet-client-current.pem"};
    if (facts.client) {
        facts.certificate = certificate_of(*facts.client);
        secrets.emplace_back(facts.client->tls.client_key_file);
        secrets.push_back(facts.client->token_file);
    }
    std::ranges::sort(secrets);
    secrets.erase(std::unique(secrets.begin(), secrets.end()), secrets.end());
    for (const std::filesystem::path& path : secrets) {
        struct stat status{};
        if (!path.empty() && ::stat(path.c_str(), &status) == 0) {
            facts.secrets.push_back({path, status.st_mode & 0777});
        }
    }
    return facts;
}

Findings judge_identity(const IdentityFacts& facts) {
    Findings all;
    bool no_kubeconfig = !facts.client && facts.client.error().code == Code::not_found;
    if (facts.client) {
        all.push_back(fine("identity: kubeconfig", facts.client->server));
        if (facts.certificate) {
            all.push_back(judge_certificate(facts));
        }
    } else if (!no_kubeconfig) {
        all.push_back(
            {"identity: kubeconfig", Verdict::fail, facts.client.error().message,
             fmt::format("Mend {}, or remove it to join again.", facts.kubeconfig.string())});
    }
    bool needs_bootstrap =
        no_kubeconfig || facts.bootstrap || facts.bootstrap.error().code != Code::not_found;
    if (needs_bootstrap) {
        all.push_back(judge_bootstrap(facts));
    }
    for (const SecretFile& file : facts.secrets) {
        if ((file.mode & 077) == 0) {
            all.push_back(fine("identity: file mode",
                               fmt::format("{} is {:04o}", file.path.string(), file.mode)));
        } else {
            all.push_back(
                {"identity: file mode", Verdict::fail,
                 fmt::format("{} is {:04o}: others may read it", file.path.string(), file.mode),
                 fmt::format("chmod 0600 {}", file.path.string())});
        }
    }
    return all;
}

}  // namespace skiff::app
