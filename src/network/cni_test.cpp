#include "network/cni.h"

#include <fcntl.h>
#include <signal.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <thread>

#include "base/text.h"
#include "network/cni_plugin.h"
#include "network/cni_testing.h"
#include "os/process.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string result_with(const std::string& address) {
    return fmt::format(R"({{"cniVersion":"1.0.0","interfaces":[{{"name":"eth0","sandbox":"/n"}}],)"
                       R"("ips":[{{"address":"{}/24","interface":0}}]}})",
                       address);
}

std::string printing(const std::string& text) {
    return fmt::format("echo '{}'", text);
}

// What a plugin that only answers ADD does.
std::string answering(const std::string& text) {
    return fmt::format("[ $CNI_COMMAND != ADD ] || echo '{}'", text);
}

class CniNetworkTest : public CniTest {
protected:
    void write_list(const std::string& version, const std::string& plugins,
                    const std::string& more = "") const {
        write("net.d/10-net.conflist",
              fmt::format(R"({{"cniVersion":"{}","name":"net",{}"plugins":[{}]}})", version, more,
                          plugins));
    }
    // Two plugins, a and b; b declares port mappings.
    void write_two(const std::string& version = "1.0.0", const std::string& more = "") const {
        write_list(version, R"({"type":"a"},{"type":"b","capabilities":{"portMappings":true}})",
                   more);
    }
    [[nodiscard]] json::object request(const std::string& name) const {
        boost::system::error_code error;
        auto value = json::parse(read(name + ".json"), error);
        EXPECT_FALSE(error) << name;
        return value.is_object() ? value.get_object() : json::object();
    }
    // The ids that a plugin wrote into a file; the newline says that they are whole.
    [[nodiscard]] std::vector<pid_t> pids() const {
        std::vector<pid_t> ids;
        const std::string text = read("pids");
        for (std::string_view line : split(text.substr(0, text.rfind('\n') + 1), '\n')) {
            if (const auto id = parse_uint(line)) {
                ids.push_back(static_cast<pid_t>(*id));
            }
        }
        return ids;
    }
};

std::string message_of(const Result<void>& result) {
    return result ? "" : result.error().message;
}

TEST_F(CniNetworkTest, IsMissingUntilThereIsAConfiguration) {
    auto network = CniNetwork::load(settings_, soon());
    ASSERT_TRUE(network);
    EXPECT_FALSE(*network);
    write_two();
    EXPECT_EQ(load().config().name, "net");
}

TEST_F(CniNetworkTest, AttachesInOrderAndDetachesInReverseWithTheResult) {
    write_two();
    write_plugin("a", answering(result_with("10.0.0.1")));
    write_plugin("b", answering(result_with("10.0.0.2")));
    attachment_.port_mappings = {{8080, 80, "tcp", ""}};
    const CniNetwork network = load();
    const auto result = network.add(attachment_, soon());
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->addresses_of("eth0"), std::vector<std::string>{"10.0.0.2"});
    EXPECT_EQ(take_calls(), "a ADD\nb ADD\n");
    EXPECT_FALSE(request("a.ADD").contains("prevResult"));
    EXPECT_FALSE(request("a.ADD").contains("runtimeConfig"));
    EXPECT_EQ(request("b.ADD")["prevResult"], json::parse(result_with("10.0.0.1")));
    EXPECT_TRUE(request("b.ADD").contains("runtimeConfig"));
    EXPECT_EQ(request("b.ADD")["name"], "net");
    EXPECT_EQ(read("a.ADD.env"),
              "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;"
              "K8S_POD_INFRA_CONTAINER_ID=0123abc;K8S_POD_UID=uid-web\n"
              "CNI_COMMAND=ADD\nCNI_CONTAINERID=0123abc\nCNI_IFNAME=eth0\n"
              "CNI_NETNS=/proc/self/ns/net\nCNI_PATH=" +
                  (root_ / "bin").string() + "\n");
    EXPECT_EQ(attachments(), std::vector{attachment_.key});
    const auto found = network.find_result(attachment_.key);
    ASSERT_TRUE(found && *found);
    EXPECT_EQ(**found, *result);

    EXPECT_EQ(message_of(network.check(attachment_, soon())), "");
    EXPECT_EQ(take_calls(), "a CHECK\nb CHECK\n");
    EXPECT_EQ(request("a.CHECK")["prevResult"], json::parse(result_with("10.0.0.2")));

    // By another agent after a restart, that knows only which pod goes, and with another network.
    write_list("1.0.0", R"({"type":"c"})");
    attachment_.port_mappings.clear();
    EXPECT_EQ(message_of(load().remove(attachment_, soon())), "");
    EXPECT_EQ(take_calls(), "b DEL\na DEL\n");
    EXPECT_EQ(request("a.DEL")["prevResult"], json::parse(result_with("10.0.0.2")));
    EXPECT_EQ(request("b.DEL")["runtimeConfig"], request("b.ADD")["runtimeConfig"]);
    EXPECT_EQ(attachments(), std::vector<CniKey>());
}

