#include "server/authorization.h"

#include <fmt/ranges.h>

#include "base/log.h"

namespace skiff::server {

namespace {

constexpr std::size_t kAnswersMax = 4096;

struct Route {
    std::string_view segment;
    std::vector<std::string> subresources;
};

const std::vector<Route>& fine_grained_routes() {
    static const std::vector<Route> routes = {
        {"healthz", {"healthz", "proxy"}},  {"pods", {"pods", "proxy"}},
        {"runningpods", {"pods", "proxy"}}, {"allocatedPods", {"pods", "proxy"}},
        {"configz", {"configz", "proxy"}},  {"flagz", {"configz"}},
        {"statusz", {"statusz"}},           {"stats", {"stats"}},
        {"metrics", {"metrics"}},           {"logs", {"log"}},
        {"checkpoint", {"checkpoint"}},
    };
    return routes;
}

std::string verb_of(std::string_view method) {
    constexpr std::pair<std::string_view, std::string_view> kVerbs[] = {
        {"GET", "get"},     {"POST", "create"},   {"PUT", "update"},
        {"PATCH", "patch"}, {"DELETE", "delete"},
    };
    for (const auto& [name, verb] : kVerbs) {
        if (name == method) {
            return std::string(verb);
        }
    }
    return {};
}

// Length-prefixed, so that no two different questions have the same key.
void add_to_key(std::string& key, const std::string& part) {
    key += fmt::format("{}:{}", part.size(), part);
}

std::string key_of(const User& user, const std::string& verb, const std::string& subresource) {
    std::string key;
    for (const std::string* part : {&verb, &subresource, &user.name, &user.uid}) {
        add_to_key(key, *part);
    }
    for (const std::string& group : user.groups) {
        add_to_key(key, group);
    }
    key += '|';
    for (const auto& [name, values] : user.extra) {
        add_to_key(key, name);
        key += fmt::format("#{}", values.size());
        for (const std::string& value : values) {
            add_to_key(key, value);
        }
    }
    return key;
}

}  // namespace

Attributes attributes_of(std::string_view method, const RequestTarget& target) {
    Attributes attributes{verb_of(method), {"proxy"}};
    for (const Route& route : fine_grained_routes()) {
        if (route.segment == target.route()) {
            attributes.subresources = route.subresources;
        }
    }
    return attributes;
}

Authorizer::Authorizer(const Clock& clock, Reviews* reviews, std::string node_name,
                       AuthorizationMode mode, AnswerLifetimes lifetimes)
    : clock_(clock),
      reviews_(reviews),
      node_name_(std::move(node_name)),
      mode_(mode),
      lifetimes_(lifetimes),
      answers_(kAnswersMax) {}

async::Task<Result<bool>> Authorizer::ask(const User& user, std::string verb,
                                          std::string subresource) {
    if (reviews_ == nullptr) {
        co_return false;
    }
    std::string key = key_of(user, verb, subresource);
    if (const bool* known = answers_.find(key, clock_.steady_now())) {
        co_return *known;
    }
    kube::SubjectAccessReviewSpec spec;
    spec.user = user.name;
    spec.uid = user.uid;
    spec.groups = user.groups;
    spec.extra = user.extra;
    kube::ResourceAttributes& resource = spec.resourceAttributes.emplace();
    resource.verb = std::move(verb);
    resource.version = "v1";
    resource.resource = "nodes";
    resource.subresource = std::move(subresource);
    resource.name = node_name_;
    SKIFF_CO_TRY(auto status, co_await reviews_->review_access(std::move(spec)));
    bool allowed = status.allowed && !status.denied;
    Duration keep = allowed ? lifetimes_.allowed : lifetimes_.refused;
    answers_.put(key, allowed,
                 clock_.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(keep));
    co_return allowed;
}

async::Task<Result<void>> Authorizer::authorize(User user, Attributes attributes) {
    if (mode_ == AuthorizationMode::always_allow) {
        co_return Result<void>{};
    }
    for (const std::string& subresource : attributes.subresources) {
        if (attributes.verb.empty()) {
            break;
        }
        auto allowed = co_await ask(user, attributes.verb, subresource);
        if (!allowed) {
            log::warn("access review failed", log::kv("user", user.name),
                      log::kv("error", allowed.error().message));
            co_return fail(Code::internal,
                           "Authorization error (user={}, verb={}, resource=nodes, subresource={})",
                           user.name, attributes.verb, subresource);
        }
        if (*allowed) {
            co_return Result<void>{};
        }
    }
    co_return fail(Code::denied,
                   "Forbidden (user={}, verb={}, resource=nodes, subresource(s)=[{}])\n", user.name,
                   attributes.verb, fmt::join(attributes.subresources, " "));
}

}  // namespace skiff::server
