#include "engine/identity.h"

#include <elf.h>
#include <link.h>

#include <string_view>

#include "base/assert.h"
#include "base/text.h"

namespace skiff::engine {

namespace {

std::size_t padded(std::size_t size) {
    return (size + 3) & ~std::size_t{3};
}

// The GNU build id among the notes of a segment, empty if it is not there.
std::string_view find_build_id(std::string_view notes) {
    while (notes.size() >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        __builtin_memcpy(&note, notes.data(), sizeof note);
        notes.remove_prefix(sizeof note);
        const std::size_t name = padded(note.n_namesz);
        const std::size_t text = padded(note.n_descsz);
        if (name + text > notes.size()) {
            return {};
        }
        if (note.n_type == NT_GNU_BUILD_ID && notes.starts_with("GNU")) {
            return notes.substr(name, note.n_descsz);
        }
        notes.remove_prefix(name + text);
    }
    return {};
}

int look_at_object(dl_phdr_info* object, std::size_t, void* result) {
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const auto& segment = object->dlpi_phdr[i];
        if (segment.p_type != PT_NOTE) {
            continue;
        }
        const auto* start = reinterpret_cast<const char*>(object->dlpi_addr + segment.p_vaddr);
        const auto id = find_build_id({start, segment.p_memsz});
        if (!id.empty()) {
            *static_cast<std::string*>(result) = to_hex(id.substr(0, 8));
            return 1;
        }
    }
    return 1;  // The executable comes first; libraries have ids of their own.
}

}  // namespace

const std::string& build_id() {
    static const std::string id = [] {
        std::string found;
        ::dl_iterate_phdr(look_at_object, &found);
        SKIFF_ASSERT(!found.empty(), "linked without a build id");
        return found;
    }();
    return id;
}

}  // namespace skiff::engine
