#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/result.h"
#include "base/text.h"
#include "base/time.h"
#include "base/types.h"

namespace skiff {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

Result<int> half(int n) {
    if (n % 2 != 0) {
        return fail(Code::invalid, "{} is odd", n);
    }
    return n / 2;
}

Result<int> quarter(int n) {
    SKIFF_TRY(int h, half(n));
    return half(h);
}

TEST(Result, CarriesTheFirstErrorWithItsPlace) {
    EXPECT_EQ(quarter(8).value(), 2);
    auto failed = quarter(6);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Code::invalid);
    EXPECT_EQ(failed.error().message, "3 is odd");
    EXPECT_GT(failed.error().where.line(), 0u);
    EXPECT_EQ(Error(failed.error()).context("quarter 6").message, "quarter 6: 3 is odd");
}

TEST(Result, FormatsTheReasonBeforeTheMessage) {
    Result<int> failed = fail_because(Code::not_found, "ErrImagePull", "no {}", "tag");
    EXPECT_EQ(format_as(failed.error()), "ErrImagePull: no tag");
}

TEST(Result, ADefaultReasonIsForThoseWithoutOneButCancellations) {
    Error named = fail_because(Code::not_found, "ErrImagePull", "no tag").value();
    EXPECT_EQ(Error(named).with_default_reason("RunContainerError").reason, "ErrImagePull");
    Error nameless = fail(Code::internal, "no keeper").value();
    EXPECT_EQ(Error(nameless).with_default_reason("RunContainerError").reason, "RunContainerError");
    Error cancelled = fail(Code::cancelled, "stopping").value();
    EXPECT_EQ(Error(cancelled).with_default_reason("RunContainerError").reason, "");
}

TEST(Result, MapsErrnoToACode) {
    EXPECT_EQ(errno_error(ENOENT, "open /x").code, Code::not_found);
    EXPECT_EQ(errno_error(ENOSPC, "write").code, Code::exhausted);
    EXPECT_EQ(errno_error(ENOENT, "open /x").message, "open /x: No such file or directory");
}

TEST(Time, RoundTripsRfc3339) {
    auto time = parse_rfc3339("2026-11-23T22:14:05.123456789Z");
    ASSERT_TRUE(time);
    EXPECT_EQ(format_rfc3339(*time), "2026-11-23T22:14:05Z");
    EXPECT_EQ(format_rfc3339_nano(*time), "2026-11-23T22:14:05.123456789Z");
    EXPECT_EQ(format_rfc3339_micro(*time), "2026-11-23T22:14:05.123456Z");
    EXPECT_EQ(parse_rfc3339("2026-11-24T00:14:05.5+02:00"),
              *parse_rfc3339("2026-11-23T22:14:05.5Z"));
    EXPECT_EQ(format_rfc3339(truncate_to_seconds(*time)), "2026-11-23T22:14:05Z");
}

TEST(Time, RefusesWhatIsNotRfc3339) {
    for (auto text : {"", "2026-11-23", "2026-13-23T22:14:05Z", "2026-02-30T00:00:00Z",
                      "2026-11-23T22:14:05", "2026-11-23T25:14:05Z", "2026-11-23T22:14:05.Z",
                      "2026-11-23T22:14:05Zx", "9999-01-01T00:00:00Z"}) {
        EXPECT_FALSE(parse_rfc3339(text)) << text;
    }
}

TEST(Time, FormatsDurationsAsGoDoes) {
    EXPECT_EQ(format_duration(seconds(0)), "0s");
    EXPECT_EQ(format_duration(seconds(10)), "10s");
    EXPECT_EQ(format_duration(seconds(300)), "5m0s");
    EXPECT_EQ(format_duration(hours(1) + milliseconds(1500)), "1h0m1.5s");
    EXPECT_EQ(format_duration(milliseconds(250)), "250ms");
    EXPECT_EQ(format_duration(-seconds(40)), "-40s");
}

