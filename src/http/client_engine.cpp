#include "http/client_engine.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>

#include "base/assert.h"
#include "base/text.h"

namespace skiff::http {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kHeadBytesMax = 256U << 10;
// What is received at once is half of a transfer's window: each transfer has such a buffer.
constexpr std::uint64_t kReceiveBufferBytesMin = 16U << 10;
constexpr std::uint64_t kReceiveBufferBytesMax = 512U << 10;
constexpr int kUserTimeoutMs = 60'000;

// Data that the peer does not acknowledge for a minute means a dead peer, also for a watch on which
// nobody writes (keep-alive probes count).
int set_up_socket(void* /*unused*/, curl_socket_t fd, curlsocktype /*purpose*/) {
    int timeout = kUserTimeoutMs;
    // Fails on UNIX sockets, where it is not needed.
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return CURL_SOCKOPT_OK;
}

void start_curl_once() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

long milliseconds(Duration duration) {
    auto ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
    return static_cast<long>(std::min<std::int64_t>(ms, 1L << 30));
}

}  // namespace

struct Client::Engine::Watch {
    Watch(const async::Executor& executor, curl_socket_t socket)
        : fd(socket), descriptor(executor, socket) {}
    curl_socket_t fd;
    asio::posix::stream_descriptor descriptor;
    int wanted = 0;  // CURL_POLL_IN | CURL_POLL_OUT
    bool reading = false;
    bool writing = false;
    bool dropped = false;
};

std::shared_ptr<Client::Engine> Client::Engine::create(async::Executor executor) {
    start_curl_once();
    return std::shared_ptr<Engine>(new Engine(std::move(executor)));
}

Client::Engine::Engine(async::Executor executor)
    : executor_(std::move(executor)), multi_(curl_multi_init()), timer_(executor_) {
    SKIFF_ASSERT(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Engine::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Engine::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 32L);
}

Client::Engine::~Engine() {
    // Closing the cached connections may still call on_socket: the watches must be alive.
    curl_multi_cleanup(multi_);
    for (auto& [fd, watched] : watches_) {
        watched->dropped = true;
        watched->descriptor.release();
    }
}

Result<void> Client::Engine::add(Transfer& transfer) {
    CURLMcode code = curl_multi_add_handle(multi_, transfer.easy());
    if (code != CURLM_OK) {
        return fail(Code::internal, "start a transfer: {}", curl_multi_strerror(code));
    }
    return {};
}

void Client::Engine::remove(Transfer& transfer) {
    curl_multi_remove_handle(multi_, transfer.easy());
}

int Client::Engine::on_socket(CURL* /*easy*/, curl_socket_t fd, int what, void* engine,
                              void* /*watch*/) {
    static_cast<Engine*>(engine)->watch(fd, what);
    return 0;
}

void Client::Engine::watch(curl_socket_t fd, int what) {
    auto found = watches_.find(fd);
    if (what == CURL_POLL_REMOVE) {
        if (found != watches_.end()) {
            // curl may close the socket next: Asio must have let go of it by then.
            found->second->dropped = true;
            found->second->descriptor.release();
            watches_.erase(found);
        }
        return;
    }
    if (found == watches_.end()) {
        found = watches_.emplace(fd, std::make_shared<Watch>(executor_, fd)).first;
    }
    found->second->wanted = what;
    arm(found->second);
}

