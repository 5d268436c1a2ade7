#include "app/meters.h"

namespace skiff::app {

Meters::Meters() {
    for (const char* type : {"container", "init_container", "ephemeral_container"}) {
        started_containers.add({type}, 0);
    }
    for (const char* signal :
         {"memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available",
          "imagefs.inodesFree", "pid.available", "ephemeralpodfs.limit"}) {
        evictions.add({signal}, 0);
    }
    started_pods.add({}, 0);
    started_pods_errors.add({}, 0);
    pull_bytes.add({}, 0);
    for (metrics::Histograms* all :
         {&pod_start, &pod_start_sli, &pod_start_total, &compile_seconds, &reactor_lag}) {
        (void)all->at({});
    }
    for (const char* result : {"cached", "compiled", "failed"}) {
        compiles.add({result}, 0);
    }
    for (const char* result : {"done", "failed"}) {
        pulls.add({result}, 0);
    }
    for (const char* phase : {"sandbox", "volumes", "image", "compile", "run"}) {
        (void)start_phase.at({phase});
    }
}

void Meters::write(server::MetricsText& text) const {
    for (const metrics::Counters* family :
         {&started_pods, &started_pods_errors, &started_containers, &started_containers_errors,
          &operations, &operation_errors, &evictions, &requests, &compiles, &pulls, &pull_bytes}) {
        text.add(*family);
    }
    for (const metrics::Histograms* family :
         {&pod_start, &pod_start_sli, &pod_start_total, &pod_worker, &operation_seconds,
          &request_seconds, &start_phase, &compile_seconds, &pull_seconds, &reactor_lag}) {
        text.add(*family);
    }
}

std::string size_class(Bytes size) {
    struct Class {
        Bytes above;
        const char* label;
    };
    static constexpr Class kClasses[] = {
        {100_GiB, "GT100GB"},     {60_GiB, "60GB-100GB"}, {40_GiB, "40GB-60GB"},
        {30_GiB, "30GB-40GB"},    {20_GiB, "20GB-30GB"},  {10_GiB, "10GB-20GB"},
        {5_GiB, "5GB-10GB"},      {1_GiB, "1GB-5GB"},     {500_MiB, "500MB-1GB"},
        {100_MiB, "100MB-500MB"}, {10_MiB, "10MB-100MB"}, {Bytes{0}, "0-10MB"}};
    for (const Class& one : kClasses) {
        if (size.value > one.above.value) {
            return one.label;
        }
    }
    return "N/A";
}

}  // namespace skiff::app