TEST_F(CniNetworkTest, AttachesOnceOnly) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", answering(result_with("10.0.0.1")));
    const CniNetwork network = load();
    ASSERT_TRUE(network.add(attachment_, soon()));
    (void)take_calls();
    const auto again = network.add(attachment_, soon());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::exists);
    EXPECT_EQ(take_calls(), "");
    // Another interface is another attachment.
    CniAttachment second = attachment_;
    second.key.interface = "net1";
    EXPECT_TRUE(network.add(second, soon()));
    EXPECT_EQ(attachments().size(), 2U);
}

TEST_F(CniNetworkTest, AFailedAttachmentIsUndoneInTheWholeChain) {
    write_two();
    write_plugin("a", answering(result_with("10.0.0.1")));
    write_plugin("b",
                 "[ $CNI_COMMAND != ADD ] || { echo '{\"code\":11,\"msg\":\"full\"}'; exit 1; }");
    const CniNetwork network = load();
    const auto result = network.add(attachment_, soon());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::unavailable);
    EXPECT_EQ(result.error().message,
              "CNI plugin b, network net, ADD: full (CNI error code 11, try again later)");
    EXPECT_EQ(take_calls(), "a ADD\nb ADD\nb DEL\na DEL\n");
    EXPECT_FALSE(request("a.DEL").contains("prevResult"));
    EXPECT_EQ(attachments(), std::vector<CniKey>());
}

TEST_F(CniNetworkTest, WhatCannotBeUndoneIsKeptForLater) {
    write_two();
    write_plugin("a", answering(result_with("10.0.0.1")));
    write_plugin("b", "exit 3");
    const CniNetwork network = load();
    ASSERT_FALSE(network.add(attachment_, soon()));
    EXPECT_EQ(take_calls(), "a ADD\nb ADD\nb DEL\n");
    EXPECT_EQ(attachments(), std::vector{attachment_.key});
    const auto half = network.find_result(attachment_.key);
    ASSERT_TRUE(half);
    EXPECT_FALSE(*half);
    EXPECT_FALSE(network.check(attachment_, soon()));
    EXPECT_FALSE(network.remove(attachment_, soon()));
    EXPECT_EQ(attachments(), std::vector{attachment_.key});

    // The next ADD begins with it.
    write_plugin("b", answering(result_with("10.0.0.2")));
    (void)take_calls();
    ASSERT_TRUE(network.add(attachment_, soon()));
    EXPECT_EQ(take_calls(), "b DEL\na DEL\na ADD\nb ADD\n");
}

TEST_F(CniNetworkTest, AnUnknownContainerIsDetached) {
    write_two();
    write_plugin("a", "echo '{\"code\":3,\"msg\":\"no such container\"}'; exit 1");
    write_plugin("b", "");
    EXPECT_EQ(message_of(load().remove(attachment_, soon())), "");
    EXPECT_EQ(take_calls(), "b DEL\na DEL\n");
}

TEST_F(CniNetworkTest, ANamespaceThatIsGoneIsNotNamed) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", answering(result_with("10.0.0.1")));
    const CniNetwork network = load();
    write("netns", "");
    attachment_.network_namespace = root_ / "netns";
    ASSERT_TRUE(network.add(attachment_, soon()));
    fs::remove(root_ / "netns");
    EXPECT_EQ(message_of(network.remove(attachment_, soon())), "");
    EXPECT_NE(read("a.DEL.env").find("\nCNI_NETNS=\n"), std::string::npos) << read("a.DEL.env");
    attachment_.network_namespace.clear();
    const auto nowhere = network.add(attachment_, soon());
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code, Code::invalid);
}

