#include "http/spdy_headers.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/text.h"
#include "http/big_endian.h"

namespace skiff::http {

namespace {

// The dictionary is these words, each after its length, and then a text.
constexpr std::string_view kWords[] = {"options",
                                       "head",
                                       "post",
                                       "put",
                                       "delete",
                                       "trace",
                                       "accept",
                                       "accept-charset",
                                       "accept-encoding",
                                       "accept-language",
                                       "accept-ranges",
                                       "age",
                                       "allow",
                                       "authorization",
                                       "cache-control",
                                       "connection",
                                       "content-base",
                                       "content-encoding",
                                       "content-language",
                                       "content-length",
                                       "content-location",
                                       "content-md5",
                                       "content-range",
                                       "content-type",
                                       "date",
                                       "etag",
                                       "expect",
                                       "expires",
                                       "from",
                                       "host",
                                       "if-match",
                                       "if-modified-since",
                                       "if-none-match",
                                       "if-range",
                                       "if-unmodified-since",
                                       "last-modified",
                                       "location",
                                       "max-forwards",
                                       "pragma",
                                       "proxy-authenticate",
                                       "proxy-authorization",
                                       "range",
                                       "referer",
                                       "retry-after",
                                       "server",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "user-agent",
                                       "vary",
                                       "via",
                                       "warning",
                                       "www-authenticate",
                                       "method",
                                       "get",
                                       "status",
                                       "200 OK",
                                       "version",
                                       "HTTP/1.1",
                                       "url",
                                       "public",
                                       "set-cookie",
                                       "keep-alive",
                                       "origin"};
constexpr std::string_view kText =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

// Deflate with small tables: blocks are short. The window takes the dictionary.
constexpr int kWindowBits = 11;
constexpr int kMemoryLevel = 1;

const Bytef* bytes_of(std::string_view text) {
    return reinterpret_cast<const Bytef*>(text.data());
}

// Takes what a block says from its front.
class BlockReader {
public:
    explicit BlockReader(std::string_view block) : rest_(block) {}
    Result<std::uint32_t> number() {
        if (rest_.size() < 4) {
            return fail(Code::invalid, "a SPDY header block ends too early");
        }
        const auto value = static_cast<std::uint32_t>(big_endian(rest_.substr(0, 4)));
        rest_.remove_prefix(4);
        return value;
    }
    Result<std::string_view> text() {
        SKIFF_TRY(std::uint32_t size, number());
        if (size > rest_.size()) {
            return fail(Code::invalid, "a SPDY header block ends too early");
        }
        std::string_view text = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return text;
    }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
};

bool is_name(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return c > 0x20 && c < 0x7f && (c < 'A' || c > 'Z');
    });
}

Result<Headers> parse_block(std::string_view block) {
    BlockReader reader(block);
    SKIFF_TRY(std::uint32_t count, reader.number());
    if (count > kSpdyHeadersMax) {
        return fail(Code::invalid, "a SPDY header block has {} names, more than {}", count,
                    kSpdyHeadersMax);
    }
    Headers headers;
    for (std::uint32_t i = 0; i < count; ++i) {
        SKIFF_TRY(std::string_view name, reader.text());
        SKIFF_TRY(std::string_view values, reader.text());
        if (!is_name(name) || headers.contains(name)) {
            return fail(Code::invalid,
                        "a SPDY header block has a name that is no lower-case "
                        "token, or occurs twice");
        }
        for (std::string_view value : split(values, '\0')) {
            headers.add(std::string(name), std::string(value));
        }
    }
    if (!reader.at_end()) {
        return fail(Code::invalid, "a SPDY header block has bytes after its end");
    }
    return headers;
}

std::string format_block(const Headers& headers) {
    // Several fields of one name are one, its values apart by a zero byte.
    std::vector<std::pair<std::string, std::string>> merged;
    for (const auto& [name, value] : headers) {
        std::string lower = to_lower(name);
        auto same = std::ranges::find(merged, lower, [](const auto& field) { return field.first; });
        if (same == merged.end()) {
            merged.emplace_back(std::move(lower), value);
        } else {
            same->second += '\0';
            same->second += value;
        }
    }
    std::string block;
    append_big_endian(block, merged.size(), 4);
    for (const auto& [name, value] : merged) {
        append_big_endian(block, name.size(), 4);
        block += name;
        append_big_endian(block, value.size(), 4);
        block += value;
    }
    return block;
}

}  // namespace

