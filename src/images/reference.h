// Image references by docker's rules, as Kubernetes takes them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "images/digest.h"

namespace skiff::images {

// "docker.io/library/nginx:1.27@sha256:…", all defaults filled in.
struct Reference {
    std::string registry;    // as names have it: "docker.io", "registry.example:5000", "[::1]:5000"
    std::string repository;  // "library/nginx"
    std::string tag;         // empty where only a digest was given
    std::optional<Digest> digest;

    // "registry/repository".
    [[nodiscard]] std::string name() const { return registry + "/" + repository; }
    // The whole reference.
    [[nodiscard]] std::string str() const;
    // What follows /manifests/ in a request: the digest if there is one, else the tag.
    [[nodiscard]] std::string manifest_key() const;
    friend bool operator==(const Reference&, const Reference&) = default;
};

// Parses what a user wrote: without a registry docker.io, there without a folder "library/",
// without tag and digest the tag "latest". Fails with Code::invalid and the words of docker's
// library ("invalid reference format").
[[nodiscard]] Result<Reference> parse_reference(std::string_view text);

}  // namespace skiff::images