// Which commands a version knows, and which a configuration forbids.
TEST_F(CniNetworkTest, AsksWhatTheVersionAndTheConfigurationAllow) {
    struct Case {
        const char* version;
        const char* more;
        NetworkUse use;
        const char* calls;  // of check, status, collect_garbage
        bool previous;      // DEL is given the result
    };
    for (const Case& c : {
             Case{"0.3.1", "", NetworkUse::exclusive, "", false},
             Case{"0.4.0", "", NetworkUse::exclusive, "a CHECK\n", true},
             Case{"1.0.0", "", NetworkUse::exclusive, "a CHECK\n", true},
             Case{"1.1.0", "", NetworkUse::exclusive, "a CHECK\na STATUS\na GC\n", true},
             Case{"1.1.0", "", NetworkUse::shared, "a CHECK\na STATUS\n", true},
             Case{"1.1.0", R"("disableCheck":true,)", NetworkUse::exclusive, "a STATUS\na GC\n",
                  true},
             Case{"1.1.0", R"("disableGC":"true",)", NetworkUse::exclusive, "a CHECK\na STATUS\n",
                  true},
         }) {
        write_list(c.version, R"({"type":"a"})", c.more);
        write_plugin("a", answering("{}"));
        const CniNetwork network = load();
        ASSERT_TRUE(network.add(attachment_, soon())) << c.version;
        (void)take_calls();
        EXPECT_EQ(message_of(network.check(attachment_, soon())), "");
        EXPECT_EQ(message_of(network.status(soon())), "");
        EXPECT_EQ(message_of(network.collect_garbage({attachment_.key}, c.use, soon())), "");
        EXPECT_EQ(take_calls(), c.calls) << c.version << c.more;
        EXPECT_EQ(message_of(network.remove(attachment_, soon())), "");
        EXPECT_EQ(request("a.DEL").contains("prevResult"), c.previous) << c.version;
    }
}

TEST_F(CniNetworkTest, CollectsWhatIsRecordedAndNotValid) {
    write_two("1.1.0");
    write_plugin("a", answering("{}"));
    write_plugin("b", answering("{}"));
    const CniNetwork network = load();
    CniAttachment stale = attachment_;
    stale.key.container_id = "stale";
    CniAttachment torn = attachment_;
    torn.key.container_id = "torn";
    for (const CniAttachment& one : {attachment_, stale, torn}) {
        ASSERT_TRUE(network.add(one, soon()));
    }
    write("cache/torn@eth0", "not a record");
    write("cache/noise", "");
    (void)take_calls();
    EXPECT_EQ(message_of(network.collect_garbage({attachment_.key}, NetworkUse::exclusive, soon())),
              "");
    EXPECT_EQ(take_calls(), "b DEL\na DEL\nb DEL\na DEL\na GC\nb GC\n");
    EXPECT_EQ(attachments(), std::vector{attachment_.key});
    const json::value valid = json::parse(R"([{"containerID":"0123abc","ifname":"eth0"}])");
    EXPECT_EQ(request("b.GC")["cni.dev/valid-attachments"], valid);
    EXPECT_EQ(read("b.GC.env"), "CNI_COMMAND=GC\nCNI_PATH=" + (root_ / "bin").string() + "\n");
}

TEST_F(CniNetworkTest, CollectingGoesOnAfterAFailure) {
    write_two("1.1.0");
    write_plugin("a", "echo '{\"code\":100,\"msg\":\"first\"}'; exit 1");
    write_plugin("b", "echo '{\"code\":7,\"msg\":\"second\"}'; exit 1");
    const auto result = load().collect_garbage({}, NetworkUse::exclusive, soon());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::unavailable);
    EXPECT_EQ(result.error().message,
              "CNI plugin a, network net, GC: first (CNI error code 100); "
              "CNI plugin b, network net, GC: second (CNI error code 7)");
}

