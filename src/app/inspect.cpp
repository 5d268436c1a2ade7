// `skiff inspect`: what a module or image is, needs and would be granted. Nothing of it is run, and
// only the jailed compiler process reads the module.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>

#include "app/commands.h"
#include "app/console.h"
#include "app/image_rooms.h"
#include "app/inspection.h"
#include "app/local_images.h"
#include "app/own_instance.h"
#include "app/rooms.h"
#include "base/log.h"
#include "images/load.h"
#include "images/node_images.h"
#include "os/file.h"
#include "pods/container_config.h"
#include "runtime/inspect.h"
#include "runtime/reset.h"
#include "state/digest.h"
#include "wire/grant.h"

namespace skiff::app {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kWidthMin = 60;
constexpr std::size_t kWidthPlain = 100;  // where there is no terminal

// A .wasm file, as opposed to a folder or archive with an image in it. What is neither is taken for
// a module: the engine says what it looks like.
Result<bool> is_bare_module(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) {
        return false;
    }
    SKIFF_TRY(os::Fd file, os::open_regular(fs::canonical(path, error)));
    constexpr std::size_t kTarMagicAt = 257;
    std::array<char, 512> head{};
    ssize_t count = ::pread(file.get(), head.data(), head.size(), 0);
    std::string_view bytes(head.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    bool archive = bytes.starts_with("\x1f\x8b") || bytes.starts_with("\x28\xb5\x2f\xfd") ||
                   (bytes.size() > kTarMagicAt && bytes.substr(kTarMagicAt).starts_with("ustar"));
    return !archive;
}

std::size_t width_of_terminal() {
    winsize size{};
    if (::isatty(1) == 1 && ::ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return std::max<std::size_t>(size.ws_col, kWidthMin);
    }
    return kWidthPlain;
}

class Inspector {
public:
    explicit Inspector(const InspectOptions& options) : options_(options) {}

    Result<ModuleInspection> module(const fs::path& path, std::string name) const {
        std::error_code error;
        SKIFF_TRY(os::Fd file, os::open_regular(fs::canonical(path, error)));
        SKIFF_TRY(state::FileHash hash, state::hash_file(file.get()));
        ModuleInspection found;
        found.name = std::move(name);
        found.digest = "sha256:" + hash.hex;
        found.size = Bytes{fs::file_size(fs::canonical(path, error), error)};
        std::vector<std::string> runtimes(wire::kEngineNames.begin(), wire::kEngineNames.end());
        if (!options_.runtime.empty()) {
            runtimes = {options_.runtime};
        }
        for (const std::string& runtime : runtimes) {
            SKIFF_TRY(
                wire::CompileReport report,
                runtime::inspect_module({options_.settings.engine_path, file.get(), runtime}));
            found.verdicts.push_back({runtime, report.code, std::move(report.message)});
            if (report.facts.kind != wire::ModuleKind::unknown) {
                found.facts = std::move(report.facts);
            }
        }
        return found;
    }

    Result<Inspection> image(const images::LocalImage& local) const {
        const pods::Image image = images::to_port(local);
        Inspection found;
        found.reference = options_.target;
        found.image_digest = local.stored.resolved.str();
        if (image.kind == pods::ImageKind::artifact) {
            found.kind = Inspection::Kind::artifact;
            SKIFF_TRY(found.module, module(image.module, image.module_name));
            return found;
        }
        found.kind = Inspection::Kind::layered;
        found.command = image.config.entrypoint;
        found.command.insert(found.command.end(), image.config.cmd.begin(), image.config.cmd.end());
        SKIFF_TRY(found.files, images::wasm_files_in(image.layers));
        SKIFF_TRY(std::string path, path_in(image, found.files));
        if (path.empty()) {
            return found;
        }
        SKIFF_TRY(images::FoundModule file,
                  images::find_module_in(images::module_query(image, path)));
        SKIFF_TRY(found.module, module(file.path, path));
        std::erase_if(found.files, [&](const images::WasmFile& one) {
            auto seen = images::find_module_in(images::module_query(image, one.path));
            return seen && seen->path == file.path;
        });
        return found;
    }

private:
    // The file to look at: what was asked for, what a pod without `command` starts, or the only one
    // that there is. Empty: none of these.
    Result<std::string> path_in(const pods::Image& image,
                                const std::vector<images::WasmFile>& files) const {
        if (!options_.file.empty()) {
            return options_.file;
        }
        if (auto command = pods::command_of(kube::Container{}, image, {})) {
            return command->module;
        }
        return files.size() == 1 ? files.front().path : std::string();
    }

