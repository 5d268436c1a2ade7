#include "network/cni_attacher.h"

#include <algorithm>

#include "network/cni_testing.h"
#include "network/net_fixture.h"
#include "network/pod_testing.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// An agent. Its threads begin in the namespace of the thread that makes it.
class Agent {
public:
    explicit Agent(CniAttacherSettings settings)
        : attacher_(std::make_unique<CniAttacher>(reactor_.executor(), std::move(settings),
                                                  plugins_, pool_)) {}
    ~Agent() { EXPECT_TRUE(run(attacher_->stop())); }
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    CniAttacher& attacher() { return *attacher_; }
    template <typename T>
    T run(async::Task<T> task) {
        return async::run_to_end(reactor_, std::move(task));
    }
    void start(std::vector<PodUid> pods = {},
               CniAttacher::Intake intake = CniAttacher::Intake::open) {
        EXPECT_TRUE(run(attacher_->recover(std::move(pods))));
        auto body = [](CniAttacher* its, CniAttacher::Intake intake,
                       async::Event* changed) -> async::Task<Result<void>> {
            std::function<void()> tell = [changed] { changed->set(); };
            co_await its->start(intake, std::move(tell));
            co_return Result<void>();
        };
        EXPECT_TRUE(run(body(attacher_.get(), intake, &changed_)));
    }
    // Until ready() has changed.
    void wait_changed() {
        EXPECT_TRUE(run(changed_.wait(after(seconds(60)))));
        changed_.reset();
    }
    void forget_changes() { changed_.reset(); }
    // Lets the background go on until `done` says so.
    void wait_until(const std::function<bool()>& done) {
        auto body = [](const std::function<bool()>* enough) -> async::Task<Result<void>> {
            const SteadyTime deadline = after(seconds(60));
            while (!(*enough)() && SystemClock().steady_now() < deadline) {
                // Gives way to the background, of which no event is to be had.
                SKIFF_CO_CHECK(co_await async::sleep_for(milliseconds(1)));
            }
            co_return Result<void>();
        };
        EXPECT_TRUE(run(body(&done)));
        EXPECT_TRUE(done());
    }
    Result<Attachment> attach(std::shared_ptr<const kube::Pod> pod) {
        return run(attacher_->attach(std::move(pod)));
    }
    Result<void> detach(const std::string& name) { return run(attacher_->detach(uid(name))); }

private:
    async::Reactor reactor_;
    async::BlockingPool plugins_{reactor_, 4, 64};
    async::BlockingPool pool_{reactor_, 2, 64};
    async::Event changed_;
    std::unique_ptr<CniAttacher> attacher_;
};

class CniAttacherTest : public CniTest {
protected:
    void SetUp() override {
        SKIFF_NEEDS_ROOT();
        CniTest::SetUp();
        its_.cni = settings_;
        its_.instance = "0a1b2c3d";
        its_.namespaces = root_ / "netns";
        its_.look_every = milliseconds(5);
        its_.status_every = milliseconds(5);
    }
    void TearDown() override {
        if (!root_.empty()) {
            (void)os::unmount_below(root_);
            CniTest::TearDown();
        }
    }

    void write_list(const std::string& version = "1.0.0", const std::string& more = "") const {
        write("net.d/10-net.conflist",
              fmt::format(
                  R"({{"cniVersion":"{}","name":"net",{}"plugins":[{{"type":"a",)"
                  R"("capabilities":{{"portMappings":true,"bandwidth":true,"dns":true}}}}]}})",
                  version, more));
    }
    // Answers ADD with two addresses, the others with nothing.
    void write_good_plugin(const std::string& version = "1.0.0") const {
        write_plugin(
            "a",
            fmt::format(
                "[ $CNI_COMMAND != VERSION ] || echo '{{\"cniVersion\":\"{0}\","
                "\"supportedVersions\":[\"1.0.0\",\"1.1.0\"]}}'\n"
                "[ $CNI_COMMAND != ADD ] || echo '{{\"cniVersion\":\"{0}\",\"ips\":["
                "{{\"address\":\"fd00::5/64\"}},{{\"address\":\"10.1.0.5/24\"}},"
                "{{\"address\":\"10.1.0.6/24\"}}]}}'\n"
                "[ ! -e $here/failing.$CNI_COMMAND ] || {{ echo '{{\"code\":100,\"msg\":\"no boats "
                "left\"}}'; exit 1; }}",
                version));
    }
    void break_command(const std::string& command) const { write("failing." + command, "x"); }
    void mend_command(const std::string& command) const {
        fs::remove(root_ / ("failing." + command));
    }
    [[nodiscard]] fs::path pin(const std::string& name) const {
        return its_.namespaces / ("cni-uid-" + name);
    }
    [[nodiscard]] std::string calls() const { return read("calls"); }
    void forget_calls() const { fs::remove(root_ / "calls"); }
    [[nodiscard]] std::size_t pins() const {
        auto names = os::list_folder(its_.namespaces);
        return names ? names->size() : 0;
    }

