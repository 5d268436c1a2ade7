#include "http/spdy_frames.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "base/text.h"

namespace skiff::http {
namespace {

using Kind = SpdyFrame::Kind;

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes += static_cast<char>(hex_digit(hex[i]) * 16 + hex_digit(hex[i + 1]));
    }
    return bytes;
}

// A frame with its data copied, the parts of one data frame joined.
struct Seen {
    SpdyFrame frame;
    std::string data;
};

Result<std::vector<Seen>> decode(SpdyDecoder& decoder, const std::string& bytes, std::size_t step) {
    std::vector<Seen> frames;
    bool joins = false;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        std::string part = bytes.substr(at, step);
        std::string_view rest = part;
        while (true) {
            SKIFF_TRY(auto frame, decoder.next(rest));
            if (!frame) {
                break;
            }
            if (joins && frame->kind == Kind::data && frames.back().frame.stream == frame->stream) {
                frames.back().data += frame->data;
                frames.back().frame.fin = frame->fin;
            } else {
                frames.push_back({*frame, std::string(frame->data)});
            }
            joins = frame->kind == Kind::data && !frame->fin;
        }
        EXPECT_TRUE(rest.empty());
    }
    return frames;
}

// A control frame of version 3.
std::string control(int type, std::string_view payload) {
    std::string frame{'\x80', '\x03', '\0', static_cast<char>(type), '\0'};
    for (int shift : {16, 8, 0}) {
        frame += static_cast<char>(payload.size() >> shift & 0xff);
    }
    return frame.append(payload);
}

void expect_refused(const std::string& bytes, Code code) {
    SpdyDecoder decoder;
    auto frames = decode(decoder, bytes, bytes.size());
    ASSERT_FALSE(frames);
    EXPECT_EQ(frames.error().code, code) << frames.error().message;
}

TEST(SpdyHeaders, TheDictionaryIsThatOfTheSpecification) {
    const std::string& dictionary = spdy_dictionary();
    EXPECT_EQ(dictionary.size(), 1423U);
    EXPECT_EQ(adler32(1, reinterpret_cast<const Bytef*>(dictionary.data()),
                      static_cast<uInt>(dictionary.size())),
              0xe3c6a7c2U);
}

TEST(SpdyHeaders, ReadsWhatIsWrittenWithOneRunningStream) {
    SpdyHeaderWriter writer;
    SpdyHeaderReader reader;
    std::vector<std::size_t> sizes;
    for (int i = 0; i < 3; ++i) {
        std::string block = writer.write({{"Streamtype", "stdout"}, {"A", "1"}, {"a", "2"}});
        sizes.push_back(block.size());
        for (char c : block) {
            ASSERT_TRUE(reader.add(std::string_view(&c, 1)));
        }
        auto headers = reader.finish();
        ASSERT_TRUE(headers) << headers.error().message;
        EXPECT_EQ(headers->find("streamtype"), "stdout");
        EXPECT_EQ(headers->find_all("a"), (std::vector<std::string>{"1", "2"}));
        EXPECT_EQ(headers->size(), 3U);
    }
    EXPECT_LT(sizes[2], sizes[0]);
}

