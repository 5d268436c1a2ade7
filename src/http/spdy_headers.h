// Header blocks of SPDY/3.1: name-value lists, compressed with one zlib stream for each direction
// of a connection, which starts with a dictionary. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/headers.h"

struct z_stream_s;

namespace skiff::http {

// A block after inflation. What kubectl sends has under 200 bytes.
inline constexpr std::size_t kSpdyHeaderBlockBytesMax = 16U << 10;
inline constexpr std::size_t kSpdyHeadersMax = 64;

// Inflates the blocks of one direction, in the order in which they came. About 40 KiB.
class SpdyHeaderReader {
public:
    SpdyHeaderReader();
    ~SpdyHeaderReader();
    SpdyHeaderReader(const SpdyHeaderReader&) = delete;
    SpdyHeaderReader& operator=(const SpdyHeaderReader&) = delete;

    // A part of the present block, as it came. Fails with invalid (no zlib stream with the
    // dictionary) or exhausted (more than kSpdyHeaderBlockBytesMax): then the direction is lost.
    [[nodiscard]] Result<void> add(std::string_view compressed);
    // The block is complete; the next add() begins another. Names are in lower case; several
    // values of one name are as many fields. Fails with invalid: lengths that do not fit, a name
    // twice or with capitals, too many names, bytes left over.
    [[nodiscard]] Result<Headers> finish();

private:
    std::unique_ptr<z_stream_s> stream_;
    std::string block_;
};

// The other direction.
class SpdyHeaderWriter {
public:
    SpdyHeaderWriter();
    ~SpdyHeaderWriter();
    SpdyHeaderWriter(const SpdyHeaderWriter&) = delete;
    SpdyHeaderWriter& operator=(const SpdyHeaderWriter&) = delete;

    // The next block; frames are sent in the order of these calls. Names become lower case, and
    // none occurs twice.
    [[nodiscard]] std::string write(const Headers& headers);

private:
    std::unique_ptr<z_stream_s> stream_;
};

// The dictionary that both directions start with (SPDY/3 §2.6.10.1).
[[nodiscard]] const std::string& spdy_dictionary();

}  // namespace skiff::http
