#include "app/container_metrics.h"

#include <fmt/format.h>
#include <map>

#include <array>

namespace skiff::app {

namespace {

using server::MetricsText;
using Type = MetricsText::Type;
using os::CgroupDetail;
template <typename T>
using Field = std::optional<T> CgroupDetail::*;

// One line of cAdvisor's in each family: a container, a pod (no container's name), or the machine.
struct Row {
    std::string id;
    std::string image;
    std::string name;
    std::string container;
    PodName pod;
    CgroupDetail group;
    const ContainerSample* sample = nullptr;                // of a container
    const std::vector<server::LinkStats>* links = nullptr;  // of a pod, or the machine

    [[nodiscard]] std::vector<MetricsText::Label> labels() const {
        return {{"container", container}, {"id", id},       {"image", image}, {"name", name},
                {"namespace", pod.ns},    {"pod", pod.name}};
    }
};

double number(std::uint64_t value) {
    return static_cast<double>(value);
}
double number(std::int64_t value) {
    return static_cast<double>(value);
}
double number(Bytes value) {
    return static_cast<double>(value.value);
}
double number(std::chrono::nanoseconds value) {
    return std::chrono::duration<double>(value).count();
}
double unix_seconds(WallTime at) {
    return number(std::chrono::nanoseconds(at.time_since_epoch()));
}

template <typename T>
void add(std::optional<T>& sum, const std::optional<T>& value) {
    if (!value) {
        return;
    }
    if constexpr (std::is_same_v<T, Bytes>) {
        sum = Bytes{sum.value_or(Bytes{}).value + value->value};
    } else {
        sum = sum.value_or(T{}) + *value;
    }
}

// What containers' groups use together; no limits.
void add(CgroupDetail& sum, const CgroupDetail& one) {
    add(sum.memory, one.memory);
    add(sum.working_set, one.working_set);
    add(sum.anonymous, one.anonymous);
    add(sum.file, one.file);
    add(sum.file_mapped, one.file_mapped);
    add(sum.swap, one.swap);
    add(sum.processes, one.processes);
    add(sum.threads, one.threads);
}

std::vector<Row> rows_of(const ContainersSample& sample) {
    std::vector<Row> rows;
    Row& machine = rows.emplace_back();
    machine.id = "/";
    machine.group.cpu = sample.machine.cpu;
    machine.group.working_set = sample.machine.memory_working_set;
    machine.links = &sample.machine.links;
    std::map<PodName, CgroupDetail> sums;
    for (const ContainerSample& one : sample.containers) {
        add(sums[one.pod], one.look.group);
    }
    for (const PodSample& pod : sample.pods) {
        Row& row = rows.emplace_back();
        row.id = fmt::format("/pod{}", pod.uid);
        row.pod = pod.name;
        row.group = sums[pod.name];
        row.group.cpu = pod.cpu;
        row.links = &pod.links;
    }
    for (const ContainerSample& one : sample.containers) {
        Row& row = rows.emplace_back();
        row.id = "/" + one.look.group_name;
        row.image = one.image;
        row.name = one.id;
        row.container = one.name;
        row.pod = one.pod;
        row.group = one.look.group;
        row.sample = &one;
    }
    return rows;
}

class Page {
public:
    Page(const ContainersSample& sample, MetricsText& text) : rows_(rows_of(sample)), text_(text) {}

    void begin(std::string_view name, Type type, std::string_view help) {
        text_.begin(name, type, help);
    }
    // A sample of each row of which `value` says something.
    template <typename Value>
    void rows(Value&& value, std::initializer_list<MetricsText::Label> more = {}) {
        for (const Row& row : rows_) {
            auto its = value(row);
            if (!its) {
                continue;
            }
            auto labels = row.labels();
            labels.insert(labels.end(), more);
            text_.sample(MetricsText::Labels(labels), number(*its));
        }
    }
    template <typename T>
    void field(std::string_view name, Type type, std::string_view help, Field<T> field) {
        begin(name, type, help);
        rows([field](const Row& row) { return row.group.*field; });
    }
    // The same for rows of containers.
    template <typename Value>
    void containers(std::string_view name, Type type, std::string_view help, Value&& value) {
        begin(name, type, help);
        rows([&](const Row& row) {
            return row.sample == nullptr ? std::nullopt : std::optional(value(*row.sample));
        });
    }

