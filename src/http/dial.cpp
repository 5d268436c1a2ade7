// curl connects, the caller reads and writes.
#include "http/dial.h"

#include <fcntl.h>
#include <unistd.h>

#include "http/client_engine.h"

namespace skiff::http {

namespace {

// curl's socket under a number of our own, so that it can be waited for in either direction.
class Watched {
public:
    explicit Watched(curl_socket_t socket) : fd_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)) {}
    ~Watched() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_;
};

Error broken(CURLcode code) {
    return fail(Code::unavailable, "{}", curl_easy_strerror(code)).value();
}

class DialledStream final : public ByteStream {
public:
    // `transfer` owns `easy`, and is alone on its engine: with others, curl would find this
    // connection idle and close it for them.
    DialledStream(std::unique_ptr<Stream> transfer, CURL* easy, curl_socket_t socket)
        : transfer_(std::move(transfer)), easy_(easy), readable_(socket), writable_(socket) {}

    [[nodiscard]] bool is_usable() const { return readable_.get() >= 0 && writable_.get() >= 0; }

    async::Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        while (true) {
            std::size_t count = 0;
            const CURLcode code = curl_easy_recv(easy_, into.data(), into.size(), &count);
            if (code == CURLE_OK) {
                // A peer that sends faster than we read must not keep the reactor.
                co_await async::yield_now();
                co_return count;
            }
            if (code != CURLE_AGAIN) {
                co_return fail(broken(code));
            }
            SKIFF_CO_CHECK(co_await async::wait_readable(readable_.get(), deadline));
        }
    }

    async::Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
        while (!bytes.empty()) {
            std::size_t count = 0;
            const CURLcode code = curl_easy_send(easy_, bytes.data(), bytes.size(), &count);
            if (code == CURLE_OK) {
                bytes.remove_prefix(count);
                continue;
            }
            if (code != CURLE_AGAIN) {
                co_return fail(broken(code));
            }
            SKIFF_CO_CHECK(co_await async::wait_writable(writable_.get(), deadline));
        }
        co_return Result<void>{};
    }

private:
    std::unique_ptr<Stream> transfer_;
    CURL* easy_;
    Watched readable_;
    Watched writable_;
};

}  // namespace

async::Task<Result<std::unique_ptr<ByteStream>>> Client::Transfer::connect_alone(Request request) {
    SKIFF_CO_CHECK(parse_url(request.url));
    // HTTP/2 would be negotiated otherwise.
    request.version = Version::kHttp1;
    request.timeouts.total = request.timeouts.connect;
    auto executor = co_await async::current_executor();
    auto transfer = std::make_unique<Transfer>(Engine::create(executor), std::move(request),
                                               std::string(), Aim::connect);
    // What curl reads ahead, and it reads nothing: the caller does, into memory of its own.
    curl_easy_setopt(transfer->easy(), CURLOPT_BUFFERSIZE, 1024L);
    SKIFF_CO_CHECK(transfer->start());
    SKIFF_CO_CHECK(co_await transfer->wait_finished());
    CURL* easy = transfer->easy();
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
    if (socket == CURL_SOCKET_BAD) {
        co_return fail(Code::unavailable, "the connection ended at once");
    }
    auto made = std::make_unique<DialledStream>(std::move(transfer), easy, socket);
    if (!made->is_usable()) {
        co_return fail(Code::exhausted, "no file descriptor is left");
    }
    co_return std::unique_ptr<ByteStream>(std::move(made));
}

async::Task<Result<std::unique_ptr<ByteStream>>> dial(Request request) {
    return dial_alone(std::move(request));
}

}  // namespace skiff::http
