#include "runtime/consoles.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>

#include "async/both.h"
#include "base/log.h"
#include "runtime/console_files.h"

namespace skiff::runtime {

namespace {

using async::Task;
using pods::OutputStream;
using Kind = pods::Console::Kind;
using Input = pods::Console::Input;

constexpr std::size_t kReadBytes = 16 << 10;
constexpr auto kLentMax = std::chrono::seconds(10);

std::size_t index_of(OutputStream stream) {
    return stream == OutputStream::out ? 0 : 1;
}

}  // namespace

// One client; held by its session and by the tasks that serve it.
struct Consoles::Client {
    std::array<bool, 2> reads{};
    std::array<std::string, 2> unread;
    std::array<async::Event, 2> readable;  // set: there is something, or nothing will come
    async::Event took;                     // its client has read
    async::Event over;
    std::optional<Error> error;

    void finish() {
        over.set();
        for (auto& event : readable) {
            event.set();
        }
    }
};

// The clients of a console from the first who comes to the last who goes.
struct Consoles::Audience {
    Kind kind = Kind::none;
    Duration stuck_max{};
    std::array<os::Fd, 2> outputs;  // what is read for the clients
    os::Fd reading;                 // tells the runner that somebody reads; of a terminal
    std::list<std::shared_ptr<Client>> clients;
    async::Event deserted;
    async::Event closed;
};

// What is known of a container's console.
struct Consoles::Console {
    std::string id;
    pods::Console what;
    os::Fd far_end;
    async::Event settled;  // the far end is there, or will never be
    bool input_ended = false;
    std::shared_ptr<Audience>
        audience;  // null, or its clients have gone: closed is set, or will be

    [[nodiscard]] bool ends_with_client() const {
        return what.input == Input::once && what.kind == Kind::pipes;
    }
    void end_input() {
        input_ended = true;
        if (far_end.valid()) {
            (void)::shutdown(far_end.get(), SHUT_WR);
        }
    }
};

class Consoles::Handle final : public pods::AttachSession {
public:
    Handle(Held console, const pods::AttachSpec& spec, os::Fd input)
        : console_(std::move(console)), audience_(console_->audience), input_(std::move(input)) {
        client_->reads = {spec.reads_out, spec.reads_err};
        audience_->clients.push_back(client_);
    }
    ~Handle() override {
        client_->finish();
        leave();
        if (input_.valid() && console_->ends_with_client()) {
            console_->end_input();
        }
    }

    Task<Result<void>> write_stdin(std::string bytes) override {
        if (!input_.valid()) {
            return nothing();
        }
        // A descriptor of its own: it may be waited for while others wait for theirs.
        auto fd = input_.duplicate();
        return write_all(console_, fd ? std::move(*fd) : os::Fd(), std::move(bytes));
    }

    void close_stdin() override {
        if (console_->what.input == Input::none) {
            return;
        }
        if (!console_->ends_with_client()) {
            // As a kubelet's runtimes have it: a client that sends nothing more is done.
            client_->finish();
            leave();
        } else if (input_.valid()) {
            input_.reset();
            console_->end_input();
        }
    }

    Task<Result<std::string>> read(OutputStream stream) override {
        return read_from(client_, index_of(stream));
    }

    void resize(pods::TerminalSize size) override {
        if (console_->what.kind != Kind::terminal || size.columns == 0 || size.rows == 0) {
            return;
        }
        winsize its{};
        its.ws_col = size.columns;
        its.ws_row = size.rows;
        (void)::ioctl(console_->far_end.get(), TIOCSWINSZ, &its);
    }

    Task<Result<void>> wait() override { return wait_over(client_); }

private:
    static Task<Result<void>> nothing() { co_return Result<void>{}; }

    static Task<Result<void>> write_all(Held console, os::Fd fd, std::string bytes) {
        std::string_view left = bytes;
        while (!left.empty() && !console->input_ended) {
            const ssize_t count =
                console->what.kind == Kind::terminal
                    ? ::write(fd.get(), left.data(), left.size())
                    : ::send(fd.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count > 0) {
                left.remove_prefix(static_cast<std::size_t>(count));
            } else if (count < 0 && errno == EAGAIN) {
                SKIFF_CO_CHECK(co_await async::wait_writable(fd.get()));
            } else if (count == 0 || errno != EINTR) {
                break;  // Nobody will read it.
            }
        }
        co_return Result<void>{};
    }

