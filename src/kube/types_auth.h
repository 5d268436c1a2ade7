// Requests about identity: certificates, tokens, who a caller is and what it may do.
//
// Fields have the names and meanings of the Kubernetes API reference; see types.h for the mapping
// rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/types_meta.h"

namespace skiff::kube {

struct CertificateSigningRequestSpec {
    Base64 request;
    std::string signerName;
    std::optional<std::int32_t> expirationSeconds;
    std::vector<std::string> usages;
    std::string username;
    std::string uid;
    std::vector<std::string> groups;
    std::map<std::string, std::vector<std::string>> extra;
    friend bool operator==(const CertificateSigningRequestSpec&,
                           const CertificateSigningRequestSpec&) = default;
};

struct CertificateSigningRequestCondition {
    std::string type;
    std::string status;
    std::string reason;
    std::string message;
    std::optional<Time> lastUpdateTime;
    std::optional<Time> lastTransitionTime;
    friend bool operator==(const CertificateSigningRequestCondition&,
                           const CertificateSigningRequestCondition&) = default;
};

struct CertificateSigningRequestStatus {
    std::vector<CertificateSigningRequestCondition> conditions;
    Base64 certificate;
    friend bool operator==(const CertificateSigningRequestStatus&,
                           const CertificateSigningRequestStatus&) = default;
};

struct CertificateSigningRequest {
    std::string apiVersion = "certificates.k8s.io/v1";
    std::string kind = "CertificateSigningRequest";
    ObjectMeta metadata;
    CertificateSigningRequestSpec spec;
    CertificateSigningRequestStatus status;
    friend bool operator==(const CertificateSigningRequest&,
                           const CertificateSigningRequest&) = default;
};

struct ClusterTrustBundleSpec {
    std::string signerName;
    std::string trustBundle;  // PEM
    friend bool operator==(const ClusterTrustBundleSpec&, const ClusterTrustBundleSpec&) = default;
};

struct ClusterTrustBundle {
    std::string apiVersion = "certificates.k8s.io/v1";
    std::string kind = "ClusterTrustBundle";
    ObjectMeta metadata;
    ClusterTrustBundleSpec spec;
    friend bool operator==(const ClusterTrustBundle&, const ClusterTrustBundle&) = default;
};

struct PodCertificateRequestSpec {
    std::string signerName;
    std::string podName;
    std::string podUID;
    std::string serviceAccountName;
    std::string serviceAccountUID;
    std::string nodeName;
    std::string nodeUID;
    std::optional<std::int32_t> maxExpirationSeconds;
    Base64 stubPKCS10Request;
    std::map<std::string, std::string> unverifiedUserAnnotations;
    friend bool operator==(const PodCertificateRequestSpec&,
                           const PodCertificateRequestSpec&) = default;
};

struct PodCertificateRequestStatus {
    std::vector<Condition> conditions;
    std::string certificateChain;  // PEM
    std::optional<Time> notBefore;
    std::optional<Time> beginRefreshAt;
    std::optional<Time> notAfter;
    friend bool operator==(const PodCertificateRequestStatus&,
                           const PodCertificateRequestStatus&) = default;
};

struct PodCertificateRequest {
    std::string apiVersion = "certificates.k8s.io/v1";
    std::string kind = "PodCertificateRequest";
    ObjectMeta metadata;
    PodCertificateRequestSpec spec;
    PodCertificateRequestStatus status;
    friend bool operator==(const PodCertificateRequest&, const PodCertificateRequest&) = default;
};

// Of which only the identity is of interest.
struct ServiceAccount {
    std::string apiVersion = "v1";
    std::string kind = "ServiceAccount";
    ObjectMeta metadata;
    friend bool operator==(const ServiceAccount&, const ServiceAccount&) = default;
};

struct BoundObjectReference {
    std::string kind;
    std::string apiVersion;
    std::string name;
    std::string uid;
    friend bool operator==(const BoundObjectReference&, const BoundObjectReference&) = default;
};

struct TokenRequestSpec {
    std::vector<std::string> audiences;
    std::optional<std::int64_t> expirationSeconds;
    std::optional<BoundObjectReference> boundObjectRef;
    std::map<std::string, std::vector<std::string>> attestations;
    friend bool operator==(const TokenRequestSpec&, const TokenRequestSpec&) = default;
};

struct TokenRequestStatus {
    std::string token;
    std::optional<Time> expirationTimestamp;
    friend bool operator==(const TokenRequestStatus&, const TokenRequestStatus&) = default;
};

struct TokenRequest {
    std::string apiVersion = "authentication.k8s.io/v1";
    std::string kind = "TokenRequest";
    ObjectMeta metadata;
    TokenRequestSpec spec;
    TokenRequestStatus status;
    friend bool operator==(const TokenRequest&, const TokenRequest&) = default;
};

// tidy: allow names: the API's own name
struct UserInfo {
    std::string username;
    std::string uid;
    std::vector<std::string> groups;
    std::map<std::string, std::vector<std::string>> extra;
    friend bool operator==(const UserInfo&, const UserInfo&) = default;
};

struct TokenReviewSpec {
    std::string token;
    std::vector<std::string> audiences;
    friend bool operator==(const TokenReviewSpec&, const TokenReviewSpec&) = default;
};

struct TokenReviewStatus {
    bool authenticated = false;
    UserInfo user;
    std::vector<std::string> audiences;
    std::string error;
    friend bool operator==(const TokenReviewStatus&, const TokenReviewStatus&) = default;
};

struct TokenReview {
    std::string apiVersion = "authentication.k8s.io/v1";
    std::string kind = "TokenReview";
    ObjectMeta metadata;
    TokenReviewSpec spec;
    TokenReviewStatus status;
    friend bool operator==(const TokenReview&, const TokenReview&) = default;
};

struct ResourceAttributes {
    std::string namespace_;
    std::string verb;
    std::string group;
    std::string version;
    std::string resource;
    std::string subresource;
    std::string name;
    std::optional<RawJson> fieldSelector;
    std::optional<RawJson> labelSelector;
    friend bool operator==(const ResourceAttributes&, const ResourceAttributes&) = default;
};

struct NonResourceAttributes {
    std::string path;
    std::string verb;
    friend bool operator==(const NonResourceAttributes&, const NonResourceAttributes&) = default;
};

struct SubjectAccessReviewSpec {
    std::optional<ResourceAttributes> resourceAttributes;
    std::optional<NonResourceAttributes> nonResourceAttributes;
    std::string user;
    std::vector<std::string> groups;
    std::map<std::string, std::vector<std::string>> extra;
    std::string uid;
    friend bool operator==(const SubjectAccessReviewSpec&,
                           const SubjectAccessReviewSpec&) = default;
};

struct SubjectAccessReviewStatus {
    bool allowed = false;
    bool denied = false;
    std::string reason;
    std::string evaluationError;
    friend bool operator==(const SubjectAccessReviewStatus&,
                           const SubjectAccessReviewStatus&) = default;
};

struct SubjectAccessReview {
    std::string apiVersion = "authorization.k8s.io/v1";
    std::string kind = "SubjectAccessReview";
    ObjectMeta metadata;
    SubjectAccessReviewSpec spec;
    SubjectAccessReviewStatus status;
    friend bool operator==(const SubjectAccessReview&, const SubjectAccessReview&) = default;
};

// The answer of /version.
struct VersionAnswer {
    std::string major;
    std::string minor;
    std::string gitVersion;
    friend bool operator==(const VersionAnswer&, const VersionAnswer&) = default;
};

}  // namespace skiff::kube