    // A sample of each interface of pods and machine.
    using LinkCount = std::uint64_t server::LinkStats::*;
    void links(std::string_view name, std::string_view help, LinkCount field) {
        begin(name, Type::counter, help);
        for (const Row& row : rows_) {
            if (row.links == nullptr) {
                continue;
            }
            for (const server::LinkStats& link : *row.links) {
                auto labels = row.labels();
                labels.emplace_back("interface", link.name);
                text_.sample(MetricsText::Labels(labels), number(link.*field));
            }
        }
    }

private:
    std::vector<Row> rows_;
    MetricsText& text_;
};

void write_cpu(Page& page) {
    page.begin("container_cpu_usage_seconds_total", Type::counter, "CPU time");
    page.rows([](const Row& row) { return row.group.cpu; }, {{"cpu", "total"}});
    page.field("container_cpu_user_seconds_total", Type::counter, "CPU time outside of the kernel",
               &CgroupDetail::cpu_user);
    page.field("container_cpu_system_seconds_total", Type::counter, "CPU time in the kernel",
               &CgroupDetail::cpu_system);
    // Without a limit the kernel counts no periods.
    auto limited = [&page](std::string_view name, std::string_view help, auto field) {
        page.begin(name, Type::counter, help);
        page.rows([field](const Row& row) {
            return row.group.cpu_quota_us ? row.group.*field : std::nullopt;
        });
    };
    limited("container_cpu_cfs_periods_total", "Periods of the CPU limit", &CgroupDetail::periods);
    limited("container_cpu_cfs_throttled_periods_total",
            "Periods in which the CPU limit was reached", &CgroupDetail::periods_throttled);
    limited("container_cpu_cfs_throttled_seconds_total", "Time stopped by the CPU limit",
            &CgroupDetail::throttled);
}

void write_memory(Page& page) {
    page.field("container_memory_usage_bytes", Type::gauge, "Memory in use", &CgroupDetail::memory);
    page.field("container_memory_working_set_bytes", Type::gauge,
               "Memory in use that the kernel would not give back first",
               &CgroupDetail::working_set);
    page.field("container_memory_rss", Type::gauge, "Memory of no file", &CgroupDetail::anonymous);
    page.field("container_memory_cache", Type::gauge, "Memory of files", &CgroupDetail::file);
    page.field("container_memory_mapped_file", Type::gauge, "Memory of files that are mapped",
               &CgroupDetail::file_mapped);
    page.field("container_memory_swap", Type::gauge, "Swap in use", &CgroupDetail::swap);
    page.field("container_memory_max_usage_bytes", Type::gauge, "Most memory that was in use",
               &CgroupDetail::memory_peak);
    page.field("container_memory_failcnt", Type::counter, "How often the memory limit was reached",
               &CgroupDetail::limit_hits);
    page.begin("container_memory_failures_total", Type::counter, "Page faults");
    page.rows([](const Row& row) { return row.group.page_faults; },
              {{"failure_type", "pgfault"}, {"scope", "container"}});
    page.rows([](const Row& row) { return row.group.major_page_faults; },
              {{"failure_type", "pgmajfault"}, {"scope", "container"}});
    page.field("container_oom_events_total", Type::counter,
               "Processes that the kernel killed for memory", &CgroupDetail::oom_kills);
}

void write_limits(Page& page) {
    page.field("container_spec_cpu_period", Type::gauge, "Period of the CPU limit in microseconds",
               &CgroupDetail::cpu_period_us);
    page.field("container_spec_cpu_quota", Type::gauge,
               "CPU time in one period in microseconds, of those with a limit",
               &CgroupDetail::cpu_quota_us);
    page.field("container_spec_cpu_shares", Type::gauge, "Share of the CPU under contention",
               &CgroupDetail::cpu_shares);
    page.containers(
        "container_spec_memory_limit_bytes", Type::gauge, "Memory limit, 0 for none",
        [](const ContainerSample& one) { return one.look.group.memory_limit.value_or(Bytes{}); });
}

void write_stalls(Page& page) {
    struct Resource {
        std::string_view name;
        std::optional<Stalls> CgroupDetail::* stalls;
    };
    static constexpr Resource kResources[] = {{"cpu", &CgroupDetail::cpu_stalls},
                                              {"memory", &CgroupDetail::memory_stalls},
                                              {"io", &CgroupDetail::io_stalls}};
    for (const auto& [name, stalls] : kResources) {
        auto total = [stalls](const Row& row, StallTimes Stalls::* which) {
            const auto& its = row.group.*stalls;
            return its ? std::optional<std::chrono::nanoseconds>(((*its).*which).total)
                       : std::nullopt;
        };
        page.begin(fmt::format("container_pressure_{}_waiting_seconds_total", name), Type::counter,
                   "Time in which a task waited for the resource");
        page.rows([&](const Row& row) { return total(row, &Stalls::some); });
        page.begin(fmt::format("container_pressure_{}_stalled_seconds_total", name), Type::counter,
                   "Time in which all tasks waited for the resource");
        page.rows([&](const Row& row) { return total(row, &Stalls::full); });
    }
}

void write_files(Page& page) {
    auto family = [&page](std::string_view name, std::string_view help, auto field) {
        page.begin(name, Type::gauge, help);
        page.rows(
            [field](const Row& row) {
                using Value = std::remove_cvref_t<decltype(std::declval<server::FsStats>().*field)>;
                return row.sample != nullptr && row.sample->fs ? (*row.sample->fs).*field : Value();
            },
            {{"device", ""}});
    };
    family("container_fs_usage_bytes", "Disk that the writable layer takes",
           &server::FsStats::used);
    family("container_fs_limit_bytes", "Size of its filesystem", &server::FsStats::capacity);
    family("container_fs_inodes_total", "Inodes of its filesystem", &server::FsStats::inodes);
    family("container_fs_inodes_free", "Inodes left in its filesystem",
           &server::FsStats::inodes_free);
}

void write_network(Page& page) {
    using Link = server::LinkStats;
    page.links("container_network_receive_bytes_total", "Bytes received", &Link::rx_bytes);
    page.links("container_network_receive_packets_total", "Packets received", &Link::rx_packets);
    page.links("container_network_receive_packets_dropped_total", "Packets lost at their receipt",
               &Link::rx_dropped);
    page.links("container_network_receive_errors_total", "Errors at receipt", &Link::rx_errors);
    page.links("container_network_transmit_bytes_total", "Bytes sent", &Link::tx_bytes);
    page.links("container_network_transmit_packets_total", "Packets sent", &Link::tx_packets);
    page.links("container_network_transmit_packets_dropped_total", "Packets lost before they went",
               &Link::tx_dropped);
    page.links("container_network_transmit_errors_total", "Errors at sending", &Link::tx_errors);
}

void write_machine(const MachineSample& machine, MetricsText& text) {
    auto family = [&](std::string_view name, std::string_view help, double value) {
        text.begin(name, Type::gauge, help);
        text.sample({{"boot_id", machine.boot_id},
                     {"machine_id", machine.machine_id},
                     {"system_uuid", machine.system_uuid}},
                    value);
    };
    family("machine_cpu_cores", "CPUs that the node may use", machine.cores);
    family("machine_memory_bytes", "Memory of the machine", number(machine.memory));
    family("machine_swap_bytes", "Swap of the machine", number(machine.swap));
}

// Latencies come in buckets of powers of two from 250 us (the engine's header).
constexpr std::array kLatencyBounds = [] {
    std::array<double, std::tuple_size_v<decltype(wire::GuestCounters::latency)> - 1> bounds{};
    double bound = 250e-6;
    for (double& one : bounds) {
        one = bound;
        bound *= 2;
    }
    return bounds;
}();

// Skiff's own, for each container whose runner has told anything.
class GuestPage {
public:
    GuestPage(const ContainersSample& sample, MetricsText& text) : sample_(sample), text_(text) {}