TEST_F(CniNetworkTest, PluginsOlderThanGcAndStatusAreNoFailure) {
    write_list("1.1.0", R"({"type":"old"})");
    // As those of Debian 12 answer what they do not know.
    write_plugin(
        "old",
        "[ $CNI_COMMAND != VERSION ] || { echo '{\"supportedVersions\":[\"1.0.0\"]}'; exit; }\n"
        "echo '{\"code\":3,\"msg\":\"missing containerID\"}'; exit 1");
    const CniNetwork network = load();
    EXPECT_EQ(message_of(network.status(soon())), "");
    EXPECT_EQ(message_of(network.collect_garbage({}, NetworkUse::exclusive, soon())), "");
    EXPECT_EQ(take_calls(), "old STATUS\nold VERSION\nold GC\nold VERSION\n");
}

TEST_F(CniNetworkTest, StatusSaysWhyPodsCannotBeAttached) {
    write_list("1.1.0", R"({"type":"a"})");
    const CniNetwork network = load();
    const auto missing = network.status(soon());
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::not_found);
    EXPECT_EQ(missing.error().message,
              "CNI plugin a, network net, STATUS: there is no such program in " +
                  (root_ / "bin").string());
    for (int code : {50, 51}) {
        write_plugin("a", fmt::format("[ $CNI_COMMAND != VERSION ] || {{ echo "
                                      "'{{\"supportedVersions\":[\"1.1.0\"]}}'; exit; }}\n"
                                      "echo '{{\"code\":{},\"msg\":\"no daemon\"}}'; exit 1",
                                      code));
        const auto status = network.status(soon());
        ASSERT_FALSE(status);
        EXPECT_EQ(status.error().code, Code::unavailable);
        EXPECT_EQ(
            status.error().message,
            fmt::format("CNI plugin a, network net, STATUS: no daemon (CNI error code {})", code));
    }
    // A missing program is seen in every version.
    write_list("0.3.1", R"({"type":"a"},{"type":"gone"})");
    EXPECT_FALSE(load().status(soon()));
}

TEST_F(CniNetworkTest, SpeaksTheHighestVersionThatAllPluginsKnow) {
    const auto speaking = [](const std::string& versions) {
        return fmt::format("[ $CNI_COMMAND != VERSION ] || echo '{{\"supportedVersions\":[{}]}}'",
                           versions);
    };
    struct Case {
        std::string a, b;
        CniVersion chosen;
    };
    for (const Case& c : {
             Case{speaking(R"("0.4.0","1.0.0","1.1.0")"), speaking(R"("1.1.0","1.0.0")"),
                  CniVersion::v1_1_0},
             Case{speaking(R"("0.4.0","1.0.0","1.1.0")"), speaking(R"("0.4.0","1.0.0")"),
                  CniVersion::v1_0_0},
             // Without anything in common, or without an answer, it is the file's highest.
             Case{speaking(R"("0.4.0")"), speaking(R"("0.3.1")"), CniVersion::v1_1_0},
             Case{"exit 1", "echo nonsense", CniVersion::v1_1_0},
         }) {
        write_plugin("a", c.a);
        write_plugin("b", c.b);
        write_two("1.0.0", R"("cniVersions":["0.4.0","1.1.0"],)");
        EXPECT_EQ(load().config().version, c.chosen) << c.a << c.b;
        EXPECT_EQ(take_calls(), "a VERSION\nb VERSION\n");
        EXPECT_EQ(read("a.VERSION.json"), R"({"cniVersion":"1.1.0"})");
    }
    // One version leaves nothing to ask.
    write_two("1.0.0");
    EXPECT_EQ(load().config().version, CniVersion::v1_0_0);
    EXPECT_EQ(take_calls(), "");
}

