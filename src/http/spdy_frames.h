// SPDY/3.1 as bytes: frames in and out, as far as remote commands and port-forward need them. Pure;
// both ends use it. There is no flow control: the Go peers neither send nor honour WINDOW_UPDATE.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/headers.h"
#include "http/spdy_headers.h"

namespace skiff::http {

// The number of a stream: odd ones are the client's, at most 2^31 - 1, never 0.
using SpdyStreamId = std::uint32_t;
inline constexpr SpdyStreamId kSpdyStreamIdMax = 0x7fff'ffff;
// The longest payload that one frame can have.
inline constexpr std::size_t kSpdyFrameBytesMax = (std::size_t{1} << 24) - 1;

// Why a stream ends (RST_STREAM, §2.6.3).
enum class SpdyReset : std::uint32_t {
    protocol_error = 1,
    refused_stream = 3,
    cancel = 5,
};

// Whether the sender writes more on a stream.
enum class SpdyFin { no, yes };

struct SpdyFrame {
    enum class Kind {
        data,  // a part of one frame: a frame may be larger than any buffer
        syn_stream,
        syn_reply,
        headers,
        rst_stream,
        ping,
        goaway,
    };
    Kind kind = Kind::data;
    // Of all but ping. Of goaway the last that was served, or 0.
    SpdyStreamId stream = 0;
    // The sender writes no more on this stream: of data (with a frame's last part), syn_stream,
    // syn_reply, headers.
    bool fin = false;
    // Into the decoder's input: valid until the next call of next(). May be empty.
    std::string_view data;
    Headers fields;
    // RST_STREAM's and GOAWAY's status, PING's number.
    std::uint32_t value = 0;
};

// Takes frames apart. Its memory is one header block (and its zlib stream), whatever lengths the
// peer announces. SETTINGS, WINDOW_UPDATE and control frames that nobody knows are skipped.
class SpdyDecoder {
public:
    // Consumes bytes from the front of `bytes` until there is a frame or a part of one; nullopt
    // when `bytes` is used up. Fails with invalid (a breach of the protocol) or exhausted (a header
    // block that is too large); then the connection is of no more use.
    [[nodiscard]] Result<std::optional<SpdyFrame>> next(std::string_view& bytes);

private:
    // What stands before the payload: flags and length, and of a control frame its fixed fields.
    static constexpr std::size_t kHeaderBytes = 8;
    static constexpr std::size_t kFixedBytesMax = 10;
    enum class State { header, fixed, block, data, skip };

    // Fills `part_` up to `size`; false when `bytes` ends first.
    [[nodiscard]] bool gather(std::string_view& bytes, std::size_t size);
    [[nodiscard]] Result<void> begin_frame();
    [[nodiscard]] Result<void> begin_control(std::uint16_t type);
    [[nodiscard]] Result<std::optional<SpdyFrame>> take_fixed();
    [[nodiscard]] Result<std::optional<SpdyFrame>> take_block(std::string_view& bytes);
    [[nodiscard]] std::optional<SpdyFrame> take_data(std::string_view& bytes);
    [[nodiscard]] std::uint32_t number_at(std::size_t offset) const;

    SpdyHeaderReader headers_;
    State state_ = State::header;
    std::array<char, kFixedBytesMax> part_{};
    std::size_t part_size_ = 0;
    std::size_t fixed_size_ = 0;
    std::size_t left_ = 0;  // of the frame's payload
    SpdyFrame frame_;       // in progress
    bool fin_ = false;
};

// Makes the frames of one direction. Frames with headers must be sent in the order in which they
// were made.
class SpdyEncoder {
public:
    void append_syn_stream(std::string& out, SpdyStreamId stream, const Headers& fields);
    void append_syn_reply(std::string& out, SpdyStreamId stream, const Headers& fields);
    // The header of a data frame whose payload, `bytes` long, follows.
    static void append_data_header(std::string& out, SpdyStreamId stream, std::size_t bytes,
                                   SpdyFin fin);
    static void append_rst_stream(std::string& out, SpdyStreamId stream, SpdyReset why);
    static void append_ping(std::string& out, std::uint32_t number);
    // `last`: the newest stream of the peer that was served.
    static void append_goaway(std::string& out, SpdyStreamId last);

private:
    SpdyHeaderWriter headers_;
};

}  // namespace skiff::http
