// What fuzzers share. A fuzzer stands beside the parser that it tries, `x_fuzz.cpp` beside `x.cpp`,
// and says what must hold for every input:
//
//   SKIFF_FUZZ(wire_message) {  // ROOM_x; its corpus is test/corpus/wire_message
//       auto message = decode_message(bytes);
//       if (!message) {
//           fuzz::check_error(message.error());
//           return;
//       }
//       SKIFF_ASSERT(decode_message(encode_message(*message)) == *message);
//   }
//
// The body gets `bytes`. In the preset `fuzz` it is a program of libFuzzer (`./dev fuzz`). In every
// other preset it is a test of its room, which runs the corpus and a bounded number of seeded
// mutations of it, the same at every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/assert.h"
#include "base/result.h"

#ifdef SKIFF_FUZZ_REPLAY
#include <gtest/gtest.h>

#include "base/paths_testing.h"
#endif

namespace skiff::fuzz {

// The longest input; files of the corpus are shorter, so that a mutation has room to grow.
inline constexpr std::size_t kInputBytesMax = 4096;
// The longest message that a failure may have. A message may repeat parts of the input, but an
// input must not fill logs and events.
inline constexpr std::size_t kMessageBytesMax = 2048;
// Mutations in one replay, shared by the files of a corpus.
inline constexpr std::size_t kMutations = 1500;

using Fuzzer = void (*)(std::string_view bytes);

// Runs `fuzzer` on the files of `corpus` and on mutations of them; returns the number of files.
// When the process is about to die of it, says where the input is kept.
[[nodiscard]] std::size_t replay(std::string_view name, const std::filesystem::path& corpus,
                                 Fuzzer fuzzer);

// Asserts what every failure of a parser must be: a message for people, bounded, in valid UTF-8
// (it goes into API objects), and not a fault of ours.
void check_error(const Error& error);

// Takes an input apart: decisions from its front, texts between zero bytes.
class Input {
public:
    explicit Input(std::string_view bytes) : rest_(bytes) {}
    // The next byte; 0 when there is none.
    [[nodiscard]] std::uint8_t byte();
    // What comes before the next zero byte or the end.
    [[nodiscard]] std::string_view part();
    // All that is left.
    [[nodiscard]] std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
};

}  // namespace skiff::fuzz

#ifdef SKIFF_FUZZ_REPLAY
#define SKIFF_FUZZ(name)                                                            \
    static void fuzz_##name(std::string_view bytes);                                \
    TEST(Fuzz, name) {                                                              \
        const auto corpus = ::skiff::tests_source_folder() / "test/corpus" / #name; \
        EXPECT_GT(::skiff::fuzz::replay(#name, corpus, &fuzz_##name), 0U)           \
            << "test/corpus/" #name " is empty";                                    \
    }                                                                               \
    static void fuzz_##name(std::string_view bytes)
#else
#define SKIFF_FUZZ(name)                                                                \
    static void fuzz_##name(std::string_view bytes);                                    \
    extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
        fuzz_##name(std::string_view(reinterpret_cast<const char*>(data), size));       \
        return 0;                                                                       \
    }                                                                                   \
    static void fuzz_##name(std::string_view bytes)
#endif
