// Strong types for what would otherwise be confusable strings and integers.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace skiff {

// A string that is one kind of identifier only. Tag is an incomplete type; compares, hashes,
// formats.
template <typename Tag>
class Id {
public:
    Id() = default;
    explicit Id(std::string value) : value_(std::move(value)) {}
    [[nodiscard]] const std::string& str() const { return value_; }
    [[nodiscard]] bool empty() const { return value_.empty(); }
    friend auto operator<=>(const Id&, const Id&) = default;

private:
    std::string value_;
};

template <typename Tag>
std::string format_as(const Id<Tag>& id) {
    return id.str();
}

// metadata.uid of a pod: the key of everything that belongs to it (names come back, uids do not).
using PodUid = Id<struct PodUidTag>;
// A container of ours: 64 lower-case hexadecimal digits; `skiff://<id>` in statuses.
using ContainerId = Id<struct ContainerIdTag>;

// "namespace/name" of a pod, for people and for order; never a key across a pod's lifetime.
struct PodName {
    std::string ns;
    std::string name;
    friend auto operator<=>(const PodName&, const PodName&) = default;
};
inline std::string format_as(const PodName& pod) {
    return pod.ns + "/" + pod.name;
}

// A size in bytes.
struct Bytes {
    std::uint64_t value = 0;
    friend auto operator<=>(const Bytes&, const Bytes&) = default;
};
constexpr Bytes operator""_KiB(unsigned long long n) {
    return Bytes{n << 10};
}
constexpr Bytes operator""_MiB(unsigned long long n) {
    return Bytes{n << 20};
}
constexpr Bytes operator""_GiB(unsigned long long n) {
    return Bytes{n << 30};
}
// "1.5 MiB": for people.
std::string format_as(Bytes bytes);

}  // namespace skiff

template <typename Tag>
struct std::hash<skiff::Id<Tag>> {
    std::size_t operator()(const skiff::Id<Tag>& id) const noexcept {
        return std::hash<std::string>()(id.str());
    }
};

template <typename Tag>
struct fmt::formatter<skiff::Id<Tag>> : fmt::formatter<std::string> {
    auto format(const skiff::Id<Tag>& id, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(id.str(), context);
    }
};
template <>
struct fmt::formatter<skiff::PodName> : fmt::formatter<std::string> {
    auto format(const skiff::PodName& pod, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(skiff::format_as(pod), context);
    }
};
template <>
struct fmt::formatter<skiff::Bytes> : fmt::formatter<std::string> {
    auto format(skiff::Bytes bytes, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(skiff::format_as(bytes), context);
    }
};