const std::string& spdy_dictionary() {
    static const std::string dictionary = [] {
        std::string bytes;
        for (std::string_view word : kWords) {
            append_big_endian(bytes, word.size(), 4);
            bytes += word;
        }
        return bytes.append(kText);
    }();
    return dictionary;
}

SpdyHeaderReader::SpdyHeaderReader() : stream_(std::make_unique<z_stream>()) {
    int made = inflateInit(stream_.get());
    SKIFF_ASSERT(made == Z_OK, "inflateInit");
}

SpdyHeaderReader::~SpdyHeaderReader() {
    inflateEnd(stream_.get());
}

Result<void> SpdyHeaderReader::add(std::string_view compressed) {
    stream_->next_in = const_cast<Bytef*>(bytes_of(compressed));
    stream_->avail_in = static_cast<uInt>(compressed.size());
    std::array<char, 1024> out{};
    do {
        stream_->next_out = reinterpret_cast<Bytef*>(out.data());
        stream_->avail_out = out.size();
        int done = inflate(stream_.get(), Z_SYNC_FLUSH);
        if (done == Z_NEED_DICT) {
            const std::string& dictionary = spdy_dictionary();
            done = inflateSetDictionary(stream_.get(), bytes_of(dictionary),
                                        static_cast<uInt>(dictionary.size()));
        }
        // Z_BUF_ERROR: all is out, and more input is needed.
        if (done != Z_OK && done != Z_BUF_ERROR) {
            return fail(Code::invalid, "a SPDY header block cannot be inflated");
        }
        std::size_t size = out.size() - stream_->avail_out;
        if (size > kSpdyHeaderBlockBytesMax - block_.size()) {
            return fail(Code::exhausted, "a SPDY header block has more than {} bytes",
                        kSpdyHeaderBlockBytesMax);
        }
        block_.append(out.data(), size);
        if (done == Z_BUF_ERROR) {
            break;
        }
    } while (stream_->avail_in > 0 || stream_->avail_out == 0);
    return {};
}

Result<Headers> SpdyHeaderReader::finish() {
    auto headers = parse_block(block_);
    block_ = {};
    return headers;
}

SpdyHeaderWriter::SpdyHeaderWriter() : stream_(std::make_unique<z_stream>()) {
    int made = deflateInit2(stream_.get(), Z_BEST_COMPRESSION, Z_DEFLATED, kWindowBits,
                            kMemoryLevel, Z_DEFAULT_STRATEGY);
    SKIFF_ASSERT(made == Z_OK, "deflateInit2");
    const std::string& dictionary = spdy_dictionary();
    int set = deflateSetDictionary(stream_.get(), bytes_of(dictionary),
                                   static_cast<uInt>(dictionary.size()));
    SKIFF_ASSERT(set == Z_OK, "deflateSetDictionary");
}

SpdyHeaderWriter::~SpdyHeaderWriter() {
    deflateEnd(stream_.get());
}

std::string SpdyHeaderWriter::write(const Headers& headers) {
    const std::string block = format_block(headers);
    stream_->next_in = const_cast<Bytef*>(bytes_of(block));
    stream_->avail_in = static_cast<uInt>(block.size());
    std::string compressed;
    std::array<char, 512> out{};
    do {
        stream_->next_out = reinterpret_cast<Bytef*>(out.data());
        stream_->avail_out = out.size();
        int done = deflate(stream_.get(), Z_SYNC_FLUSH);
        SKIFF_ASSERT(done == Z_OK || done == Z_BUF_ERROR, "deflate");
        compressed.append(out.data(), out.size() - stream_->avail_out);
    } while (stream_->avail_out == 0);
    return compressed;
}

}  // namespace skiff::http
