// Which sanitizers this program was built with (presets `asan+ubsan`, `tsan`): for the few places
// that cannot work with one, and for tests that say why they are skipped. All false in what is
// installed.
#pragma once

// g++ defines these two itself.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

namespace skiff {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// Both keep their books in terabytes of reserved addresses: RLIMIT_AS would end the program.
inline constexpr bool kLimitsAddressSpace = !kAddressSanitizer && !kThreadSanitizer;

}  // namespace skiff
