#include "logs/files.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/fuzz.h"
#include "os/file.h"

namespace skiff::logs {

static LogFile file_of(std::string_view bytes) {
    LogFile file;
    file.fd = os::Fd(::memfd_create("log", MFD_CLOEXEC));
    SKIFF_ASSERT(os::write_all(file.fd.get(), bytes).has_value());
    file.bytes = bytes.size();
    return file;
}

static std::int64_t lines_in(std::string_view text) {
    const auto whole = std::ranges::count(text, '\n');
    return whole + (text.empty() || text.ends_with('\n') ? 0 : 1);
}

// The input: how many lines are wanted, then two files of a log with a zero byte between them.
SKIFF_FUZZ(logs_files) {
    fuzz::Input input(bytes);
    const std::int64_t wanted = 1 + input.byte() % 8;
    const std::string_view texts[] = {input.part(), input.rest()};
    std::vector<LogFile> files;
    files.push_back(file_of(texts[0]));
    files.push_back(file_of(texts[1]));
    const auto start = find_tail(files, wanted);
    SKIFF_ASSERT(start && start->file < 2 && start->offset <= files[start->file].bytes);
    const std::string_view first = texts[start->file].substr(start->offset);
    SKIFF_ASSERT(start->offset == 0 || texts[start->file][start->offset - 1] == '\n');
    const std::int64_t found = lines_in(first) + (start->file == 0 ? lines_in(texts[1]) : 0);
    SKIFF_ASSERT(found == std::min(wanted, lines_in(texts[0]) + lines_in(texts[1])));
}

}  // namespace skiff::logs
