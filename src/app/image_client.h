// `skiff image` where an agent runs: asks it through its socket. Reactor thread only.
#pragma once

#include <filesystem>

#include "app/image_verbs.h"
#include "http/client.h"

namespace skiff::app {

class ImageClient final : public ImageVerbs {
public:
    // `client` outlives it.
    ImageClient(http::Client& client, std::filesystem::path socket)
        : client_(client), socket_(std::move(socket)) {}

    // Each fails with unavailable when no agent listens there, and else with the agent's words.
    [[nodiscard]] async::Task<Result<ImageList>> list() override;
    [[nodiscard]] async::Task<Result<void>> precompile(PrecompileRequest request,
                                                       StepSink steps) override;
    [[nodiscard]] async::Task<Result<RemovedImage>> remove(std::string reference) override;

private:
    [[nodiscard]] http::Request request_for(std::string method, std::string target) const;
    [[nodiscard]] async::Task<Result<std::string>> ask(http::Request request);

    http::Client& client_;
    std::filesystem::path socket_;
};

}  // namespace skiff::app
