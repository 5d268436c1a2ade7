// One agent's claim on its folders.
#pragma once

#include <memory>
#include <string>

#include "base/random.h"
#include "base/result.h"
#include "os/lock.h"
#include "state/paths.h"

namespace skiff::state {

// Holds the locks of root-dir and run-dir as long as it lives. Made once, at start, before anything
// else is touched.
class Instance {
public:
    // Makes the folders, takes the locks, reads or draws the id. Links on the way to the folders
    // are followed once, here; one in the place of a folder is refused. When the run-dir is of
    // another boot its contents (records of processes that are all gone) are wiped. Fails with
    // conflict, naming the process that holds the folders, before it has written anything but the
    // lock file.
    [[nodiscard]] static Result<std::unique_ptr<Instance>> open(const Paths& wanted,
                                                                Random& random);

    [[nodiscard]] const Paths& paths() const { return paths_; }
    // Eight hexadecimal digits, the same for the life of the root-dir: in names of cgroups,
    // interfaces and namespaces that must differ between instances on a machine.
    [[nodiscard]] const std::string& id() const { return id_; }

private:
    Instance(Paths paths, os::FileLock root_lock, os::FileLock run_lock, std::string id)
        : paths_(std::move(paths)),
          root_lock_(std::move(root_lock)),
          run_lock_(std::move(run_lock)),
          id_(std::move(id)) {}

    Paths paths_;
    os::FileLock root_lock_;
    os::FileLock run_lock_;
    std::string id_;
};

}  // namespace skiff::state
