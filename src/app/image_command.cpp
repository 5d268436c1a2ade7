// `skiff image ls | precompile | rm`.
#include <unistd.h>

#include <csignal>

#include "app/commands.h"
#include "app/console.h"
#include "app/image_client.h"
#include "app/image_messages.h"
#include "app/image_service.h"
#include "app/own_instance.h"
#include "app/powers.h"
#include "app/rooms.h"
#include "base/log.h"
#include "runtime/reset.h"

namespace skiff::app {

namespace {

using async::Task;

template <typename... Arguments>
void say(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    print_to(stdout, fmt::format(text, std::forward<Arguments>(arguments)...));
}

void print_list(const ImageList& list, OutputFormat format) {
    if (format == OutputFormat::json) {
        say("{}", format_json(list));
        return;
    }
    std::size_t longest = 5;
    for (const ImageList::Entry& image : list.images) {
        longest = std::max(longest, image.reference.size());
    }
    constexpr std::size_t kDigestShown = sizeof("sha256:0123456789ab") - 1;
    say("{:<{}}  {:<{}}  {}\n", "IMAGE", longest, "DIGEST", kDigestShown, "SIZE");
    for (const ImageList::Entry& image : list.images) {
        say("{:<{}}  {:<{}}  {}\n", image.reference, longest, image.digest.substr(0, kDigestShown),
            kDigestShown, image.size);
    }
}

// What goes on, while it takes longer than a moment.
class Progress {
public:
    Progress() : console_(clock_, Quiet::no) {}

