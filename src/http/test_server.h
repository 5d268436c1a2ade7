// For tests: a blocking HTTP/1.1 server on a loopback port, one thread per connection. It knows
// nothing of src/http, so a mistake there cannot hide in it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "http/headers.h"
#include "http/test_listener.h"

namespace skiff::http::testing {

struct TestRequest {
    std::string method;
    std::string target;
    Headers headers;
    std::string body;
};

struct TestResponse {
    int status = 200;
    Headers headers;
    std::string body;
    // Content-Length tells the whole body, but only this much is sent and the connection closed.
    std::size_t cut_after = std::string::npos;
    // Sent after the head and this much of the body: nothing, until the server ends.
    std::size_t hang_after = std::string::npos;
    // With hang_after: a byte of the rest each time this has passed. Zero: nothing.
    std::chrono::milliseconds trickle{0};
};

class TestServer {
public:
    // The handler runs on connection threads, one call at a time.
    using Handler = std::function<TestResponse(const TestRequest&)>;

    explicit TestServer(Handler handler) : handler_(std::move(handler)) {
        const TestListener made = listen_on_loopback(64);
        listener_ = made.fd;
        port_ = made.port;
        acceptor_ = std::thread([this] { accept_all(); });
    }
    ~TestServer() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
            for (int fd : open_) {
                ::shutdown(fd, SHUT_RDWR);
            }
        }
        wake_.notify_all();
        ::shutdown(listener_, SHUT_RDWR);
        acceptor_.join();
        ::close(listener_);
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }
    TestServer(const TestServer&) = delete;
    TestServer& operator=(const TestServer&) = delete;

    [[nodiscard]] std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }
    [[nodiscard]] std::string url(const std::string& target) const {
        return "http://" + authority() + target;
    }
    [[nodiscard]] int connections() const { return connections_; }

private:
    void accept_all() {
        while (true) {
            int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) {
                return;
            }
            int on = 1;
            (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            std::lock_guard lock(mutex_);
            if (stopping_) {
                ::close(fd);
                return;
            }
            ++connections_;
            open_.push_back(fd);
            threads_.emplace_back([this, fd] { serve(fd); });
        }
    }

    void serve(int fd) {
        std::string buffered;
        TestRequest request;
        while (read_request(fd, buffered, request) && answer(fd, request)) {
        }
        std::lock_guard lock(mutex_);
        std::erase(open_, fd);
        ::close(fd);
    }

    static bool read_more(int fd, std::string& buffered) {
        char bytes[65536];
        ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) {
            return false;
        }
        buffered.append(bytes, static_cast<std::size_t>(n));
        return true;
    }

    static bool read_request(int fd, std::string& buffered, TestRequest& request) {
        std::size_t end = 0;
        while ((end = buffered.find("\r\n\r\n")) == std::string::npos) {
            if (!read_more(fd, buffered)) {
                return false;
            }
        }
        std::string head = buffered.substr(0, end);
        buffered.erase(0, end + 4);
        auto lines = split(head, '\n');
        auto words = split(trim(lines[0]), ' ');
        request = TestRequest{std::string(words[0]), std::string(words[1]), {}, {}};
        for (std::size_t i = 1; i < lines.size(); ++i) {
            auto colon = lines[i].find(':');
            request.headers.add(std::string(lines[i].substr(0, colon)),
                                std::string(trim(lines[i].substr(colon + 1))));
        }
        auto length = parse_uint(request.headers.find("Content-Length").value_or("0")).value_or(0);
        while (buffered.size() < length) {
            if (!read_more(fd, buffered)) {
                return false;
            }
        }
        request.body = buffered.substr(0, length);
        buffered.erase(0, length);
        return true;
    }

    static bool send_all(int fd, std::string_view text) {
        while (!text.empty()) {
            ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
            if (n <= 0) {
                return false;
            }
            text.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }

    void trickle(int fd, std::string_view rest, std::chrono::milliseconds pause) {
        std::unique_lock lock(mutex_);
        auto is_over = [this] { return stopping_; };
        while (pause.count() > 0 && !rest.empty() && !wake_.wait_for(lock, pause, is_over) &&
               send_all(fd, rest.substr(0, 1))) {
            rest.remove_prefix(1);
        }
        wake_.wait(lock, is_over);
    }

    bool answer(int fd, const TestRequest& request) {
        TestResponse response;
        {
            std::lock_guard lock(handler_mutex_);
            response = handler_(request);
        }
        std::string head = "HTTP/1.1 " + std::to_string(response.status) + " Status\r\n";
        if (!response.headers.contains("Content-Length") && response.status != 204) {
            response.headers.set("Content-Length", std::to_string(response.body.size()));
        }
        for (const auto& [name, value] : response.headers) {
            head += name + ": " + value + "\r\n";
        }
        head += "\r\n";
        std::string_view body = response.body;
        if (request.method == "HEAD") {
            body = {};
        }
        if (!send_all(fd, head) ||
            !send_all(fd, body.substr(0, std::min(response.cut_after, response.hang_after)))) {
            return false;
        }
        if (response.hang_after != std::string::npos && request.method != "HEAD") {
            trickle(fd, body.substr(std::min(response.hang_after, body.size())), response.trickle);
        }
        return response.cut_after == std::string::npos;
    }

    Handler handler_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> connections_ = 0;
    std::mutex mutex_;
    std::mutex handler_mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::vector<int> open_;
    std::thread acceptor_;
    std::vector<std::thread> threads_;
};

}  // namespace skiff::http::testing
