#include "network/answer_book.h"

#include <gtest/gtest.h>

#include "network/net_fixture.h"

namespace skiff::network {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class AnswerBookTest : public ::testing::Test {
protected:
    void answer(const std::vector<std::string>& addresses, seconds ttl = seconds(30)) {
        std::vector<IpAddress> parsed;
        for (const std::string& text : addresses) {
            parsed.push_back(ip(text));
        }
        book.answered("a.example", parsed, ttl, clock.steady_now());
    }
    std::vector<std::string> known() {
        std::vector<std::string> texts;
        const NameAddresses all = book.addresses();
        const auto name = all.find("a.example");
        if (name == all.end()) {
            return texts;
        }
        for (const IpAddress& address : name->second) {
            texts.push_back(format_as(address));
        }
        return texts;
    }
    std::vector<std::string> due() { return book.due(clock.steady_now()); }

    ManualClock clock{WallTime{}};
    AnswerBook book;
};

using Texts = std::vector<std::string>;

TEST_F(AnswerBookTest, KeepsOldAnswersForFiveMinutes) {
    book.set_names({"a.example"});
    answer({"192.0.2.1", "192.0.2.2"});
    for (int i = 0; i < 9; ++i) {
        clock.advance(seconds(30));
        answer({"192.0.2.2"});
        EXPECT_EQ(known(), (Texts{"192.0.2.1", "192.0.2.2"})) << i;
    }
    clock.advance(seconds(29));
    answer({"192.0.2.2"});
    EXPECT_EQ(known().size(), 2U) << "a second short of five minutes";
    clock.advance(seconds(1));
    answer({"192.0.2.2"});
    EXPECT_EQ(known(), Texts{"192.0.2.2"});
}

TEST_F(AnswerBookTest, AnAnswerThatComesAgainBeginsAnew) {
    book.set_names({"a.example"});
    answer({"192.0.2.1"});
    clock.advance(minutes(4));
    answer({"192.0.2.1"});
    clock.advance(minutes(4));
    answer({});
    EXPECT_EQ(known(), Texts{"192.0.2.1"});
    clock.advance(minutes(1));
    answer({});
    EXPECT_EQ(known(), Texts{}) << "there is no such name any more";
}

TEST_F(AnswerBookTest, ForgetsNothingWhileNobodyAnswers) {
    book.set_names({"a.example"});
    answer({"192.0.2.1"});
    clock.advance(minutes(60));
    book.failed("a.example", clock.steady_now());
    EXPECT_EQ(known(), Texts{"192.0.2.1"});
}

TEST_F(AnswerBookTest, AsksAgainWhenTheAnswerEndsWithinBounds) {
    book.set_names({"a.example"});
    EXPECT_EQ(due(), Texts{"a.example"}) << "at once";
    for (const auto& [ttl, pause] :
         {std::pair(seconds(0), kLookupPauseMin), std::pair(seconds(12), seconds(12)),
          std::pair(seconds(86400), kLookupPauseMax)}) {
        answer({"192.0.2.1"}, ttl);
        EXPECT_EQ(due(), Texts{});
        EXPECT_EQ(book.next_due(), clock.steady_now() + pause);
        clock.advance(pause);
        EXPECT_EQ(due(), Texts{"a.example"});
    }
    book.failed("a.example", clock.steady_now());
    EXPECT_EQ(book.next_due(), clock.steady_now() + kLookupPauseMin);
}

TEST_F(AnswerBookTest, TheMostOverdueNameComesFirst) {
    book.set_names({"a.example", "b.example"});
    answer({}, seconds(20));
    book.failed("b.example", clock.steady_now());
    clock.advance(minutes(1));
    EXPECT_EQ(due(), (Texts{"b.example", "a.example"}));
}

TEST_F(AnswerBookTest, KnowsItsNamesOnly) {
    EXPECT_TRUE(book.empty());
    EXPECT_EQ(book.next_due(), SteadyTime::max());
    answer({"192.0.2.1"});
    EXPECT_TRUE(book.addresses().empty()) << "an answer that came too late";
    book.set_names({"a.example"});
    answer({"192.0.2.1"});
    book.set_names({"a.example", "b.example"});
    EXPECT_EQ(known(), Texts{"192.0.2.1"}) << "kept";
    EXPECT_EQ(due(), Texts{"b.example"});
    book.set_names({"b.example"});
    EXPECT_EQ(known(), Texts{});
}

TEST_F(AnswerBookTest, BoundsTheAddressesOfAName) {
    book.set_names({"a.example"});
    for (std::size_t i = 0; i < kAnswersMax + 50; ++i) {
        IpAddress address{IpFamily::v4, {10}};
        address.bytes[2] = static_cast<std::uint8_t>(i >> 8U);
        address.bytes[3] = static_cast<std::uint8_t>(i);
        clock.advance(std::chrono::milliseconds(1));
        book.answered("a.example", {address}, seconds(5), clock.steady_now());
    }
    EXPECT_EQ(known().size(), kAnswersMax);
    EXPECT_EQ(known().front(), "10.0.0.50") << "the oldest went";
}

}  // namespace
}  // namespace skiff::network
