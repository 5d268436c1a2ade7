#include "pods/env_file.h"

#include <gtest/gtest.h>

namespace skiff::pods {
namespace {

std::string find(std::string_view text, std::string_view key) {
    auto found = find_in_env_file(text, key);
    return !found ? "!" + found.error().message : found->value_or("(none)");
}

// Contract row 68; the format is KEP-3721's.
TEST(EnvFile, ValuesStandInSingleQuotesAndAreTakenAsTheyAre) {
    constexpr std::string_view kText =
        "# a comment\n\nONE='first'\n  TWO='$ONE \\n \"x\"'  # why\n\nLAST='no newline'";
    EXPECT_EQ(find(kText, "ONE"), "first");
    EXPECT_EQ(find(kText, "TWO"), "$ONE \\n \"x\"");
    EXPECT_EQ(find(kText, "LAST"), "no newline");
    EXPECT_EQ(find(kText, "NONE"), "(none)");
    EXPECT_EQ(find("", "ONE"), "(none)");
}

TEST(EnvFile, AValueMayHaveSeveralLines) {
    constexpr std::string_view kText = "CERT='begin\n\n  middle=\nend'\nNEXT='x'\n";
    EXPECT_EQ(find(kText, "CERT"), "begin\n\n  middle=\nend");
    EXPECT_EQ(find(kText, "NEXT"), "x");
    EXPECT_EQ(find("A='1'\r\nB='2\r\n3'\r\n", "B"), "2\n3");
}

TEST(EnvFile, TheFirstOfANameCountsAndAnEmptyOneIsNone) {
    EXPECT_EQ(find("A='1'\nA='2'\n", "A"), "1");
    EXPECT_EQ(find("A=''\n", "A"), "(none)");
    EXPECT_EQ(find("A= 'x'\nB='2'\n", "A"), "(none)");
    EXPECT_EQ(find("A= 'x'\nB='2'\n", "B"), "2");
}

TEST(EnvFile, WhatIsWrongIsToldWithItsLine) {
    EXPECT_EQ(find("A='1'\nB\n", "C"), "!line 2: there is no '='");
    EXPECT_EQ(find("A='1'\nB\n", "A"), "1") << "what stands behind is not looked at";
    EXPECT_EQ(find("='1'", "C"), "!line 1: there is no name right before '='");
    EXPECT_EQ(find("A ='1'", "C"), "!line 1: there is no name right before '='");
    EXPECT_EQ(find("A=1", "A"), "!line 1: the value does not stand in single quotes");
    EXPECT_EQ(find("A=\"1\"", "A"), "!line 1: the value does not stand in single quotes");
    EXPECT_EQ(find("A=", "A"), "!line 1: the value does not stand in single quotes");
    EXPECT_EQ(find("A='1' 2", "A"), "!line 1: something stands after the closing quote");
    EXPECT_EQ(find("A='1\n2\n", "A"), "!line 1: the single quote is not closed");
}

}  // namespace
}  // namespace skiff::pods
