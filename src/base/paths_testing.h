// Where tests find what was made beside them and what is in their clone. Not by a macro of the
// build: a path in the command line would keep the compiler's cache from serving another clone.
#pragma once

#include <filesystem>

namespace skiff {

// The folder of the programs of this build: build/PRESET/bin.
[[nodiscard]] inline std::filesystem::path tests_program_folder() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

// The root of the clone that this program was built in.
[[nodiscard]] inline std::filesystem::path tests_source_folder() {
    return tests_program_folder().parent_path().parent_path().parent_path();
}

}  // namespace skiff