    CniAttacherSettings its_;
};

TEST_F(CniAttacherTest, APodGetsWhatThePluginSaysInANamespaceOfItsOwn) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        its_.dns = [](const kube::Pod&) { return DnsConfig{{"10.96.0.10"}, {}, {}}; };
        Agent agent(its_);
        agent.start();
        ASSERT_TRUE(agent.attacher().ready()) << agent.attacher().ready().error().message;
        auto pod = pod_named("web");
        give_host_port(*pod, 8080, 80);
        pod->metadata.annotations["kubernetes.io/ingress-bandwidth"] = "10M";
        auto web = agent.attach(pod);
        ASSERT_TRUE(web) << web.error().message;
        EXPECT_EQ(web->addresses, (std::vector<std::string>{"10.1.0.5", "fd00::5"}));
        EXPECT_EQ(web->name_space, pin("web"));
        auto pinned = open_pinned(pin("web"));
        ASSERT_TRUE(pinned);
        ASSERT_TRUE(in_namespace(*pinned, [&]() -> Result<void> {
            EXPECT_EQ(*os::read_kernel_file("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
                      "0\n");
            os::Fd server = listen_at(IpFamily::v4, 80);
            EXPECT_TRUE(talk(server, ip("127.0.0.1"), 80)) << "lo is up";
            return {};
        }));
        const std::string variables = read("a.ADD.env");
        for (const char* part :
             {"CNI_CONTAINERID=0a1b2c3d-uid-web\n", "CNI_IFNAME=eth0\n", "K8S_POD_NAME=web",
              "K8S_POD_NAMESPACE=shop", "K8S_POD_UID=uid-web"}) {
            EXPECT_NE(variables.find(part), std::string::npos) << part << " in\n" << variables;
        }
        const std::string input = read("a.ADD.json");
        for (const char* part :
             {R"("hostPort":8080)", R"("containerPort":80)", R"("protocol":"tcp")",
              R"("ingressRate":10000000)", R"("servers":["10.96.0.10"])"}) {
            EXPECT_NE(input.find(part), std::string::npos) << part << " in\n" << input;
        }
        forget_calls();
        auto again = agent.attach(pod);
        ASSERT_TRUE(again);
        EXPECT_EQ(again->addresses, web->addresses);
        ASSERT_TRUE(agent.detach("web"));
        EXPECT_EQ(calls(), "a DEL\n");
        EXPECT_FALSE(fs::exists(pin("web")));
        EXPECT_FALSE(agent.attacher().find(uid("web")));
        ASSERT_TRUE(agent.detach("web")) << "again is fine";
        EXPECT_TRUE(attachments().empty());
    });
}

TEST_F(CniAttacherTest, WithoutAConfigurationTheRemedyIsSaidUntilItComes) {
    as_a_node([&] {
        write_good_plugin();
        Agent agent(its_);
        agent.start();
        auto ready = agent.attacher().ready();
        ASSERT_FALSE(ready);
        for (const auto& part : {std::string("cni plugin not initialized"),
                                 std::string("cniConfDir"), settings_.config_folder.string()}) {
            EXPECT_NE(ready.error().message.find(part), std::string::npos) << ready.error().message;
        }
        auto refused = agent.attach(pod_named("web"));
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().reason, "NetworkNotReady");
        EXPECT_EQ(calls(), "");
        agent.forget_changes();
        write_list();
        agent.wait_changed();
        EXPECT_TRUE(agent.attacher().ready());
        EXPECT_TRUE(agent.attach(pod_named("web")));
        // A wrong one that comes before it is no reason to take another.
        agent.forget_changes();
        write("net.d/00-first.conflist", "{");
        agent.wait_changed();
        ready = agent.attacher().ready();
        ASSERT_FALSE(ready);
        EXPECT_NE(ready.error().message.find("00-first.conflist"), std::string::npos);
        ASSERT_TRUE(agent.detach("web")) << "what is attached is detached as it was attached";
        EXPECT_TRUE(attachments().empty());
    });
}