void Client::Engine::arm(const std::shared_ptr<Watch>& watched) {
    auto wait = [&](int direction, bool Watch::* pending, asio::posix::descriptor_base::wait_type t,
                    int events) {
        if ((watched->wanted & direction) == 0 || (*watched).*pending) {
            return;
        }
        (*watched).*pending = true;
        watched->descriptor.async_wait(t, [weak = weak_from_this(), watched, pending, direction,
                                           events](boost::system::error_code error) {
            (*watched).*pending = false;
            auto engine = weak.lock();
            if (!engine || watched->dropped) {
                return;
            }
            if ((watched->wanted & direction) != 0) {
                engine->act(watched->fd, error ? CURL_CSELECT_ERR : events);
            }
            if (!watched->dropped && !error) {
                engine->arm(watched);
            }
        });
    };
    wait(CURL_POLL_IN, &Watch::reading, asio::posix::descriptor_base::wait_read, CURL_CSELECT_IN);
    wait(CURL_POLL_OUT, &Watch::writing, asio::posix::descriptor_base::wait_write,
         CURL_CSELECT_OUT);
}

int Client::Engine::on_timer(CURLM* /*multi*/, long timeout_ms, void* self) {
    auto* engine = static_cast<Engine*>(self);
    if (timeout_ms < 0) {
        engine->timer_.cancel();
        return 0;
    }
    engine->timer_.expires_after(std::chrono::milliseconds(timeout_ms));
    engine->timer_.async_wait([weak = engine->weak_from_this()](boost::system::error_code error) {
        auto alive = weak.lock();
        if (alive && !error) {
            alive->act(CURL_SOCKET_TIMEOUT, 0);
        }
    });
    return 0;
}

void Client::Engine::act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, fd, events, &running);
    collect();
}

void Client::Engine::collect() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) {
            void* transfer = nullptr;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            static_cast<Transfer*>(transfer)->finish(code);
        }
    }
}

Client::Transfer::Transfer(std::shared_ptr<Engine> engine, Request request, std::string user_agent,
                           Aim aim)
    : engine_(std::move(engine)),
      request_(std::move(request)),
      user_agent_(std::move(user_agent)),
      easy_(curl_easy_init()) {
    SKIFF_ASSERT(easy_ != nullptr);
    set_options();
    set_connection();
    set_tls();
    set_body();
    if (aim == Aim::connect) {
        curl_easy_setopt(easy_, CURLOPT_CONNECT_ONLY, 1L);
    }
}

Client::Transfer::~Transfer() {
    if (added_) {
        engine_->remove(*this);
    }
    curl_easy_cleanup(easy_);
    curl_slist_free_all(fields_);
}

void Client::Transfer::set_options() {
    curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
    curl_easy_setopt(easy_, CURLOPT_USERAGENT, user_agent_.c_str());
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request_.timeouts.connect));
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, milliseconds(request_.timeouts.total));
    curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy_, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy_, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy_, CURLOPT_SOCKOPTFUNCTION, &set_up_socket);
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
}