TEST(SpdyHeaders, RefuseABombBeforeItIsInflated) {
    // 16 MiB of zeros in a few KiB.
    z_stream stream{};
    ASSERT_EQ(deflateInit(&stream, 9), Z_OK);
    const std::string& dictionary = spdy_dictionary();
    deflateSetDictionary(&stream, reinterpret_cast<const Bytef*>(dictionary.data()),
                         static_cast<uInt>(dictionary.size()));
    std::string zeros(std::size_t{16} << 20, '\0');
    std::string bomb(std::size_t{1} << 20, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = static_cast<uInt>(zeros.size());
    stream.next_out = reinterpret_cast<Bytef*>(bomb.data());
    stream.avail_out = static_cast<uInt>(bomb.size());
    ASSERT_EQ(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    bomb.resize(bomb.size() - stream.avail_out);
    deflateEnd(&stream);
    ASSERT_LT(bomb.size(), 20'000U);
    SpdyHeaderReader reader;
    auto added = reader.add(bomb);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, Code::exhausted);
}

// What a Go client sends to open error, stdin, stdout and stderr of a command.
constexpr std::string_view kFourStreams =
    "80030001000000280000000100000000000078f9e3c6a7c202a62346703a2b294a4dcc851625aca9a0800600"
    "0000ffff800300010000001700000003000000000000c22e555c02cc2e00000000ffff800300010000001900"
    "000005000000000000c22a054ce729f9a52500000000ffff800300010000001400000007000000000000c229"
    "073414000000ffff";

TEST(SpdyFrames, DecodeTheStreamsOfACommand) {
    const std::string bytes = from_hex(kFourStreams);
    for (std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
        SpdyDecoder decoder;
        auto frames = decode(decoder, bytes, step);
        ASSERT_TRUE(frames) << frames.error().message;
        ASSERT_EQ(frames->size(), 4U);
        const char* types[] = {"error", "stdin", "stdout", "stderr"};
        for (std::size_t i = 0; i < 4; ++i) {
            const SpdyFrame& frame = (*frames)[i].frame;
            EXPECT_EQ(frame.kind, Kind::syn_stream);
            EXPECT_EQ(frame.stream, 2 * i + 1);
            EXPECT_FALSE(frame.fin);
            EXPECT_EQ(frame.fields.find("streamType"), types[i]);
        }
    }
}

TEST(SpdyFrames, EachEndReadsWhatTheOtherWrites) {
    SpdyEncoder encoder;
    std::string bytes;
    encoder.append_syn_stream(bytes, 1, {{"streamtype", "data"}, {"port", "80"}});
    encoder.append_syn_reply(bytes, 1, {});
    SpdyEncoder::append_data_header(bytes, 1, 5, SpdyFin::no);
    bytes += "hello";
    SpdyEncoder::append_data_header(bytes, kSpdyStreamIdMax, 0, SpdyFin::yes);
    SpdyEncoder::append_rst_stream(bytes, 3, SpdyReset::cancel);
    SpdyEncoder::append_ping(bytes, 0x80000001U);
    // SETTINGS, WINDOW_UPDATE, and a frame that nobody knows.
    bytes += control(4, std::string(12, '\0')) + control(9, std::string(8, '\1'));
    bytes += control(99, "whatever");
    SpdyEncoder::append_goaway(bytes, 7);
    for (std::size_t step : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
        SpdyDecoder decoder;
        auto frames = decode(decoder, bytes, step);
        ASSERT_TRUE(frames) << frames.error().message;
        ASSERT_EQ(frames->size(), 7U);
        EXPECT_EQ((*frames)[0].frame.fields.find("port"), "80");
        EXPECT_EQ((*frames)[1].frame.kind, Kind::syn_reply);
        EXPECT_EQ((*frames)[2].data, "hello");
        EXPECT_FALSE((*frames)[2].frame.fin);
        EXPECT_EQ((*frames)[3].frame.stream, kSpdyStreamIdMax);
        EXPECT_TRUE((*frames)[3].frame.fin);
        EXPECT_EQ((*frames)[4].frame.kind, Kind::rst_stream);
        EXPECT_EQ((*frames)[4].frame.value, 5U);
        EXPECT_EQ((*frames)[5].frame.value, 0x80000001U);
        EXPECT_EQ((*frames)[6].frame.kind, Kind::goaway);
    }
}

TEST(SpdyFrames, RefuseWhatBreaksTheProtocol) {
    expect_refused(std::string(8, '\0'), Code::invalid);                   // data of stream 0
    expect_refused(from_hex("8002000600000004") + "abcd", Code::invalid);  // version 2
    expect_refused(control(6, "12345"), Code::invalid);                    // a long PING
    expect_refused(control(3, "1234"), Code::invalid);                     // a short RST_STREAM
    expect_refused(control(1, "123456789"), Code::invalid);                // half a SYN_STREAM
    expect_refused(control(1, std::string(10, '\0')), Code::invalid);      // of stream 0
    expect_refused(control(1, "\1\1\1\1" + std::string(6, '\0')), Code::invalid);  // no block
    expect_refused(control(1, "\1\1\1\1" + std::string(6, '\0') + "no zlib"), Code::invalid);
}

// A SYN_REPLY whose block inflates to `block`.
std::string with_block(const std::string& block) {
    z_stream stream{};
    EXPECT_EQ(deflateInit(&stream, 1), Z_OK);
    const std::string& dictionary = spdy_dictionary();
    deflateSetDictionary(&stream, reinterpret_cast<const Bytef*>(dictionary.data()),
                         static_cast<uInt>(dictionary.size()));
    std::string out(block.size() + 1000, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
    stream.avail_in = static_cast<uInt>(block.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return control(2, std::string("\0\0\0\1", 4) + out);
}

TEST(SpdyFrames, RefuseHeaderBlocksThatSayNothingClear) {
    const auto u32 = [](unsigned char n) { return std::string(3, '\0') + static_cast<char>(n); };
    const std::string good = u32(1) + u32(1) + "a" + u32(1) + "b";
    SpdyDecoder decoder;
    EXPECT_TRUE(decode(decoder, with_block(good), 1));
    expect_refused(with_block(good + "x"), Code::invalid);
    expect_refused(with_block(good.substr(0, good.size() - 1)), Code::invalid);
    expect_refused(with_block(u32(1) + u32(1) + "A" + u32(1) + "b"), Code::invalid);
    expect_refused(with_block(u32(1) + u32(0) + u32(1) + "b"), Code::invalid);
    expect_refused(with_block(u32(2) + good.substr(4) + good.substr(4)), Code::invalid);
    expect_refused(with_block(u32(65)), Code::invalid);
    expect_refused(with_block(u32(1) + "\xff\xff\xff\xff"), Code::invalid);
    expect_refused(with_block(std::string(kSpdyHeaderBlockBytesMax + 1, 'a')), Code::exhausted);
}

}  // namespace
}  // namespace skiff::http
