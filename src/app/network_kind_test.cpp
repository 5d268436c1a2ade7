#include "app/network_kind.h"

#include <gtest/gtest.h>

namespace skiff::app {
namespace {

TEST(NetworkKind, WhatTheSettingsNameIsTaken) {
    NetworkKindFacts facts;
    facts.has_cni_config = facts.has_routed_pods = true;
    EXPECT_EQ(choose_network("cni", {}).kind, NetworkKind::cni);
    EXPECT_EQ(choose_network("node", facts).kind, NetworkKind::node);
    facts.has_cni_pods = true;
    facts.has_routed_pods = false;
    EXPECT_EQ(choose_network("routed", facts).kind, NetworkKind::routed);
}

TEST(NetworkKind, AutoFollowsTheConfigurationUnlessPodsLive) {
    NetworkKindFacts facts;
    EXPECT_EQ(choose_network("auto", facts).kind, NetworkKind::routed);
    facts.has_cni_config = true;
    EXPECT_EQ(choose_network("auto", facts).kind, NetworkKind::cni);
    facts.has_routed_pods = true;
    EXPECT_EQ(choose_network("auto", facts).kind, NetworkKind::routed);
    facts.has_cni_pods = true;  // both kinds: the configuration decides
    EXPECT_EQ(choose_network("auto", facts).kind, NetworkKind::cni);
    facts.has_routed_pods = facts.has_cni_config = false;
    EXPECT_EQ(choose_network("auto", facts).kind, NetworkKind::cni);
}

}  // namespace
}  // namespace skiff::app
