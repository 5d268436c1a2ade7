#include "runtime/artifacts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"
#include "os/process.h"
#include "runtime/artifact_store.h"
#include "state/checkpoint.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr std::string_view kMacKeyKind = "artifact-key";
constexpr std::size_t kMacKeyBytes = 32;
constexpr std::string_view kRejected = "CreateContainerError";
constexpr std::string_view kLimited = "RunContainerError";
constexpr std::size_t kOpenMax = 512;
constexpr std::size_t kProvenMax = 1024;
constexpr auto kWaitMax = std::chrono::hours(2);  // for a turn among many compiles

Bytes default_memory_max() {
    auto memory = os::memory();
    Bytes quarter{memory ? memory->total.value / 4 : 0};
    Bytes wanted = std::max(quarter, 2_GiB);
    // A board with less than that gives what it has.
    return memory ? std::min(wanted, memory->total) : wanted;
}

std::size_t compilers(unsigned wanted) {
    return wanted != 0 ? wanted : Artifacts::at_once(os::cpu_count());
}

// A compiler that runs. Leaving the scope ends it.
class Compiler {
public:
    explicit Compiler(os::Spawned child) : child_(std::move(child)) {}
    Compiler(const Compiler&) = delete;
    Compiler& operator=(const Compiler&) = delete;
    ~Compiler() {
        if (!reaped_) {
            (void)os::send_signal(child_.pidfd.get(), SIGKILL);
            constexpr int kKillMs = 2000;
            (void)os::wait_ended(child_.pidfd.get(), kKillMs);
            (void)os::reap(child_.pidfd.get());
        }
    }
    [[nodiscard]] Task<Result<os::ProcessExit>> wait(SteadyTime deadline) {
        SKIFF_CO_CHECK(co_await async::wait_readable(child_.pidfd.get(), deadline));
        SKIFF_CO_TRY(auto ended, os::reap(child_.pidfd.get()));
        reaped_ = true;
        co_return ended.value_or(os::ProcessExit{});
    }

private:
    os::Spawned child_;
    bool reaped_ = false;
};

// A file that is removed unless it got its final name.
class Temporary {
public:
    explicit Temporary(std::filesystem::path path) : path_(std::move(path)) {}
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() { (void)os::remove_file(path_); }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

Error error_of(const wire::CompileReport& report) {
    bool is_fault =
        report.code == wire::CompileCode::io || report.code == wire::CompileCode::internal;
    Error error;
    error.code = report.code == wire::CompileCode::invalid       ? Code::invalid
                 : report.code == wire::CompileCode::unsupported ? Code::unsupported
                                                                 : Code::internal;
    error.reason = std::string(is_fault ? kLimited : kRejected);
    error.message = bounded_utf8(report.message, 4096);
    return error;
}

std::vector<SourceModule> sources_of(const pods::CompileRequest& request) {
    std::vector<SourceModule> sources = {{request.module.digest, request.module.size.value}};
    for (const auto& plug : request.plugs) {
        sources.push_back({plug.digest, plug.size.value});
    }
    return sources;
}

// A compiler that left no report was ended: by our clock, by its limits, or by a fault.
Error error_of(const Result<os::ProcessExit>& ended, const CompileSettings& settings,
               Bytes memory_max) {
    Error error;
    error.code = Code::exhausted;
    error.reason = std::string(kLimited);
    if (!ended) {
        error.message =
            fmt::format("compiling took longer than {}", format_duration(settings.time_max));
    } else if (ended->signal == SIGXCPU) {
        error.message = fmt::format("compiling needed more than {} of CPU time",
                                    format_duration(settings.time_max));
    } else {
        error.message = fmt::format(
            "the compiler ended without an answer ({} {}); it may have needed more than {}",
            ended->signal != 0 ? "signal" : "exit code",
            ended->signal != 0 ? ended->signal : ended->code, memory_max);
    }
    return error;
}

}  // namespace

