#include "kube/codec.h"

#include <array>

#include "base/fuzz.h"
#include "kube/defaults.h"
#include "kube/validate.h"

namespace skiff::kube {

// What was understood is written so that it is understood again, also by a strict reader.
template <typename T>
static void check_object(const T& object) {
    const std::string text = to_json(object);
    const auto again = from_json_strict<T>(text);
    SKIFF_ASSERT(again.has_value(), again ? "" : again.error().message);
    SKIFF_ASSERT(*again == object, text);
    SKIFF_ASSERT(to_json(*again) == text);
}

template <typename T>
static void check_list(std::string_view json) {
    const auto list = list_from_json<T>(json);
    if (!list) {
        fuzz::check_error(list.error());
        return;
    }
    for (const T& item : list->items) {
        check_object(item);
    }
}

template <typename T>
static void check_event(std::string_view json) {
    const auto event = watch_event_from_json<T>(json);
    if (!event) {
        fuzz::check_error(event.error());
    } else if (event->kind == WatchKind::error) {
        check_object(event->status);
    } else {
        check_object(event->object);
    }
}

static void check_pod(Pod pod) {
    const auto valid = validate(pod);
    if (!valid) {
        fuzz::check_error(valid.error());
    }
    apply_defaults(pod);
    Pod twice = pod;
    apply_defaults(twice);
    SKIFF_ASSERT(twice == pod);
    SKIFF_ASSERT(!qos_class(pod.spec).empty());
}

template <typename T>
static void check_type(std::string_view json) {
    const auto strict = from_json_strict<T>(json);
    if (!strict) {
        fuzz::check_error(strict.error());
    }
    const auto object = from_json<T>(json);
    SKIFF_ASSERT(object || !strict, "a strict reader takes what a lenient one refuses");
    if (!object) {
        fuzz::check_error(object.error());
    } else {
        check_object(*object);
        if constexpr (std::is_same_v<T, Pod>) {
            check_pod(*object);
        }
    }
    check_list<T>(json);
    check_event<T>(json);
}

// The input: a byte that chooses the type, then JSON.
SKIFF_FUZZ(kube_codec) {
    constexpr std::array kTypes = {&check_type<Pod>,
                                   &check_type<Node>,
                                   &check_type<Secret>,
                                   &check_type<ConfigMap>,
                                   &check_type<Service>,
                                   &check_type<Event>,
                                   &check_type<Lease>,
                                   &check_type<Deployment>,
                                   &check_type<Job>,
                                   &check_type<CronJob>,
                                   &check_type<Status>,
                                   &check_type<RuntimeClass>,
                                   &check_type<TokenReview>,
                                   &check_type<TokenRequest>,
                                   &check_type<CertificateSigningRequest>,
                                   &check_type<SubjectAccessReview>,
                                   &check_type<ClusterTrustBundle>,
                                   &check_type<PodCertificateRequest>,
                                   &check_type<ServiceAccount>,
                                   &check_type<PersistentVolumeClaim>,
                                   &check_type<PersistentVolume>};
    fuzz::Input input(bytes);
    kTypes[input.byte() % kTypes.size()](input.rest());
}

}  // namespace skiff::kube
