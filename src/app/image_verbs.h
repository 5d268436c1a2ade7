// What `skiff image` does, whoever does it: the agent that owns the store (asked through its
// socket), or this process where no agent runs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace skiff::app {

struct ImageList {
    std::string root_dir;  // of the instance whose images these are
    struct Entry {
        std::string reference;
        std::string digest;
        Bytes size;
        friend bool operator==(const Entry&, const Entry&) = default;
    };
    std::vector<Entry> images;
    friend bool operator==(const ImageList&, const ImageList&) = default;
};

struct PrecompileRequest {
    std::string image;
    std::string runtime;  // wasmtime, pulley, wasmi; empty: what a pod without a class gets
    enum class Modules {
        started,  // what a pod without `command` starts, or the only module there is
        all,      // every .wasm file
    } modules = Modules::started;
};

struct PrecompileStep {
    enum class Kind {
        pulling,   // the image is not here
        began,     // with a module
        cached,    // the module was compiled already
        compiled,  // just now
    } kind = Kind::pulling;
    std::string module;
    Bytes size;
    Duration took{};
    friend bool operator==(const PrecompileStep&, const PrecompileStep&) = default;
};
using StepSink = std::function<async::Task<Result<void>>(PrecompileStep)>;

struct RemovedImage {
    std::string reference;
    Bytes freed;  // blobs and compiled code that no other image needs
    friend bool operator==(const RemovedImage&, const RemovedImage&) = default;
};

class ImageVerbs {
public:
    virtual ~ImageVerbs() = default;
    [[nodiscard]] virtual async::Task<Result<ImageList>> list() = 0;
    // Pulls the image if it is not here and compiles its modules, telling `steps`, whose failure
    // ends it. Fails as pulling and compiling do.
    [[nodiscard]] virtual async::Task<Result<void>> precompile(PrecompileRequest request,
                                                               StepSink steps) = 0;
    // Fails with not_found, and with conflict while a pod needs the image.
    [[nodiscard]] virtual async::Task<Result<RemovedImage>> remove(std::string reference) = 0;
};

}  // namespace skiff::app
