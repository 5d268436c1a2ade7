#include "network/cni.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/text.h"
#include "network/cni_plugin.h"

namespace skiff::network {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFailuresBytesMax = 1500;

// Why a plugin's command failed, and the plugin's own code, 0 if it gave none.
struct Failure {
    Error error;
    std::int64_t cni_code = 0;
};
using Answer = tl::expected<std::string, Failure>;

tl::unexpected<Failure> failed(tl::unexpected<Error> error, std::int64_t cni_code = 0) {
    return tl::unexpected<Failure>(Failure{std::move(error.value()), cni_code});
}

// What it said where no error of CNI says it.
std::string last_words(const CniOutput& output) {
    if (!output.error_tail.empty()) {
        return "its standard error ends: " + output.error_tail;
    }
    const std::string said = bounded_utf8(trim(output.text), kCniErrorTailBytes);
    return said.empty() ? "it said nothing" : "it printed: " + said;
}

// Section 2, "errors": exit code and, on standard output, an error object. Some plugins print one
// and exit with 0.
Answer judge(CniOutput output) {
    if (output.exit.signal != 0) {
        return failed(fail(Code::unavailable, "it was ended by signal {} ({}); {}",
                           output.exit.signal, ::strsignal(output.exit.signal),
                           last_words(output)));
    }
    if (const auto error = parse_cni_error(output.text)) {
        const std::string_view meaning =
            error->code == kCniTryAgainLater ? ", try again later" : "";
        const std::string code =
            error->code == 0 ? "" : fmt::format(" (CNI error code {}{})", error->code, meaning);
        return failed(fail(code_of_cni_error(error->code), "{}{}", error->message, code),
                      error->code);
    }
    if (output.exit.code != 0) {
        return failed(fail(Code::unavailable, "exit code {} without an error of CNI; {}",
                           output.exit.code, last_words(output)));
    }
    return std::move(output.text);
}

// The plugins of one network, called one after the other.
class Chain {
public:
    Chain(const CniSettings& settings, const CniConfig& config, SteadyTime deadline)
        : settings_(settings), config_(config), deadline_(deadline) {}

    // Whether every program is there.
    Result<void> check_programs(CniCommand command) const;
    Result<CniResult> add(const CniParameters& parameters) const;
    // `result` is empty where ADD's is not known.
    Result<void> remove(const CniParameters& parameters, std::string_view result) const;
    Result<void> check(const CniParameters& parameters, std::string_view result) const;
    Result<void> collect_garbage(const std::vector<CniKey>& valid) const;
    Result<void> status() const;
    // The highest version that all plugins speak, as far as they answer.
    [[nodiscard]] CniVersion choose_version() const;

private:
    Answer call(CniCommand command, const CniPlugin& plugin, const RawObject& request,
                const CniParameters* parameters = nullptr) const;
    [[nodiscard]] Error describe(Error error, CniCommand command, const CniPlugin& plugin) const;
    // GC and STATUS came with 1.1.0. How a plugin refuses what it does not know differs (Debian's
    // 1.1.1 misses the container's id), so it is asked what it knows.
    [[nodiscard]] bool predates_gc_and_status(const CniPlugin& plugin) const;
    [[nodiscard]] std::optional<std::vector<CniVersion>> versions_of(const CniPlugin& plugin) const;

