// The image verbs at the agent's own socket:
//   GET    /skiff/images
//   DELETE /skiff/images?image=REFERENCE
//   POST   /skiff/images/precompile?image=REFERENCE&runtime=NAME&modules=started|all
// The last one answers with a line of JSON for each step. Failures before the first are a status
// and a text.
#pragma once

#include "app/image_verbs.h"
#include "server/kubelet_api.h"

namespace skiff::app {

class ImageRoutes final : public server::LocalRoutes {
public:
    explicit ImageRoutes(ImageVerbs& verbs) : verbs_(verbs) {}
    [[nodiscard]] async::Task<void> serve(http::Exchange& exchange,
                                          const server::RequestTarget& target) override;

private:
    [[nodiscard]] async::Task<http::ServerResponse> list();
    [[nodiscard]] async::Task<http::ServerResponse> remove(const server::RequestTarget& target);
    [[nodiscard]] async::Task<void> precompile(http::Exchange& exchange,
                                               const server::RequestTarget& target);

    ImageVerbs& verbs_;
};

}  // namespace skiff::app
