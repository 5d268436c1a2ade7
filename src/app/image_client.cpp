#include "app/image_client.h"

#include "app/image_messages.h"
#include "base/text.h"

namespace skiff::app {

using async::Task;

namespace {

constexpr std::uint64_t kListBytesMax = 16U << 20;
constexpr std::size_t kLineBytesMax = 64U << 10;
// Removing deletes files and may hash some.
constexpr auto kRemoveMax = std::chrono::minutes(10);

// What the agent says when it refuses.
Error refused(int status, std::string_view text) {
    Code code = status == 404   ? Code::not_found
                : status == 409 ? Code::conflict
                : status == 400 ? Code::invalid
                                : Code::unavailable;
    Error error;
    error.code = code;
    error.message = bounded_utf8(trim(text), 4096);
    return error;
}

}  // namespace

http::Request ImageClient::request_for(std::string method, std::string target) const {
    http::Request request;
    request.method = std::move(method);
    request.url = "http://localhost/skiff/images" + target;
    request.unix_socket = socket_.string();
    request.body_bytes_max = kListBytesMax;
    return request;
}

Task<Result<std::string>> ImageClient::ask(http::Request request) {
    SKIFF_CO_TRY(http::Response response, co_await client_.fetch(std::move(request)));
    if (response.status != 200) {
        co_return fail(refused(response.status, response.body));
    }
    co_return std::move(response.body);
}

Task<Result<ImageList>> ImageClient::list() {
    http::Request request = request_for("GET", "");
    SKIFF_CO_TRY(std::string body, co_await ask(std::move(request)));
    co_return parse_image_list(body);
}

Task<Result<RemovedImage>> ImageClient::remove(std::string reference) {
    http::Request request = request_for("DELETE", "?image=" + http::percent_encode(reference));
    request.timeouts.total = kRemoveMax;
    request.timeouts.idle = kRemoveMax;
    SKIFF_CO_TRY(std::string body, co_await ask(std::move(request)));
    co_return parse_removed(body);
}

Task<Result<void>> ImageClient::precompile(PrecompileRequest wanted, StepSink steps) {
    bool all = wanted.modules == PrecompileRequest::Modules::all;
    std::string query = http::format_query({{"image", wanted.image},
                                            {"runtime", wanted.runtime},
                                            {"modules", all ? "all" : "started"}});
    http::Request request = request_for("POST", "/precompile?" + query);
    // Others may be before us; Ctrl-C ends it.
    request.timeouts.total = Duration::zero();
    request.timeouts.idle = Duration::zero();
    SKIFF_CO_TRY(auto stream, co_await client_.open(std::move(request)));
    if (stream->status() != 200) {
        SKIFF_CO_TRY(std::string text, co_await stream->read_all(kLineBytesMax));
        co_return fail(refused(stream->status(), text));
    }
    std::string pending;
    while (true) {
        SKIFF_CO_TRY(auto chunk, co_await stream->next_chunk());
        if (!chunk) {
            co_return fail(Code::unavailable, "the node's answer ends too early");
        }
        pending += *chunk;
        for (std::size_t end = pending.find('\n'); end != std::string::npos;
             end = pending.find('\n')) {
            SKIFF_CO_TRY(PrecompileLine line, parse_precompile_line(pending.substr(0, end)));
            pending.erase(0, end + 1);
            if (const auto* last = std::get_if<PrecompileEnd>(&line)) {
                co_return last->problem.empty()
                    ? Result<void>{}
                    : Result<void>(fail(Code::internal, "{}", last->problem));
            }
            SKIFF_CO_CHECK(co_await steps(std::get<PrecompileStep>(std::move(line))));
        }
        if (pending.size() > kLineBytesMax) {
            co_return fail(Code::invalid, "the node's answer has a line beyond {} bytes",
                           kLineBytesMax);
        }
    }
}

}  // namespace skiff::app
