#include "pods/annotations.h"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "base/text.h"
#include "kube/pod_fields.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kConfigError = "CreateContainerConfigError";
constexpr std::string_view kPrefix = "skiff/";
constexpr std::array<std::string_view, 7> kNames = {
    "stop", "egress", "http-reuse", "http-limits", "drain-delay", "coredump", "link"};
constexpr std::string_view kAllowedDomains = "alpha.wasi.krustlet.dev/allowed-domains";
constexpr std::string_view kRequestsMax = "alpha.wasi.krustlet.dev/max-concurrent-requests";
constexpr std::string_view kAllowAll = "insecure:allow-all";
constexpr std::size_t kShownMax = 100;
constexpr std::size_t kUnknownMax = 10;  // that are named
constexpr std::size_t kLinksMax = 16;
constexpr std::size_t kDomainsMax = 256;
constexpr std::uint32_t kReuseMax = 1'000'000;
constexpr std::uint32_t kConcurrentMax = 1000;
constexpr std::uint32_t kRequestsAtOnceMax = 1000;
constexpr Duration kRequestTimeMin = std::chrono::milliseconds(100);
constexpr Duration kRequestTimeMax = std::chrono::hours(24);
constexpr Duration kDrainMax = std::chrono::hours(1);

// A value with the key under which it was found, for messages.
struct Found {
    std::string key;
    std::string value;
};

std::optional<Found> find(const kube::Pod& pod, const kube::Container& container,
                          std::string_view name) {
    for (std::string key :
         {fmt::format("{}.skiff/{}", container.name, name), fmt::format("skiff/{}", name)}) {
        auto found = pod.metadata.annotations.find(key);
        if (found != pod.metadata.annotations.end()) {
            return Found{std::move(key), found->second};
        }
    }
    return std::nullopt;
}

tl::unexpected<Error> refusal(const Found& found, std::string_view allowed) {
    return fail_because(Code::invalid, kConfigError, "annotation {} is \"{}\"; {}", found.key,
                        bounded_utf8(found.value, kShownMax), allowed);
}

std::optional<std::uint32_t> number_in(std::string_view text, std::uint32_t most) {
    auto number = parse_uint(text);
    if (!number || *number == 0 || *number > most) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(*number);
}

Result<void> read_stop(const Found& found, Annotations& into) {
    if (found.value != "file") {
        return refusal(found, "it may be \"file\"");
    }
    into.stop = Annotations::Stop::file;
    return {};
}

Result<void> read_egress(const Found& found, Annotations& into) {
    auto egress = parse_egress(std::string_view(found.value));
    if (!egress) {
        return fail_because(Code::invalid, kConfigError, "annotation {}: {}", found.key,
                            egress.error().message);
    }
    into.egress = std::move(*egress);
    return {};
}

Result<void> read_reuse(const Found& found, Annotations& into) {
    std::string_view text = found.value;
    std::size_t slash = text.find('/');
    auto count = number_in(text.substr(0, slash), kReuseMax);
    auto concurrent = slash == std::string_view::npos
                          ? std::optional<std::uint32_t>(1)
                          : number_in(text.substr(slash + 1), kConcurrentMax);
    if (!count || !concurrent) {
        return refusal(found, fmt::format("it may be COUNT or COUNT/CONCURRENT, COUNT 1-{} "
                                          "and CONCURRENT 1-{}",
                                          kReuseMax, kConcurrentMax));
    }
    into.http_reuse = Annotations::Reuse{*count, *concurrent};
    return {};
}

// Sets one of the limits; false when there is none of this name, or it was set, or not to that.
bool set_limit(std::string_view name, std::string_view value, HttpLimits& limits) {
    if (name == "requests" && limits.requests == 0) {
        limits.requests = number_in(value, kRequestsAtOnceMax).value_or(0);
        return limits.requests != 0;
    }
    if (name == "time" && limits.time == Duration::zero()) {
        auto time = parse_duration(value);
        limits.time = time.value_or(Duration::zero());
        return limits.time >= kRequestTimeMin && limits.time <= kRequestTimeMax;
    }
    if (name == "body" && limits.body.value == 0) {
        auto size = kube::Quantity::parse(value);
        if (!size || size->value() <= 0) {
            return false;
        }
        limits.body = Bytes{static_cast<std::uint64_t>(size->value())};
        return true;
    }
    return false;
}