    const CniSettings& settings_;
    const CniConfig& config_;
    SteadyTime deadline_;
};

Answer Chain::call(CniCommand command, const CniPlugin& plugin, const RawObject& request,
                   const CniParameters* parameters) const {
    auto program = find_cni_program(plugin.type, settings_.plugin_folders);
    if (!program) {
        return failed(fail(describe(std::move(program.error()), command, plugin)));
    }
    CniCall call;
    call.program = std::move(*program);
    call.variables = format_cni_environment(command, parameters, settings_.plugin_folders);
    call.input = command == CniCommand::version ? format_cni_version_request(config_.version)
                                                : format_raw(request);
    call.deadline = deadline_;
    call.end_fd = settings_.end ? settings_.end->get() : -1;
    auto output = run_cni_program(call);
    if (!output) {
        Error error = std::move(output.error());
        // That the kernel does not take the file for a program is no fault of ours.
        error.code = error.code == Code::internal ? Code::unavailable : error.code;
        return failed(fail(describe(std::move(error), command, plugin)));
    }
    auto answer = judge(std::move(*output));
    if (!answer) {
        answer.error().error = describe(std::move(answer.error().error), command, plugin);
    }
    return answer;
}

Error Chain::describe(Error error, CniCommand command, const CniPlugin& plugin) const {
    return std::move(error).context(fmt::format("CNI plugin {}, network {}, {}",
                                                bounded_utf8(plugin.type, kCniShownBytesMax),
                                                config_.name, to_string(command)));
}

Result<void> Chain::check_programs(CniCommand command) const {
    for (const CniPlugin& plugin : config_.plugins) {
        auto program = find_cni_program(plugin.type, settings_.plugin_folders);
        if (!program) {
            return fail(describe(std::move(program.error()), command, plugin));
        }
    }
    return {};
}

Result<CniResult> Chain::add(const CniParameters& parameters) const {
    CniResult result;
    for (const CniPlugin& plugin : config_.plugins) {
        RawObject request = make_cni_request(config_, plugin);
        add_attachment(request, plugin, parameters, result.json);
        auto answer = call(CniCommand::add, plugin, request, &parameters);
        if (!answer) {
            return fail(std::move(answer.error().error));
        }
        auto next = parse_cni_result(*answer, config_.version);
        if (!next) {
            Error error = std::move(next.error()).context("its result");
            return fail(describe(std::move(error), CniCommand::add, plugin));
        }
        result = std::move(*next);
    }
    return result;
}

Result<void> Chain::remove(const CniParameters& parameters, std::string_view result) const {
    // A namespace that is gone took the interfaces with it; plugins free the rest without it.
    CniParameters now = parameters;
    std::error_code error;
    if (fs::status(now.network_namespace, error).type() == fs::file_type::not_found) {
        now.network_namespace.clear();
    }
    // Until 0.4.0 DEL has no previous result.
    const bool has_result = config_.version >= CniVersion::v0_4_0;
    for (auto plugin = config_.plugins.rbegin(); plugin != config_.plugins.rend(); ++plugin) {
        RawObject request = make_cni_request(config_, *plugin);
        add_attachment(request, *plugin, now, has_result ? result : "");
        auto answer = call(CniCommand::del, *plugin, request, &now);
        // "The runtime does not need to perform any container network cleanup."
        if (!answer && answer.error().cni_code != kCniUnknownContainer) {
            return fail(std::move(answer.error().error));
        }
    }
    return {};
}

Result<void> Chain::check(const CniParameters& parameters, std::string_view result) const {
    for (const CniPlugin& plugin : config_.plugins) {
        RawObject request = make_cni_request(config_, plugin);
        add_attachment(request, plugin, parameters, result);
        auto answer = call(CniCommand::check, plugin, request, &parameters);
        if (!answer) {
            return fail(std::move(answer.error().error));
        }
    }
    return {};
}

// Several failures as one: the first one's code.
class Failures {
public:
    void add(Error error) {
        if (!first_) {
            first_ = std::move(error);
            return;
        }
        first_->message = bounded_utf8(first_->message + "; " + error.message, kFailuresBytesMax);
    }
    [[nodiscard]] Result<void> result() && {
        if (first_) {
            return fail(std::move(*first_));
        }
        return {};
    }

private:
    std::optional<Error> first_;
};

Result<void> Chain::collect_garbage(const std::vector<CniKey>& valid) const {
    Failures failures;
    for (const CniPlugin& plugin : config_.plugins) {
        RawObject request = make_cni_request(config_, plugin);
        add_valid_attachments(request, valid);
        auto answer = call(CniCommand::gc, plugin, request);
        if (!answer && !predates_gc_and_status(plugin)) {
            failures.add(std::move(answer.error().error));
        }
    }
    return std::move(failures).result();
}

Result<void> Chain::status() const {
    SKIFF_CHECK(check_programs(CniCommand::status));
    if (config_.version < CniVersion::v1_1_0) {
        return {};
    }
    for (const CniPlugin& plugin : config_.plugins) {
        auto answer = call(CniCommand::status, plugin, make_cni_request(config_, plugin));
        if (!answer && !predates_gc_and_status(plugin)) {
            return fail(std::move(answer.error().error));
        }
    }
    return {};
}

std::optional<std::vector<CniVersion>> Chain::versions_of(const CniPlugin& plugin) const {
    const auto answer = call(CniCommand::version, plugin, {});
    return answer ? parse_cni_versions(*answer) : std::nullopt;
}

bool Chain::predates_gc_and_status(const CniPlugin& plugin) const {
    const auto versions = versions_of(plugin);
    return versions && std::ranges::find(*versions, CniVersion::v1_1_0) == versions->end();
}

CniVersion Chain::choose_version() const {
    std::vector<CniVersion> left = config_.versions;
    for (const CniPlugin& plugin : config_.plugins) {
        if (const auto spoken = versions_of(plugin)) {
            std::erase_if(left, [&](CniVersion version) {
                return std::ranges::find(*spoken, version) == spoken->end();
            });
        }
    }
    // With nothing in common ADD will say so, by the plugin's own words.
    return left.empty() ? config_.versions.back() : left.back();
}

// DEL as recorded, or for what has no readable record as `unrecorded` says.
Result<void> remove_recorded(const CniSettings& settings, const CniCache& cache,
                             const CniRecord& unrecorded, SteadyTime deadline) {
    const CniKey& key = unrecorded.parameters.key;
    SKIFF_TRY(const auto found, cache.find(key));
    const CniRecord& record = found ? *found : unrecorded;
    const Chain chain(settings, record.config, deadline);
    SKIFF_CHECK(chain.remove(record.parameters, record.result ? record.result->json : ""));
    return cache.remove(key);
}

}  // namespace

