// For tests of the CNI client: folders of the test's own, and plugins that are shell scripts.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "network/cni.h"

namespace skiff::network {

class CniTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = std::filesystem::temp_directory_path() / "skiff-cni-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
        settings_.config_folder = root_ / "net.d";
        settings_.plugin_folders = {root_ / "bin"};
        settings_.cache_folder = root_ / "cache";
        std::filesystem::create_directories(settings_.config_folder);
        std::filesystem::create_directories(root_ / "bin");
        attachment_.key = {"0123abc", "eth0"};
        attachment_.network_namespace = "/proc/self/ns/net";
        attachment_.pod = {"shop", "web"};
        attachment_.pod_uid = PodUid("uid-web");
    }
    void TearDown() override { EXPECT_TRUE(os::remove_tree(root_)); }

    // No test waits that long, also on a machine that does other things first; what would hang
    // fails instead.
    static SteadyTime soon() { return after(std::chrono::minutes(5)); }

    void write(const std::filesystem::path& file, const std::string& text) const {
        std::filesystem::create_directories((root_ / file).parent_path());
        std::ofstream(root_ / file, std::ios::binary) << text;
    }
    [[nodiscard]] std::string read(const std::filesystem::path& file) const {
        std::ifstream in(root_ / file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    }
    // A plugin that writes down how it was called, then does what `body` says.
    void write_plugin(const std::string& type, const std::string& body) const {
        const std::filesystem::path file = std::filesystem::path("bin") / type;
        // Builtins only: with a cat and an env each call would cost five programs.
        write(file, fmt::format("#!/bin/bash\n"
                                "here={}\nname={}\n"
                                "echo \"$name $CNI_COMMAND\" >> $here/calls\n"
                                "IFS= read -r -d '' input\n"
                                "printf %s \"$input\" > $here/$name.$CNI_COMMAND.json\n"
                                "for v in \"${{!CNI_@}}\"; do echo \"$v=${{!v}}\"; done "
                                "> $here/$name.$CNI_COMMAND.env\n"
                                "{}\n",
                                root_.string(), type, body));
        ASSERT_EQ(::chmod((root_ / file).c_str(), 0755), 0);
    }
    // The calls since the last time, in order: "a ADD\nb ADD\n".
    [[nodiscard]] std::string take_calls() const {
        std::string calls = read("calls");
        std::filesystem::remove(root_ / "calls");
        return calls;
    }
    [[nodiscard]] CniNetwork load() const {
        auto network = CniNetwork::load(settings_, soon());
        EXPECT_TRUE(network && *network) << (network ? "no network" : network.error().message);
        return **network;
    }
    [[nodiscard]] std::vector<CniKey> attachments() const {
        auto keys = list_cni_attachments(settings_);
        EXPECT_TRUE(keys);
        return keys ? *keys : std::vector<CniKey>();
    }

    std::filesystem::path root_;
    CniSettings settings_;
    CniAttachment attachment_;
};

}  // namespace skiff::network
