#include "network/cni_config.h"

#include "network/cni_testing.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;

// In a CNI folder `name` stands for a network of one plugin.
std::string list_named(const std::string& name, const std::string& type = "bridge") {
    return fmt::format(R"({{"cniVersion":"1.0.0","name":"{}","plugins":[{{"type":"{}"}}]}})", name,
                       type);
}

std::string with_plugins(const std::string& plugins) {
    return R"({"cniVersion":"1.0.0","name":"n","plugins":)" + plugins + "}";
}

TEST(CniConfig, ReadsAList) {
    const auto config = parse_cni_config(
        R"({"cniVersion": "1.1.0", "name": "db.net_1-a", "disableCheck": "TRUE", "disableGC": true,
            "unknown": [1], "plugins": [
              {"type": "bridge", "bridge": "cni0", "capabilities": {"mac": true, "dns": false}},
              {"capabilities": {"portMappings": "true"}, "type": "portmap"}]})",
        CniFormat::list);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->name, "db.net_1-a");
    EXPECT_EQ(config->version, CniVersion::v1_1_0);
    EXPECT_TRUE(config->disable_check);
    EXPECT_TRUE(config->disable_gc);
    EXPECT_FALSE(config->load_only_inlined_plugins);
    ASSERT_EQ(config->plugins.size(), 2U);
    EXPECT_EQ(config->plugins[0].type, "bridge");
    EXPECT_EQ(config->plugins[0].capabilities, std::vector<std::string>{"mac"});
    EXPECT_EQ(config->plugins[1].type, "portmap");
    EXPECT_EQ(config->plugins[1].capabilities, std::vector<std::string>{"portMappings"});
    const auto again = parse_cni_config(format_cni_config(*config), CniFormat::list);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *config);
}

TEST(CniConfig, ASinglePluginIsAListOfOne) {
    const std::string text = R"({"cniVersion":"0.3.1","name":"n","type":"ptp","mtu":1400})";
    const auto config = parse_cni_config(text, CniFormat::single);
    ASSERT_TRUE(config) << config.error().message;
    ASSERT_EQ(config->plugins.size(), 1U);
    EXPECT_EQ(config->plugins[0].type, "ptp");
    EXPECT_EQ(format_raw(config->plugins[0].members), text);
}

// A number that is read and written again is another text: Go takes no 1E0 for a whole number.
TEST(CniConfig, KeepsPluginsAsTheyAreWritten) {
    const std::string plugin =
        R"({"type":"x","z":1.0,"a":1e3,"big":123456789012345678901234567890,)"
        R"("s":"\u0041\/}]\"","t":[ 1 , {"b":null} ],"a":[],"":-0.0})";
    const auto config = parse_cni_config(with_plugins("[ " + plugin + " ]"), CniFormat::list);
    ASSERT_TRUE(config) << config.error().message;
    ASSERT_EQ(config->plugins.size(), 1U);
    EXPECT_EQ(format_raw(config->plugins[0].members), plugin);
}

TEST(CniConfig, ChoosesTheHighestVersionThatSkiffSpeaks) {
    struct Case {
        const char* fields;
        CniVersion chosen;
        std::size_t offered;
    };
    for (const Case& c : {
             Case{R"("cniVersion":"0.3.0")", CniVersion::v0_3_0, 1},
             Case{R"("cniVersion":"0.3.1")", CniVersion::v0_3_1, 1},
             Case{R"("cniVersion":"0.4.0")", CniVersion::v0_4_0, 1},
             Case{R"("cniVersion":"1.1.0")", CniVersion::v1_1_0, 1},
             Case{R"("cniVersions":["0.4.0","0.3.1"])", CniVersion::v0_4_0, 2},
             Case{R"("cniVersion":"1.0.0","cniVersions":["0.4.0"])", CniVersion::v1_0_0, 2},
             Case{R"("cniVersion":"0.4.0","cniVersions":["1.1.0","9.0.0"])", CniVersion::v1_1_0, 2},
             Case{R"("cniVersion":"1.0.0","cniVersions":["1.0.0"])", CniVersion::v1_0_0, 1},
         }) {
        const auto config = parse_cni_config(
            fmt::format(R"({{{},"name":"n","plugins":[{{"type":"x"}}]}})", c.fields),
            CniFormat::list);
        ASSERT_TRUE(config) << c.fields << config.error().message;
        EXPECT_EQ(config->version, c.chosen) << c.fields;
        EXPECT_EQ(config->versions.size(), c.offered) << c.fields;
    }
}