    Task<Result<void>> step(std::string image, PrecompileStep step) {
        if (!doing_.empty()) {
            console_.progress_done(doing_);
            doing_.clear();
        }
        switch (step.kind) {
            case PrecompileStep::Kind::pulling:
                doing_ = image + ": pulling";
                break;
            case PrecompileStep::Kind::began:
                doing_ = fmt::format("{}: compiling {} ({})", image, step.module, step.size);
                break;
            case PrecompileStep::Kind::cached:
                say("{}: {} ({}) is compiled already\n", image, step.module, step.size);
                break;
            case PrecompileStep::Kind::compiled:
                say("{}: {} ({}) compiled in {:.1f}s\n", image, step.module, step.size,
                    std::chrono::duration<double>(step.took).count());
                break;
        }
        std::fflush(stdout);
        since_ = clock_.steady_now();
        co_return Result<void>{};
    }
    void done() {
        if (!doing_.empty()) {
            console_.progress_done(doing_);
            doing_.clear();
        }
    }
    Task<void> tick() {
        constexpr auto kQuiet = std::chrono::seconds(1);
        while (co_await async::sleep_for(std::chrono::milliseconds(250))) {
            if (!doing_.empty() && clock_.steady_now() - since_ > kQuiet) {
                console_.progress(doing_, doing_, 0, 0);
            }
        }
    }

private:
    SystemClock clock_;
    Console console_;
    std::string doing_;
    SteadyTime since_{};
};

Task<Result<void>> precompile_all(ImageVerbs& verbs, const ImageOptions& options,
                                  Progress& progress) {
    Result<void> result;
    for (const std::string& image : options.images) {
        PrecompileRequest request{
            image, options.runtime,
            options.all ? PrecompileRequest::Modules::all : PrecompileRequest::Modules::started};
        Progress* shown = &progress;
        StepSink steps = [shown, image](PrecompileStep step) {
            return shown->step(image, std::move(step));
        };
        auto done = co_await verbs.precompile(std::move(request), std::move(steps));
        progress.done();
        if (!done) {
            // The others are tried all the same.
            print_error(fmt::format("{}: {}", image, done.error().message));
            result = fail(Code::internal, "not everything was compiled");
        }
    }
    co_return result;
}

Task<Result<void>> obey(ImageVerbs& verbs, const ImageOptions& options) {
    switch (options.verb) {
        case ImageOptions::Verb::list: {
            SKIFF_CO_TRY(ImageList list, co_await verbs.list());
            print_list(list, options.format);
            break;
        }
        case ImageOptions::Verb::remove:
            for (const std::string& image : options.images) {
                SKIFF_CO_TRY(RemovedImage removed, co_await verbs.remove(image));
                say("{} removed, {} freed\n", removed.reference, removed.freed);
            }
            break;
        case ImageOptions::Verb::precompile: {
            Progress progress;
            async::Scope ticking(co_await async::current_executor());
            ticking.spawn("progress", progress.tick());
            auto done = co_await precompile_all(verbs, options, progress);
            co_await ticking.stop();
            co_return done;
        }
    }
    co_return Result<void>{};
}

enum class Agent { absent, obeyed };

// An agent with another root-dir than was asked for is an error.
Task<Result<Agent>> ask_agent(const ImageOptions& options) {
    http::Client client(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    ImageClient agent(client, local_socket(options.settings.run_dir));
    auto list = co_await agent.list();
    if (!list && list.error().code == Code::unavailable) {
        co_return Agent::absent;
    }
    if (!list) {
        co_return fail(std::move(list.error()));
    }
    if (options.root_dir_given && list->root_dir != options.settings.root_dir.string()) {
        co_return fail(Code::conflict,
                       "the node at {} keeps its images below {}, not below {}; --run-dir chooses "
                       "another node",
                       options.settings.run_dir.string(), list->root_dir,
                       options.settings.root_dir.string());
    }
    SKIFF_CO_CHECK(co_await obey(agent, options));
    co_return Agent::obeyed;
}

Task<Result<void>> obey_here(Base& base, const ImageOptions& options,
                             const state::Instance& instance) {
    ImageRooms::Ground ground{base.reactor.executor(), base.pool, base.clock, base.random};
    SKIFF_CO_TRY(auto images,
                 co_await ImageRooms::create(ground, options.settings, instance.paths()));
    runtime::RuntimeParts parts{base.reactor, base.pool, base.clock, base.random, instance};
    auto settings = runtime_settings(options.settings, os::OnParentDeath::die);
    auto runtime = co_await runtime::KeeperRuntime::create(std::move(settings), parts);
    Result<void> done;
    if (runtime) {
        ImageService service({*images, **runtime, instance.paths().root_dir, nullptr});
        done = co_await obey(service, options);
        co_await (*runtime)->stop_tasks();
    } else {
        done = fail(std::move(runtime.error()));
    }
    co_await images->stop();
    co_return done;
}

Result<void> run_here(ImageOptions& options) {
    os::IdMapProbe probe = settle_powers();
    Base base;
    base.id_map_probe = std::move(probe);
    Result<std::unique_ptr<state::Instance>> instance =
        options.whose == ImageOptions::Whose::run
            ? open_own_instance(options.own_root_dir, options.settings, base.random)
            : state::Instance::open(paths_of(options.settings), base.random);
    if (!instance) {
        return fail(std::move(instance.error()));
    }
    auto done = async::run_to_end(base.reactor, obey_here(base, options, **instance));
    if (options.whose == ImageOptions::Whose::run) {
        if (!log::enabled(log::Level::info)) {
            log::set_level(log::Level::error);
        }
        (void)async::run_to_end(base.reactor,
                                runtime::reset(**instance, base.reactor.executor(), {}));
    }
    return done;
}

Result<void> run(ImageOptions& options) {
    if (options.whose == ImageOptions::Whose::node) {
        async::Reactor reactor;
        SKIFF_TRY(Agent agent, async::run_to_end(reactor, ask_agent(options)));
        if (agent == Agent::obeyed) {
            return {};
        }
    }
    return run_here(options);
}

}  // namespace

int image_command(ImageOptions options) {
    ::signal(SIGPIPE, SIG_IGN);
    if (options.whose == ImageOptions::Whose::run) {
        if (auto settled = settle_own(options.settings, options.plain_http); !settled) {
            print_error(format_as(settled.error()));
            return kExitUsage;
        }
    }
    auto done = run(options);
    if (!done) {
        print_error(format_as(done.error()));
        return kExitFailure;
    }
    return kExitOk;
}

}  // namespace skiff::app
