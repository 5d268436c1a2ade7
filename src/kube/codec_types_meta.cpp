// The codec tables of types_meta.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(OwnerReference, (),
                      (apiVersion, kind, name, uid, controller, blockOwnerDeletion))
SKIFF_KUBE_TYPE(OwnerReference, "apiVersion", "kind", "name", "uid")

BOOST_DESCRIBE_STRUCT(ObjectMeta, (),
                      (name, generateName, namespace_, selfLink, uid, resourceVersion, generation,
                       creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, labels,
                       annotations, ownerReferences, finalizers, managedFields))
SKIFF_KUBE_TYPE(ObjectMeta)

BOOST_DESCRIBE_STRUCT(ListMeta, (),
                      (selfLink, resourceVersion, continue_, remainingItemCount, shardInfo))
SKIFF_KUBE_TYPE(ListMeta)

BOOST_DESCRIBE_STRUCT(LabelSelectorRequirement, (), (key, operator_, values))
SKIFF_KUBE_TYPE(LabelSelectorRequirement, "key", "operator")

BOOST_DESCRIBE_STRUCT(LabelSelector, (), (matchLabels, matchExpressions))
SKIFF_KUBE_TYPE(LabelSelector)

BOOST_DESCRIBE_STRUCT(StatusCause, (), (reason, message, field))
SKIFF_KUBE_TYPE(StatusCause)

BOOST_DESCRIBE_STRUCT(StatusDetails, (), (name, group, kind, uid, causes, retryAfterSeconds))
SKIFF_KUBE_TYPE(StatusDetails)

BOOST_DESCRIBE_STRUCT(Status, (),
                      (apiVersion, kind, metadata, status, message, reason, details, code))
SKIFF_KUBE_TYPE(Status, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(LocalObjectReference, (), (name))
SKIFF_KUBE_TYPE(LocalObjectReference)

BOOST_DESCRIBE_STRUCT(ObjectReference, (),
                      (kind, namespace_, name, uid, apiVersion, resourceVersion, fieldPath))
SKIFF_KUBE_TYPE(ObjectReference)

BOOST_DESCRIBE_STRUCT(TypedLocalObjectReference, (), (apiGroup, kind, name))
SKIFF_KUBE_TYPE(TypedLocalObjectReference, "kind", "name")

BOOST_DESCRIBE_STRUCT(TypedObjectReference, (), (apiGroup, kind, name, namespace_))
SKIFF_KUBE_TYPE(TypedObjectReference, "kind", "name")

BOOST_DESCRIBE_STRUCT(ObjectFieldSelector, (), (apiVersion, fieldPath))
SKIFF_KUBE_TYPE(ObjectFieldSelector, "fieldPath")

BOOST_DESCRIBE_STRUCT(ResourceFieldSelector, (), (containerName, resource, divisor))
SKIFF_KUBE_TYPE(ResourceFieldSelector, "resource")

BOOST_DESCRIBE_STRUCT(Condition, (),
                      (type, status, observedGeneration, lastTransitionTime, reason, message))
SKIFF_KUBE_TYPE(Condition, "type", "status", "reason", "message")

}  // namespace skiff::kube