    static Task<Result<std::string>> read_from(std::shared_ptr<Client> client, std::size_t stream) {
        SKIFF_CO_CHECK(co_await client->readable[stream].wait());
        if (client->unread[stream].empty() && client->error) {
            co_return fail(Error(*client->error));
        }
        std::string taken = std::exchange(client->unread[stream], {});
        if (!client->over.is_set()) {
            client->readable[stream].reset();
        }
        client->took.set();
        co_return std::move(taken);
    }

    static Task<Result<void>> wait_over(std::shared_ptr<Client> client) {
        SKIFF_CO_CHECK(co_await client->over.wait());
        if (client->error) {
            co_return fail(Error(*client->error));
        }
        co_return Result<void>{};
    }

    void leave() {
        std::erase(audience_->clients, client_);
        if (audience_->clients.empty()) {
            audience_->deserted.set();
        }
    }

    Held console_;
    std::shared_ptr<Audience> audience_;
    os::Fd input_;  // invalid: this client sends nothing, or no more
    std::shared_ptr<Client> client_ = std::make_shared<Client>();
};

Consoles::Consoles(const state::Paths& paths, Duration stuck_max)
    : paths_(paths), stuck_max_(stuck_max) {}

Consoles::~Consoles() = default;

// ---- consoles ----------------------------------------------------------------------------------

Consoles::Held Consoles::known(const StoredContainer& container) {
    Held& console = consoles_[container.id];
    if (!console) {
        console = std::make_shared<Console>();
        console->id = container.id;
        console->what = container.console;
    }
    return console;
}

void Consoles::add(const StoredContainer& container, os::Fd far_end) {
    Held console = known(container);
    if (!console->far_end.valid()) {
        console->far_end = std::move(far_end);
    }
    if (container.input_used && console->ends_with_client()) {
        console->end_input();
    }
    console->settled.set();
}

bool Consoles::has(const std::string& container) const {
    auto found = consoles_.find(container);
    return found != consoles_.end() && found->second->far_end.valid();
}

void Consoles::remove(const std::string& container) {
    auto found = consoles_.find(container);
    if (found != consoles_.end()) {
        found->second->input_ended = true;
        found->second->settled.set();
        consoles_.erase(found);
    }
}

// ---- clients -----------------------------------------------------------------------------------

Result<void> Consoles::open(const Held& console) const {
    auto audience = std::make_shared<Audience>();
    audience->kind = console->what.kind;
    audience->stuck_max = stuck_max_;
    const ContainerId id(console->id);
    if (audience->kind == Kind::terminal) {
        SKIFF_TRY(audience->outputs[0], console->far_end.duplicate());
        drop_input(audience->outputs[0].get());
        SKIFF_TRY(audience->reading, open_output(paths_.console_out(id)));
    } else {
        // The one that the runner looks at comes last.
        SKIFF_TRY(audience->outputs[1], open_output(paths_.console_err(id)));
        SKIFF_TRY(audience->outputs[0], open_output(paths_.console_out(id)));
    }
    console->audience = std::move(audience);
    return {};
}

Task<Result<std::unique_ptr<pods::AttachSession>>> Consoles::attach(pods::AttachSpec spec,
                                                                    StoredContainer container,
                                                                    OnUse on_use,
                                                                    async::Scope& scope) {
    if (container.console.kind == Kind::none) {
        co_return fail(Code::unsupported, "container \"{}\" has no console", container.name);
    }
    Held console = known(container);
    SKIFF_CO_CHECK(co_await console->settled.wait(after(kLentMax)));
    // What the clients before had open is closed when their last task has ended.
    while (console->audience && console->audience->clients.empty()) {
        auto last = console->audience;
        SKIFF_CO_CHECK(co_await last->closed.wait(after(kLentMax)));
        if (console->audience == last) {
            console->audience.reset();
        }
    }
    if (auto found = consoles_.find(container.id);
        found == consoles_.end() || found->second != console) {
        co_return fail(Code::conflict, "container \"{}\" is not running", container.name);
    }
    if (!console->far_end.valid()) {
        co_return fail(Code::unavailable,
                       "the console of container \"{}\" was lost with its keeper: start the "
                       "container anew, or read its log",
                       container.name);
    }
    if (console->audience && console->audience->clients.size() >= kClientsMax) {
        co_return fail(Code::exhausted, "{} clients are attached to container \"{}\" already",
                       kClientsMax, container.name);
    }
    os::Fd input;
    if (spec.sends && console->what.input != Input::none && !console->input_ended) {
        SKIFF_CO_TRY(input, console->far_end.duplicate());
        if (console->ends_with_client()) {
            on_use(container.id);
        }
    }
    const bool is_first = !console->audience;
    if (is_first) {
        SKIFF_CO_CHECK(open(console));
    }
    std::unique_ptr<pods::AttachSession> session =
        std::make_unique<Handle>(console, spec, std::move(input));
    if (is_first) {
        scope.spawn("console", serve(console->audience));
    }
    co_return std::move(session);
}

// ---- output ------------------------------------------------------------------------------------

Task<void> Consoles::serve(std::shared_ptr<Audience> audience) {
    // Also when this task is unwound: nobody may wait for what will not come.
    struct End {
        std::shared_ptr<Audience> audience;
        ~End() {
            for (auto& client : std::exchange(audience->clients, {})) {
                client->finish();
            }
            audience->outputs = {};
            audience->reading.reset();
            audience->closed.set();
        }
    };
    End end{audience};
    (void)co_await async::run_until(pass_all(audience), audience->deserted, async::kNoDeadline,
                                    "console");
}

Task<Result<void>> Consoles::pass_all(std::shared_ptr<Audience> audience) {
    auto out = pass(audience, OutputStream::out);
    auto err = pass(audience, OutputStream::err);
    (void)co_await async::both(std::move(out), std::move(err));
    co_return Result<void>{};
}

Task<Result<void>> Consoles::pass(std::shared_ptr<Audience> audience, OutputStream stream) {
    const std::size_t index = index_of(stream);
    const int fd = audience->outputs[index].get();
    std::array<char, kReadBytes> buffer;
    while (fd >= 0) {
        SKIFF_CO_CHECK(co_await make_room(audience, stream));
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EAGAIN) {
            SKIFF_CO_CHECK(co_await async::wait_readable(fd));
            continue;
        }
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;  // The runner has ended: 0 from a FIFO, EIO from a terminal.
        }
        const std::string_view text(buffer.data(), static_cast<std::size_t>(count));
        for (const auto& client : audience->clients) {
            if (client->reads[index]) {
                client->unread[index] += text;
                client->readable[index].set();
            }
        }
    }
    co_return Result<void>{};
}

// Until every client can take another read. Who does not read for too long is no client any more.
Task<Result<void>> Consoles::make_room(std::shared_ptr<Audience> audience, OutputStream stream) {
    const std::size_t index = index_of(stream);
    const auto is_full = [&](const std::shared_ptr<Client>& client) {
        return client->unread[index].size() + kReadBytes > kUnreadBytesMax;
    };
    while (true) {
        auto full = std::ranges::find_if(audience->clients, is_full);
        if (full == audience->clients.end()) {
            co_return Result<void>{};
        }
        std::shared_ptr<Client> slow = *full;
        slow->took.reset();
        auto read = co_await slow->took.wait(after(audience->stuck_max));
        if (!read && read.error().code == Code::timeout) {
            slow->error = Error{Code::exhausted, "", "the client does not read",
                                std::source_location::current()};
            slow->finish();
            std::erase(audience->clients, slow);
            if (audience->clients.empty()) {
                audience->deserted.set();
            }
        } else if (!read) {
            co_return read;
        }
    }
}

}  // namespace skiff::runtime