void Client::Transfer::set_connection() {
    long version = CURL_HTTP_VERSION_2TLS;
    if (request_.version == Version::kHttp1) {
        version = CURL_HTTP_VERSION_1_1;
    } else if (request_.version == Version::kHttp2Only) {
        version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    }
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, version);
    const bool own = request_.connection == Connection::kOwn;
    // Wait for a connection that is being made if it may turn out to carry many transfers.
    const bool waits = request_.version != Version::kHttp1 && !own;
    curl_easy_setopt(easy_, CURLOPT_PIPEWAIT, waits ? 1L : 0L);
    curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, own ? 1L : 0L);
    curl_easy_setopt(easy_, CURLOPT_FORBID_REUSE, own ? 1L : 0L);
    if (own) {
        // Each look-up goes through all that curl remembers, and it remembers each port asked.
        curl_easy_setopt(easy_, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    }
    const std::uint64_t buffer = own ? 0 : request_.window_bytes / 2;
    curl_easy_setopt(
        easy_, CURLOPT_BUFFERSIZE,
        static_cast<long>(std::clamp(buffer, kReceiveBufferBytesMin, kReceiveBufferBytesMax)));
    if (!request_.unix_socket.empty()) {
        curl_easy_setopt(easy_, CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
    }
    if (request_.proxy) {
        curl_easy_setopt(easy_, CURLOPT_PROXY, request_.proxy->c_str());
    }
}

void Client::Transfer::set_tls() {
    const Tls& tls = request_.tls;
    auto text = [&](CURLoption option, const std::string& value) {
        if (!value.empty()) {
            curl_easy_setopt(easy_, option, value.c_str());
        }
    };
    auto blob = [&](CURLoption option, const std::string& value) {
        if (!value.empty()) {
            curl_blob copy{const_cast<char*>(value.data()), value.size(), CURL_BLOB_COPY};
            curl_easy_setopt(easy_, option, &copy);
        }
    };
    curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!tls.ca_pem.empty() || !tls.ca_file.empty()) {
        // Only these, not the system's as well.
        curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr);
        curl_easy_setopt(easy_, CURLOPT_CAINFO, nullptr);
    }
    if (tls.ca_pem.empty()) {
        text(CURLOPT_CAINFO, tls.ca_file);
    }
    blob(CURLOPT_CAINFO_BLOB, tls.ca_pem);
    if (tls.client_certificate_pem.empty()) {
        text(CURLOPT_SSLCERT, tls.client_certificate_file);
        text(CURLOPT_SSLKEY, tls.client_key_file);
    }
    blob(CURLOPT_SSLCERT_BLOB, tls.client_certificate_pem);
    blob(CURLOPT_SSLKEY_BLOB, tls.client_key_pem);
    if (tls.verify == Verify::kNothing) {
        curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

void Client::Transfer::set_body() {
    bool has_body = !request_.body.empty() || request_.method == "POST" ||
                    request_.method == "PUT" || request_.method == "PATCH";
    if (request_.method == "HEAD") {
        curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
    } else if (has_body) {
        curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(request_.body.size()));
        curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request_.body.data());
    }
    if (request_.method != "GET" || has_body) {
        curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    }
    for (const auto& [name, value] : request_.headers) {
        // "Name;" is how curl sends a field without a value.
        std::string line = value.empty() ? name + ";" : name + ": " + value;
        fields_ = curl_slist_append(fields_, line.c_str());
    }
    for (const std::string& name : request_.omitted) {
        fields_ = curl_slist_append(fields_, (name + ":").c_str());
    }
    fields_ = curl_slist_append(fields_, "Expect:");
    if (has_body && !request_.headers.contains("Content-Type")) {
        fields_ = curl_slist_append(fields_, "Content-Type:");
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, fields_);
}

Result<void> Client::Transfer::start() {
    for (const auto& [name, value] : request_.headers) {
        if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
            return fail(Code::invalid, "header field {:?} contains a line break",
                        bounded_utf8(name, 64));
        }
    }
    SKIFF_CHECK(engine_->add(*this));
    added_ = true;
    return {};
}

SteadyTime Client::Transfer::idle_deadline() const {
    if (request_.timeouts.idle <= Duration::zero()) {
        return async::kNoDeadline;
    }
    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<SteadyTime::duration>(request_.timeouts.idle);
}

async::Task<Result<void>> Client::Transfer::wait_head() {
    // The time to connect is not idle time; curl bounds it itself.
    SteadyTime deadline = idle_deadline();
    if (deadline != async::kNoDeadline) {
        deadline += std::chrono::duration_cast<SteadyTime::duration>(request_.timeouts.connect);
    }
    while (!head_done_ && !finished_) {
        progress_.reset();
        auto waited = co_await progress_.wait(deadline);
        if (!waited) {
            if (waited.error().code == Code::timeout) {
                co_return fail(Code::timeout, "no response from {} in time", request_.url);
            }
            co_return fail(std::move(waited.error()));
        }
    }
    if (!head_done_) {
        co_return fail(failure());
    }
    co_return Result<void>{};
}

async::Task<Result<void>> Client::Transfer::wait_finished() {
    while (!finished_) {
        progress_.reset();
        SKIFF_CO_CHECK(co_await progress_.wait(idle_deadline()));
    }
    if (code_ != CURLE_OK) {
        co_return fail(failure());
    }
    co_return Result<void>{};
}

