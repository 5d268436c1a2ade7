#include "node/pod_keys.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/handle.h"
#include "node/certificates.h"

namespace skiff::node {
namespace {

using Request = Handle<X509_REQ, X509_REQ_free>;

std::string a_certificate(std::string_view name) {
    auto made = make_self_signed(name, {"x.test"}, {}, WallTime(std::chrono::hours(500000)));
    return made.value().certificate_pem;
}

class PodKey : public testing::TestWithParam<std::string_view> {};

// Contract row 69.
TEST_P(PodKey, ProvesByASignatureThatItIsHeld) {
    auto made = make_key_and_proof(GetParam());
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(made->key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    const auto* bytes = reinterpret_cast<const unsigned char*>(made->request_der.data());
    Request request(d2i_X509_REQ(nullptr, &bytes, static_cast<long>(made->request_der.size())));
    ASSERT_NE(request, nullptr);
    EXPECT_EQ(X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())), 1);
    EXPECT_EQ(X509_NAME_entry_count(X509_REQ_get_subject_name(request.get())), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, PodKey,
                         testing::Values("RSA3072", "ECDSAP256", "ECDSAP384", "ECDSAP521",
                                         "ED25519"),
                         [](const auto& its) { return std::string(its.param); });

TEST(PodKeys, AnUnknownTypeIsNamed) {
    auto made = make_key_and_proof("DSA1024");
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid);
    EXPECT_NE(made.error().message.find("DSA1024"), std::string::npos);
}

TEST(PodKeys, AChainLosesWhatIsNoCertificate) {
    std::string one = a_certificate("one");
    std::string two = a_certificate("two");
    EXPECT_EQ(clean_chain("# first\n" + one + "between\n" + two + "after\n"), one + two);
    EXPECT_EQ(clean_chain("no certificate"), "");
}

TEST(PodKeys, BundlesAreMergedWithEachCertificateOnce) {
    std::string one = a_certificate("one");
    std::string two = a_certificate("two");
    std::string first = one + two;
    std::string second = "# again\n" + two;
    std::string merged = merge_bundles({first, second}, 1);
    EXPECT_EQ(merged.size(), first.size());
    EXPECT_NE(merged.find(one), std::string::npos);
    EXPECT_NE(merged.find(two), std::string::npos);
    EXPECT_EQ(merge_bundles({second, first}, 1), merged);
    // Some other seed gives the other order.
    bool differs = false;
    for (std::uint64_t seed = 2; seed < 40; ++seed) {
        differs = differs || merge_bundles({first, second}, seed) != merged;
    }
    EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace skiff::node
