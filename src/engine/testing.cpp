#include "engine/testing.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/paths_testing.h"
#include "base/text.h"
#include "engine/identity.h"
#include "os/file.h"
#include "os/packet.h"
#include "wire/paths.h"

namespace skiff::engine::testing {

namespace {

constexpr int kPatienceMs = 10'000;

std::string program() {
    return tests_program_folder() / "skiff-engine";
}

// The build that the program itself names: this test's own build id is another one.
std::string build_of_program() {
    static const std::string build = [] {
        auto pipe = *os::make_pipe();
        os::SpawnSpec spec;
        spec.program = program();
        spec.argv = {"skiff-engine", "version"};
        spec.fds = {{pipe.write.get(), 1}};
        auto spawned = *os::spawn(spec);
        pipe.write.reset();
        const std::string text = *os::read_all(pipe.read.get(), 4_KiB);
        SKIFF_ASSERT(os::wait_ended(spawned.pidfd.get(), kPatienceMs));
        (void)os::reap(spawned.pidfd.get());
        const std::string first(split(text, '\n')[0]);
        SKIFF_ASSERT(first.starts_with("build="), text);
        return first.substr(6);
    }();
    return build;
}

}  // namespace

Compiled compile(const std::filesystem::path& module, std::vector<std::string> options) {
    auto input = os::open(module, O_RDONLY);
    SKIFF_ASSERT(input, module.string());
    Compiled result;
    result.artifact = *os::make_memfd("artifact");
    auto report = *os::make_memfd("report");
    os::SpawnSpec spec;
    spec.program = program();
    spec.argv = {"skiff-engine", "compile"};
    spec.argv.insert(spec.argv.end(), options.begin(), options.end());
    spec.fds = {{input->get(), 0}, {result.artifact.get(), 1}, {2, 2}, {report.get(), 3}};
    auto spawned = *os::spawn(spec);
    SKIFF_ASSERT(os::wait_ended(spawned.pidfd.get(), 300'000));
    (void)os::reap(spawned.pidfd.get());
    ::lseek(report.get(), 0, SEEK_SET);
    const auto bytes = *os::read_all(report.get(), Bytes{wire::kCompileReportBytesMax});
    if (auto decoded = wire::decode<wire::CompileReport>(bytes); decoded && !bytes.empty()) {
        result.report = std::move(*decoded);
    } else {
        result.report.message = "the compiler left no report";
    }
    return result;
}

const Compiled& guest(const std::string& name) {
    static std::map<std::string, Compiled> cache;
    auto found = cache.find(name);
    if (found == cache.end()) {
        const auto path = tests_source_folder() / "build/guests" / (name + ".wasm");
        SKIFF_ASSERT(std::filesystem::exists(path), "run guests/build first");
        found = cache.emplace(name, compile(path)).first;
        SKIFF_ASSERT(found->second.report.code == wire::CompileCode::ok,
                     found->second.report.message);
    }
    return found->second;
}

KeeperProcess::KeeperProcess(std::vector<std::string> options) {
    std::string pattern = std::filesystem::temp_directory_path() / "skiff-keeper-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    os::SpawnSpec spec;
    spec.program = program();
    spec.argv = {"skiff-engine", "keep", "--run-dir=" + run_dir()};
    spec.argv.insert(spec.argv.end(), options.begin(), options.end());
    // What the keeper logs is of use only when a test fails: kept beside, not printed.
    auto log = *os::open(folder_ / "keeper.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    spec.fds = {{log.get(), 2}};
    spawned_ = *os::spawn(spec);
}

KeeperProcess::~KeeperProcess() {
    // A keeper's runners outlive it by design: each test ends its own or lets the keeper do it.
    if (!os::has_ended(spawned_.pidfd.get())) {
        Agent(*this).send(wire::Shutdown{wire::ShutdownMode::kill_all});
        wait_ended();
    }
    (void)os::remove_tree(folder_);
}

void KeeperProcess::kill() {
    (void)os::send_signal(spawned_.pidfd.get(), SIGKILL);
    wait_ended();
}

void KeeperProcess::wait_ended() {
    SKIFF_ASSERT(os::wait_ended(spawned_.pidfd.get(), kPatienceMs));
    (void)os::reap(spawned_.pidfd.get());
}

Agent::Agent(const KeeperProcess& keeper) : keeper_(keeper) {
    const std::string path = wire::keeper_socket(keeper.run_dir(), build_of_program());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    SKIFF_ASSERT(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    for (int tries = 0;
         ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0;
         ++tries) {
        SKIFF_ASSERT(tries < kPatienceMs / 5, "the keeper does not listen");
        ::poll(nullptr, 0, 5);
    }
    send(wire::Hello{});
}

void Agent::send(const wire::Message& message) {
    const std::string bytes = wire::encode_message(message);
    SKIFF_ASSERT(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0);
}

wire::Message Agent::receive() {
    pollfd poll{socket_.get(), POLLIN, 0};
    SKIFF_ASSERT(::poll(&poll, 1, kPatienceMs) == 1, "the keeper says nothing");
    std::string buffer(wire::kMessageBytesMax, '\0');
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    SKIFF_ASSERT(size > 0, "the keeper hung up");
    auto message = wire::decode_message({buffer.data(), static_cast<std::size_t>(size)});
    SKIFF_ASSERT(message);
    return std::move(*message);
}

os::Fd Agent::borrow(const std::string& id) {
    send(wire::Lend{id});
    std::string buffer(wire::kMessageBytesMax, '\0');
    while (true) {
        auto packet = os::receive_packet(socket_.get(), buffer, os::Wait::yes);
        SKIFF_ASSERT(packet && packet->size > 0, "the keeper hung up");
        auto message = wire::decode_message({buffer.data(), packet->size});
        SKIFF_ASSERT(message);
        if (const auto* lent = std::get_if<wire::Lent>(&*message)) {
            SKIFF_ASSERT(lent->container_id == id);
            return packet->fds.empty() ? os::Fd() : std::move(packet->fds.front());
        }
        skipped_.push_back(std::move(*message));
    }
}

void Agent::start(const std::string& id, const std::string& guest_name, wire::Grant grant,
                  wire::Start header) {
    grant.container_id = id;
    const auto logs = keeper_.folder() / ("log-" + id);
    std::filesystem::create_directory(logs);
    constexpr std::size_t kSlots = 3;
    std::vector<os::Fd> slots;
    std::vector<std::uint64_t> inodes;
    const std::size_t given = grant.log.slot_fds.size();
    SKIFF_ASSERT(given == 0);
    for (std::size_t i = 0; i < kSlots; ++i) {
        slots.push_back(
            *os::open(logs / std::to_string(i), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
        struct stat facts{};
        ::fstat(slots.back().get(), &facts);
        inodes.push_back(facts.st_ino);
        grant.log.slot_fds.push_back(static_cast<int>(wire::kFirstFreeFd + i));
    }
    const auto page_path = wire::runner_page_file(keeper_.run_dir(), id);
    auto page = *os::open(page_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    SKIFF_ASSERT(os::write_all(page.get(), wire::initial_page(inodes, grant.log.slot_bytes_max)));
    SKIFF_ASSERT(::ftruncate(page.get(), wire::kRunnerPageBytes) == 0);
    auto memory = *os::make_sealed_memfd("grant", *wire::encode_grant(grant));
    std::vector<int> fds = {memory.get(), guest(guest_name).artifact.get(), page.get()};
    for (const auto& slot : slots) {
        fds.push_back(slot.get());
    }
    static_assert(wire::kFirstFreeFd + kSlots == kPassedFd);
    fds.insert(fds.end(), passed_.begin(), passed_.end());
    header.container_id = id;
    header.stop = grant.stop;
    sent_ns_ = std::chrono::steady_clock::now().time_since_epoch().count();
    SKIFF_ASSERT(os::send_packet(socket_.get(), wire::encode_message(header), fds));
}

wire::Exited Agent::run(const std::string& id, const std::string& guest_name, wire::Grant grant) {
    start(id, guest_name, std::move(grant));
    while (true) {
        wire::Message message = receive();
        if (auto* failed = std::get_if<wire::StartFailed>(&message)) {
            SKIFF_ASSERT(false, failed->stage + ": " + failed->message);
        }
        if (auto* exited = std::get_if<wire::Exited>(&message);
            exited != nullptr && exited->container_id == id) {
            return *exited;
        }
    }
}

wire::PageView Agent::page_of(const std::string& id) const {
    return *wire::parse_page(*os::read_file(wire::runner_page_file(keeper_.run_dir(), id), 64_KiB));
}

std::string Agent::log_of(const std::string& id) const {
    std::string out;
    const auto logs = keeper_.folder() / ("log-" + id);
    for (const auto index : wire::slots_in_order(page_of(id))) {
        const std::string text = *os::read_file(logs / std::to_string(index), 64_MiB);
        for (const auto line : split(text, '\n')) {
            if (line.size() > 40) {
                out += line.substr(31, 6) == "stderr" ? "stderr: " : "";
                out += line.substr(40);
                out += '\n';
            } else if (line.size() == 40) {
                out += '\n';
            }
        }
    }
    return out;
}

wire::Grant plain_grant(std::vector<std::string> args) {
    wire::Grant grant;
    grant.args = std::move(args);
    grant.identity.host_base = 0x30000000;
    return grant;
}

}  // namespace skiff::engine::testing