Result<void> read_limits(const Found& found, Annotations& into) {
    HttpLimits limits;
    for (std::string_view part : split(found.value, ',')) {
        std::string_view entry = trim(part);
        std::size_t equals = std::min(entry.find('='), entry.size());
        std::string_view value = entry.substr(std::min(equals + 1, entry.size()));
        if (!set_limit(entry.substr(0, equals), value, limits)) {
            return refusal(found,
                           fmt::format("it may be one or several of requests=1-{}, time=100ms-24h "
                                       "and body=SIZE, parted by commas",
                                       kRequestsAtOnceMax));
        }
    }
    into.http_limits = limits;
    return {};
}

Result<void> read_drain(const Found& found, Annotations& into) {
    auto delay = parse_duration(found.value);
    if (!delay || *delay < Duration::zero() || *delay > kDrainMax) {
        return refusal(found, "it may be a duration of 0s to 1h, as in \"5s\"");
    }
    into.drain_delay = *delay;
    return {};
}

Result<void> read_coredump(const Found& found, Annotations& into) {
    if (found.value != "true" && found.value != "false") {
        return refusal(found, "it may be \"true\" or \"false\"");
    }
    into.coredump = found.value == "true" ? CoreDump::kept : CoreDump::none;
    return {};
}

Result<void> read_link(const Found& found, Annotations& into) {
    constexpr std::string_view kAllowed =
        "it may be 1 to 16 entries parted by commas, each a file of the image (\"/x.wasm\") or an "
        "image by digest (\"registry/name@sha256:…\")";
    for (std::string_view part : split(found.value, ',')) {
        std::string entry(trim(part));
        bool is_file = entry.starts_with('/');
        bool is_image = entry.find("@sha256:") != std::string::npos;
        if (!is_file && !is_image) {
            return refusal(found, kAllowed);
        }
        into.link.push_back(std::move(entry));
    }
    if (into.link.size() > kLinksMax) {
        return refusal(found, kAllowed);
    }
    return {};
}

// The host of an URL, as Krustlet compares it; nullopt for what is none.
std::optional<std::string> host_of(std::string_view url) {
    std::size_t scheme = url.find("://");
    if (scheme == std::string_view::npos || scheme == 0) {
        return std::nullopt;
    }
    std::string_view rest = url.substr(scheme + 3);
    rest = rest.substr(0, rest.find_first_of("/?#"));
    if (std::size_t user = rest.rfind('@'); user != std::string_view::npos) {
        rest.remove_prefix(user + 1);
    }
    std::size_t colon = rest.starts_with('[') ? rest.find(':', rest.find(']')) : rest.find(':');
    std::string_view host = rest.substr(0, colon);
    bool plain = std::ranges::none_of(host, [](unsigned char c) { return c <= ' '; });
    if (host.empty() || host.size() > 253 || !plain) {
        return std::nullopt;
    }
    return std::string(host);
}

Result<void> read_domains(const Found& found, HttpUse& into) {
    constexpr std::string_view kAllowed =
        "it may be a JSON array of at most 256 URLs, as in [\"https://example.com\"], or "
        "[\"insecure:allow-all\"]";
    boost::system::error_code error;
    auto value = boost::json::parse(found.value, error);
    if (error || !value.is_array() || value.get_array().size() > kDomainsMax) {
        return refusal(found, kAllowed);
    }
    into.given = true;
    into.reach = Reach::listed;
    for (const auto& entry : value.get_array()) {
        if (!entry.is_string()) {
            return refusal(found, kAllowed);
        }
        std::string_view url(entry.get_string().data(), entry.get_string().size());
        if (url == kAllowAll) {
            into.reach = Reach::everything;
            continue;
        }
        auto host = host_of(url);
        if (!host) {
            return refusal(found, kAllowed);
        }
        into.hosts.push_back(std::move(*host));
    }
    return {};
}

Result<void> read_krustlet(const kube::Pod& pod, HttpUse& into) {
    const auto& annotations = pod.metadata.annotations;
    if (auto found = annotations.find(std::string(kAllowedDomains)); found != annotations.end()) {
        SKIFF_CHECK(read_domains(Found{found->first, found->second}, into));
    }
    if (auto found = annotations.find(std::string(kRequestsMax)); found != annotations.end()) {
        constexpr std::uint32_t kMost = 65'536;
        auto number = number_in(found->second, kMost);
        if (!number) {
            return refusal(Found{found->first, found->second},
                           fmt::format("it may be a number of 1-{}", kMost));
        }
        into.requests_max = *number;
    }
    return {};
}

