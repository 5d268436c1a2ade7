#include "http/spdy_frames.h"

#include <algorithm>

#include "base/fuzz.h"

namespace skiff::http {

namespace {

// Everything that the decoder says of `bytes`, given in steps of `step`; the parts of a data frame
// joined, because where they are cut depends on the steps.
std::string transcript(std::string_view bytes, std::size_t step) {
    SpdyDecoder decoder;
    std::string said;
    SpdyStreamId open = 0;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        std::string_view rest = bytes.substr(at, step);
        while (true) {
            auto frame = decoder.next(rest);
            if (!frame) {
                fuzz::check_error(frame.error());
                return said + "!";
            }
            if (!*frame) {
                SKIFF_ASSERT(rest.empty());
                break;
            }
            const SpdyFrame& it = **frame;
            SKIFF_ASSERT(it.fields.size() <= kSpdyHeaderBlockBytesMax);
            SKIFF_ASSERT(it.stream <= kSpdyStreamIdMax);
            if (it.kind == SpdyFrame::Kind::data) {
                // Empty parts say nothing but the end.
                if (it.stream != open && !(it.data.empty() && !it.fin)) {
                    said += "[" + std::to_string(it.stream) + "]";
                    open = it.stream;
                }
                said += it.data;
                said += it.fin ? "." : "";
                continue;
            }
            open = 0;
            said += "<" + std::to_string(static_cast<int>(it.kind)) + " " +
                    std::to_string(it.stream) + " " + std::to_string(it.value) +
                    (it.fin ? " fin" : "");
            for (const auto& [name, value] : it.fields) {
                said += " " + name + "=" + value;
            }
            said += ">";
        }
    }
    return said;
}

}  // namespace

// The input: how the bytes are cut, the bytes.
SKIFF_FUZZ(http_spdy_frames) {
    fuzz::Input input(bytes);
    const std::size_t step = input.byte() + std::size_t{1};
    const std::string_view rest = input.rest();
    const std::string said = transcript(rest, step);
    SKIFF_ASSERT(said == transcript(rest, rest.size() + 1), said);
    // What we write, the other end reads.
    SpdyEncoder encoder;
    std::string frames;
    encoder.append_syn_stream(frames, 1, {{"value", std::string(rest.substr(0, 1000))}});
    SpdyEncoder::append_data_header(frames, 1, rest.size(), SpdyFin::yes);
    frames += rest;
    SpdyEncoder::append_ping(frames, 4);
    SKIFF_ASSERT(transcript(frames, step).ends_with("[1]" + std::string(rest) + ".<5 0 4>"));
}

}  // namespace skiff::http
