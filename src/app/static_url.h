// The static pods of a URL (staticPodURL, contract row 54).
#pragma once

#include <string>

#include "app/static_document.h"
#include "http/client.h"

namespace skiff::app {

inline constexpr Duration kStaticUrlTimeout = std::chrono::seconds(10);
// After so many failures in a row they are told at debug level only.
inline constexpr int kStaticUrlFailuresTold = 3;

struct StaticUrlSettings {
    std::string url;  // http or https
    http::Headers headers;
};

// Reactor thread.
class StaticUrl {
public:
    // `ports` and `client` outlive it.
    StaticUrl(const StaticPorts& ports, http::Client& client, StaticUrlSettings settings);

    // Asks for the manifest and takes it. A URL that fails, or whose answer is no manifest, leaves
    // what runs of it alone; an empty answer has no pods. Redirects are not followed: the header
    // fields are for this server. Images are references.
    [[nodiscard]] async::Task<void> poll();
    // Whether every pod of the last answer is applied.
    [[nodiscard]] bool applied() const { return document_.applied(); }

private:
    [[nodiscard]] async::Task<Result<void>> ask();

    http::Client& client_;
    StaticUrlSettings settings_;
    StaticDocument document_;
    int failures_ = 0;
};

}  // namespace skiff::app