// Somebody who waits for a job.
class Artifacts::Waiting {
public:
    explicit Waiting(std::shared_ptr<Job> job) : job_(std::move(job)) { ++job_->waiters; }
    ~Waiting() {
        if (--job_->waiters == 0) {
            job_->left = true;
            job_->enough.set();
        }
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

private:
    std::shared_ptr<Job> job_;
};

Artifacts::Artifacts(CompileSettings settings, const state::Paths& paths,
                     const os::CgroupTree& cgroups, async::Executor executor,
                     async::BlockingPool& pool, Random& random)
    : settings_(std::move(settings)),
      paths_(paths),
      cgroups_(cgroups),
      pool_(pool),
      random_(random),
      scope_(std::move(executor)),
      compilers_(compilers(settings_.at_once)) {
    if (settings_.memory_max.value == 0) {
        settings_.memory_max = default_memory_max();
    }
}

Artifacts::~Artifacts() = default;

Result<void> Artifacts::open() {
    auto stored = state::load_checkpoint(paths_.artifact_key(), kMacKeyKind);
    if (stored && stored->size() == kMacKeyBytes) {
        mac_key_ = std::move(*stored);
        return {};
    }
    if (!stored && stored.error().code != Code::not_found && stored.error().code != Code::corrupt) {
        return fail(std::move(stored.error()));
    }
    // Lost: what was compiled with the old one fails its check and is made anew.
    std::string fresh(kMacKeyBytes, '\0');
    random_.fill(std::as_writable_bytes(std::span(fresh)));
    SKIFF_CHECK(
        state::store_checkpoint(paths_.artifact_key(), kMacKeyKind, fresh, os::Durability::power));
    mac_key_ = std::move(fresh);
    return {};
}

void Artifacts::set_engine(std::string build, std::string compatibility_key) {
    engine_ = fmt::format("{}\n{}\n{}", build, compatibility_key, os::cpu_features());
}

// What the node's settings say of an artifact that was made.
Result<pods::Artifact> Artifacts::accept(const OpenArtifact& opened) const {
    constexpr std::uint8_t kLevel03 = 3;
    if (!settings_.wasi03 && opened.facts.wasi == kLevel03) {
        return fail_because(Code::unsupported, kRejected,
                            "the component uses WASI 0.3, which this node does not offer (its "
                            "setting wasi03 is false)");
    }
    return opened.artifact;
}

Task<Result<pods::Artifact>> Artifacts::compile(pods::CompileRequest request,
                                                std::function<void()> compiling) {
    if (!wire::find_engine(request.handler)) {
        co_return fail_because(Code::unsupported, kRejected,
                               "runtime handler \"{}\" is not offered here", request.handler);
    }
    std::string key = artifact_key(request, engine_);
    if (auto opened = open_.find(key); opened != open_.end()) {
        co_return accept(*opened->second);
    }
    if (auto error = failures_.find(key, std::chrono::steady_clock::now())) {
        co_return fail(std::move(*error));
    }
    while (true) {
        auto& slot = jobs_[key];
        if (!slot) {
            slot = std::make_shared<Job>();
            scope_.spawn("compile " + key.substr(0, 12), run(slot, request, key));
        }
        auto job = slot;
        Waiting waiting(job);
        auto announced = co_await job->compiling.wait();
        if (!announced) {
            co_return fail(std::move(announced.error()));
        }
        if (!job->done.is_set() && compiling) {
            compiling();
        }
        SKIFF_CO_CHECK(co_await job->done.wait());
        if (job->abandoned) {
            // Given up by those who waited before us.
            continue;
        }
        if (!*job->result) {
            co_return fail((*job->result).error());
        }
        co_return accept(***job->result);
    }
}

Task<Result<std::shared_ptr<const OpenArtifact>>> Artifacts::find(std::string key) {
    if (auto opened = open_.find(key); opened != open_.end()) {
        co_return opened->second;
    }
    co_return co_await load(std::move(key));
}

Task<void> Artifacts::run(std::shared_ptr<Job> job, pods::CompileRequest request, std::string key) {
    // Waiters must wake even when this task is cancelled.
    struct Finally {
        Artifacts* self;
        std::shared_ptr<Job> job;
        std::string key;
        ~Finally() {
            if (!job->result) {
                job->result.emplace(fail(Code::cancelled, "the node is stopping"));
            }
            self->jobs_.erase(key);
            job->done.set();
            job->compiling.set();
        }
    };
    Finally finally{this, job, key};
    auto result = co_await produce(job, std::move(request), key);
    if (result) {
        failures_.forget(key);
    } else {
        failures_.note(key, result.error(), std::chrono::steady_clock::now());
    }
    job->result.emplace(std::move(result));
}

Task<Result<Artifacts::Opened>> Artifacts::produce(std::shared_ptr<Job> job,
                                                   pods::CompileRequest request, std::string key) {
    auto cached = co_await load(key);
    if (cached) {
        co_return cached;
    }
    bool can_build = cached.error().code == Code::not_found || cached.error().code == Code::corrupt;
    if (!can_build) {
        co_return fail(std::move(cached.error()));
    }
    auto size_work = [request]() -> Result<void> {
        SKIFF_CHECK(check_module(request.module));
        for (const auto& plug : request.plugs) {
            SKIFF_CHECK(check_module(plug));
        }
        return {};
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(size_work)));
    job->compiling.set();
    SKIFF_CO_TRY(auto turn, co_await take_turn(std::move(job), key));
    co_return co_await build(std::move(request), std::move(key));
}

