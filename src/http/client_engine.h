// Private to client*.cpp: the curl multi handle on the reactor, and one transfer.
#pragma once

#include <curl/curl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/event.h"
#include "http/client.h"

namespace skiff::http {

class ByteStream;

// What dial() does.
inline async::Task<Result<std::unique_ptr<ByteStream>>> dial_alone(Request request);

// One curl multi handle: its connection cache, its sockets watched by the reactor, its timer.
// Owned jointly by the Client and by every Transfer on it.
class Client::Engine : public std::enable_shared_from_this<Engine> {
public:
    static std::shared_ptr<Engine> create(async::Executor executor);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    [[nodiscard]] Result<void> add(Transfer& transfer);
    void remove(Transfer& transfer);

private:
    // A socket of curl's, lent to Asio between curl's "watch" and "forget" calls.
    struct Watch;

    explicit Engine(async::Executor executor);
    static int on_socket(CURL* easy, curl_socket_t fd, int what, void* engine, void* watch);
    static int on_timer(CURLM* multi, long timeout_ms, void* engine);
    void watch(curl_socket_t fd, int what);
    void arm(const std::shared_ptr<Watch>& watched);
    void act(curl_socket_t fd, int events);
    void collect();

    async::Executor executor_;
    CURLM* multi_;
    boost::asio::steady_timer timer_;
    std::unordered_map<curl_socket_t, std::shared_ptr<Watch>> watches_;
};

// One easy handle and what it has received. Also the Stream that open() returns.
class Client::Transfer final : public Stream {
public:
    // `connect`: the connection is all that is wanted.
    enum class Aim { response, connect };
    Transfer(std::shared_ptr<Engine> engine, Request request, std::string user_agent,
             Aim aim = Aim::response);
    ~Transfer() override;
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    [[nodiscard]] Result<void> start();
    // Resolves when the final head of the response is complete.
    [[nodiscard]] async::Task<Result<void>> wait_head();
    // Resolves when curl is done with it.
    [[nodiscard]] async::Task<Result<void>> wait_finished();

    [[nodiscard]] int status() const override { return status_; }
    [[nodiscard]] const Headers& headers() const override { return headers_; }
    [[nodiscard]] const Headers& trailers() const override { return trailers_; }
    [[nodiscard]] const std::string& url() const override { return request_.url; }
    [[nodiscard]] std::optional<std::uint64_t> content_length() const override;
    [[nodiscard]] async::Task<Result<std::optional<std::string>>> next_chunk() override;

    // From Engine: curl is done with this transfer.
    void finish(CURLcode code);

    // dial() is no part of the client: here it gets at curl's.
    friend async::Task<Result<std::unique_ptr<ByteStream>>> dial_alone(Request request) {
        return connect_alone(std::move(request));
    }
    [[nodiscard]] CURL* easy() const { return easy_; }
    [[nodiscard]] const Request& request() const { return request_; }

private:
    [[nodiscard]] static async::Task<Result<std::unique_ptr<ByteStream>>> connect_alone(
        Request request);
    void set_options();
    void set_connection();
    void set_tls();
    void set_body();
    static std::size_t on_header(char* text, std::size_t size, std::size_t n, void* self);
    static std::size_t on_body(char* bytes, std::size_t size, std::size_t n, void* self);
    void take_header(std::string_view line);
    [[nodiscard]] SteadyTime idle_deadline() const;
    [[nodiscard]] Error failure() const;

    std::shared_ptr<Engine> engine_;
    Request request_;
    std::string user_agent_;
    CURL* easy_;
    curl_slist* fields_ = nullptr;
    char error_text_[CURL_ERROR_SIZE] = {};
    bool added_ = false;

    int status_ = 0;
    Headers headers_;
    Headers trailers_;
    std::size_t header_bytes_ = 0;
    bool head_done_ = false;
    std::string buffered_;
    bool paused_ = false;
    bool finished_ = false;
    CURLcode code_ = CURLE_OK;
    async::Event progress_;
};

}  // namespace skiff::http