CniNetwork::CniNetwork(CniSettings settings, CniConfig config)
    : settings_(std::move(settings)),
      config_(std::move(config)),
      cache_(settings_.cache_folder, settings_.durability) {}

Result<std::optional<CniNetwork>> CniNetwork::load(const CniSettings& settings,
                                                   SteadyTime deadline) {
    SKIFF_TRY(auto config, load_cni_config(settings.config_folder));
    if (!config) {
        return std::optional<CniNetwork>();
    }
    if (config->versions.size() > 1) {
        config->version = Chain(settings, *config, deadline).choose_version();
    }
    return std::optional<CniNetwork>(CniNetwork(settings, std::move(*config)));
}

Result<CniResult> CniNetwork::add(const CniAttachment& attachment, SteadyTime deadline) const {
    CniRecord record;
    SKIFF_TRY(record.parameters, make_cni_parameters(attachment));
    record.config = config_;
    if (attachment.network_namespace.empty()) {
        return fail(Code::invalid, "no network namespace to attach");
    }
    // With a program missing nothing is begun, so that nothing has to be undone without it.
    const Chain chain(settings_, config_, deadline);
    SKIFF_CHECK(chain.check_programs(CniCommand::add));
    SKIFF_TRY(const auto before, cache_.find(attachment.key));
    if (before && before->result) {
        return fail(Code::exists, "{} is attached to the network {} already",
                    attachment.key.container_id, before->config.name);
    }
    if (before) {
        SKIFF_CHECK(remove_recorded(settings_, cache_, *before, deadline));
    }
    // Before any plugin runs: whoever dies from here on leaves a trace of what is to be undone.
    SKIFF_CHECK(cache_.store(record));
    auto result = chain.add(record.parameters);
    if (result) {
        CniRecord done = record;
        done.result = *result;
        auto stored = cache_.store(done);
        if (stored) {
            return result;
        }
        result = fail(std::move(stored.error()));
    }
    auto undone = remove_recorded(settings_, cache_, record, after(kCniUndoTime));
    if (!undone) {
        log::warn("failed attachment not undone", log::kv("pod", attachment.pod),
                  log::kv("error", undone.error().message));
    }
    return result;
}

Result<std::optional<CniResult>> CniNetwork::find_result(const CniKey& key) const {
    return find_cni_result(settings_, key);
}

Result<void> CniNetwork::remove(const CniAttachment& attachment, SteadyTime deadline) const {
    CniRecord unrecorded;
    SKIFF_TRY(unrecorded.parameters, make_cni_parameters(attachment));
    unrecorded.config = config_;
    return remove_recorded(settings_, cache_, unrecorded, deadline);
}

Result<void> CniNetwork::check(const CniAttachment& attachment, SteadyTime deadline) const {
    SKIFF_TRY(const auto record, cache_.find(attachment.key));
    if (!record || !record->result) {
        return fail(Code::not_found, "{} is not attached to a network",
                    attachment.key.container_id);
    }
    if (config_.disable_check || record->config.disable_check ||
        record->config.version < CniVersion::v0_4_0) {
        return {};
    }
    return Chain(settings_, record->config, deadline)
        .check(record->parameters, record->result->json);
}

Result<void> CniNetwork::collect_garbage(const std::vector<CniKey>& valid, NetworkUse use,
                                         SteadyTime deadline) const {
    SKIFF_TRY(const auto recorded, cache_.list());
    Failures failures;
    for (const CniKey& key : recorded) {
        if (std::ranges::find(valid, key) != valid.end()) {
            continue;
        }
        CniAttachment attachment;
        attachment.key = key;
        if (auto removed = remove(attachment, deadline); !removed) {
            failures.add(std::move(removed.error()));
        }
    }
    if (use == NetworkUse::exclusive && !config_.disable_gc &&
        config_.version >= CniVersion::v1_1_0) {
        auto collected = Chain(settings_, config_, deadline).collect_garbage(valid);
        if (!collected) {
            failures.add(std::move(collected.error()));
        }
    }
    return std::move(failures).result();
}

Result<void> CniNetwork::status(SteadyTime deadline) const {
    return Chain(settings_, config_, deadline).status();
}

Result<std::vector<CniKey>> list_cni_attachments(const CniSettings& settings) {
    return CniCache(settings.cache_folder, settings.durability).list();
}

Result<std::optional<CniResult>> find_cni_result(const CniSettings& settings, const CniKey& key) {
    SKIFF_TRY(auto record, CniCache(settings.cache_folder, settings.durability).find(key));
    return record ? std::move(record->result) : std::optional<CniResult>();
}

Result<void> remove_cni_attachment(const CniSettings& settings, const CniKey& key,
                                   SteadyTime deadline) {
    const CniCache cache(settings.cache_folder, settings.durability);
    SKIFF_TRY(const auto record, cache.find(key));
    if (!record) {
        // Nobody can say any more what was attached.
        return cache.remove(key);
    }
    return remove_recorded(settings, cache, *record, deadline);
}

}  // namespace skiff::network