TEST_F(CniAttacherTest, AProgramThatIsMissingIsNamedAndNoticedWhenItComes) {
    as_a_node([&] {
        write_list();
        Agent agent(its_);
        agent.start();
        auto ready = agent.attacher().ready();
        ASSERT_FALSE(ready);
        EXPECT_NE(ready.error().message.find("CNI plugin a"), std::string::npos);
        EXPECT_NE(ready.error().message.find((root_ / "bin").string()), std::string::npos);
        EXPECT_EQ(agent.attach(pod_named("web")).error().reason, "NetworkNotReady");
        EXPECT_TRUE(agent.detach("web")) << "a pod that has nothing goes without the plugin";
        agent.forget_changes();
        write_good_plugin();
        agent.wait_changed();
        EXPECT_TRUE(agent.attach(pod_named("web")));
        agent.forget_changes();
        fs::remove(root_ / "bin" / "a");
        agent.wait_changed();
        EXPECT_FALSE(agent.attacher().ready());
        auto kept = agent.detach("web");
        ASSERT_FALSE(kept) << "what the plugin gave it has to take";
        EXPECT_TRUE(agent.attacher().list() == std::vector<PodUid>{uid("web")});
        write_good_plugin();
        EXPECT_TRUE(agent.detach("web"));
        EXPECT_EQ(pins(), 0U);
    });
}

TEST_F(CniAttacherTest, AFailureIsThePluginsOwnWordsAndLeavesNothing) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        break_command("ADD");
        its_.call_time = seconds(5);
        Agent agent(its_);
        agent.start();
        auto failed = agent.attach(pod_named("web"));
        ASSERT_FALSE(failed);
        EXPECT_EQ(failed.error().reason, "FailedCreatePodSandBox");
        EXPECT_NE(failed.error().message.find("no boats left"), std::string::npos);
        EXPECT_EQ(calls(), "a ADD\na DEL\n");
        EXPECT_EQ(pins(), 0U);
        EXPECT_TRUE(attachments().empty());
        mend_command("ADD");
        EXPECT_TRUE(agent.attach(pod_named("web"))) << "the same agent";
        for (const char* nonsense : {"echo ahoy", "echo '{}'", "head -c 300000 /dev/zero",
                                     "kill -9 $$", "echo '{\"cniVersion\":\"0.1.0\"}'"}) {
            forget_calls();
            write_plugin("a", fmt::format("[ $CNI_COMMAND != ADD ] || {}", nonsense));
            auto shop = agent.attach(pod_named("shop"));
            ASSERT_FALSE(shop) << nonsense;
            EXPECT_EQ(shop.error().reason, "FailedCreatePodSandBox") << shop.error().message;
            EXPECT_NE(calls().find("a DEL\n"), std::string::npos) << nonsense;
            EXPECT_EQ(pins(), 1U) << nonsense;
        }
    });
}

TEST_F(CniAttacherTest, APluginThatHangsIsKilledAndTheNextAttemptUndoesIt) {
    as_a_node([&] {
        write_list();
        write_plugin("a", "[ $CNI_COMMAND != ADD ] || sleep 600");
        its_.call_time = milliseconds(300);
        its_.status_time = seconds(20);
        Agent agent(its_);
        agent.start();
        auto hung = agent.attach(pod_named("web"));
        ASSERT_FALSE(hung);
        EXPECT_EQ(hung.error().code, Code::timeout) << hung.error().message;
        EXPECT_NE(hung.error().message.find("did not end in time"), std::string::npos);
        EXPECT_EQ(pins(), 0U) << "DEL answered";
    });
}

TEST_F(CniAttacherTest, StatusDecidesWhetherPodsMayCome) {
    as_a_node([&] {
        write_list("1.1.0");
        write_good_plugin("1.1.0");
        break_command("STATUS");
        Agent agent(its_);
        agent.start();
        auto ready = agent.attacher().ready();
        ASSERT_FALSE(ready);
        EXPECT_NE(ready.error().message.find("no boats left"), std::string::npos);
        EXPECT_EQ(agent.attach(pod_named("web")).error().reason, "NetworkNotReady");
        agent.forget_changes();
        mend_command("STATUS");
        agent.wait_changed();
        EXPECT_TRUE(agent.attach(pod_named("web")));
        agent.forget_changes();
        break_command("STATUS");
        agent.wait_changed();
        EXPECT_FALSE(agent.attacher().ready());
        EXPECT_TRUE(agent.attach(pod_named("web"))) << "what is attached stays so";
    });
}

