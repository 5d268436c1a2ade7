#include "images/tar_source.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <vector>

namespace skiff::images {

namespace {

constexpr std::size_t kBlockBytes = 128U << 10;
// 2^27 bytes of window: what zstd's own tool accepts by default.
constexpr int kZstdWindowLogMax = 27;

class PlainSource final : public TarSource {
public:
    PlainSource(os::Fd file, std::uint64_t bytes_max) : TarSource(std::move(file), bytes_max) {}
    Result<std::span<const char>> produce() override { return read_file(); }
};

class GzipSource final : public TarSource {
public:
    GzipSource(os::Fd file, std::uint64_t bytes_max)
        : TarSource(std::move(file), bytes_max), output_(kBlockBytes) {
        ok_ = inflateInit2(&stream_, 15 + 16) == Z_OK;
    }
    ~GzipSource() override { inflateEnd(&stream_); }

    Result<std::span<const char>> produce() override {
        if (!ok_) {
            return fail(Code::internal, "zlib does not start");
        }
        stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
        stream_.avail_out = static_cast<uInt>(output_.size());
        while (stream_.avail_out == output_.size()) {
            std::size_t before = stream_.avail_in;
            if (before == 0) {
                SKIFF_TRY(auto more, read_file());
                before = more.size();
                stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(more.data()));
                stream_.avail_in = static_cast<uInt>(more.size());
            }
            if (at_boundary_ && before == 0) {
                return std::span<const char>();
            }
            if (at_boundary_ && inflateReset(&stream_) != Z_OK) {
                return fail(Code::internal, "zlib does not restart");
            }
            // Also without input: zlib may still hold output that did not fit before.
            int code = inflate(&stream_, Z_NO_FLUSH);
            if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
                return fail(Code::corrupt, "bad gzip data: {}",
                            stream_.msg != nullptr ? stream_.msg : "unknown");
            }
            // Several gzip members in a row are one file.
            at_boundary_ = code == Z_STREAM_END;
            bool stuck = before == 0 && stream_.avail_out == output_.size() && !at_boundary_;
            if (stuck) {
                return fail(Code::corrupt, "the gzip data ends early");
            }
        }
        return std::span<const char>(output_.data(), output_.size() - stream_.avail_out);
    }

private:
    z_stream stream_{};
    bool ok_ = false;
    bool at_boundary_ = false;
    std::vector<char> output_;
};

class ZstdSource final : public TarSource {
public:
    ZstdSource(os::Fd file, std::uint64_t bytes_max)
        : TarSource(std::move(file), bytes_max),
          stream_(ZSTD_createDStream()),
          output_(ZSTD_DStreamOutSize()) {
        ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
    }
    ~ZstdSource() override { ZSTD_freeDStream(stream_); }

    Result<std::span<const char>> produce() override {
        ZSTD_outBuffer out{output_.data(), output_.size(), 0};
        while (out.pos == 0) {
            bool at_end = false;
            if (in_.pos == in_.size) {
                SKIFF_TRY(auto more, read_file());
                in_ = ZSTD_inBuffer{more.data(), more.size(), 0};
                at_end = more.empty();
            }
            if (at_end && pending_ == 0) {
                return std::span<const char>();
            }
            // Also without input: zstd may still hold output that did not fit before.
            pending_ = ZSTD_decompressStream(stream_, &out, &in_);
            if (ZSTD_isError(pending_) != 0) {
                return fail(Code::corrupt, "bad zstd data: {}", ZSTD_getErrorName(pending_));
            }
            if (at_end && out.pos == 0 && pending_ != 0) {
                return fail(Code::corrupt, "the zstd data ends early");
            }
        }
        return std::span<const char>(output_.data(), out.pos);
    }

private:
    ZSTD_DStream* stream_;
    ZSTD_inBuffer in_{nullptr, 0, 0};
    std::size_t pending_ = 1;
    std::vector<char> output_;
};

}  // namespace

TarSource::TarSource(os::Fd file, std::uint64_t bytes_max)
    : file_(std::move(file)), left_(bytes_max), input_(kBlockBytes) {}

Result<std::unique_ptr<TarSource>> TarSource::open(os::Fd file, std::uint64_t bytes_max) {
    std::array<unsigned char, 4> head{};
    ssize_t n = ::pread(file.get(), head.data(), head.size(), 0);
    if (n < 0) {
        return fail_errno(errno, "read an archive");
    }
    constexpr std::array<unsigned char, 4> kZstd = {0x28, 0xb5, 0x2f, 0xfd};
    if (head[0] == 0x1f && head[1] == 0x8b) {
        return std::make_unique<GzipSource>(std::move(file), bytes_max);
    }
    if (head == kZstd) {
        return std::make_unique<ZstdSource>(std::move(file), bytes_max);
    }
    return std::make_unique<PlainSource>(std::move(file), bytes_max);
}

Result<std::span<const char>> TarSource::read_file() {
    while (true) {
        ssize_t n = ::read(file_.get(), input_.data(), input_.size());
        if (n >= 0) {
            return std::span<const char>(input_.data(), static_cast<std::size_t>(n));
        }
        if (errno != EINTR) {
            return fail_errno(errno, "read an archive");
        }
    }
}

Result<std::span<const char>> TarSource::next() {
    SKIFF_TRY(auto bytes, produce());
    if (bytes.size() > left_) {
        return fail(Code::exhausted, "unpacked, the layer is larger than allowed");
    }
    left_ -= bytes.size();
    hasher_.update(std::string_view(bytes.data(), bytes.size()));
    return bytes;
}

}  // namespace skiff::images
