// Every bound of this room in one place. A registry, an image and a tar file are hostile input.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace skiff::images {

inline constexpr std::size_t kReferenceBytesMax = 4096;
inline constexpr std::size_t kNameBytesMax = 255;  // repository, as the distribution spec has it
inline constexpr std::size_t kTagBytesMax = 128;

// The distribution specification lets a registry refuse manifests beyond 4 MiB.
inline constexpr std::uint64_t kManifestBytesMax = 4U << 20;
inline constexpr std::uint64_t kConfigBytesMax = 4U << 20;
inline constexpr std::size_t kLayersMax = 127;  // what containerd and overlayfs take
inline constexpr std::size_t kIndexEntriesMax = 1000;
inline constexpr std::uint64_t kBlobBytesMax = 16ULL << 30;

inline constexpr std::uint64_t kTokenBytesMax = 1U << 20;
inline constexpr std::uint64_t kErrorBodyBytesMax = 64U << 10;
inline constexpr std::size_t kErrorTextBytesMax = 512;
inline constexpr std::size_t kChallengesMax = 8;
inline constexpr std::size_t kTokensCachedMax = 1024;
inline constexpr int kRedirectsMax = 5;

inline constexpr std::size_t kPullSecretBytesMax = 1U << 20;
inline constexpr std::size_t kCredentialsMax = 256;

inline constexpr std::size_t kBlobsInParallelMax = 4;  // of one image
inline constexpr std::size_t kBlobWindowBytes = 1U << 20;

inline constexpr std::uint64_t kUnpackedBytesMax = 16ULL << 30;  // of one layer
inline constexpr std::uint64_t kUnpackedEntriesMax = 1'000'000;
inline constexpr std::size_t kPathBytesMax = 4096;
inline constexpr std::size_t kPathDepthMax = 128;
inline constexpr int kSymlinksMax = 40;

inline constexpr std::uint64_t kIndexFileBytesMax = 32U << 20;
inline constexpr std::size_t kImagesMax = 10'000;

static_assert(kConfigBytesMax <= kBlobBytesMax);
static_assert(kTagBytesMax + kNameBytesMax < kReferenceBytesMax);

}  // namespace skiff::images