// Krustlet's hosts as entries; one that is no entry names nothing that could be reached.
Egress egress_of(const HttpUse& http) {
    Egress egress;
    egress.reach = Reach::listed;
    for (const std::string& host : http.hosts) {
        if (auto rule = parse_egress_rule(host)) {
            egress.rules.push_back(std::move(*rule));
        }
    }
    return egress;
}

Egress container_egress(const kube::Pod& pod, const kube::Container& container,
                        const Egress& of_node) {
    auto annotations = annotations_of(pod, container);
    if (!annotations) {
        return Egress{Reach::nothing, {}};
    }
    Egress egress = annotations->egress.value_or(of_node);
    const bool by_krustlet =
        annotations->http.given && annotations->http.reach != Reach::everything;
    return egress.reach == Reach::everything && by_krustlet ? egress_of(annotations->http) : egress;
}

}  // namespace

Result<Egress> pod_egress(const kube::Pod& pod, const Egress& of_node) {
    Egress all{Reach::nothing, {}};
    bool everything = false;
    bool too_many = false;
    kube::for_each_container(pod.spec, [&](const kube::Container& container) {
        const Egress its = container_egress(pod, container, of_node);
        everything = everything || its.reach == Reach::everything;
        for (const EgressRule& rule : its.rules) {
            too_many = too_many || all.rules.size() > kPodEgressRulesMax;
            if (!too_many && std::ranges::find(all.rules, rule) == all.rules.end()) {
                all.rules.push_back(rule);
            }
        }
    });
    if (all.rules.size() > kPodEgressRulesMax) {
        return fail(Code::invalid,
                    "the containers of the pod have more than {} different entries of skiff/egress",
                    kPodEgressRulesMax);
    }
    // What is listed by one stays beside what another may: only an entry opens what is closed.
    if (everything) {
        all.reach = Reach::everything;
    } else if (!all.rules.empty()) {
        all.reach = Reach::listed;
    }
    return all;
}

Result<Annotations> annotations_of(const kube::Pod& pod, const kube::Container& container) {
    struct Reader {
        std::string_view name;
        Result<void> (*read)(const Found&, Annotations&);
    };
    constexpr std::array<Reader, 7> kReaders = {{{"stop", read_stop},
                                                 {"egress", read_egress},
                                                 {"http-reuse", read_reuse},
                                                 {"http-limits", read_limits},
                                                 {"drain-delay", read_drain},
                                                 {"coredump", read_coredump},
                                                 {"link", read_link}}};
    static_assert(kReaders.size() == kNames.size());
    Annotations annotations;
    for (const Reader& reader : kReaders) {
        if (auto found = find(pod, container, reader.name)) {
            SKIFF_CHECK(reader.read(*found, annotations));
        }
    }
    SKIFF_CHECK(read_krustlet(pod, annotations.http));
    return annotations;
}

std::vector<std::string> unknown_annotations(const kube::Pod& pod) {
    std::vector<std::string> lines;
    std::size_t more = 0;
    auto add = [&](std::string line) {
        if (lines.size() < kUnknownMax) {
            lines.push_back(std::move(line));
        } else {
            ++more;
        }
    };
    for (const auto& [key, value] : pod.metadata.annotations) {
        std::size_t slash = key.find('/');
        if (slash == std::string::npos) {
            continue;
        }
        std::string prefix = key.substr(0, slash + 1);
        std::string name = key.substr(slash + 1);
        bool whole_pod = prefix == kPrefix;
        bool one = !whole_pod && prefix.ends_with(".skiff/");
        if (!whole_pod && !one) {
            continue;
        }
        if (std::ranges::find(kNames, name) == kNames.end()) {
            add(fmt::format("annotation {} is unknown and has no effect", key));
            continue;
        }
        std::string container = one ? prefix.substr(0, prefix.size() - 7) : std::string();
        if (one && kube::find_container(pod, container) == nullptr) {
            add(fmt::format("annotation {} names no container of the pod", key));
        }
    }
    if (more > 0) {
        lines.push_back(fmt::format("{} more annotations have no effect", more));
    }
    return lines;
}

}  // namespace skiff::pods
