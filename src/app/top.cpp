#include "app/top.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "app/commands.h"
#include "base/text.h"
#include "http/client.h"

namespace skiff::app {

namespace json = boost::json;

namespace {

constexpr std::size_t kHeadLines = 3;
constexpr Duration kPeriod = std::chrono::seconds(2);
// Between the two samples of the first rate.
constexpr Duration kFirst = std::chrono::milliseconds(1100);
constexpr std::uint64_t kSummaryBytesMax = 64U << 20;

// What lies at names.of.objects; nullptr when it is not there.
const json::value* find(const json::value& in, std::initializer_list<std::string_view> path) {
    const json::value* at = &in;
    for (std::string_view name : path) {
        const json::object* object = at->if_object();
        at = object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
        if (at == nullptr) {
            return nullptr;
        }
    }
    return at;
}

std::string text_at(const json::value& in, std::initializer_list<std::string_view> path) {
    const json::value* value = find(in, path);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::optional<std::uint64_t> number_at(const json::value& in,
                                       std::initializer_list<std::string_view> path) {
    const json::value* value = find(in, path);
    if (value == nullptr || !value->is_number()) {
        return std::nullopt;
    }
    boost::system::error_code error;
    auto number = value->to_number<std::uint64_t>(error);
    return error ? std::nullopt : std::optional(number);
}

Bytes bytes_at(const json::value& in, std::initializer_list<std::string_view> path) {
    return Bytes{number_at(in, path).value_or(0)};
}

const json::array& array_at(const json::value& in, std::string_view name) {
    static const json::array none;
    const json::value* value = find(in, {name});
    return value != nullptr && value->is_array() ? value->get_array() : none;
}

std::string show_cpu(std::optional<std::uint64_t> nano_cores) {
    return nano_cores ? fmt::format("{}m", (*nano_cores + 500'000) / 1'000'000) : "-";
}

// As kubectl top has it.
std::string show_memory(Bytes bytes) {
    return fmt::format("{}Mi", bytes.value >> 20);
}

async::Task<Result<std::string>> fetch(http::Client& client, std::filesystem::path socket) {
    http::Request request;
    request.url = "http://localhost/stats/summary?only_cpu_and_memory=true";
    request.body_bytes_max = kSummaryBytesMax;
    SKIFF_CO_TRY(auto response, co_await ask_node(client, std::move(request), socket));
    co_return std::move(response.body);
}

std::size_t lines_of_terminal() {
    winsize size{};
    bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > kHeadLines + 1;
    return known ? size.ws_row - 1U : 23U;
}

}  // namespace

Result<TopView> parse_top(std::string_view summary) {
    boost::system::error_code error;
    json::value document = json::parse({summary.data(), summary.size()}, error);
    if (error || find(document, {"node"}) == nullptr) {
        return fail(Code::invalid, "the node's answer is no summary");
    }
    TopView view;
    view.node = text_at(document, {"node", "nodeName"});
    view.nano_cores = number_at(document, {"node", "cpu", "usageNanoCores"});
    view.memory_used = bytes_at(document, {"node", "memory", "workingSetBytes"});
    view.memory_available = bytes_at(document, {"node", "memory", "availableBytes"});
    for (const json::value& pod : array_at(document, "pods")) {
        ++view.pods;
        for (const json::value& container : array_at(pod, "containers")) {
            TopRow row;
            row.ns = text_at(pod, {"podRef", "namespace"});
            row.pod = text_at(pod, {"podRef", "name"});
            row.container = text_at(container, {"name"});
            row.nano_cores = number_at(container, {"cpu", "usageNanoCores"});
            row.memory = bytes_at(container, {"memory", "workingSetBytes"});
            view.rows.push_back(std::move(row));
        }
    }
    std::ranges::stable_sort(view.rows, std::ranges::greater(),
                             [](const TopRow& row) { return row.nano_cores.value_or(0); });
    return view;
}

std::string render_top(const TopView& view, std::size_t lines_max) {
    std::size_t ns = 9;
    std::size_t pod = 3;
    std::size_t container = 9;
    for (const TopRow& row : view.rows) {
        ns = std::max(ns, row.ns.size());
        pod = std::max(pod, row.pod.size());
        container = std::max(container, row.container.size());
    }
    std::string text =
        fmt::format("node {}: CPU {}, memory {} used, {} available; {} pods, {} containers\n\n",
                    view.node, show_cpu(view.nano_cores), show_memory(view.memory_used),
                    show_memory(view.memory_available), view.pods, view.rows.size());
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {:>13}\n", "NAMESPACE", ns, "POD", pod,
                        "CONTAINER", container, "CPU(cores)", "MEMORY(bytes)");
    std::size_t room = lines_max > kHeadLines ? lines_max - kHeadLines : 1;
    bool all = view.rows.size() <= room;
    std::size_t shown = all ? view.rows.size() : room - 1;
    for (std::size_t i = 0; i < shown; ++i) {
        const TopRow& row = view.rows[i];
        text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {:>13}\n", row.ns, ns, row.pod, pod,
                            row.container, container, show_cpu(row.nano_cores),
                            show_memory(row.memory));
    }
    if (!all) {
        text += fmt::format("… and {} more\n", view.rows.size() - shown);
    }
    return text;
}

async::Task<Result<void>> print_top(std::filesystem::path socket, OutputFormat format,
                                    Watching watching) {
    http::Client client(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    bool live = watching == Watching::on_terminal && format == OutputFormat::table &&
                ::isatty(STDOUT_FILENO) == 1;
    SKIFF_CO_CHECK(co_await fetch(client, socket));
    SKIFF_CO_CHECK(co_await async::sleep_for(kFirst));
    for (;;) {
        SKIFF_CO_TRY(std::string summary, co_await fetch(client, socket));
        if (format == OutputFormat::json) {
            print_to(stdout, summary + "\n");
            co_return Result<void>{};
        }
        SKIFF_CO_TRY(TopView view, parse_top(summary));
        constexpr std::size_t kAll = 1U << 20;
        std::string picture = render_top(view, live ? lines_of_terminal() : kAll);
        // From the upper left corner, and nothing of the picture before it.
        print_to(stdout, live ? "\x1b[H\x1b[2J" + picture : picture);
        std::fflush(stdout);
        if (!live) {
            co_return Result<void>{};
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(kPeriod));
    }
}

}  // namespace skiff::app