async::Task<Result<std::optional<std::string>>> Client::Transfer::next_chunk() {
    while (buffered_.empty() && !finished_) {
        progress_.reset();
        if (paused_) {
            paused_ = false;
            // May call on_body at once.
            curl_easy_pause(easy_, CURLPAUSE_CONT);
            continue;
        }
        auto waited = co_await progress_.wait(idle_deadline());
        if (!waited) {
            if (waited.error().code == Code::timeout) {
                co_return fail(Code::timeout, "{} sent nothing for too long", request_.url);
            }
            co_return fail(std::move(waited.error()));
        }
    }
    if (!buffered_.empty()) {
        std::optional<std::string> chunk = std::exchange(buffered_, std::string());
        if (paused_) {
            paused_ = false;
            curl_easy_pause(easy_, CURLPAUSE_CONT);
        }
        co_return std::move(chunk);
    }
    if (code_ != CURLE_OK) {
        co_return fail(failure());
    }
    co_return std::optional<std::string>();
}

std::optional<std::uint64_t> Client::Transfer::content_length() const {
    auto text = headers_.find("Content-Length");
    return text ? parse_uint(*text) : std::nullopt;
}

std::size_t Client::Transfer::on_header(char* text, std::size_t size, std::size_t n, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    transfer->header_bytes_ += size * n;
    if (transfer->header_bytes_ > kHeadBytesMax) {
        return 0;
    }
    transfer->take_header(std::string_view(text, size * n));
    return size * n;
}

void Client::Transfer::take_header(std::string_view line) {
    line = trim(line);
    if (!head_done_ && line.starts_with("HTTP/")) {
        headers_ = Headers();
        return;
    }
    if (line.empty()) {
        if (head_done_) {
            return;
        }
        long status = 0;
        curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 || status == 101) {
            status_ = static_cast<int>(status);
            head_done_ = true;
            progress_.set();
        }
        return;
    }
    auto colon = line.find(':');
    if (colon != std::string_view::npos) {
        Headers& fields = head_done_ ? trailers_ : headers_;
        fields.add(std::string(trim(line.substr(0, colon))),
                   std::string(trim(line.substr(colon + 1))));
    }
}

std::size_t Client::Transfer::on_body(char* bytes, std::size_t size, std::size_t n, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    if (!transfer->buffered_.empty() &&
        transfer->buffered_.size() + size * n > transfer->request_.window_bytes) {
        transfer->paused_ = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    transfer->buffered_.append(bytes, size * n);
    transfer->progress_.set();
    return size * n;
}

void Client::Transfer::finish(CURLcode code) {
    finished_ = true;
    code_ = code;
    progress_.set();
}

Error Client::Transfer::failure() const {
    std::string text = error_text_[0] != 0 ? error_text_ : curl_easy_strerror(code_);
    Code code = Code::unavailable;
    if (code_ == CURLE_OPERATION_TIMEDOUT) {
        code = Code::timeout;
    } else if (code_ == CURLE_COULDNT_CONNECT) {
        // curl says what it could not do, and the system why.
        long number = 0;
        curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &number);
        if (number != 0) {
            text += ": " + std::generic_category().message(static_cast<int>(number));
        }
    } else if (code_ == CURLE_URL_MALFORMAT || code_ == CURLE_UNSUPPORTED_PROTOCOL) {
        code = Code::invalid;
    } else if (code_ == CURLE_WRITE_ERROR && header_bytes_ > kHeadBytesMax) {
        code = Code::exhausted;
        text = "the head of the response is too long";
    } else if (code_ == CURLE_OK) {
        text = "the response ended before its head";
    }
    return fail(code, "{} {}: {}", request_.method, request_.url, trim(text)).value();
}

}  // namespace skiff::http
