#include "wire/codec.h"

namespace skiff::wire {

void Writer::put(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
}

void Writer::patch_length(std::size_t at) {
    const auto length = static_cast<std::uint32_t>(bytes_.size() - at - 4);
    for (std::size_t i = 0; i < 4; ++i) {
        bytes_[at + i] = static_cast<char>(length >> (8 * i));
    }
}

std::uint64_t Reader::get_number(std::size_t size) {
    if (rest_.size() < size) {
        fault_ = "a number is cut off";
        rest_ = {};
        return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
        value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(size);
    return value;
}

std::string_view Reader::get_block() {
    const std::uint64_t size = get_number(4);
    if (failed()) {
        return {};
    }
    if (size > rest_.size()) {
        fault_ = "a length is larger than the message";
        return {};
    }
    const std::string_view block = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return block;
}

void Reader::get(std::string& text) {
    if (failed() || rest_.empty()) {
        return;
    }
    text = get_block();
}

}  // namespace skiff::wire
