// Controllers' objects that `skiff run FILE` reads: Deployment, Job, CronJob.
//
// Fields have the names and meanings of the Kubernetes API reference; see types.h for the mapping
// rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/types_pod.h"

namespace skiff::kube {

struct DeploymentSpec {
    std::optional<std::int32_t> replicas;
    std::optional<LabelSelector> selector;
    PodTemplateSpec template_;
    RawJson strategy;
    std::int32_t minReadySeconds = 0;
    std::optional<std::int32_t> revisionHistoryLimit;
    bool paused = false;
    std::optional<std::int32_t> progressDeadlineSeconds;
    friend bool operator==(const DeploymentSpec&, const DeploymentSpec&) = default;
};

struct Deployment {
    std::string apiVersion = "apps/v1";
    std::string kind = "Deployment";
    ObjectMeta metadata;
    DeploymentSpec spec;
    Ignored status;
    friend bool operator==(const Deployment&, const Deployment&) = default;
};

struct JobSpec {
    std::optional<std::int32_t> parallelism;
    std::optional<std::int32_t> completions;
    std::optional<std::int64_t> activeDeadlineSeconds;
    std::optional<RawJson> podFailurePolicy;
    std::optional<RawJson> successPolicy;
    std::optional<std::int32_t> backoffLimit;
    std::optional<std::int32_t> backoffLimitPerIndex;
    std::optional<std::int32_t> maxFailedIndexes;
    std::optional<LabelSelector> selector;
    std::optional<bool> manualSelector;
    PodTemplateSpec template_;
    std::optional<std::int32_t> ttlSecondsAfterFinished;
    std::optional<std::string> completionMode;
    std::optional<bool> suspend;
    std::optional<std::string> podReplacementPolicy;
    std::optional<std::string> managedBy;
    std::optional<RawJson> scheduling;
    friend bool operator==(const JobSpec&, const JobSpec&) = default;
};

struct Job {
    std::string apiVersion = "batch/v1";
    std::string kind = "Job";
    ObjectMeta metadata;
    JobSpec spec;
    Ignored status;
    friend bool operator==(const Job&, const Job&) = default;
};

struct JobTemplateSpec {
    ObjectMeta metadata;
    JobSpec spec;
    friend bool operator==(const JobTemplateSpec&, const JobTemplateSpec&) = default;
};

struct CronJobSpec {
    std::string schedule;
    std::optional<std::string> timeZone;
    std::optional<std::int64_t> startingDeadlineSeconds;
    std::string concurrencyPolicy;
    std::optional<bool> suspend;
    JobTemplateSpec jobTemplate;
    std::optional<std::int32_t> successfulJobsHistoryLimit;
    std::optional<std::int32_t> failedJobsHistoryLimit;
    friend bool operator==(const CronJobSpec&, const CronJobSpec&) = default;
};

struct CronJob {
    std::string apiVersion = "batch/v1";
    std::string kind = "CronJob";
    ObjectMeta metadata;
    CronJobSpec spec;
    Ignored status;
    friend bool operator==(const CronJob&, const CronJob&) = default;
};

}  // namespace skiff::kube
