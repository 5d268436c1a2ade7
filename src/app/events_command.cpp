#include "app/events_command.h"

#include "app/commands.h"
#include "base/text.h"
#include "kube/codec.h"

namespace skiff::app {

namespace {

// A line is an event, whose message is bounded.
constexpr std::size_t kLineBytesMax = 64U << 10;

// What a terminal would obey is shown as a blank.
std::string plain(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            c = ' ';
        }
    }
    return out;
}

Result<void> print_line(std::string_view line, OutputFormat format) {
    if (format == OutputFormat::json) {
        print_to(stdout, fmt::format("{}\n", line));
        return {};
    }
    SKIFF_TRY(std::string row, format_event(line, SystemClock().wall_now()));
    print_to(stdout, row);
    return {};
}

async::Task<Result<std::unique_ptr<http::Stream>>> ask(http::Client& client,
                                                       std::filesystem::path socket,
                                                       EventsQuery query) {
    http::Request request;
    request.url = "http://localhost/skiff/events?" +
                  http::format_query({{"namespace", query.ns},
                                      {"pod", query.pod},
                                      {"watch", query.watch ? "true" : "false"}});
    request.unix_socket = socket.string();
    request.timeouts.total = Duration::zero();
    request.timeouts.idle = Duration::zero();
    auto stream = co_await client.open(std::move(request));
    if (!stream) {
        co_return fail(no_node(std::move(stream.error()), socket));
    }
    if ((*stream)->status() != 200) {
        co_return fail(Code::unavailable, "the node answers {}", (*stream)->status());
    }
    co_return std::move(*stream);
}

}  // namespace

std::string events_heading() {
    return fmt::format("{:<16}  {:<7}  {:<20}  {:<40}  {}\n", "LAST SEEN", "TYPE", "REASON",
                       "OBJECT", "MESSAGE");
}

Result<std::string> format_event(std::string_view line, WallTime now) {
    SKIFF_TRY(auto event, kube::from_json<kube::Event>(line));
    std::string seen = event.lastTimestamp ? age_of(event.lastTimestamp->at, now) : "-";
    if (event.count > 1) {
        seen += fmt::format(" (x{})", event.count);
    }
    const kube::ObjectReference& about = event.involvedObject;
    std::string object = about.namespace_.empty() ? "" : about.namespace_ + "/";
    object += to_lower(about.kind) + "/" + about.name;
    return fmt::format("{:<16}  {:<7}  {:<20}  {:<40}  {}\n", seen, plain(event.type),
                       plain(event.reason), plain(object), plain(event.message));
}

async::Task<Result<void>> print_events(std::filesystem::path socket, EventsQuery query) {
    http::Client client(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    OutputFormat format = query.format;
    SKIFF_CO_TRY(auto stream, co_await ask(client, socket, std::move(query)));
    if (format == OutputFormat::table) {
        print_to(stdout, events_heading());
        std::fflush(stdout);
    }
    std::string rest;
    while (true) {
        SKIFF_CO_TRY(auto chunk, co_await stream->next_chunk());
        if (!chunk) {
            co_return Result<void>{};
        }
        rest += *chunk;
        std::size_t end = 0;
        while ((end = rest.find('\n')) != std::string::npos) {
            SKIFF_CO_CHECK(print_line(std::string_view(rest).substr(0, end), format));
            rest.erase(0, end + 1);
        }
        if (rest.size() > kLineBytesMax) {
            co_return fail(Code::invalid, "the node's answer is no list of events");
        }
        std::fflush(stdout);
    }
}

}  // namespace skiff::app
