#include "base/fuzz.h"
#include "kube/client_exec.h"

namespace skiff::kube {

SKIFF_FUZZ(kube_client_exec) {
    for (std::string_view version : kExecApiVersions) {
        const auto credential = parse_exec_credential(bytes, version);
        if (!credential) {
            fuzz::check_error(credential.error());
            continue;
        }
        SKIFF_ASSERT(credential->certificate_pem.empty() == credential->key_pem.empty());
        SKIFF_ASSERT(!credential->token.empty() || !credential->key_pem.empty());
        SKIFF_ASSERT(credential->token.find('\n') == std::string::npos);
    }
}

}  // namespace skiff::kube
