// The codec tables of types_workload.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(DeploymentSpec, (),
                      (replicas, selector, template_, strategy, minReadySeconds,
                       revisionHistoryLimit, paused, progressDeadlineSeconds))
SKIFF_KUBE_TYPE(DeploymentSpec)

BOOST_DESCRIBE_STRUCT(Deployment, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(Deployment, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(JobSpec, (),
                      (parallelism, completions, activeDeadlineSeconds, podFailurePolicy,
                       successPolicy, backoffLimit, backoffLimitPerIndex, maxFailedIndexes,
                       selector, manualSelector, template_, ttlSecondsAfterFinished, completionMode,
                       suspend, podReplacementPolicy, managedBy, scheduling))
SKIFF_KUBE_TYPE(JobSpec)

BOOST_DESCRIBE_STRUCT(Job, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(Job, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(JobTemplateSpec, (), (metadata, spec))
SKIFF_KUBE_TYPE(JobTemplateSpec)

BOOST_DESCRIBE_STRUCT(CronJobSpec, (),
                      (schedule, timeZone, startingDeadlineSeconds, concurrencyPolicy, suspend,
                       jobTemplate, successfulJobsHistoryLimit, failedJobsHistoryLimit))
SKIFF_KUBE_TYPE(CronJobSpec, "schedule")

BOOST_DESCRIBE_STRUCT(CronJob, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(CronJob, "apiVersion", "kind")

}  // namespace skiff::kube