TEST_F(CniNetworkTest, ProgramsAreSearchedInOrder) {
    write_list("1.0.0", R"({"type":"a"})");
    settings_.plugin_folders = {root_ / "none", root_ / "first", root_ / "bin"};
    write_plugin("a", answering(result_with("10.0.0.2")));
    const auto address = [this] {
        const auto result = load().add(attachment_, soon());
        EXPECT_TRUE(result) << (result ? "" : result.error().message);
        EXPECT_TRUE(load().remove(attachment_, soon()));
        return result ? result->ips.at(0).ip : "";
    };
    write("first/a", "#!/bin/bash\n" + answering(result_with("10.0.0.1")) + "\n");
    EXPECT_EQ(address(), "10.0.0.2");  // cannot be executed, so it is passed over
    ASSERT_EQ(::chmod((root_ / "first/a").c_str(), 0755), 0);
    EXPECT_EQ(address(), "10.0.0.1");
    EXPECT_NE(read("a.ADD.env").find("CNI_PATH=" + (root_ / "none").string() + ":"),
              std::string::npos);
}

TEST_F(CniNetworkTest, AttachmentsCanBeRemovedWithoutANetwork) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", answering("{}"));
    ASSERT_TRUE(load().add(attachment_, soon()));
    (void)take_calls();
    EXPECT_EQ(message_of(remove_cni_attachment(settings_, attachment_.key, soon())), "");
    EXPECT_EQ(message_of(remove_cni_attachment(settings_, attachment_.key, soon())), "");
    EXPECT_EQ(take_calls(), "a DEL\n");
    EXPECT_EQ(attachments(), std::vector<CniKey>());
    EXPECT_FALSE(remove_cni_attachment(settings_, {"../x", "eth0"}, soon()));
}

TEST_F(CniNetworkTest, AHostilePluginIsOneClearFailure) {
    struct Case {
        const char* what;
        std::string body;
        Code code;
        std::string told;
    };
    const std::string megabyte = "head -c 1000000 /dev/zero | tr '\\0' x";
    const std::vector<Case> cases = {
        {"nonsense", printing("hello"), Code::corrupt, "its result: not JSON"},
        {"nothing", "", Code::corrupt, "its result: not JSON"},
        {"more than a result", printing("{} {}"), Code::corrupt, "its result: not JSON"},
        {"a wrong version", printing(R"({"cniVersion":"0.4.0"})"), Code::corrupt,
         "its result: cniVersion: \"0.4.0\", but the plugin was asked for 1.0.0"},
        {"a wrong address", printing(R"({"ips":[{"address":"nowhere"}]})"), Code::corrupt,
         "its result: ips[0].address: \"nowhere\" is no address with a prefix"},
        {"an error with exit code 0", printing(R"({"code":7,"msg":"bad","details":"subnet"})"),
         Code::invalid, "bad; subnet (CNI error code 7)"},
        {"an exit code without an error", "echo first >&2; echo 'the end' >&2; exit 2",
         Code::unavailable,
         "exit code 2 without an error of CNI; its standard error ends: first\nthe end"},
        {"an exit code and nonsense", "echo panic; exit 2", Code::unavailable,
         "exit code 2 without an error of CNI; it printed: panic"},
        {"an exit code and silence", "exit 1", Code::unavailable,
         "exit code 1 without an error of CNI; it said nothing"},
        {"an error without a code", "echo '{\"msg\":\"m\"}'; exit 1", Code::unavailable, "m"},
        {"a signal", "kill -SEGV $$", Code::unavailable,
         "it was ended by signal 11 (Segmentation fault); it said nothing"},
        {"endless output", "exec yes", Code::exhausted, "it wrote more than 256 KiB"},
        {"a large result", megabyte, Code::exhausted, "it wrote more than 256 KiB"},
    };
    write_list("1.0.0", R"({"type":"a"})");
    const CniNetwork network = load();
    for (const Case& c : cases) {
        write_plugin("a", "[ $CNI_COMMAND = ADD ] || exit 0\n" + c.body);
        const auto result = network.add(attachment_, soon());
        ASSERT_FALSE(result) << c.what;
        EXPECT_EQ(result.error().code, c.code) << c.what << ": " << result.error().message;
        EXPECT_EQ(result.error().message.find("CNI plugin a, network net, ADD: " + c.told), 0U)
            << c.what << ": " << result.error().message;
        EXPECT_EQ(attachments(), std::vector<CniKey>()) << c.what;
    }
}

