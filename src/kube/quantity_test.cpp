#include <gtest/gtest.h>

#include "kube/scalars.h"

namespace skiff::kube {
namespace {

std::string canonical(std::string_view text) {
    auto quantity = Quantity::parse(text);
    return quantity ? quantity->str() : "refused";
}

TEST(Quantity, PrintsWhatTheApiServerWouldStore) {
    const std::vector<std::pair<std::string, std::string>> cases = {{"0", "0"},
                                                                    {"100m", "100m"},
                                                                    {"0.1", "100m"},
                                                                    {"1000m", "1"},
                                                                    {"1.5", "1500m"},
                                                                    {"1024Mi", "1Gi"},
                                                                    {"1536Mi", "1536Mi"},
                                                                    {"1.5Gi", "1536Mi"},
                                                                    {"0.5Ki", "512"},
                                                                    {"1Ki", "1Ki"},
                                                                    {"1000Ki", "1000Ki"},
                                                                    {"2000000", "2M"},
                                                                    {"12e6", "12e6"},
                                                                    {"1E3", "1e3"},
                                                                    {"1E", "1E"},
                                                                    {"5k", "5k"},
                                                                    {"1n", "1n"},
                                                                    {"0.1n", "1n"},
                                                                    {"1.1u", "1100n"},
                                                                    {"-1.5", "-1500m"},
                                                                    {"+4", "4"},
                                                                    {".5", "500m"},
                                                                    {"5.", "5"},
                                                                    {"1.25Ki", "1280"},
                                                                    {"0.001Ki", "1024m"},
                                                                    {"7Ei", "7Ei"},
                                                                    {"1e-3", "1e-3"},
                                                                    {"0Mi", "0"},
                                                                    {"128974848", "128974848"},
                                                                    {"129M", "129M"},
                                                                    {"123Mi", "123Mi"},
                                                                    {"00012", "12"}};
    for (const auto& [text, expected] : cases) {
        EXPECT_EQ(canonical(text), expected) << text;
    }
}

TEST(Quantity, RefusesWhatIsNoQuantity) {
    for (std::string_view text : {"", " ", "1 ", "abc", "1..2", ".", "1Kib", "1ki", "1e", "1e+",
                                  "--1", "1 Gi", "Mi", "0x10", "1,5", "1i", "e3"}) {
        EXPECT_EQ(canonical(text), "refused") << text;
    }
    EXPECT_EQ(canonical(std::string(300, '1')), "refused");
}

TEST(Quantity, CapsAtTheLargestApiNumber) {
    EXPECT_EQ(Quantity::parse("100E")->value(), 9223372036854775807);
    EXPECT_EQ(Quantity::parse("99999999999999999999999999999999")->value(), 9223372036854775807);
    EXPECT_EQ(Quantity::parse("-100E")->value(), -9223372036854775807);
    EXPECT_EQ(Quantity::parse("9Ei")->value(), 9223372036854775807);
}

TEST(Quantity, RoundsUpToUnitsAndThousandths) {
    EXPECT_EQ(Quantity::parse("1500m")->value(), 2);
    EXPECT_EQ(Quantity::parse("1.5Gi")->value(), 1610612736);
    EXPECT_EQ(Quantity::parse("1u")->milli_value(), 1);
    EXPECT_EQ(Quantity::parse("2")->milli_value(), 2000);
    EXPECT_EQ(Quantity::parse("-1500m")->value(), -2);
}

TEST(Quantity, AddsSubtractsAndCompares) {
    auto half = *Quantity::parse("500m");
    EXPECT_EQ((half + half).str(), "1");
    EXPECT_EQ((Quantity() + *Quantity::parse("64Mi")).str(), "64Mi");
    EXPECT_EQ((*Quantity::parse("1Gi") - *Quantity::parse("512Mi")).str(), "512Mi");
    EXPECT_LT(half, *Quantity::parse("1"));
    EXPECT_EQ(*Quantity::parse("1Ki"), *Quantity::parse("1024"));
    EXPECT_EQ(Quantity::of_bytes(1048576).str(), "1Mi");
    EXPECT_EQ(Quantity::of_milli(250).str(), "250m");
    EXPECT_EQ(Quantity::of_units(3).str(), "3");
}

}  // namespace
}  // namespace skiff::kube