TEST_F(CniAttacherTest, ANewAgentKeepsWhatLivesAndDetachesWhatEnded) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        Attachment before;
        {
            Agent killed(its_);
            killed.start();
            before = *killed.attach(pod_named("web"));
            ASSERT_TRUE(killed.attach(pod_named("gone")));
        }
        forget_calls();
        // A namespace that was made, and no more.
        ASSERT_TRUE(in_new_namespace([&] { return pin_namespace(pin("begun")); }));
        {
            Agent agent(its_);
            agent.start({uid("web")});
            agent.wait_until([&] { return pins() == 1; });
            EXPECT_EQ(agent.attacher().list(), std::vector<PodUid>{uid("web")});
            EXPECT_EQ(calls(), "a DEL\n") << "of the pod that is gone";
            forget_calls();
            auto again = agent.attach(pod_named("web"));
            ASSERT_TRUE(again);
            EXPECT_EQ(again->addresses, before.addresses);
            agent.wait_until([&] { return calls() == "a CHECK\n"; });
            ASSERT_TRUE(agent.attach(pod_named("web")));
            ASSERT_TRUE(agent.detach("web"));
            EXPECT_EQ(calls(), "a CHECK\na DEL\n") << "CHECK is asked once";
        }
        EXPECT_EQ(pins(), 0U);
        EXPECT_TRUE(attachments().empty());
    });
}

TEST_F(CniAttacherTest, ANamespaceOfWhichThePluginNeverHeardGoesWithItsPod) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        fs::create_directories(pin("begun").parent_path());
        ASSERT_TRUE(in_new_namespace([&] { return pin_namespace(pin("begun")); }));
        Agent agent(its_);
        agent.start({uid("begun")});
        EXPECT_EQ(pins(), 1U) << "its pod may go on";
        ASSERT_TRUE(agent.detach("begun"));
        EXPECT_EQ(pins(), 0U);
        EXPECT_EQ(calls().find("DEL"), std::string::npos);
    });
}

TEST_F(CniAttacherTest, WhatARebootTookIsUndoneBeforeThePodComesAgain) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        {
            Agent agent(its_);
            agent.start();
            ASSERT_TRUE(agent.attach(pod_named("web")));
        }
        ASSERT_TRUE(unpin_namespace(pin("web")));
        forget_calls();
        break_command("DEL");  // the plugin's daemon is not there yet
        Agent agent(its_);
        agent.start();
        agent.wait_until([&] { return calls().find("a DEL\n") != std::string::npos; });
        auto early = agent.attach(pod_named("web"));
        ASSERT_FALSE(early);
        EXPECT_NE(early.error().message.find("DEL"), std::string::npos) << early.error().message;
        mend_command("DEL");
        ASSERT_TRUE(agent.attach(pod_named("web")));
        const std::string all = calls();
        EXPECT_TRUE(all.ends_with("a DEL\na ADD\n")) << all;
        EXPECT_EQ(read("a.DEL.env").find("CNI_NETNS=/"), std::string::npos)
            << "a namespace that is gone is not named";
    });
}

TEST_F(CniAttacherTest, AnAttachmentOfWhichTheAgentDiedIsUndoneFirst) {
    as_a_node([&] {
        write_list();
        write_plugin("a", "[ $CNI_COMMAND != ADD ] || { echo x > $here/started; sleep 600; }");
        {
            Agent dies(its_);
            dies.start();
            auto attach = [](CniAttacher* its) -> async::Task<Result<void>> {
                auto attached = co_await its->attach(pod_named("web"));
                co_return attached ? Result<void>() : fail(attached.error());
            };
            async::Event enough;
            auto task = attach(&dies.attacher());
            auto left = dies.run(
                async::run_until(std::move(task), enough, after(milliseconds(200)), "attach"));
            EXPECT_FALSE(left);
            dies.wait_until([&] { return !read("started").empty(); });
        }  // ends without waiting for the plugin's ten minutes
        EXPECT_EQ(attachments().size(), 1U);
        EXPECT_EQ(pins(), 1U);
        forget_calls();
        write_good_plugin();
        Agent agent(its_);
        agent.start({uid("web")});
        ASSERT_TRUE(agent.attach(pod_named("web")));
        EXPECT_EQ(calls(), "a DEL\na ADD\n");
    });
}