TEST_F(CniNetworkTest, AProgramThatCannotRunIsNamed) {
    write_list("1.0.0", R"({"type":"a"})");
    const CniNetwork network = load();
    const std::string program = (root_ / "bin/a").string();
    const auto told = [&](Code code) {
        const auto result = network.add(attachment_, soon());
        EXPECT_FALSE(result);
        EXPECT_EQ(result.error().code, code) << result.error().message;
        return result.error().message;
    };
    EXPECT_EQ(
        told(Code::not_found),
        "CNI plugin a, network net, ADD: there is no such program in " + (root_ / "bin").string());
    write("bin/a", "#!/bin/bash\n");
    EXPECT_EQ(told(Code::denied),
              "CNI plugin a, network net, ADD: " + program + " cannot be executed");
    ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
    write("bin/a", "no program");
    EXPECT_NE(told(Code::unavailable).find("Exec format error"), std::string::npos);
    fs::remove(program);
    fs::create_directories(program);
    (void)told(Code::not_found);
}

TEST_F(CniNetworkTest, WithAProgramMissingNothingIsBegun) {
    write_list("1.0.0", R"({"type":"a"},{"type":"gone"})");
    write_plugin("a", answering("{}"));
    const auto result = load().add(attachment_, soon());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message.find("CNI plugin gone, network net, ADD: there is no"), 0U);
    EXPECT_EQ(take_calls(), "");
    EXPECT_EQ(attachments(), std::vector<CniKey>());
}

TEST_F(CniNetworkTest, StandardErrorIsReadToItsEndAndOnlyTheEndIsKept) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", "head -c 1000000 /dev/zero | tr '\\0' x >&2\n" + answering("{}"));
    const CniNetwork network = load();
    EXPECT_TRUE(network.add(attachment_, soon()));
    EXPECT_TRUE(network.remove(attachment_, soon()));
    write_plugin("a", "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1");
    const auto result = network.add(attachment_, soon());
    ASSERT_FALSE(result);
    EXPECT_LT(result.error().message.size(), 1000U);
    EXPECT_TRUE(result.error().message.ends_with("xend")) << result.error().message;
}

// A configuration larger than a pipe holds, for a plugin that does not read it.
TEST_F(CniNetworkTest, APluginNeedNotReadItsInput) {
    write_list("1.0.0", R"({"type":"a","x":")" + std::string(200'000, 'x') + "\"}");
    write("bin/a", "#!/bin/bash\n" + answering("{}") + "\n");
    ASSERT_EQ(::chmod((root_ / "bin/a").c_str(), 0755), 0);
    EXPECT_TRUE(load().add(attachment_, soon()));
}

TEST_F(CniNetworkTest, AHangingPluginIsKilledWithItsProcessGroup) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a",
                 "[ $CNI_COMMAND = ADD ] || exit 0\n"
                 "tail -f /dev/null & echo $! >> $here/pids; echo $$ >> $here/pids; wait");
    const CniNetwork network = load();
    // How long a script takes to begin is not known beforehand.
    for (auto wait = std::chrono::milliseconds(200); pids().size() < 2; wait *= 2) {
        ASSERT_LT(wait, std::chrono::minutes(5));
        write("pids", "");
        const auto result = network.add(attachment_, after(wait));
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Code::timeout) << result.error().message;
        EXPECT_EQ(result.error().message.find("CNI plugin a, network net, ADD: "), 0U);
    }
    for (pid_t pid : pids()) {
        auto process = os::open_pidfd(pid);
        EXPECT_TRUE(!process || os::wait_ended(process->get(), 60'000)) << pid;
    }
    EXPECT_EQ(attachments(), std::vector<CniKey>());
}

TEST_F(CniNetworkTest, AfterTheDeadlineNothingIsStarted) {
    write_two();
    write_plugin("a", answering("{}"));
    write_plugin("b", answering("{}"));
    const auto result = load().remove(attachment_, SystemClock().steady_now());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::timeout);
    EXPECT_EQ(result.error().message,
              "CNI plugin b, network net, DEL: no time was left to start it");
    EXPECT_EQ(take_calls(), "");
}

