#include "http/spdy_frames.h"

#include <algorithm>

#include "base/assert.h"
#include "http/big_endian.h"

namespace skiff::http {

namespace {

constexpr std::uint16_t kVersion = 3;
constexpr std::uint16_t kControlBit = 0x8000;
constexpr std::uint8_t kFlagFin = 0x01;

constexpr std::uint16_t kSynStream = 1;
constexpr std::uint16_t kSynReply = 2;
constexpr std::uint16_t kRstStream = 3;
constexpr std::uint16_t kPing = 6;
constexpr std::uint16_t kGoaway = 7;
constexpr std::uint16_t kHeaders = 8;

struct ControlKind {
    std::uint16_t type;
    SpdyFrame::Kind kind;
    std::size_t fixed_bytes;
    enum class Block { follows, none } block;
};
constexpr ControlKind kControlKinds[] = {
    {kSynStream, SpdyFrame::Kind::syn_stream, 10, ControlKind::Block::follows},
    {kSynReply, SpdyFrame::Kind::syn_reply, 4, ControlKind::Block::follows},
    {kRstStream, SpdyFrame::Kind::rst_stream, 8, ControlKind::Block::none},
    {kPing, SpdyFrame::Kind::ping, 4, ControlKind::Block::none},
    {kGoaway, SpdyFrame::Kind::goaway, 8, ControlKind::Block::none},
    {kHeaders, SpdyFrame::Kind::headers, 4, ControlKind::Block::follows},
};

bool has_block(SpdyFrame::Kind kind) {
    return kind == SpdyFrame::Kind::syn_stream || kind == SpdyFrame::Kind::syn_reply ||
           kind == SpdyFrame::Kind::headers;
}

void append_u32(std::string& out, std::uint32_t value) {
    append_big_endian(out, value, 4);
}

void append_control(std::string& out, std::uint16_t type, std::size_t length) {
    SKIFF_ASSERT(length <= kSpdyFrameBytesMax);
    append_u32(out, static_cast<std::uint32_t>((kControlBit | kVersion) << 16 | type));
    append_u32(out, static_cast<std::uint32_t>(length));
}

}  // namespace

std::uint32_t SpdyDecoder::number_at(std::size_t offset) const {
    return static_cast<std::uint32_t>(big_endian(std::span(part_).subspan(offset, 4)));
}

bool SpdyDecoder::gather(std::string_view& bytes, std::size_t size) {
    std::size_t count = std::min(size - part_size_, bytes.size());
    std::copy_n(bytes.begin(), count, part_.begin() + static_cast<std::ptrdiff_t>(part_size_));
    part_size_ += count;
    bytes.remove_prefix(count);
    return part_size_ == size;
}

Result<std::optional<SpdyFrame>> SpdyDecoder::next(std::string_view& bytes) {
    while (true) {
        std::optional<SpdyFrame> frame;
        switch (state_) {
            case State::header:
                if (!gather(bytes, kHeaderBytes)) {
                    return std::nullopt;
                }
                SKIFF_CHECK(begin_frame());
                break;
            case State::fixed: {
                if (!gather(bytes, fixed_size_)) {
                    return std::nullopt;
                }
                SKIFF_TRY(frame, take_fixed());
                break;
            }
            case State::block: {
                if (bytes.empty() && left_ > 0) {
                    return std::nullopt;
                }
                SKIFF_TRY(frame, take_block(bytes));
                break;
            }
            case State::data:
                if (bytes.empty() && left_ > 0) {
                    return std::nullopt;
                }
                frame = take_data(bytes);
                break;
            case State::skip: {
                std::size_t count = std::min(left_, bytes.size());
                bytes.remove_prefix(count);
                left_ -= count;
                if (left_ > 0) {
                    return std::nullopt;
                }
                state_ = State::header;
                break;
            }
        }
        if (frame) {
            return frame;
        }
    }
}

Result<void> SpdyDecoder::begin_frame() {
    const std::uint32_t first = number_at(0);
    const std::uint32_t second = number_at(4);
    part_size_ = 0;
    left_ = second & kSpdyFrameBytesMax;
    fin_ = (second >> 24 & kFlagFin) != 0;
    frame_ = {};
    if (first >> 31 == 0) {
        if (first == 0) {
            return fail(Code::invalid, "a SPDY data frame is of stream 0");
        }
        frame_.stream = first;
        state_ = State::data;
        return {};
    }
    if ((first >> 16 & 0x7fff) != kVersion) {
        return fail(Code::invalid, "a SPDY frame has version {} instead of {}",
                    first >> 16 & 0x7fff, kVersion);
    }
    return begin_control(static_cast<std::uint16_t>(first & 0xffff));
}

Result<void> SpdyDecoder::begin_control(std::uint16_t type) {
    const auto* known = std::ranges::find(kControlKinds, type, &ControlKind::type);
    if (known == std::end(kControlKinds)) {
        state_ = State::skip;
        return {};
    }
    const bool fits = known->block == ControlKind::Block::follows ? left_ >= known->fixed_bytes
                                                                  : left_ == known->fixed_bytes;
    if (!fits) {
        return fail(Code::invalid, "a SPDY frame of type {} has {} bytes", type, left_);
    }
    fixed_size_ = known->fixed_bytes;
    frame_.kind = known->kind;
    state_ = State::fixed;
    return {};
}

Result<std::optional<SpdyFrame>> SpdyDecoder::take_fixed() {
    part_size_ = 0;
    left_ -= fixed_size_;
    const std::uint32_t first = number_at(0);
    if (frame_.kind != SpdyFrame::Kind::ping) {
        frame_.stream = first & kSpdyStreamIdMax;
        if (frame_.stream == 0 && frame_.kind != SpdyFrame::Kind::goaway) {
            return fail(Code::invalid, "a SPDY control frame is of stream 0");
        }
    }
    if (has_block(frame_.kind)) {
        state_ = State::block;
        return std::nullopt;
    }
    frame_.value = frame_.kind == SpdyFrame::Kind::ping ? first : number_at(4);
    state_ = State::header;
    return std::exchange(frame_, {});
}

Result<std::optional<SpdyFrame>> SpdyDecoder::take_block(std::string_view& bytes) {
    const std::size_t count = std::min(left_, bytes.size());
    SKIFF_CHECK(headers_.add(bytes.substr(0, count)));
    bytes.remove_prefix(count);
    left_ -= count;
    if (left_ > 0) {
        return std::nullopt;
    }
    SKIFF_TRY(frame_.fields, headers_.finish());
    frame_.fin = fin_;
    state_ = State::header;
    return std::exchange(frame_, {});
}

std::optional<SpdyFrame> SpdyDecoder::take_data(std::string_view& bytes) {
    const std::size_t count = std::min(left_, bytes.size());
    SpdyFrame frame;
    frame.stream = frame_.stream;
    frame.data = bytes.substr(0, count);
    bytes.remove_prefix(count);
    left_ -= count;
    if (left_ == 0) {
        frame.fin = fin_;
        state_ = State::header;
    }
    return frame;
}

void SpdyEncoder::append_syn_stream(std::string& out, SpdyStreamId stream, const Headers& fields) {
    const std::string block = headers_.write(fields);
    append_control(out, kSynStream, 10 + block.size());
    append_u32(out, stream);
    append_u32(out, 0);
    out.append(2, '\0');
    out += block;
}

void SpdyEncoder::append_syn_reply(std::string& out, SpdyStreamId stream, const Headers& fields) {
    const std::string block = headers_.write(fields);
    append_control(out, kSynReply, 4 + block.size());
    append_u32(out, stream);
    out += block;
}

void SpdyEncoder::append_data_header(std::string& out, SpdyStreamId stream, std::size_t bytes,
                                     SpdyFin fin) {
    SKIFF_ASSERT(stream != 0 && stream <= kSpdyStreamIdMax && bytes <= kSpdyFrameBytesMax);
    append_u32(out, stream);
    append_u32(out, static_cast<std::uint32_t>((fin == SpdyFin::yes ? kFlagFin : 0) << 24 | bytes));
}

void SpdyEncoder::append_rst_stream(std::string& out, SpdyStreamId stream, SpdyReset why) {
    append_control(out, kRstStream, 8);
    append_u32(out, stream);
    append_u32(out, static_cast<std::uint32_t>(why));
}

void SpdyEncoder::append_ping(std::string& out, std::uint32_t number) {
    append_control(out, kPing, 4);
    append_u32(out, number);
}

void SpdyEncoder::append_goaway(std::string& out, SpdyStreamId last) {
    append_control(out, kGoaway, 8);
    append_u32(out, last);
    append_u32(out, 0);
}

}  // namespace skiff::http