TEST(CniConfig, NamesTheFieldThatIsWrong) {
    struct Case {
        std::string text;
        std::string told;
        Code code = Code::invalid;
    };
    const std::vector<Case> cases = {
        {"", "not JSON"},
        {"{} {}", "not JSON"},
        {"[1]", "expected a map, found a list"},
        {R"({"cniVersion":"1.0.0"})", "name: missing"},
        {R"({"cniVersion":"1.0.0","name":7})", "name: expected a string, found 7"},
        {R"({"cniVersion":"1.0.0","name":"../x"})", "name: \"../x\" is no name: allowed are"},
        {R"({"cniVersion":"1.0.0","name":".x"})", "name: \".x\" is no name"},
        {R"({"name":"n"})", "cniVersion: missing; allowed are 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"},
        {R"({"cniVersion":"0.2.0","name":"n"})",
         "cniVersion: \"0.2.0\" is not among those that Skiff speaks: 0.3.0", Code::unsupported},
        {R"({"cniVersions":["1.2.0"],"name":"n"})", "cniVersions: \"1.2.0\" is not among",
         Code::unsupported},
        {R"({"cniVersions":["1.0.0",{}],"name":"n"})",
         "cniVersions[1]: expected a string, found a map"},
        {R"({"cniVersion":"1.0.0","name":"n","disableCheck":"yes"})",
         "disableCheck: expected true or false, found the string \"yes\""},
        {R"({"cniVersion":"1.0.0","name":"n","loadOnlyInlinedPlugins":true})",
         "loadOnlyInlinedPlugins: true, but there are no plugins"},
        {with_plugins("{}"), "plugins: expected a list, found a map"},
        {with_plugins("[]"), "plugins: an empty list"},
        {with_plugins(R"([{"type":"a"},5])"), "plugins[1]: expected a map, found 5"},
        {with_plugins(R"([{"type":"a"},{}])"), "plugins[1].type: missing"},
        {with_plugins(R"([{"type":["a"]}])"), "plugins[0].type: expected a string, found a list"},
        {with_plugins(R"([{"type":"../../bin/sh"}])"),
         "plugins[0].type: \"../../bin/sh\" is no file name"},
        {with_plugins(R"([{"type":".."}])"), "plugins[0].type: \"..\" is no file name"},
        {with_plugins(R"([{"type":"a\\b"}])"), "is no file name"},
        {with_plugins(R"([{"type":"a\u0000b"}])"), "is no file name"},
        {with_plugins(R"([{"type":"a","capabilities":["dns"]}])"),
         "plugins[0].capabilities: expected a map, found a list"},
        {with_plugins(R"([{"type":"a","capabilities":{"dns":1}}])"),
         "plugins[0].capabilities.dns: expected true or false, found 1"},
    };
    for (const Case& c : cases) {
        const auto config = parse_cni_config(c.text, CniFormat::list);
        ASSERT_FALSE(config) << c.text;
        EXPECT_EQ(config.error().code, c.code) << c.text;
        EXPECT_NE(config.error().message.find(c.told), std::string::npos)
            << c.text << " gave: " << config.error().message;
    }
    const auto list = parse_cni_config(list_named("n"), CniFormat::single);
    ASSERT_FALSE(list);
    EXPECT_EQ(list.error().message,
              "type: missing: a list of plugins belongs into a file .conflist");
}

TEST(CniConfig, HasLimits) {
    const auto plugins = [](std::size_t count) {
        std::string text = "[";
        for (std::size_t i = 0; i < count; ++i) {
            text += fmt::format("{}{{\"type\":\"p{}\"}}", i == 0 ? "" : ",", i);
        }
        return with_plugins(text + "]");
    };
    EXPECT_TRUE(parse_cni_config(plugins(kCniPluginsMax), CniFormat::list));
    const auto many = parse_cni_config(plugins(kCniPluginsMax + 1), CniFormat::list);
    ASSERT_FALSE(many);
    EXPECT_EQ(many.error().message, "plugins: 33 elements, at most 32 are allowed");

    const auto nested = [](std::size_t depth) {
        return with_plugins(R"([{"type":"a","x":)" + std::string(depth, '[') +
                            std::string(depth, ']') + "}]");
    };
    EXPECT_TRUE(parse_cni_config(nested(kCniDepthMax - 4), CniFormat::list));
    EXPECT_FALSE(parse_cni_config(nested(kCniDepthMax), CniFormat::list));

    std::string capabilities;
    for (std::size_t i = 0; i <= kCniCapabilitiesMax; ++i) {
        capabilities += fmt::format("{}\"c{}\":true", i == 0 ? "" : ",", i);
    }
    EXPECT_FALSE(parse_cni_config(
        with_plugins(R"([{"type":"a","capabilities":{)" + capabilities + "}}]"), CniFormat::list));

    EXPECT_TRUE(is_cni_name(std::string(kCniNameBytesMax, 'a')));
    EXPECT_FALSE(is_cni_name(std::string(kCniNameBytesMax + 1, 'a')));
}

using CniFolder = CniTest;

TEST_F(CniFolder, WithoutANetworkIsNoFailure) {
    auto config = load_cni_config(root_ / "missing");
    ASSERT_TRUE(config);
    EXPECT_FALSE(*config);
    write("net.d/README", "nothing");
    write("net.d/10-x.conflist.bak", "nothing");
    write("net.d/.conf.swp", "nothing");
    config = load_cni_config(settings_.config_folder);
    ASSERT_TRUE(config);
    EXPECT_FALSE(*config);
}