// Daemons that a plugin starts hold what it was given, and live on.
TEST_F(CniNetworkTest, AGrandchildThatHoldsThePipesIsNotWaitedFor) {
    write_list("1.0.0", R"({"type":"a"})");
    // Not tail, which ends when nobody reads its pipe any more.
    for (const char* start : {"sleep", "setsid sleep"}) {
        write("pids", "");
        write_plugin("a", fmt::format("[ $CNI_COMMAND = ADD ] || exit 0\n"
                                      "{} 600 & echo $! > $here/pids\n{}",
                                      start, printing("{}")));
        const CniNetwork network = load();
        const auto result = network.add(attachment_, soon());
        EXPECT_TRUE(result) << (result ? "" : result.error().message);
        ASSERT_EQ(pids().size(), 1U);
        auto daemon = os::open_pidfd(pids()[0]);
        ASSERT_TRUE(daemon);
        EXPECT_FALSE(os::has_ended(daemon->get())) << start;
        EXPECT_TRUE(os::send_signal(daemon->get(), SIGKILL));
        EXPECT_TRUE(network.remove(attachment_, soon()));
    }
}

TEST_F(CniNetworkTest, APluginSeesAPathTheProxiesAndNothingElseOfTheAgents) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", "env > $here/whole.env\n" + printing("{}"));
    ASSERT_EQ(::setenv("NOTIFY_SOCKET", "/run/notify", 1), 0);
    ASSERT_EQ(::setenv("CNI_IFNAME", "wrong", 1), 0);
    ASSERT_EQ(::setenv("SECRET_OF_THE_AGENT", "x", 1), 0);
    ASSERT_EQ(::setenv("HTTPS_PROXY", "http://proxy:1", 1), 0);
    const auto result = load().add(attachment_, soon());
    for (const char* name : {"NOTIFY_SOCKET", "CNI_IFNAME", "SECRET_OF_THE_AGENT", "HTTPS_PROXY"}) {
        ::unsetenv(name);
    }
    ASSERT_TRUE(result) << result.error().message;
    const std::string seen = "\n" + read("whole.env");
    EXPECT_NE(seen.find("\nPATH=/usr/local/sbin:"), std::string::npos);
    EXPECT_NE(seen.find("\nHTTPS_PROXY=http://proxy:1\n"), std::string::npos);
    EXPECT_EQ(seen.find("SECRET_OF_THE_AGENT"), std::string::npos);
    EXPECT_EQ(seen.find("NOTIFY_SOCKET"), std::string::npos);
    EXPECT_NE(seen.find("\nCNI_IFNAME=eth0\n"), std::string::npos);
}

TEST_F(CniNetworkTest, TheAgentsEndKillsThePluginAndLeavesTheRestToTheNextStart) {
    write_list("1.0.0", R"({"type":"a"})");
    write_plugin("a", "echo started > $here/started; sleep 600");
    auto end = os::make_eventfd();
    ASSERT_TRUE(end);
    settings_.end = std::make_shared<const os::Fd>(std::move(*end));
    const CniNetwork network = load();
    std::thread ender([&] {
        while (read("started").empty()) {
            std::this_thread::yield();
        }
        const std::uint64_t one = 1;
        EXPECT_EQ(::write(settings_.end->get(), &one, sizeof one), 8);
    });
    const auto result = network.add(attachment_, soon());
    ender.join();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::cancelled) << result.error().message;
    EXPECT_EQ(take_calls(), "a ADD\n") << "no DEL is begun";
    EXPECT_EQ(attachments().size(), 1U) << "the record says that something is to be undone";
}

TEST(CniRecord, IsReadAsItWasWritten) {
    CniRecord record;
    record.parameters = {{"id", "eth0"}, "/run/netns/x", "IgnoreUnknown=1", {{"mac", "\"m\""}}};
    record.config = *parse_cni_config(
        R"({"cniVersion":"1.0.0","name":"n","disableGC":true,"plugins":[{"type":"a","x":1.0}]})",
        CniFormat::list);
    for (const bool ended : {false, true}) {
        if (ended) {
            record.result = *parse_cni_result(result_with("10.0.0.1"), CniVersion::v1_0_0);
        }
        const auto again = parse_cni_record(format_cni_record(record));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, record);
    }
}

}  // namespace
}  // namespace skiff::network
