// Private to connection.cpp and server.cpp: one inbound connection, from handshake to close.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "async/event.h"
#include "async/scope.h"
#include "http/connection_transport.h"
#include "http/server.h"

namespace skiff::http {

// What connections share with their server. Reactor thread only.
struct ConnectionHost {
    async::Executor executor;
    const Clock& clock;
    Handler& handler;
    ServerLimits limits;
    ServerCounts counts{};
    // True once stop() began: responses then say `Connection: close`.
    bool stopping = false;
    // Connections without a request in progress, the longest idle first.
    std::list<class Connection*> idle{};
};

class Connection {
public:
    Connection(ConnectionHost& host, std::unique_ptr<Transport> transport, Peer peer);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Serves requests until either side ends. Cancelling it closes the connection.
    [[nodiscard]] async::Task<void> run();
    // Ends an idle connection at once, to make room or to stop.
    void push_out() {
        leave_idle();
        transport_->close();
    }

private:
    class Message;
    friend class Message;
    enum class After { kNextRequest, kClose };

    void enter_idle();
    void leave_idle();
    void take_identity();
    [[nodiscard]] async::Task<Result<After>> serve_one();
    [[nodiscard]] async::Task<Result<void>> read_head(Message& message);
    [[nodiscard]] async::Task<Result<std::size_t>> read_more(SteadyTime deadline);
    [[nodiscard]] async::Task<void> refuse(int status, std::string text);
    [[nodiscard]] async::Task<void> linger();
    [[nodiscard]] async::Task<void> handle(Message& message);
    static async::Task<void> run_handler(Connection* self, Message* message);
    static async::Task<void> watch_peer(Connection* self, Message* message);

    ConnectionHost& host_;
    std::unique_ptr<Transport> transport_;
    Peer peer_;
    // Received, and not yet part of a message.
    std::string received_;
    bool served_any_ = false;
    bool is_idle_ = false;
    std::list<Connection*>::iterator idle_at_;
};

}  // namespace skiff::http
