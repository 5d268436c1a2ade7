#include "wasm/engine.h"

#include "base/assert.h"
#include "base/text.h"
#include "skiff_engine.h"

namespace skiff::wasm {

namespace {

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

Result<Engine> Engine::create(const EngineSettings& settings) {
    skiff_engine_config config{};
    config.size = sizeof config;
    config.purpose = SKIFF_PURPOSE_COMMAND;
    config.stack_bytes_max = settings.stack_bytes_max;
    skiff_engine* engine = nullptr;
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_new(&config, &engine, &error), error));
    return Engine(engine);
}

Result<std::string> Engine::compatibility_key() const {
    skiff_text key{};
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_compatibility_key(engine_.get(), &key, &error), error));
    return take(key);
}

std::string Engine::version() {
    return skiff_engine_version();
}

Result<void> Engine::inspect(std::span<const std::uint8_t> wasm, Inspection& into) const {
    skiff_inspection raw{};
    skiff_text error{};
    const skiff_code code =
        skiff_engine_inspect(engine_.get(), wasm.data(), wasm.size(), &raw, &error);
    take(raw, into);
    return check(code, error);
}

Result<Artifact> Engine::compile(std::span<const std::uint8_t> wasm, Inspection& into) const {
    skiff_inspection raw{};
    skiff_bytes bytes{};
    skiff_text error{};
    const skiff_code code =
        skiff_engine_compile(engine_.get(), wasm.data(), wasm.size(), &bytes, &raw, &error);
    take(raw, into);
    SKIFF_CHECK(check(code, error));
    return Artifact(bytes.data, bytes.size);
}

Result<Module> Engine::load(int fd) const {
    skiff_module* module = nullptr;
    skiff_text error{};
    SKIFF_CHECK(check(skiff_engine_load(engine_.get(), fd, &module, &error), error));
    return Module(module);
}

Outcome Engine::run(const Module& module, const GuestGrant& grant) const {
    SKIFF_ASSERT(grant.output != nullptr);
    const auto args = pointers(grant.args);
    const auto env = pointers(grant.env);
    skiff_grant raw{};
    raw.size = sizeof raw;
    raw.flags = grant.terminal ? SKIFF_STDIN_TTY | SKIFF_STDOUT_TTY | SKIFF_STDERR_TTY : 0U;
    raw.args = args.data();
    raw.args_count = args.size();
    raw.env = env.data();
    raw.env_count = env.size();
    raw.root = or_null(grant.root);
    raw.initial_cwd = or_null(grant.initial_cwd);
    raw.entry = or_null(grant.entry);
    raw.stdin_fd = grant.stdin_fd;
    raw.stop_fd = grant.stop_fd;
    raw.stop_flag = grant.stop_flag;
    raw.write = on_write;
    raw.write_context = grant.output;
    raw.memory_bytes_max = grant.memory_bytes_max;
    raw.message_bytes_max = grant.message_bytes_max;
    skiff_outcome outcome{};
    skiff_engine_run_command(engine_.get(), module.raw(), &raw, &outcome);
    Outcome result;
    result.kind = outcome.kind >= SKIFF_EXITED && outcome.kind <= SKIFF_START_FAILED
                      ? static_cast<OutcomeKind>(outcome.kind)
                      : OutcomeKind::host_panic;
    result.exit_code = outcome.exit_code;
    result.memory_bytes_peak = outcome.memory_bytes_peak;
    result.memory_bytes_refused = outcome.memory_bytes_refused;
    result.message = take(outcome.message);
    return result;
}

}  // namespace skiff::wasm
