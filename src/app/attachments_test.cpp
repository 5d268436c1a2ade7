#include "app/attachments.h"

#include <fstream>

#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

namespace fs = std::filesystem;
using pods::Task;
using std::chrono::milliseconds;
using Output = server::RemoteSession::Output;

class AttachmentsTest : public pods::PodWorker {
public:
    AttachmentsTest() {
        char name[] = "/tmp/skiff-attach-XXXXXX";
        folder_ = ::mkdtemp(name);
        run_pod(pods::fakes::make_pod("web"));
        record().log_path = folder_ / "0.log";
        print("stdout", "old");
        pool_.emplace(reactor(), 1, 16);
        attachments_.emplace(reactor().executor(), Attachments::Parts{*pods, node.guests, *pool_});
    }
    ~AttachmentsTest() override {
        async::run_to_end(reactor(), attachments_->stop());
        stop_agent();
        fs::remove_all(folder_);
    }

    pods::ContainerRecord& record() { return node.guests.records.at(0); }
    void end_container() { node.guests.end(record().id, 3); }
    void print(std::string_view stream, std::string_view text) {
        std::ofstream(folder_ / "0.log", std::ios::app)
            << "2026-11-23T22:00:00.000000001Z " << stream << " F " << text << "\n";
    }
    static server::RemoteTarget target() {
        server::RemoteTarget its;
        its.pod = PodName{"default", "web"};
        its.container = "main";
        its.streams = {true, true, true, false};
        return its;
    }
    std::unique_ptr<server::RemoteSession> attach() {
        auto session = async::run_to_end(reactor(), attachments_->attach(target()));
        EXPECT_TRUE(session) << format_as(session.error());
        return session ? std::move(*session) : nullptr;
    }
    // The next bytes, at most five.
    std::string read(server::RemoteSession& session, Output which) {
        std::array<char, 5> into{};
        auto size = async::run_to_end(reactor(), session.read(which, into));
        EXPECT_TRUE(size) << format_as(size.error());
        return size ? std::string(into.data(), *size) : "";
    }

    fs::path folder_;
    std::optional<async::BlockingPool> pool_;
    std::optional<Attachments> attachments_;
};

TEST_F(AttachmentsTest, WithoutAConsoleTheLogIsFollowedFromNowOn) {
    auto session = attach();
    ASSERT_TRUE(session);
    // Until the reading has found where the log ended, what is written may be of before.
    struct Late {
        std::string text;
        async::Event over;
    } late;
    auto write = [](AttachmentsTest* t, Late* its) -> Task<void> {
        while (its->text.empty()) {
            t->print("stdout", "new");
            (void)co_await async::sleep_for(milliseconds(5));
        }
        t->print("stderr", "bad");
        t->end_container();
        its->over.set();
    };
    auto look = [](server::RemoteSession* its, Late* where) -> Task<void> {
        std::array<char, 64> into{};
        auto size = co_await its->read(Output::out, into);
        where->text.assign(into.data(), size.value_or(0));
    };
    async::Scope scope(reactor().executor());
    scope.spawn("look", look(session.get(), &late));
    async::run_to_end(reactor(), write(this, &late));
    EXPECT_EQ(late.text.substr(0, 4), "new\n");
    EXPECT_EQ(read(*session, Output::err), "bad\n");
    while (!read(*session, Output::out).empty()) {
    }
    EXPECT_EQ(read(*session, Output::err), "");
    auto exit = async::run_to_end(reactor(), session->wait());
    ASSERT_TRUE(exit);
    EXPECT_EQ(exit->exit_code, 0) << "how the container ended is for its status to say";
    EXPECT_TRUE(async::run_to_end(reactor(), session->write_stdin("nobody reads this")));
    session->close_stdin();
}

TEST_F(AttachmentsTest, AConsoleIsTakenWhereThereIsOne) {
    record().console = {pods::Console::Kind::terminal, pods::Console::Input::open};
    auto session = attach();
    ASSERT_TRUE(session);
    pods::fakes::FakeClient& client = *node.guests.clients.at(0);
    EXPECT_TRUE(client.spec.sends);
    EXPECT_TRUE(async::run_to_end(reactor(), session->write_stdin("ls\r")));
    EXPECT_EQ(client.written, "ls\r");
    session->resize({80, 25});
    EXPECT_EQ(client.size.columns, 80);
    client.print("0123456789");
    EXPECT_EQ(read(*session, Output::out), "01234");
    EXPECT_EQ(read(*session, Output::out), "56789");
    session->close_stdin();
    EXPECT_EQ(client.input, pods::fakes::FakeClient::Input::closed);
    node.guests.end(record().id, 1);
    EXPECT_EQ(read(*session, Output::out), "");
    EXPECT_TRUE(async::run_to_end(reactor(), session->wait()));
}

TEST_F(AttachmentsTest, SaysWhatCannotBeAttachedTo) {
    EXPECT_TRUE(attachments_->check(target()));
    auto code = [&](const server::RemoteTarget& its) {
        auto checked = attachments_->check(its);
        return checked ? Code::internal : checked.error().code;
    };
    auto other_pod = target();
    other_pod.pod.name = "other";
    EXPECT_EQ(code(other_pod), Code::not_found);
    auto other_uid = target();
    other_uid.uid = PodUid("uid-0");
    EXPECT_EQ(code(other_uid), Code::not_found);
    auto other_container = target();
    other_container.container = "second";
    EXPECT_EQ(code(other_container), Code::not_found);
    node.guests.answers.reset();  // its next run stays `starting`
    node.guests.end(record().id, 0);
    settle();
    EXPECT_EQ(code(target()), Code::conflict);
}

}  // namespace
}  // namespace skiff::app