    const InspectOptions& options_;
};

async::Task<Result<images::LocalImage>> get_image(ImageRooms& rooms, const InspectOptions& options,
                                                  Console& console) {
    std::string reference = options.target;
    auto pull = options.pull == "always"  ? ImageRooms::Pull::always
                : options.pull == "never" ? ImageRooms::Pull::never
                                          : ImageRooms::Pull::missing;
    std::error_code error;
    fs::path path = fs::absolute(options.target, error).lexically_normal();
    if (is_path(options.target) || fs::exists(path, error)) {
        images::LoadRequest request;
        request.path = path.string();
        request.name = local_image_name(path);
        SKIFF_CO_TRY(auto loaded, co_await images::load_image(rooms.store(), std::move(request)));
        reference = loaded.reference;
        pull = ImageRooms::Pull::never;
    }
    Console* shown = &console;
    images::ProgressSink progress = [shown](const images::BlobProgress& blob) {
        shown->progress_of("blob " + blob.digest.str(), "pulling", blob.done, blob.total);
    };
    co_return co_await rooms.fetch(std::move(reference), pull, std::move(progress));
}

// An image is looked at in the store of `skiff run`.
async::Task<Result<Inspection>> inspect_image(Base& base, const InspectOptions& options,
                                              const state::Instance& instance) {
    Console console(base.clock, Quiet::no);
    ImageRooms::Ground ground{base.reactor.executor(), base.pool, base.clock, base.random};
    SKIFF_CO_TRY(auto rooms,
                 co_await ImageRooms::create(ground, options.settings, instance.paths()));
    auto local = co_await get_image(*rooms, options, console);
    co_await rooms->stop();
    if (!local) {
        co_return fail(std::move(local.error()));
    }
    auto work = [options, image = std::move(*local)] { return Inspector(options).image(image); };
    co_return co_await base.pool.run(std::move(work));
}

Result<Inspection> inspect(InspectOptions& options) {
    SKIFF_TRY(bool bare, is_bare_module(options.target));
    if (bare) {
        Inspection found;
        SKIFF_TRY(found.module, Inspector(options).module(
                                    options.target, fs::path(options.target).filename().string()));
        return found;
    }
    Base base;
    SKIFF_TRY(auto instance, open_own_instance(options.root_dir, options.settings, base.random));
    auto found = async::run_to_end(base.reactor, inspect_image(base, options, *instance));
    log::set_level(log::Level::error);
    // Also ends what a killed `skiff run` left in this instance.
    (void)async::run_to_end(base.reactor, runtime::reset(*instance, base.reactor.executor(), {}));
    return found;
}

}  // namespace

int inspect_command(InspectOptions options) {
    ::signal(SIGPIPE, SIG_IGN);
    if (auto settled = settle_own(options.settings, options.plain_http); !settled) {
        print_error(format_as(settled.error()));
        return kExitUsage;
    }
    auto found = inspect(options);
    if (!found) {
        print_error(format_as(found.error()));
        return kExitFailure;
    }
    bool fancy = ::isatty(1) == 1 && std::getenv("NO_COLOR") == nullptr;
    print_to(stdout,
             options.format == OutputFormat::json
                 ? render_json(*found)
                 : render_table(*found, width_of_terminal(), fancy ? Colour::yes : Colour::no));
    bool fine = !found->module || can_run(*found);
    return fine ? kExitOk : kExitFailure;
}

}  // namespace skiff::app
