#include "app/check_cluster.h"
#include "base/fuzz.h"

namespace skiff::app {

// What a server says of its time and version.
SKIFF_FUZZ(app_check) {
    if (auto time = parse_http_date(bytes)) {
        SKIFF_ASSERT(!format_rfc3339(*time).empty());
    }
    ClusterFacts facts;
    ServerAnswer answer;
    answer.status = 200;
    answer.date = bytes;
    answer.body = bytes;
    facts.version = answer;
    facts.own = answer;
    for (const Finding& finding : judge_cluster(facts)) {
        SKIFF_ASSERT(!finding.detail.empty() && finding.detail.size() <= fuzz::kMessageBytesMax);
    }
    SKIFF_ASSERT(!findings_json(judge_cluster(facts)).empty());
}

}  // namespace skiff::app
