#include "logs/read.h"

#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "logs/files.h"

namespace skiff::logs {

namespace {

using FileList = std::shared_ptr<std::vector<LogFile>>;

// One reading of one log.
class Reader {
public:
    Reader(ReadRequest& request, pods::LogSink& sink, async::BlockingPool& pool)
        : request_(request), sink_(sink), pool_(pool) {}

    async::Task<Result<void>> run() {
        SKIFF_CO_TRY(files_, co_await list());
        SKIFF_CO_CHECK(co_await seek_tail());
        while (!done_) {
            SKIFF_CO_CHECK(co_await read_present());
            if (done_ || !request_.options.follow) {
                break;
            }
            // Asked before the last look at the files: what was written until then is still read.
            bool running = request_.is_running && request_.is_running();
            if (running) {
                SKIFF_CO_CHECK(co_await async::sleep_for(kFollowEvery));
            }
            SKIFF_CO_TRY(bool more, co_await look_again());
            if (!more && !running) {
                break;
            }
        }
        co_return Result<void>{};
    }

private:
    async::Task<Result<FileList>> list() {
        auto work = [folder = request_.folder, attempt = request_.attempt]() -> Result<FileList> {
            SKIFF_TRY(auto files, open_log_files(folder, attempt));
            return std::make_shared<std::vector<LogFile>>(std::move(files));
        };
        return pool_.run(std::move(work));
    }

    async::Task<Result<void>> seek_tail() {
        const auto& tail = request_.options.tail_lines;
        if (!tail) {
            co_return Result<void>{};
        }
        if (*tail == 0) {
            at_ = files_->empty() ? 0 : files_->size() - 1;
            offset_ = files_->empty() ? 0 : files_->back().bytes;
            co_return Result<void>{};
        }
        auto work = [files = files_, lines = *tail] { return find_tail(*files, lines); };
        SKIFF_CO_TRY(Position start, co_await pool_.run(std::move(work)));
        at_ = start.file;
        offset_ = start.offset;
        co_return Result<void>{};
    }

    // Reads from the position to the end of the last known file.
    async::Task<Result<void>> read_present() {
        while (!done_ && at_ < files_->size()) {
            auto work = [files = files_, at = at_, offset = offset_] {
                return read_at((*files)[at].fd.get(), offset, kChunkBytes);
            };
            SKIFF_CO_TRY(std::string chunk, co_await pool_.run(std::move(work)));
            std::size_t used = take_lines(chunk);
            offset_ += used;
            bool whole_file_read = chunk.size() < kChunkBytes;
            if (used == 0 && !whole_file_read) {
                offset_ += kChunkBytes;  // no newline in so much text: not a log line
            }
            chunk = std::string();  // not held while a slow reader takes the text
            if (!text_.empty() || request_.by_stream) {
                std::string text = std::exchange(text_, {});
                SKIFF_CO_CHECK(co_await sink_.write(std::move(text)));
            }
            if (!whole_file_read) {
                continue;
            }
            if (at_ + 1 == files_->size()) {
                break;
            }
            ++at_;
            offset_ = 0;
        }
        co_return Result<void>{};
    }

    // Finds out what happened while we waited: more text, a newer file, or our file reused. True if
    // there may be more.
    async::Task<Result<bool>> look_again() {
        if (at_ < files_->size()) {
            struct stat status{};
            const LogFile& file = (*files_)[at_];
            bool known = ::fstat(file.fd.get(), &status) == 0;
            auto bytes = static_cast<std::uint64_t>(status.st_size);
            if (known && bytes > offset_) {
                co_return true;
            }
        }
        SKIFF_CO_TRY(FileList now, co_await list());
        std::optional<WallTime> last =
            at_ < files_->size() ? std::optional((*files_)[at_].first) : std::nullopt;
        std::size_t next = 0;
        std::uint64_t offset = 0;
        for (std::size_t i = 0; last && i < now->size(); ++i) {
            if ((*now)[i].first == *last) {
                next = i;
                offset = offset_;
            }
        }
        bool same = last && next < now->size() && (*now)[next].first == *last;
        bool more = now->size() > next + (same ? 1 : 0) || (same && (*now)[next].bytes > offset);
        // Not found any more: a flood reused the file, go on with the oldest that there is.
        files_ = std::move(now);
        at_ = next;
        offset_ = same ? offset : 0;
        co_return more;
    }

    // Formats the whole lines in `chunk`; returns how many bytes they are.
    std::size_t take_lines(std::string_view chunk) {
        std::size_t used = 0;
        if (!request_.by_stream) {
            text_.reserve(chunk.size());  // else it holds one line at a time
        }
        while (!done_) {
            std::size_t end = chunk.find('\n', used);
            if (end == std::string_view::npos) {
                break;
            }
            std::string_view raw = chunk.substr(used, end - used);
            used = end + 1;
            auto line = raw.size() <= kLineBytesMax ? parse_cri_line(raw) : std::nullopt;
            if (line && is_wanted(*line)) {
                take_line(*line);
            }
        }
        return used;
    }

    [[nodiscard]] bool is_wanted(const CriLine& line) const {
        const auto& since = request_.options.since;
        return !since || line.time().value_or(WallTime::max()) >= *since;
    }

    void take_line(const CriLine& line) {
        bool& continues = continues_[line.stream == CriLine::Stream::out ? 0 : 1];
        std::size_t before = text_.size();
        if (request_.options.timestamps && !continues) {
            text_ += line.time_text;
            text_ += ' ';
        }
        text_ += line.content;
        continues = line.part == CriLine::Part::partial;
        if (!continues) {
            text_ += '\n';
        }
        auto added = static_cast<std::int64_t>(text_.size() - before);
        const auto& limit = request_.options.limit_bytes;
        if (limit && sent_ + added >= *limit) {
            added = *limit - sent_;
            text_.resize(before + static_cast<std::size_t>(added));
            done_ = true;
        }
        sent_ += added;
        if (request_.by_stream) {
            request_.by_stream(line.stream, text_);
            text_.clear();
        }
    }

    ReadRequest& request_;
    pods::LogSink& sink_;
    async::BlockingPool& pool_;
    FileList files_;
    std::size_t at_ = 0;        // file that is read
    std::uint64_t offset_ = 0;  // in it
    bool continues_[2] = {false, false};
    bool done_ = false;  // limit_bytes reached
    std::int64_t sent_ = 0;
    std::string text_;
};

}  // namespace

async::Task<Result<void>> read_log(ReadRequest request, pods::LogSink& sink,
                                   async::BlockingPool& pool) {
    if (request.options.limit_bytes && *request.options.limit_bytes <= 0) {
        co_return Result<void>{};
    }
    Reader reader(request, sink, pool);
    co_return co_await reader.run();
}

}  // namespace skiff::logs