Task<Result<async::Semaphore::Permit>> Artifacts::take_turn(std::shared_ptr<Job> job,
                                                            std::string key) {
    bool costly = failures_.is_costly(key, std::chrono::steady_clock::now());
    auto rank = costly ? async::Semaphore::Rank::last : async::Semaphore::Rank::normal;
    auto turn = compilers_.acquire(after(kWaitMax), rank);
    auto taken = co_await async::run_until(std::move(turn), job->enough, async::kNoDeadline,
                                           "wait for a compiler");
    job->abandoned = !taken && taken.error().code == Code::cancelled && job->left;
    co_return std::move(taken);
}

Task<Result<Artifacts::Opened>> Artifacts::load(std::string key) {
    std::string mac_key = mac_key_;
    auto work = [paths = paths_, mac_key, key] { return load_artifact(paths, mac_key, key); };
    SKIFF_CO_TRY(Opened opened, co_await pool_.run(std::move(work)));
    if (open_.size() >= kOpenMax) {
        open_.erase(open_.begin());
    }
    open_[key] = opened;
    co_return opened;
}

Task<Result<os::Fd>> Artifacts::open_input(pods::ModuleFile module) {
    std::optional<os::FileStamp> proven;
    const std::string digest = module.digest;
    if (auto known = proven_.find(digest); known != proven_.end()) {
        proven = known->second;
    }
    auto work = [module = std::move(module), proven] { return open_module(module, proven); };
    SKIFF_CO_TRY(OpenModule opened, co_await pool_.run(std::move(work)));
    if (proven_.size() >= kProvenMax) {
        proven_.clear();
    }
    proven_[digest] = opened.stamp;
    co_return std::move(opened.fd);
}

Task<Result<std::vector<os::Fd>>> Artifacts::open_inputs(const pods::CompileRequest& request) {
    std::vector<os::Fd> inputs;
    SKIFF_CO_TRY(os::Fd module, co_await open_input(request.module));
    inputs.push_back(std::move(module));
    for (const auto& plug : request.plugs) {
        SKIFF_CO_TRY(os::Fd input, co_await open_input(plug));
        inputs.push_back(std::move(input));
    }
    co_return inputs;
}

os::SpawnSpec Artifacts::compiler_of(const pods::CompileRequest& request,
                                     const std::vector<os::Fd>& inputs, int output,
                                     int report) const {
    os::SpawnSpec spec;
    spec.program = settings_.engine_program;
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(settings_.time_max).count();
    spec.argv = {"skiff-engine",
                 "compile",
                 fmt::format("--engine={}", request.handler),
                 fmt::format("--plugs={}", request.plugs.size()),
                 fmt::format("--memory-bytes={}", settings_.memory_max.value),
                 fmt::format("--cpu-seconds={}", seconds)};
    spec.fds = {os::PassedFd{inputs.front().get(), wire::kCompileModuleFd},
                os::PassedFd{output, wire::kCompileArtifactFd}, os::PassedFd{2, 2},
                os::PassedFd{report, wire::kCompileReportFd}};
    for (std::size_t i = 1; i < inputs.size(); ++i) {
        spec.fds.push_back(
            os::PassedFd{inputs[i].get(), wire::kCompileFirstPlugFd + static_cast<int>(i) - 1});
    }
    spec.session = os::Session::own;
    spec.on_parent_death = os::OnParentDeath::die;
    spec.schedule = os::Schedule::idle;
    return spec;
}

