#include "app/attachments.h"

#include <algorithm>
#include <array>

#include "app/log_attachment.h"
#include "pods/exec.h"

namespace skiff::app {

namespace {

using server::RemoteSession;
using server::RemoteTarget;

class AttachedClient final : public RemoteSession {
public:
    explicit AttachedClient(std::unique_ptr<pods::AttachSession> session)
        : session_(std::move(session)) {}

    async::Task<Result<void>> write_stdin(std::string_view bytes) override {
        return session_->write_stdin(std::string(bytes));
    }
    void close_stdin() override { session_->close_stdin(); }
    async::Task<Result<std::size_t>> read(Output which, std::span<char> into) override {
        std::string& left = left_[which == Output::out ? 0 : 1];
        if (left.empty()) {
            SKIFF_CO_TRY(left, co_await session_->read(which));
        }
        const std::size_t size = std::min(into.size(), left.size());
        std::copy_n(left.data(), size, into.data());
        left.erase(0, size);
        co_return size;
    }
    void resize(server::TerminalSize size) override { session_->resize(size); }
    async::Task<Result<pods::ContainerExit>> wait() override {
        SKIFF_CO_CHECK(co_await session_->wait());
        // How the container ended is in the pod's status: kubectl looks there.
        pods::ContainerExit exit;
        exit.kind = pods::ExitKind::exited;
        exit.exit_code = 0;
        co_return exit;
    }

private:
    std::unique_ptr<pods::AttachSession> session_;
    std::array<std::string, 2> left_;
};

bool still_runs(const pods::Runtime& runtime, const pods::ContainerRecord& record) {
    auto all = runtime.containers(record.pod);
    return std::ranges::any_of(
        all, [&](const auto& one) { return one.id == record.id && !one.exit.has_value(); });
}

}  // namespace

std::unique_ptr<RemoteSession> remote_session(std::unique_ptr<pods::AttachSession> session) {
    return std::make_unique<AttachedClient>(std::move(session));
}

Attachments::Attachments(async::Executor executor, Parts parts)
    : parts_(parts), scope_(std::move(executor)) {}

Result<pods::ContainerRecord> Attachments::find(const RemoteTarget& target) const {
    auto snapshot = parts_.pods.find(target.pod);
    if (!snapshot || (target.uid && target.uid->str() != snapshot->pod->metadata.uid)) {
        return fail(Code::not_found, "pod \"{}\" not found", target.pod.name);
    }
    SKIFF_TRY(ContainerId id, pods::exec_target(*snapshot, target.container));
    return *std::ranges::find(snapshot->containers, id, &pods::ContainerRecord::id);
}

Result<void> Attachments::check(const RemoteTarget& target) const {
    SKIFF_CHECK(find(target));
    return {};
}

async::Task<Result<std::unique_ptr<RemoteSession>>> Attachments::attach(RemoteTarget target) {
    SKIFF_CO_TRY(pods::ContainerRecord record, find(target));
    pods::AttachSpec spec;
    spec.container = record.id;
    spec.sends = target.streams.with_stdin;
    spec.reads_out = target.streams.with_stdout;
    spec.reads_err = target.streams.with_stderr;
    if (record.console.kind != pods::Console::Kind::none) {
        SKIFF_CO_TRY(auto session, co_await parts_.runtime.attach(std::move(spec)));
        co_return remote_session(std::move(session));
    }
    logs::ReadRequest request;
    request.folder = record.log_path.parent_path();
    request.attempt = record.attempt;
    pods::Runtime* runtime = &parts_.runtime;
    request.is_running = [runtime, record] { return still_runs(*runtime, record); };
    co_return remote_session(attach_to_log(std::move(request), spec, scope_, parts_.pool));
}

async::Task<void> Attachments::stop() {
    co_await scope_.stop();
}

}  // namespace skiff::app
