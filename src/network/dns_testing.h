// For tests: answers of name servers, and a name server.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "network/net_fixture.h"

namespace skiff::network {

inline std::string dns_name(std::string_view name) {
    std::string text;
    for (const std::string_view label : split(name, '.')) {
        text.push_back(static_cast<char>(label.size()));
        text += label;
    }
    text.push_back('\0');
    return text;
}

inline std::string dns_u16(std::size_t value) {
    return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)};
}

// An answer to a question, which is repeated without its EDNS record.
class TestAnswer {
public:
    explicit TestAnswer(const std::string& question)
        : text_(question.substr(0, question.find('\0', 12) + 5)) {
        text_.replace(2, 10, std::string("\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00", 10));
    }
    TestAnswer& add(std::string_view name, const IpAddress& address, std::uint16_t ttl) {
        return record(name, address.family == IpFamily::v4 ? 1 : 28, ttl,
                      std::string(address.raw()));
    }
    TestAnswer& add_alias(std::string_view name, std::string_view to, std::uint16_t ttl) {
        return record(name, 5, ttl, dns_name(to));
    }
    TestAnswer& code(std::uint8_t value) {
        text_[3] = static_cast<char>(0x80 | value);
        return *this;
    }
    TestAnswer& truncated() {
        text_[2] = '\x83';
        return *this;
    }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    TestAnswer& record(std::string_view name, std::size_t type, std::uint16_t ttl,
                       const std::string& value) {
        // The question's name by a pointer, as servers do it.
        const bool same = dns_name(name) == text_.substr(12, name.size() + 2);
        text_ += same ? std::string("\xc0\x0c", 2) : dns_name(name);
        text_ += dns_u16(type) + dns_u16(1) + dns_u16(0) + dns_u16(ttl) + dns_u16(value.size());
        text_ += value;
        text_.replace(6, 2, dns_u16(++count_));
        return *this;
    }

    std::string text_;
    std::size_t count_ = 0;
};

// A name server at port 53 of an address, in the network namespace of the thread that makes it.
class TestNameServer {
public:
    explicit TestNameServer(const IpAddress& at) : stop_(::eventfd(0, EFD_CLOEXEC)) {
        for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
            os::Fd& fd = type == SOCK_DGRAM ? udp_ : tcp_;
            fd = make_socket(at.family, type);
            auto address = socket_address(at, 53);
            EXPECT_EQ(::bind(fd.get(), address.get(), address.size), 0) << ::strerror(errno);
        }
        EXPECT_EQ(::listen(tcp_.get(), 16), 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~TestNameServer() {
        (void)::eventfd_write(stop_.get(), 1);
        thread_.join();
    }
    TestNameServer(const TestNameServer&) = delete;
    TestNameServer& operator=(const TestNameServer&) = delete;

    // What a name's answer is from now on; of other names it says that there are none.
    void set(const std::string& name, std::vector<std::string> addresses) {
        const std::lock_guard<std::mutex> guard(mutex_);
        names_[name] = std::move(addresses);
    }
    enum class Mood { answers, silent, fails, truncates };
    void set_mood(Mood mood) { mood_ = mood; }
    // Who asked last, by UDP.
    IpAddress asker() {
        const std::lock_guard<std::mutex> guard(mutex_);
        return asker_;
    }
    // The names it was asked for, with "/4" or "/6" behind them and "/tcp" where it was by TCP.
    std::vector<std::string> asked() {
        const std::lock_guard<std::mutex> guard(mutex_);
        return std::exchange(asked_, {});
    }

private:
    enum class Way { udp, tcp };
    std::string answer(const std::string& question, Way way) {
        std::string name;
        for (std::size_t at = 12; question[at] != 0;
             at += 1 + static_cast<std::size_t>(question[at])) {
            name += (name.empty() ? "" : ".") +
                    question.substr(at + 1, static_cast<std::size_t>(question[at]));
        }
        const bool is_v4 = question[question.find('\0', 12) + 2] == 1;
        const std::lock_guard<std::mutex> guard(mutex_);
        asked_.push_back(name + (is_v4 ? "/4" : "/6") + (way == Way::tcp ? "/tcp" : ""));
        TestAnswer answer(question);
        if (mood_ == Mood::fails) {
            return answer.code(2).text();
        }
        if (mood_ == Mood::truncates && way == Way::udp) {
            return answer.truncated().text();
        }
        auto known = names_.find(name);
        if (known == names_.end()) {
            return answer.code(3).text();
        }
        for (const std::string& text : known->second) {
            if ((ip(text).family == IpFamily::v4) == is_v4) {
                answer.add(name, ip(text), 5);
            }
        }
        return answer.text();
    }
    void serve() {
        while (true) {
            pollfd fds[] = {
                {stop_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
            (void)::poll(fds, 3, -1);
            std::string room(1500, '\0');
            if (fds[0].revents != 0) {
                return;
            }
            if (fds[1].revents != 0) {
                SocketAddress from;
                const auto got =
                    ::recvfrom(udp_.get(), room.data(), room.size(), 0, from.get(), &from.size);
                {
                    const std::lock_guard<std::mutex> guard(mutex_);
                    asker_ = address_of(from);
                }
                if (got > 0 && mood_ != Mood::silent) {
                    const std::string said =
                        answer(room.substr(0, static_cast<std::size_t>(got)), Way::udp);
                    (void)::sendto(udp_.get(), said.data(), said.size(), 0, from.get(), from.size);
                }
            }
            if (fds[2].revents != 0) {
                const os::Fd client(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
                const auto got = ::recv(client.get(), room.data(), room.size(), 0);
                if (got > 2) {
                    const std::string said =
                        answer(room.substr(2, static_cast<std::size_t>(got) - 2), Way::tcp);
                    const std::string framed = dns_u16(said.size()) + said;
                    (void)::send(client.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
                }
            }
        }
    }

    os::Fd stop_;
    os::Fd udp_;
    os::Fd tcp_;
    std::mutex mutex_;
    std::map<std::string, std::vector<std::string>> names_;
    std::vector<std::string> asked_;
    IpAddress asker_;
    std::atomic<Mood> mood_ = Mood::answers;
    std::thread thread_;
};

}  // namespace skiff::network
