// Private to connection*.cpp and server.cpp: a connected socket, with or without TLS, as a
// ByteStream with deadlines.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>

#include "http/server.h"

namespace skiff::http {

class Transport : public ByteStream {
public:
    // Once, before anything else.
    [[nodiscard]] virtual async::Task<Result<void>> handshake(SteadyTime deadline) = 0;
    // Tells the peer that nothing more comes, as TLS wants it. Best effort.
    [[nodiscard]] virtual async::Task<void> finish(SteadyTime deadline) = 0;
    // Ends every pending operation and the connection, at once.
    virtual void close() = 0;
    // After the handshake.
    [[nodiscard]] virtual ServerTls::Verdict judge_peer(WallTime now) const = 0;
};

[[nodiscard]] std::unique_ptr<Transport> make_plain_transport(boost::asio::ip::tcp::socket socket);
[[nodiscard]] std::unique_ptr<Transport> make_tls_transport(boost::asio::ip::tcp::socket socket,
                                                            std::shared_ptr<const ServerTls> tls);
[[nodiscard]] std::unique_ptr<Transport> make_local_transport(
    boost::asio::local::stream_protocol::socket socket);

}  // namespace skiff::http
