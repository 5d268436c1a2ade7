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

// Downloads at the same time. A registry's first one never waits for those from others.
inline constexpr std::size_t kBlobsOfImageMax = 4;
inline constexpr std::size_t kBlobsOfRegistryMax = 6;
inline constexpr std::size_t kBlobsInParallelMax = 48;
inline constexpr std::size_t kBlobWindowBytes = 1U << 20;  // read ahead of the disk, for each

// A blob that arrives more slowly than this, over the window, is given up. Only time spent waiting
// for the registry counts. What came stays for the next try.
inline constexpr std::uint64_t kBlobBytesPerSecondMin = 32U << 10;
inline constexpr std::chrono::seconds kBlobRateWindow(60);
// However fast it is: others wait for the turn.
inline constexpr std::chrono::hours kBlobTimeMax(6);
// A pull that takes longer counts no more in maxParallelImagePulls: slow registries, however many
// names they have, hold the others up for this time at most.
inline constexpr std::chrono::minutes kPullTurnMax(5);

inline constexpr std::uint64_t kUnpackedBytesMax = 16ULL << 30;  // of one layer
inline constexpr std::uint64_t kUnpackedEntriesMax = 1'000'000;
inline constexpr std::size_t kPathBytesMax = 4096;
inline constexpr std::size_t kPathDepthMax = 128;
inline constexpr int kSymlinksMax = 40;

// What is remembered of files in layers; beyond it all is forgotten.
inline constexpr std::size_t kModulesKnownMax = 4096;
inline constexpr std::size_t kDigestsKnownMax = 1024;
inline constexpr std::size_t kWasmFilesMax = 10'000;  // of one image, when they are listed

inline constexpr std::uint64_t kIndexFileBytesMax = 32U << 20;
inline constexpr std::size_t kImagesMax = 10'000;

static_assert(kConfigBytesMax <= kBlobBytesMax);
static_assert(kBlobsOfImageMax < kBlobsOfRegistryMax, "one image leaves room for others");
static_assert(kBlobsOfRegistryMax * 8 <= kBlobsInParallelMax, "so does one registry");
static_assert(kBlobsInParallelMax * kBlobWindowBytes <= 64U << 20, "they cost memory");
static_assert(kBlobRateWindow < kPullTurnMax && kPullTurnMax < kBlobTimeMax);
static_assert(kBlobBytesPerSecondMin * std::chrono::seconds(kBlobTimeMax).count() >= 512U << 20,
              "at the lowest rate a large module still arrives");
static_assert(kTagBytesMax + kNameBytesMax < kReferenceBytesMax);

}  // namespace skiff::images
