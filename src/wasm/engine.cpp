#include "wasm/engine.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/text.h"
#include "skiff_engine.h"

namespace skiff::wasm {

namespace {

static_assert(static_cast<int>(Reach::nothing) == SKIFF_EGRESS_NONE &&
              static_cast<int>(Reach::listed) == SKIFF_EGRESS_LISTED &&
              static_cast<int>(Reach::everything) == SKIFF_EGRESS_ALL);
static_assert(sizeof(skiff_counters) == kCounterWords * sizeof(std::uint64_t));

std::string take(skiff_text& text) {
    std::string value(text.data != nullptr ? text.data : "", text.data != nullptr ? text.size : 0);
    skiff_text_free(&text);
    text = {};
    return value;
}

Code code_of(skiff_code code) {
    switch (code) {
        case SKIFF_INVALID:
            return Code::invalid;
        case SKIFF_UNSUPPORTED:
            return Code::unsupported;
        case SKIFF_INCOMPATIBLE:
            return Code::conflict;
        case SKIFF_IO:
            return Code::unavailable;
        case SKIFF_EXHAUSTED:
            return Code::exhausted;
        case SKIFF_OK:
        case SKIFF_INTERNAL:
            break;
    }
    return Code::internal;
}

Result<void> check(skiff_code code, skiff_text& error) {
    if (code == SKIFF_OK) {
        return {};
    }
    return fail(code_of(code), "{}", take(error));
}

std::vector<std::string> lines_of(skiff_text& text) {
    std::vector<std::string> lines;
    const std::string all = take(text);
    for (const auto line : split(all, '\n')) {
        if (!line.empty()) {
            lines.emplace_back(line);
        }
    }
    return lines;
}

void take(skiff_inspection& raw, Inspection& into) {
    into.kind = raw.kind == SKIFF_CORE        ? ModuleKind::core
                : raw.kind == SKIFF_COMPONENT ? ModuleKind::component
                                              : ModuleKind::unknown;
    into.wasi = static_cast<WasiLevel>(raw.wasi);
    into.has_start = (raw.flags & SKIFF_HAS_START) != 0;
    into.has_initialize = (raw.flags & SKIFF_HAS_INITIALIZE) != 0;
    into.has_run = (raw.flags & SKIFF_HAS_RUN) != 0;
    into.has_http_02 = (raw.flags & SKIFF_HAS_HTTP_02) != 0;
    into.has_http_03 = (raw.flags & SKIFF_HAS_HTTP_03) != 0;
    into.handles_stop = (raw.flags & SKIFF_HANDLES_STOP) != 0;
    into.uses_sockets = (raw.flags & SKIFF_USES_SOCKETS) != 0;
    into.has_run_03 = (raw.flags & SKIFF_HAS_RUN_03) != 0;
    into.uses_http = (raw.flags & SKIFF_USES_HTTP) != 0;
    into.purpose = static_cast<Purpose>(raw.purpose);
    into.memory_bytes_min = raw.memory_bytes_min;
    into.imports = lines_of(raw.imports);
    into.exports = lines_of(raw.exports);
}

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> out;
    out.reserve(texts.size());
    for (const auto& text : texts) {
        out.push_back(text.c_str());
    }
    return out;
}

const char* or_null(const std::string& text) {
    return text.empty() ? nullptr : text.c_str();
}

ssize_t on_write(void* context, int stream, const std::uint8_t* bytes, std::size_t size) {
    static_cast<OutputSink*>(context)->write(stream, {reinterpret_cast<const char*>(bytes), size});
    return static_cast<ssize_t>(size);
}

std::vector<skiff_egress_rule> rules_of(const NetworkUse& network) {
    std::vector<skiff_egress_rule> rules;
    rules.reserve(network.rules.size());
    for (const auto& rule : network.rules) {
        skiff_egress_rule raw{};
        raw.name = or_null(rule.name);
        std::ranges::copy(rule.address, raw.address);
        raw.prefix_bits = rule.prefix_bits;
        raw.port = rule.port;
        rules.push_back(raw);
    }
    return rules;
}

// A grant as the engine reads it; borrows all texts.
class RawGrant {
public:
    explicit RawGrant(const GuestGrant& grant)
        : args_(pointers(grant.args)),
          env_(pointers(grant.env)),
          hosts_(pointers(grant.network.http_hosts)),
          rules_(rules_of(grant.network)) {
        SKIFF_ASSERT(grant.output != nullptr);
        raw_.size = sizeof raw_;
        raw_.flags = grant.terminal ? SKIFF_STDIN_TTY | SKIFF_STDOUT_TTY | SKIFF_STDERR_TTY : 0U;
        raw_.args = args_.data();
        raw_.args_count = args_.size();
        raw_.env = env_.data();
        raw_.env_count = env_.size();
        raw_.root = or_null(grant.root);
        raw_.initial_cwd = or_null(grant.initial_cwd);
        raw_.entry = or_null(grant.entry);
        raw_.stdin_fd = grant.stdin_fd;
        raw_.stop_fd = grant.stop_fd;
        raw_.stop_flag = grant.stop_flag;
        raw_.write = on_write;
        raw_.write_context = grant.output;
        raw_.memory_bytes_max = grant.memory_bytes_max;
        raw_.message_bytes_max = grant.message_bytes_max;
        raw_.coredump_fd = grant.coredump_fd;
        raw_.coredump_bytes_max = grant.coredump_bytes_max;
        raw_.counters = grant.counters;
        raw_.memory_bytes_now = grant.memory_bytes_now;
        set_network(grant.network);
    }
    [[nodiscard]] const skiff_grant* get() const { return &raw_; }

private:
    void set_network(const NetworkUse& network) {
        raw_.flags |= network.may_listen ? SKIFF_MAY_LISTEN : 0U;
        raw_.egress_mode = static_cast<std::uint32_t>(network.egress);
        raw_.egress = rules_.data();
        raw_.egress_count = rules_.size();
        raw_.http_hosts = hosts_.data();
        raw_.http_hosts_count = hosts_.size();
        raw_.http_mode = static_cast<std::uint32_t>(network.http);
        raw_.http_mode_set = network.http_given ? 1 : 0;
        raw_.http_requests_max = network.http_requests_max;
        raw_.ca_fd = network.ca_fd;
        raw_.ca_file = or_null(network.ca_file);
    }

