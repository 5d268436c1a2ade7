#include "app/image_service.h"

#include "base/text.h"
#include "images/contents.h"
#include "images/modules.h"
#include "images/node_images.h"
#include "kube/pod_fields.h"
#include "pods/container_config.h"
#include "pods/observed.h"

namespace skiff::app {

namespace {

struct NamedModule {
    std::string name;
    pods::ModuleFile file;
};

Result<NamedModule> find_module(const pods::Image& image, const std::string& path) {
    SKIFF_TRY(images::FoundModule found, images::find_module_in(images::module_query(image, path)));
    return NamedModule{path, {found.path, found.digest.str(), found.size}};
}

// Blocking: hashes files.
Result<std::vector<NamedModule>> modules_of(const pods::Image& image,
                                            PrecompileRequest::Modules wanted) {
    std::vector<NamedModule> modules;
    if (image.kind == pods::ImageKind::artifact) {
        std::error_code error;
        Bytes size{std::filesystem::file_size(image.module, error)};
        modules.push_back({image.module_name, {image.module, image.module_digest, size}});
        return modules;
    }
    auto command = pods::command_of(kube::Container{}, image, {});
    if (command && wanted == PrecompileRequest::Modules::started) {
        SKIFF_TRY(modules.emplace_back(), find_module(image, command->module));
        return modules;
    }
    SKIFF_TRY(auto files, images::wasm_files_in(image.layers));
    if (files.empty()) {
        return fail(Code::not_found, "the image has no .wasm file");
    }
    if (wanted == PrecompileRequest::Modules::started && files.size() > 1) {
        return fail(Code::invalid,
                    "the image has {} .wasm files and no Entrypoint that chooses one; --all takes "
                    "all of them",
                    files.size());
    }
    for (const images::WasmFile& file : files) {
        SKIFF_TRY(modules.emplace_back(), find_module(image, file.path));
    }
    return modules;
}

}  // namespace

bool names_image(const kube::PodSpec& spec, const images::StoredImage& image) {
    auto names_it = [&](const std::string& text) {
        auto reference = images::parse_reference(text);
        bool by_digest =
            reference && reference->digest && reference->name() == image.name &&
            (*reference->digest == image.resolved || *reference->digest == image.manifest.digest);
        return by_digest || (reference && reference->str() == image.reference);
    };
    bool of_container = false;
    kube::for_each_container(spec, [&](const kube::Container& container) {
        of_container = of_container || names_it(container.image);
    });
    return of_container || std::ranges::any_of(spec.volumes, [&](const kube::Volume& volume) {
               return volume.image && names_it(volume.image->reference);
           });
}

std::string pod_that_needs(const pods::Pods& pods, const images::StoredImage& image) {
    auto needs_it = [&](const kube::PodSpec& spec, const kube::PodStatus& status) {
        return !pods::is_terminal(status.phase) && names_image(spec, image);
    };
    auto found = pods.find_if(needs_it);
    return found ? fmt::format("pod {}", *found) : std::string();
}

async::Task<Result<Bytes>> drop_orphaned_artifacts(images::Store& store,
                                                   runtime::KeeperRuntime& runtime) {
    SKIFF_CO_TRY(auto compiled, co_await runtime.compiled_modules());
    std::map<images::Digest, std::uint64_t> wanted;
    for (const runtime::SourceModule& module : compiled) {
        if (auto digest = images::Digest::parse(module.digest)) {
            wanted.emplace(std::move(*digest), module.bytes);
        }
    }
    SKIFF_CO_TRY(auto here, co_await images::find_modules(store, std::move(wanted)));
    std::set<std::string> left;
    for (const images::Digest& digest : here) {
        left.insert(digest.str());
    }
    co_return co_await runtime.drop_artifacts(std::move(left));
}

async::Task<Result<ImageList>> ImageService::list() {
    ImageList list;
    list.root_dir = parts_.root_dir.string();
    for (const images::StoredImage& image : parts_.images.store().list()) {
        list.images.push_back({image.reference, image.resolved.str(), image.size});
    }
    std::ranges::sort(list.images, {}, &ImageList::Entry::reference);
    co_return std::move(list);
}

async::Task<Result<void>> ImageService::precompile_one(pods::ModuleFile module, std::string name,
                                                       std::string runtime, StepSink steps) {
    PrecompileStep step{PrecompileStep::Kind::began, name, module.size, {}};
    SKIFF_CO_CHECK(co_await steps(step));
    pods::CompileRequest request{std::move(module), {}, std::move(runtime)};
    auto artifact = co_await parts_.runtime.compile(std::move(request), nullptr);
    if (!artifact) {
        co_return fail(std::move(artifact.error()).context(name));
    }
    bool cached = artifact->source == pods::Artifact::Source::cached;
    step.kind = cached ? PrecompileStep::Kind::cached : PrecompileStep::Kind::compiled;
    step.took = artifact->compile_time;
    co_return co_await steps(std::move(step));
}

async::Task<Result<void>> ImageService::precompile(PrecompileRequest request, StepSink steps) {
    SKIFF_CO_TRY(images::Reference reference, images::parse_reference(request.image));
    if (!parts_.images.store().find(reference)) {
        PrecompileStep pulling;
        SKIFF_CO_CHECK(co_await steps(pulling));
    }
    SKIFF_CO_TRY(images::LocalImage local,
                 co_await parts_.images.fetch(request.image, ImageRooms::Pull::missing, nullptr));
    auto work = [image = images::to_port(local), wanted = request.modules] {
        return modules_of(image, wanted);
    };
    SKIFF_CO_TRY(auto modules, co_await parts_.images.store().pool().run(std::move(work)));
    if (request.runtime.empty()) {
        request.runtime = parts_.runtime.handlers().front();
    }
    for (NamedModule& module : modules) {
        SKIFF_CO_CHECK(
            co_await precompile_one(std::move(module.file), module.name, request.runtime, steps));
    }
    co_return Result<void>{};
}

std::string ImageService::user_of(const images::StoredImage& image) const {
    for (const PodUid& uid : parts_.runtime.pods()) {
        for (const pods::ContainerRecord& record : parts_.runtime.containers(uid)) {
            if (!record.exit && record.image_id == image.image_id()) {
                return fmt::format("container {} of pod {}/{}", record.name, record.pod_name.ns,
                                   record.pod_name.name);
            }
        }
    }
    return parts_.needed_by ? parts_.needed_by(image) : std::string();
}

async::Task<Result<RemovedImage>> ImageService::remove(std::string reference) {
    SKIFF_CO_TRY(images::Reference parsed, images::parse_reference(reference));
    images::Store& store = parts_.images.store();
    auto stored = store.find(parsed);
    if (!stored) {
        co_return fail(Code::not_found, "no image {}", bounded_utf8(reference, 256));
    }
    if (std::string user = user_of(*stored); !user.empty()) {
        co_return fail(Code::conflict, "the image {} is needed by {}", stored->reference, user);
    }
    SKIFF_CO_CHECK(co_await store.remove(stored->reference));
    bool other_name = std::ranges::any_of(store.list(), [&](const images::StoredImage& one) {
        return one.image_id() == stored->image_id();
    });
    if (!other_name) {
        SKIFF_CO_CHECK(co_await parts_.images.access().forget(stored->image_id()));
    }
    RemovedImage removed{stored->reference, {}};
    SKIFF_CO_TRY(removed.freed, co_await store.collect());
    SKIFF_CO_TRY(Bytes code, co_await drop_orphaned_artifacts(store, parts_.runtime));
    removed.freed.value += code.value;
    co_return std::move(removed);
}

}  // namespace skiff::app