    using Labels = std::vector<MetricsText::Label>;
    template <typename Write>
    void family(std::string_view name, Type type, std::string_view help, Write&& write) {
        text_.begin(name, type, help);
        for (const ContainerSample& one : sample_.containers) {
            if (one.look.page) {
                Labels labels = {
                    {"container", one.name}, {"namespace", one.pod.ns}, {"pod", one.pod.name}};
                write(std::move(labels), *one.look.page);
            }
        }
    }
    void count(std::string_view name, std::string_view help,
               std::uint64_t wire::GuestCounters::* field) {
        family(name, Type::counter, help, [&](Labels labels, const wire::PageView& page) {
            text_.sample(MetricsText::Labels(labels), number(page.counters.*field));
        });
    }
    // The same of those that serve HTTP.
    template <typename Write>
    void served(std::string_view name, Type type, std::string_view help, Write&& write) {
        family(name, type, help, [&](Labels labels, const wire::PageView& page) {
            if (page.counters.instances > 0) {
                write(std::move(labels), page.counters);
            }
        });
    }
    void served_count(std::string_view name, Type type, std::string_view help,
                      std::uint64_t wire::GuestCounters::* field) {
        served(name, type, help, [&](Labels labels, const wire::GuestCounters& counters) {
            text_.sample(MetricsText::Labels(labels), number(counters.*field));
        });
    }
    void responses();
    void latencies();

private:
    const ContainersSample& sample_;
    MetricsText& text_;
};

void GuestPage::responses() {
    static constexpr std::array<std::string_view, 5> kClasses = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    served("skiff_http_server_requests_total", Type::counter,
           "Requests that were answered, by the class of the status",
           [&](Labels labels, const wire::GuestCounters& counters) {
               for (std::size_t i = 0; i < kClasses.size(); ++i) {
                   Labels with = labels;
                   with.emplace_back("code", kClasses[i]);
                   text_.sample(MetricsText::Labels(with), number(counters.responses[i]));
               }
           });
}

void GuestPage::latencies() {
    served("skiff_http_server_request_duration_seconds", Type::histogram,
           "From a request to the head of its response",
           [&](Labels labels, const wire::GuestCounters& counters) {
               metrics::Histogram histogram(kLatencyBounds,
                                            {counters.latency.begin(), counters.latency.end()},
                                            static_cast<double>(counters.latency_us_sum) / 1e6);
               text_.histogram(MetricsText::Labels(labels), histogram);
           });
}

void write_guests(const ContainersSample& sample, MetricsText& text) {
    using Counters = wire::GuestCounters;
    GuestPage page(sample, text);
    page.responses();
    page.latencies();
    page.served_count("skiff_http_server_requests_active", Type::gauge, "Requests in progress",
                      &Counters::requests_active);
    page.served_count("skiff_http_server_received_bytes_total", Type::counter,
                      "Size of request bodies", &Counters::received_bytes);
    page.served_count("skiff_http_server_sent_bytes_total", Type::counter,
                      "Size of response bodies", &Counters::sent_bytes);
    page.served_count("skiff_engine_instances_total", Type::counter, "Instances that a server made",
                      &Counters::instances);
    page.served_count("skiff_engine_traps_total", Type::counter,
                      "Instances of a server that trapped", &Counters::traps);
    page.count("skiff_engine_denied_total", "What the guest tried and may not do",
               &Counters::denied);
    page.count("skiff_engine_outgoing_requests_total", "HTTP requests that the guest made",
               &Counters::outgoing);
    page.family("skiff_engine_memory_refused_bytes", Type::gauge,
                "Largest size of its memory that the guest was refused",
                [&](GuestPage::Labels labels, const wire::PageView& its) {
                    text.sample(MetricsText::Labels(labels), number(its.memory_bytes_refused));
                });
    page.family("skiff_log_lines_total", Type::counter, "Lines that the container wrote",
                [&](GuestPage::Labels labels, const wire::PageView& its) {
                    text.sample(MetricsText::Labels(labels), number(its.lines));
                });
    page.family("skiff_log_lines_lost_total", Type::counter, "Lines that found no room on the disk",
                [&](GuestPage::Labels labels, const wire::PageView& its) {
                    text.sample(MetricsText::Labels(labels), number(its.lines_lost));
                });
    page.family("skiff_log_wait_seconds_total", Type::counter,
                "How long the container waited because it wrote more than containerLogMaxPerSecond",
                [&](GuestPage::Labels labels, const wire::PageView& its) {
                    text.sample(MetricsText::Labels(labels), number(its.log_wait_us) / 1e6);
                });
}

}  // namespace

void write_container_metrics(const ContainersSample& sample, MetricsText& text) {
    Page page(sample, text);
    write_cpu(page);
    write_memory(page);
    write_limits(page);
    write_stalls(page);
    write_files(page);
    write_network(page);
    page.field("container_processes", Type::gauge, "Processes", &CgroupDetail::processes);
    page.field("container_threads", Type::gauge, "Threads", &CgroupDetail::threads);
    page.containers("container_start_time_seconds", Type::gauge, "When it was started",
                    [](const ContainerSample& one) {
                        return std::chrono::nanoseconds(one.started.time_since_epoch());
                    });
    page.containers("container_last_seen", Type::gauge, "When it was looked at",
                    [&](const ContainerSample&) {
                        return std::chrono::nanoseconds(sample.at.time_since_epoch());
                    });
    write_machine(sample.machine, text);
    write_guests(sample, text);
}

}  // namespace skiff::app