    std::vector<const char*> args_;
    std::vector<const char*> env_;
    std::vector<const char*> hosts_;
    std::vector<skiff_egress_rule> rules_;
    skiff_grant raw_{};
};

Outcome take(skiff_outcome& raw) {
    Outcome outcome;
    outcome.kind = raw.kind >= SKIFF_EXITED && raw.kind <= SKIFF_START_FAILED
                       ? static_cast<OutcomeKind>(raw.kind)
                       : OutcomeKind::host_panic;
    outcome.exit_code = raw.exit_code;
    outcome.memory_bytes_peak = raw.memory_bytes_peak;
    outcome.memory_bytes_refused = raw.memory_bytes_refused;
    outcome.message = take(raw.message);
    return outcome;
}

}  // namespace

void Module::Free::operator()(skiff_module* module) const {
    skiff_module_free(module);
}

void Engine::Free::operator()(skiff_engine* engine) const {
    skiff_engine_free(engine);
}

Artifact::Artifact(Artifact&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Artifact::~Artifact() {
    skiff_bytes bytes{bytes_, size_};
    skiff_bytes_free(&bytes);
}

std::string_view Artifact::bytes() const {
    return {reinterpret_cast<const char*>(bytes_), size_};
}

Result<std::string> compatibility_key() {
    skiff_text key{};
    skiff_text error{};
    SKIFF_CHECK(check(skiff_compatibility_key(&key, &error), error));
    return take(key);
}

std::string version() {
    return skiff_engine_version();
}

bool has_runtime(Runtime runtime) {
    return skiff_has_runtime(static_cast<std::uint32_t>(runtime)) != 0;
}

Result<void> inspect(Runtime runtime, std::span<const std::uint8_t> wasm, Inspection& into) {
    skiff_inspection raw{};
    skiff_text error{};
    const skiff_code code =
        skiff_inspect(static_cast<std::uint32_t>(runtime), wasm.data(), wasm.size(), &raw, &error);
    take(raw, into);
    return check(code, error);
}

Result<Artifact> link(std::span<const std::uint8_t> socket,
                      std::span<const std::span<const std::uint8_t>> plugs) {
    std::vector<skiff_slice> slices;
    slices.reserve(plugs.size());
    for (const auto& plug : plugs) {
        slices.push_back({plug.data(), plug.size()});
    }
    skiff_bytes bytes{};
    skiff_text error{};
    SKIFF_CHECK(check(
        skiff_link({socket.data(), socket.size()}, slices.data(), slices.size(), &bytes, &error),
        error));
    return Artifact(bytes.data, bytes.size);
}

Result<Engine> Engine::create(const EngineSettings& settings) {
    skiff_engine_config config{};
    config.size = sizeof config;
    config.purpose = static_cast<std::uint32_t>(settings.purpose);
    config.runtime = static_cast<std::uint32_t>(settings.runtime);
    config.stack_bytes_max = settings.stack_bytes_max;
    config.instances_max = settings.instances_max;
    config.instance_memory_bytes_max = settings.instance_memory_bytes_max;
    skiff_engine* engine = nullptr;
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_new(&config, &engine, &error), error));
    return Engine(engine);
}

Result<Artifact> Engine::compile(std::span<const std::uint8_t> wasm) const {
    skiff_bytes bytes{};
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_compile(engine_.get(), wasm.data(), wasm.size(), &bytes, &error),
                      error));
    return Artifact(bytes.data, bytes.size);
}

Result<Module> Engine::load(int fd) const {
    skiff_module* module = nullptr;
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_load(engine_.get(), fd, &module, &error), error));
    return Module(module);
}

Outcome run(const Module& module, const GuestGrant& grant) {
    const RawGrant raw(grant);
    skiff_outcome outcome{};
    skiff_module_run(module.raw(), raw.get(), &outcome);
    return take(outcome);
}

Outcome serve(const Module& module, const GuestGrant& grant, const ServerSettings& server) {
    const RawGrant raw(grant);
    skiff_server settings{};
    settings.size = sizeof settings;
    settings.listen_fd = server.listen_fd;
    settings.reuse_count = server.reuse_count;
    settings.reuse_concurrent = server.reuse_concurrent;
    settings.requests_max = server.requests_max;
    settings.connections_max = server.connections_max;
    settings.request_ms_max = server.request_ms_max;
    settings.body_bytes_max = server.body_bytes_max;
    settings.drain_ms = server.drain_ms;
    settings.drain_share = server.drain_share;
    skiff_outcome outcome{};
    skiff_module_serve(module.raw(), raw.get(), &settings, &outcome);
    return take(outcome);
}

}  // namespace skiff::wasm