TEST_F(CniFolder, GivesTheFirstFileByName) {
    struct Step {
        const char* file;
        std::string text;
        const char* chosen;
    };
    // Each file comes before those that are there.
    for (const Step& step : {
             Step{"net.d/30-c.json", R"({"cniVersion":"0.4.0","name":"json","type":"a"})", "json"},
             Step{"net.d/20-b.conflist", list_named("list"), "list"},
             Step{"net.d/10-a.conf", R"({"cniVersion":"0.4.0","name":"conf","type":"a"})", "conf"},
             Step{"net.d/00-folder.conf/x", "", "conf"},
         }) {
        write(step.file, step.text);
        const auto config = load_cni_config(settings_.config_folder);
        ASSERT_TRUE(config && *config) << step.file;
        EXPECT_EQ((*config)->name, step.chosen);
    }
    write("elsewhere", list_named("linked"));
    fs::create_symlink(root_ / "elsewhere", root_ / "net.d/05-link.conflist");
    const auto config = load_cni_config(settings_.config_folder);
    ASSERT_TRUE(config && *config);
    EXPECT_EQ((*config)->name, "linked");
}

TEST_F(CniFolder, AWrongFirstFileIsNamedAndNotPassedOver) {
    write("net.d/20-good.conflist", list_named("good"));
    write("net.d/10-bad.conflist", R"({"cniVersion":"1.0.0","name":"n","plugins":[{}]})");
    const auto bad = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, Code::invalid);
    EXPECT_NE(bad.error().message.find("net.d/10-bad.conflist: plugins[0].type: missing"),
              std::string::npos)
        << bad.error().message;
    fs::create_symlink(root_ / "nowhere", root_ / "net.d/05-link.conf");
    const auto dangling = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(dangling);
    EXPECT_EQ(dangling.error().code, Code::not_found);
    EXPECT_NE(dangling.error().message.find("05-link.conf"), std::string::npos);
    ASSERT_EQ(::mkfifo((root_ / "net.d/00-fifo.conf").c_str(), 0600), 0);
    const auto fifo = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(fifo);
    EXPECT_EQ(fifo.error().code, Code::invalid);
}

TEST_F(CniFolder, AddsThePluginsOfTheNetworksOwnFolder) {
    write("net.d/10-n.conflist", R"({"cniVersion":"1.1.0","name":"n"})");
    const auto none = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(none);
    EXPECT_NE(none.error().message.find("plugins: missing, and none in"), std::string::npos);

    write("net.d/n/20-b.conf", R"({"type":"b","x":1.0})");
    write("net.d/n/10-a.conf", R"({"type":"a"})");
    write("net.d/n/30-c.conflist", "not read");
    const auto types = [this] {
        std::string text;
        const auto config = load_cni_config(settings_.config_folder);
        EXPECT_TRUE(config && *config) << (config ? "" : config.error().message);
        for (const CniPlugin& plugin : (*config)->plugins) {
            text += plugin.type;
        }
        return text;
    };
    EXPECT_EQ(types(), "ab");
    write("net.d/10-n.conflist", list_named("n", "m"));
    EXPECT_EQ(types(), "mab");
    write("net.d/10-n.conflist",
          R"({"cniVersion":"1.1.0","name":"n","loadOnlyInlinedPlugins":true,)"
          R"("plugins":[{"type":"m"}]})");
    EXPECT_EQ(types(), "m");

    write("net.d/10-n.conflist", list_named("n", "m"));
    write("net.d/n/20-b.conf", R"({"type":"/bin/sh"})");
    const auto bad = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message.find("n/20-b.conf: type: \"/bin/sh\" is no file name"),
              std::string::npos)
        << bad.error().message;
}

TEST_F(CniFolder, IsBounded) {
    const auto filler = [](std::uint64_t bytes) {
        return R"({"type":"a","x":")" + std::string(bytes, 'x') + "\"}";
    };
    write("net.d/10-n.conflist", filler(kCniConfigBytesMax.value));
    auto large = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, Code::exhausted);

    write("net.d/10-n.conflist", list_named("n"));
    write("net.d/n/1.conf", filler(kCniConfigBytesMax.value * 2 / 3));
    EXPECT_TRUE(load_cni_config(settings_.config_folder));
    write("net.d/n/2.conf", filler(kCniConfigBytesMax.value * 2 / 3));
    large = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, Code::exhausted);

    for (std::size_t i = 1; i <= kCniPluginsMax; ++i) {
        write(fmt::format("net.d/n/{}.conf", i), R"({"type":"a"})");
    }
    const auto many = load_cni_config(settings_.config_folder);
    ASSERT_FALSE(many);
    EXPECT_EQ(many.error().code, Code::exhausted);

    // As deep as a file of one plugin may be, but in a list it stands two levels deeper.
    const std::string deep =
        std::string(kCniDepthMax - 2, '[') + std::string(kCniDepthMax - 2, ']');
    fs::remove_all(root_ / "net.d/n");
    write("net.d/00-deep.conf", R"({"cniVersion":"1.0.0","name":"n","type":"a","x":)" + deep + "}");
    EXPECT_TRUE(parse_cni_config(read("net.d/00-deep.conf"), CniFormat::single));
    EXPECT_FALSE(load_cni_config(settings_.config_folder));
}

}  // namespace
}  // namespace skiff::network