Task<Result<Artifacts::Opened>> Artifacts::build(pods::CompileRequest request, std::string key) {
    auto begun = std::chrono::steady_clock::now();
    SKIFF_CO_TRY(std::vector<os::Fd> inputs, co_await open_inputs(request));
    // A name that remove_stale_temporaries() knows.
    Temporary output(paths_.compiled() / fmt::format(".{}.tmp-{}", key, random_.hex(4)));
    auto make_output = [path = output.path()] {
        return os::open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    };
    SKIFF_CO_TRY(os::Fd output_fd, co_await pool_.run(std::move(make_output)));
    SKIFF_CO_TRY(os::Fd report_fd, os::make_memfd("report"));
    os::SpawnSpec spec = compiler_of(request, inputs, output_fd.get(), report_fd.get());
    os::CgroupLimits limits;
    limits.turn = os::CgroupLimits::Turn::idle;
    if (auto place = cgroups_.create("compile", limits)) {
        spec.cgroup_folders = place->folders;
    }
    SKIFF_CO_TRY(os::Spawned child, os::spawn(spec));
    Compiler compiler(std::move(child));
    auto ended = co_await compiler.wait(after(settings_.time_max));
    if (!ended && ended.error().code != Code::timeout) {
        co_return fail(std::move(ended.error()));
    }
    ::lseek(report_fd.get(), 0, SEEK_SET);
    auto bytes = os::read_all(report_fd.get(), Bytes{wire::kCompileReportBytesMax});
    bool has_report = ended && bytes && !bytes->empty();
    if (!has_report) {
        co_return fail(error_of(ended, settings_, settings_.memory_max));
    }
    SKIFF_CO_TRY(auto report, wire::decode<wire::CompileReport>(*bytes));
    if (report.code != wire::CompileCode::ok) {
        co_return fail(error_of(report));
    }
    StoredFacts facts{key,     request.module.size.value, report.facts, {},
                      engine_, sources_of(request)};
    auto store_work = [paths = paths_, mac_key = mac_key_, file = output.path(), facts] {
        return store_artifact(paths, mac_key, file, facts);
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(store_work)));
    SKIFF_CO_TRY(Opened opened, co_await load(key));
    auto made = std::make_shared<OpenArtifact>();
    SKIFF_CO_TRY(made->fd, opened->fd.duplicate());
    made->artifact = opened->artifact;
    made->facts = opened->facts;
    made->artifact.source = pods::Artifact::Source::compiled;
    made->artifact.compile_time = std::chrono::steady_clock::now() - begun;
    co_return Opened(made);
}

Task<Result<std::vector<CachedArtifact>>> Artifacts::cached() {
    auto work = [paths = paths_] { return list_artifacts(paths); };
    co_return co_await pool_.run(std::move(work));
}

Task<Result<std::size_t>> Artifacts::drop_stale(Spared in_use) {
    SKIFF_CO_TRY(auto artifacts, co_await cached());
    std::erase_if(artifacts, [&](const CachedArtifact& one) {
        return one.engine == engine_ || in_use.contains(one.key);
    });
    const std::size_t count = artifacts.size();
    SKIFF_CO_TRY(Bytes freed, co_await drop(std::move(artifacts), std::move(in_use)));
    if (count > 0) {
        log::info("compiled modules of another engine removed", log::kv("count", count),
                  log::kv("size", freed));
    }
    co_return count;
}

Task<Result<Bytes>> Artifacts::drop(std::vector<CachedArtifact> artifacts, Spared in_use) {
    std::erase_if(artifacts, [&](const CachedArtifact& one) {
        return in_use.contains(one.key) || jobs_.contains(one.key);
    });
    Bytes size;
    for (const CachedArtifact& one : artifacts) {
        open_.erase(one.key);
        size.value += one.size.value;
    }
    auto work = [paths = paths_, artifacts = std::move(artifacts)]() -> Result<void> {
        for (const CachedArtifact& one : artifacts) {
            SKIFF_CHECK(remove_artifact(paths, one.key));
        }
        return {};
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(work)));
    co_return size;
}

Task<void> Artifacts::stop() {
    co_await scope_.stop();
}

}  // namespace skiff::runtime
