#include "app/image_routes.h"

#include "app/image_messages.h"
#include "base/text.h"

namespace skiff::app {

using async::Task;
using http::ServerResponse;

namespace {

ServerResponse refusal(const Error& error) {
    int status = 500;
    switch (error.code) {
        case Code::not_found:
            status = 404;
            break;
        case Code::invalid:
            status = 400;
            break;
        case Code::conflict:
            status = 409;
            break;
        default:
            break;
    }
    return http::plain_text(status, error.message);
}

ServerResponse json(std::string body) {
    ServerResponse response;
    response.headers.set("Content-Type", "application/json");
    response.body = std::move(body);
    return response;
}

Result<PrecompileRequest> request_of(const server::RequestTarget& target) {
    PrecompileRequest request;
    request.image = target.find("image").value_or("");
    request.runtime = target.find("runtime").value_or("");
    std::string modules = target.find("modules").value_or("started");
    if (modules != "started" && modules != "all") {
        return fail(Code::invalid, "modules={}: started or all is allowed",
                    bounded_utf8(modules, 64));
    }
    if (modules == "all") {
        request.modules = PrecompileRequest::Modules::all;
    }
    return request;
}

Task<Result<void>> write_line(http::Exchange& exchange, PrecompileLine line) {
    if (!exchange.begun()) {
        http::Headers headers;
        headers.set("Content-Type", "application/x-ndjson");
        SKIFF_CO_CHECK(co_await exchange.begin(200, std::move(headers)));
    }
    std::string text = format_json(line);
    co_return co_await exchange.write(text);
}

Task<void> answer(http::Exchange& exchange, ServerResponse response) {
    // A peer that has gone needs no answer.
    (void)co_await exchange.respond(std::move(response));
}

}  // namespace

Task<ServerResponse> ImageRoutes::list() {
    auto images = co_await verbs_.list();
    co_return images ? json(format_json(*images)) : refusal(images.error());
}

Task<ServerResponse> ImageRoutes::remove(const server::RequestTarget& target) {
    auto removed = co_await verbs_.remove(target.find("image").value_or(""));
    co_return removed ? json(format_json(*removed)) : refusal(removed.error());
}

Task<void> ImageRoutes::precompile(http::Exchange& exchange, const server::RequestTarget& target) {
    auto request = request_of(target);
    if (!request) {
        co_await answer(exchange, refusal(request.error()));
        co_return;
    }
    http::Exchange* out = &exchange;
    StepSink steps = [out](PrecompileStep step) {
        return write_line(*out, PrecompileLine(std::move(step)));
    };
    auto done = co_await verbs_.precompile(std::move(*request), std::move(steps));
    if (!done && !exchange.begun()) {
        co_await answer(exchange, refusal(done.error()));
        co_return;
    }
    PrecompileEnd end{done ? "" : bounded_utf8(done.error().message, 4096)};
    PrecompileLine last(std::move(end));
    if (auto written = co_await write_line(exchange, std::move(last)); written) {
        (void)co_await exchange.end();
    }
}

Task<void> ImageRoutes::serve(http::Exchange& exchange, const server::RequestTarget& target) {
    const std::string& method = exchange.request().method;
    const auto& path = target.segments;
    bool images = path.size() == 2 && path[1] == "images";
    bool precompiles = path.size() == 3 && path[1] == "images" && path[2] == "precompile";
    if (images && method == "GET") {
        ServerResponse response = co_await list();
        co_await answer(exchange, std::move(response));
    } else if (images && method == "DELETE") {
        ServerResponse response = co_await remove(target);
        co_await answer(exchange, std::move(response));
    } else if (precompiles && method == "POST") {
        co_await precompile(exchange, target);
    } else {
        bool known = images || precompiles;
        ServerResponse response = http::plain_text(
            known ? 405 : 404, known ? "405: Method Not Allowed" : "404: Page Not Found");
        co_await answer(exchange, std::move(response));
    }
}

}  // namespace skiff::app