TEST(Time, ParsesDurationsAsGoDoes) {
    EXPECT_EQ(parse_duration("1m30s"), seconds(90));
    EXPECT_EQ(parse_duration("250ms"), milliseconds(250));
    EXPECT_EQ(parse_duration("1.5h"), seconds(5400));
    EXPECT_EQ(parse_duration("0"), seconds(0));
    EXPECT_EQ(parse_duration("-2s"), -seconds(2));
    for (auto text : {"", "5", "s", "1x", "1e400h", "999999999h", "--1s"}) {
        EXPECT_FALSE(parse_duration(text)) << text;
    }
}

TEST(Text, EncodesAndDecodesBase64) {
    EXPECT_EQ(base64_encode("M"), "TQ==");
    EXPECT_EQ(base64_encode("Ma"), "TWE=");
    EXPECT_EQ(base64_encode("Man"), "TWFu");
    EXPECT_EQ(base64_decode("TWE="), "Ma");
    EXPECT_EQ(base64_decode("TWE"), "Ma");
    EXPECT_EQ(base64_decode("_-8="), std::string("\xff\xef"));
    EXPECT_FALSE(base64_decode("T"));
    EXPECT_FALSE(base64_decode("TW E"));
}

TEST(Text, BoundsAndRepairsUtf8) {
    EXPECT_EQ(bounded_utf8("smörgås", 4), "smö");
    EXPECT_EQ(bounded_utf8("smörgås", 3), "sm");
    EXPECT_EQ(bounded_utf8("a\xff"
                           "b",
                           100),
              "a\xef\xbf\xbd"
              "b");
    EXPECT_EQ(bounded_utf8("\xed\xa0\x80", 100), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Text, ParsesWholeNumbersOnly) {
    EXPECT_EQ(parse_int("-12"), -12);
    EXPECT_EQ(parse_uint("18446744073709551615"), 18446744073709551615u);
    EXPECT_FALSE(parse_uint("18446744073709551616"));
    EXPECT_FALSE(parse_int("12 "));
    EXPECT_FALSE(parse_int(""));
}

TEST(Types, FormatsBytesForPeople) {
    EXPECT_EQ(format_as(Bytes{1023}), "1023 B");
    EXPECT_EQ(format_as(1_MiB), "1.0 MiB");
    EXPECT_EQ(fmt::format("{}", Bytes{(25u << 20) + 1}), "25 MiB");
}

TEST(Random, SeededRepeatsAndUniformStaysInRange) {
    SeededRandom a(7);
    SeededRandom b(7);
    EXPECT_EQ(a.hex(16), b.hex(16));
    for (int i = 0; i < 1000; ++i) {
        double u = a.uniform();
        EXPECT_TRUE(u >= 0 && u < 1) << u;
    }
    EXPECT_EQ(SystemRandom().hex(32).size(), 64u);
}

TEST(Digest, GivesThePublishedValues) {
    EXPECT_EQ(sha256_hex("abc"),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(to_hex(hash_of("abc", HashKind::sha512_256)),
              "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
    EXPECT_EQ(hash_of("abc", HashKind::sha512).size(), 64U);
    Hasher hasher;
    hasher.update("a");
    hasher.update("bc");
    EXPECT_EQ(to_hex(hasher.finish()), sha256_hex("abc"));
    // RFC 4231, test case 2.
    EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(After, NeverPassesTheEndOfTime) {
    EXPECT_EQ(after(Duration::max()), SteadyTime::max());
    SteadyTime before = std::chrono::steady_clock::now();
    EXPECT_GE(after(std::chrono::seconds(1)), before + std::chrono::seconds(1));
    EXPECT_LE(after(-std::chrono::seconds(1)), std::chrono::steady_clock::now());
}

TEST(ModuleSize, IsBounded) {
    EXPECT_TRUE(check_module_size(kModuleBytesMax));
    auto refused = check_module_size(Bytes{kModuleBytesMax.value + 1});
    EXPECT_EQ(refused.error().code, Code::exhausted);
}

}  // namespace
}  // namespace skiff
