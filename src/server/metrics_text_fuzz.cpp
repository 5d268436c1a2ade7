#include "base/fuzz.h"
#include "server/http_meter.h"
#include "server/metrics_text.h"

namespace skiff::server {

// Accept fields and label values: a page is lines that end, whatever is in them.
SKIFF_FUZZ(server_metrics_text) {
    fuzz::Input input(bytes);
    const MetricsFormat format = metrics_format(input.part());
    const std::string_view value = input.part();
    MetricsText text(format);
    text.begin("x_total", metrics::Type::counter, "X");
    text.sample({{"a", value}}, 1);
    const std::string page = std::move(text).str();
    std::size_t lines = 0;
    for (char c : page) {
        lines += c == '\n' ? 1U : 0U;
    }
    SKIFF_ASSERT(lines == (format == MetricsFormat::plain ? 3U : 4U), page);
    SKIFF_ASSERT(metered_path(value).size() < 32);
}

}  // namespace skiff::server
