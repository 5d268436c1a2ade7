// The codec tables of types_auth.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(CertificateSigningRequestSpec, (),
                      (request, signerName, expirationSeconds, usages, username, uid, groups,
                       extra))
SKIFF_KUBE_TYPE(CertificateSigningRequestSpec, "request", "signerName")

BOOST_DESCRIBE_STRUCT(CertificateSigningRequestCondition, (),
                      (type, status, reason, message, lastUpdateTime, lastTransitionTime))
SKIFF_KUBE_TYPE(CertificateSigningRequestCondition, "type", "status")

BOOST_DESCRIBE_STRUCT(CertificateSigningRequestStatus, (), (conditions, certificate))
SKIFF_KUBE_TYPE(CertificateSigningRequestStatus)

BOOST_DESCRIBE_STRUCT(CertificateSigningRequest, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(CertificateSigningRequest, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(ClusterTrustBundleSpec, (), (signerName, trustBundle))
SKIFF_KUBE_TYPE(ClusterTrustBundleSpec, "trustBundle")

BOOST_DESCRIBE_STRUCT(ClusterTrustBundle, (), (apiVersion, kind, metadata, spec))
SKIFF_KUBE_TYPE(ClusterTrustBundle, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(PodCertificateRequestSpec, (),
                      (signerName, podName, podUID, serviceAccountName, serviceAccountUID, nodeName,
                       nodeUID, maxExpirationSeconds, stubPKCS10Request, unverifiedUserAnnotations))
SKIFF_KUBE_TYPE(PodCertificateRequestSpec, "signerName", "podName", "podUID", "serviceAccountName",
                "serviceAccountUID", "nodeName", "nodeUID", "stubPKCS10Request")

BOOST_DESCRIBE_STRUCT(PodCertificateRequestStatus, (),
                      (conditions, certificateChain, notBefore, beginRefreshAt, notAfter))
SKIFF_KUBE_TYPE(PodCertificateRequestStatus)

BOOST_DESCRIBE_STRUCT(PodCertificateRequest, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(PodCertificateRequest, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(ServiceAccount, (), (apiVersion, kind, metadata))
SKIFF_KUBE_TYPE(ServiceAccount, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(BoundObjectReference, (), (kind, apiVersion, name, uid))
SKIFF_KUBE_TYPE(BoundObjectReference)

BOOST_DESCRIBE_STRUCT(TokenRequestSpec, (),
                      (audiences, expirationSeconds, boundObjectRef, attestations))
SKIFF_KUBE_TYPE(TokenRequestSpec, "audiences")

BOOST_DESCRIBE_STRUCT(TokenRequestStatus, (), (token, expirationTimestamp))
SKIFF_KUBE_TYPE(TokenRequestStatus, "token")

BOOST_DESCRIBE_STRUCT(TokenRequest, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(TokenRequest, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(UserInfo, (), (username, uid, groups, extra))
SKIFF_KUBE_TYPE(UserInfo)

BOOST_DESCRIBE_STRUCT(TokenReviewSpec, (), (token, audiences))
SKIFF_KUBE_TYPE(TokenReviewSpec)

BOOST_DESCRIBE_STRUCT(TokenReviewStatus, (), (authenticated, user, audiences, error))
SKIFF_KUBE_TYPE(TokenReviewStatus)

BOOST_DESCRIBE_STRUCT(TokenReview, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(TokenReview, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(ResourceAttributes, (),
                      (namespace_, verb, group, version, resource, subresource, name, fieldSelector,
                       labelSelector))
SKIFF_KUBE_TYPE(ResourceAttributes)

BOOST_DESCRIBE_STRUCT(NonResourceAttributes, (), (path, verb))
SKIFF_KUBE_TYPE(NonResourceAttributes)

BOOST_DESCRIBE_STRUCT(SubjectAccessReviewSpec, (),
                      (resourceAttributes, nonResourceAttributes, user, groups, extra, uid))
SKIFF_KUBE_TYPE(SubjectAccessReviewSpec)

BOOST_DESCRIBE_STRUCT(SubjectAccessReviewStatus, (), (allowed, denied, reason, evaluationError))
SKIFF_KUBE_TYPE(SubjectAccessReviewStatus, "allowed")

BOOST_DESCRIBE_STRUCT(SubjectAccessReview, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(SubjectAccessReview, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(VersionAnswer, (), (major, minor, gitVersion))
SKIFF_KUBE_TYPE(VersionAnswer, "gitVersion")

}  // namespace skiff::kube