TEST_F(CniAttacherTest, APortOfTheNodeBelongsToOnePod) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        Agent agent(its_);
        agent.start();
        auto web = pod_named("web");
        give_host_port(*web, 8080, 80);
        ASSERT_TRUE(agent.attach(web));
        auto shop = pod_named("shop");
        give_host_port(*shop, 8080, 81);
        auto refused = agent.attach(shop);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().message, "port 8080/TCP of the node is taken by pod shop/web");
        ASSERT_TRUE(agent.detach("web"));
        EXPECT_TRUE(agent.attach(shop));
        auto odd = pod_named("odd");
        odd->metadata.annotations["kubernetes.io/egress-bandwidth"] = "1";
        refused = agent.attach(odd);
        ASSERT_FALSE(refused);
        EXPECT_EQ(
            refused.error().message,
            "annotation kubernetes.io/egress-bandwidth is \"1\"; it may be a quantity of bits a "
            "second from 1k to 1P, as in \"10M\"");
    });
}

TEST_F(CniAttacherTest, GarbageIsCollectedInANetworkOfItsOwnOnly) {
    as_a_node([&] {
        write_list("1.1.0");
        write_good_plugin("1.1.0");
        {
            Agent agent(its_);
            agent.start();
            ASSERT_TRUE(agent.attach(pod_named("web")));
            EXPECT_EQ(calls().find("GC"), std::string::npos);
        }
        its_.use = NetworkUse::exclusive;
        Agent agent(its_);
        agent.start({uid("web")});
        EXPECT_NE(calls().find("a GC\n"), std::string::npos) << calls();
        EXPECT_NE(read("a.GC.json").find("0a1b2c3d-uid-web"), std::string::npos);
    });
}

TEST_F(CniAttacherTest, WithAClosedIntakeWhatIsThereIsDetached) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        {
            Agent agent(its_);
            agent.start();
            ASSERT_TRUE(agent.attach(pod_named("web")));
            ASSERT_TRUE(agent.attach(pod_named("gone")));
        }
        fs::remove_all(settings_.config_folder);
        forget_calls();
        Agent agent(its_);
        agent.start({uid("web")}, CniAttacher::Intake::closed);
        agent.wait_until([&] { return pins() == 1; });
        EXPECT_TRUE(agent.attach(pod_named("web"))) << "it has its addresses";
        ASSERT_TRUE(agent.detach("web"));
        EXPECT_EQ(calls(), "a DEL\na DEL\n");
        EXPECT_EQ(pins(), 0U);
    });
}

TEST_F(CniAttacherTest, AResetDetachesAllOfTheInstance) {
    as_a_node([&] {
        write_list();
        write_good_plugin();
        {
            Agent agent(its_);
            agent.start();
            ASSERT_TRUE(agent.attach(pod_named("web")));
            ASSERT_TRUE(agent.attach(pod_named("shop")));
        }
        forget_calls();
        ASSERT_TRUE(remove_cni_network(its_));
        EXPECT_EQ(calls(), "a DEL\na DEL\n");
        EXPECT_EQ(pins(), 0U);
        EXPECT_TRUE(attachments().empty());
        ASSERT_TRUE(remove_cni_network(its_)) << "again is fine";
    });
}

TEST(CniPod, AddressesAreOneOfEachFamilyThePreferredFirst) {
    CniResult result;
    result.ips = {{"10.1.0.5", 24, "", std::nullopt},
                  {"10.1.0.6", 24, "", std::nullopt},
                  {"fd00::5", 64, "", std::nullopt}};
    EXPECT_EQ(*pod_addresses(result, "eth0", IpFamily::v4),
              (std::vector<std::string>{"10.1.0.5", "fd00::5"}));
    EXPECT_EQ(*pod_addresses(result, "eth0", IpFamily::v6),
              (std::vector<std::string>{"fd00::5", "10.1.0.5"}));
    result.ips.clear();
    EXPECT_EQ(pod_addresses(result, "eth0", IpFamily::v4).error().code, Code::corrupt);
}

TEST(CniPod, AContainerIdNamesInstanceAndPod) {
    const CniKey key = cni_key_of("0a1b2c3d", PodUid("uid-web"));
    EXPECT_EQ(pod_of("0a1b2c3d", key), PodUid("uid-web"));
    EXPECT_FALSE(pod_of("ffffffff", key)) << "another instance's";
    EXPECT_FALSE(pod_of("0a1b2c3d", CniKey{"0a1b2c3d-", "eth0"}));
}

}  // namespace
}  // namespace skiff::network
