#include "images/node_images.h"

#include <gtest/gtest.h>

#include "images/contents.h"
#include "images/load.h"
#include "images/test_registry.h"

namespace skiff::images {
namespace {

using namespace testing;

class FakeObjects final : public pods::Objects {
public:
    async::Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(const kube::Pod&,
                                                                           std::string) override {
        co_return fail(Code::not_found, "no ConfigMap");
    }
    async::Task<Result<std::shared_ptr<const kube::Secret>>> secret(const kube::Pod&,
                                                                    std::string name) override {
        auto found = secrets.find(name);
        if (found == secrets.end()) {
            co_return fail(Code::not_found, "no Secret");
        }
        co_return found->second;
    }
    async::Task<Result<pods::ServiceAccountToken>> service_account_token(const kube::Pod&,
                                                                         std::string,
                                                                         std::int64_t) override {
        co_return fail(Code::unsupported, "no tokens");
    }
    async::Task<Result<std::string>> trust_anchors(
        const kube::Pod&, const kube::ClusterTrustBundleProjection&) override {
        co_return fail(Code::not_found, "no ClusterTrustBundle");
    }
    async::Task<Result<pods::PodCredentials>> pod_certificate(const kube::Pod&, std::string,
                                                              std::size_t) override {
        co_return fail(Code::not_found, "no certificate");
    }
    async::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod&, std::string) override {
        co_return fail(Code::not_found, "no claim");
    }
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> services() const override {
        return std::nullopt;
    }
    async::Task<Result<std::string>> runtime_handler(std::string) override {
        co_return fail(Code::not_found, "no RuntimeClass");
    }
    void release(const PodUid&) override {}
    void set_observer(std::function<void(const PodUid&)>) override {}

    std::map<std::string, std::shared_ptr<const kube::Secret>> secrets;
};

class Events final : public pods::EventSink {
public:
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view reason,
              std::string_view message) override {
        texts.push_back(std::string(reason) + ": " + std::string(message));
    }
    std::vector<std::string> texts;
};

class NodeImagesTest : public ::testing::Test {
protected:
    NodeImagesTest() {
        access_ = std::move(*node_.run(AccessRecords::open(node_.pool, access_folder())));
        make();
        pod_.metadata.uid = "uid-1";
        pod_.metadata.namespace_ = "ns";
        kube::Container container;
        container.name = "c";
        pod_.spec.containers.push_back(container);
        module_ = module_bytes(2000);
        digest_ = node_.push_artifact(fake_.authority(), "app", "v1", module_).str();
    }
    fs::path access_folder() const { return node_.folder.path() / "access"; }
    void make() {
        NodeImages::Parts parts{*node_.store, *node_.registry, *node_.puller, *access_,
                                objects_,     events_,         clock_};
        images_ = std::make_unique<NodeImages>(parts);
    }
    void restart() {
        images_.reset();
        node_.restart();
        access_ = std::move(*node_.run(AccessRecords::open(node_.pool, access_folder())));
        make();
    }
    Result<pods::Image> ensure(const std::string& policy, std::string reference = "") {
        events_.texts.clear();
        if (reference.empty()) {
            reference = fake_.authority() + "/app:v1";
        }
        return node_.run(images_->ensure(pod_, "c", reference, policy));
    }
    void give_secret(const std::string& name, const std::string& password) {
        auto secret = std::make_shared<kube::Secret>();
        secret->metadata.name = name;
        secret->metadata.namespace_ = "ns";
        secret->metadata.uid = name + "-uid";
        secret->data[".dockerconfigjson"].bytes = R"({"auths":{")" + fake_.authority() +
                                                  R"(":{"auth":")" +
                                                  base64_encode("user:" + password) + R"("}}})";
        objects_.secrets[name] = secret;
        kube::LocalObjectReference reference;
        reference.name = name;
        pod_.spec.imagePullSecrets = {reference};
    }

    FakeRegistry fake_;
    Node node_;
    FakeObjects objects_;
    Events events_;
    ManualClock clock_{WallTime{}};
    std::unique_ptr<AccessRecords> access_;
    std::unique_ptr<NodeImages> images_;
    kube::Pod pod_;
    std::string module_;
    std::string digest_;
};

TEST_F(NodeImagesTest, PullsOnceAndThenFindsTheImageThere) {
    std::string name = fake_.authority() + "/app";
    auto image = ensure("IfNotPresent");
    ASSERT_TRUE(image) << format_as(image.error());
    EXPECT_EQ(image->image_id, name + "@" + digest_);
    EXPECT_EQ(image->reference, name + ":v1");
    EXPECT_EQ(image->kind, pods::ImageKind::artifact);
    EXPECT_EQ(image->module_digest, digest_of(module_).str());
    EXPECT_TRUE(read_text(image->module) == module_);
    ASSERT_EQ(events_.texts.size(), 2U);
    EXPECT_EQ(events_.texts[0], "Pulling: Pulling image \"" + name + ":v1\"");
    EXPECT_EQ(events_.texts[1], "Pulled: Successfully pulled image \"" + name +
                                    ":v1\" in 0s (0s including waiting). Image size: " +
                                    std::to_string(image->size.value) + " bytes.");
    fake_.forget_log();
    ASSERT_TRUE(ensure("IfNotPresent"));
    ASSERT_EQ(events_.texts.size(), 1U);
    EXPECT_EQ(events_.texts[0],
              "Pulled: Container image \"" + name +
                  ":v1\" already present on machine and can be accessed by the pod");
    EXPECT_TRUE(fake_.log().empty());
    ASSERT_TRUE(ensure("Always"));
    EXPECT_EQ(fake_.count("/manifests/v1"), 1);
}

// What `status.images` shows: bytes of config and layers, not of the manifest (contract row 9).
// Contract row 67.
TEST_F(NodeImagesTest, AnImageForAVolumeIsAFileForEachLayerOfAnArtifact) {
    std::string name = fake_.authority() + "/app:v1";
    auto image = node_.run(images_->ensure_files(pod_, "c", name, "IfNotPresent"));
    ASSERT_TRUE(image) << format_as(image.error());
    EXPECT_EQ(image->kind, pods::ImageKind::files);
    ASSERT_EQ(image->files.size(), 1U);
    EXPECT_EQ(image->files[0].name, "app.wasm");
    EXPECT_TRUE(read_text(image->files[0].path) == module_);
    EXPECT_TRUE(ensure("Never")) << "the same image runs";
    auto absent = node_.run(images_->ensure_files(pod_, "c", fake_.authority() + "/none:1", ""));
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().reason, "ErrImagePull");
}

TEST_F(NodeImagesTest, ListsImagesWithTheirNamesAndTransferredSize) {
    auto image = ensure("IfNotPresent");
    ASSERT_TRUE(image);
    ASSERT_TRUE(ensure("IfNotPresent", fake_.authority() + "/app@" + digest_));
    auto list = image_list(node_.store->list());
    ASSERT_EQ(list.size(), 1U);
    EXPECT_EQ(list[0].names,
              (std::vector<std::string>{image->image_id, fake_.authority() + "/app:v1"}));
    EXPECT_GT(list[0].sizeBytes, static_cast<std::int64_t>(module_.size()));
    EXPECT_LT(list[0].sizeBytes, static_cast<std::int64_t>(module_.size()) + 1000);
}

TEST_F(NodeImagesTest, BacksOffPerPodAndImage) {
    std::string reference = fake_.authority() + "/missing:v1";
    auto first = ensure("IfNotPresent", reference);
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().reason, "ErrImagePull");
    ASSERT_EQ(events_.texts.size(), 3U);
    EXPECT_TRUE(events_.texts[1].starts_with("Failed: Failed to pull image \"" + reference));
    EXPECT_EQ(events_.texts[2], "Failed: Error: ErrImagePull");
    EXPECT_EQ(images_->back_off_until(PodUid("uid-1"), reference),
              clock_.steady_now() + std::chrono::seconds(10));
    auto second = ensure("IfNotPresent", reference);
    EXPECT_EQ(second.error().reason, "ImagePullBackOff");
    EXPECT_TRUE(second.error().message.starts_with("Back-off pulling image \"" + reference +
                                                   "\": ErrImagePull: "));
    EXPECT_EQ(events_.texts[0], "BackOff: Back-off pulling image \"" + reference + "\"");
    for (int seconds : {10, 20, 40, 80, 160, 300, 300}) {
        clock_.advance(std::chrono::seconds(seconds) - std::chrono::milliseconds(1));
        EXPECT_EQ(ensure("IfNotPresent", reference).error().reason, "ImagePullBackOff");
        clock_.advance(std::chrono::milliseconds(1));
        EXPECT_EQ(ensure("IfNotPresent", reference).error().reason, "ErrImagePull");
    }
    pod_.metadata.uid = "uid-2";
    EXPECT_EQ(ensure("IfNotPresent", reference).error().reason, "ErrImagePull");
    pod_.metadata.uid = "uid-1";
    images_->release(PodUid("uid-1"));
    EXPECT_EQ(images_->back_off_until(PodUid("uid-1"), reference), std::nullopt);
}

TEST_F(NodeImagesTest, NamesBadReferencesAndAbsentImages) {
    auto invalid = ensure("Always", "UPPER case");
    EXPECT_EQ(invalid.error().reason, "InvalidImageName");
    EXPECT_EQ(invalid.error().message,
              "Failed to apply default image tag \"UPPER case\": couldn't parse image name "
              "\"UPPER case\": invalid reference format");
    EXPECT_TRUE(events_.texts[0].starts_with("InspectFailed: "));
    auto never = ensure("Never");
    EXPECT_EQ(never.error().reason, "ErrImageNeverPull");
    EXPECT_TRUE(events_.texts[0].starts_with("ErrImageNeverPull: Container image "));
}

TEST_F(NodeImagesTest, NeverGivesAPrivateImageToAPodWithoutCredentials) {
    fake_.require(FakeRegistry::Auth::basic, "user", "pw");
    give_secret("good", "pw");
    ASSERT_TRUE(ensure("IfNotPresent"));
    fake_.forget_log();
    ASSERT_TRUE(ensure("IfNotPresent"));
    EXPECT_TRUE(fake_.log().empty());
    // Another pod, without credentials, with wrong ones, also after a restart of the agent.
    pod_.metadata.uid = "uid-2";
    pod_.spec.imagePullSecrets.clear();
    EXPECT_EQ(ensure("IfNotPresent").error().reason, "ErrImagePull");
    EXPECT_EQ(ensure("Never").error().reason, "ErrImageNeverPull");
    restart();
    EXPECT_EQ(ensure("Never").error().reason, "ErrImageNeverPull");
    EXPECT_EQ(ensure("Never", fake_.authority() + "/app@" + digest_).error().reason,
              "ErrImageNeverPull");
    give_secret("bad", "guess");
    EXPECT_EQ(ensure("Never").error().reason, "ErrImageNeverPull");
    // The same credentials from another secret do, without the network.
    give_secret("other", "pw");
    fake_.forget_log();
    EXPECT_TRUE(ensure("Never"));
    EXPECT_TRUE(fake_.log().empty());
}

TEST_F(NodeImagesTest, ForgetsARightThatItCannotReadAnyMore) {
    fake_.require(FakeRegistry::Auth::basic, "user", "pw");
    give_secret("good", "pw");
    ASSERT_TRUE(ensure("IfNotPresent"));
    for (const auto& file : fs::directory_iterator(access_folder())) {
        EXPECT_EQ(read_text(file.path()).find("pw"), std::string::npos);
        if (file.path().extension() == ".json") {
            std::ofstream(file.path()) << "{";
        }
    }
    restart();
    fake_.forget_log();
    ASSERT_TRUE(ensure("Never"));
    EXPECT_EQ(fake_.log().front().method, "HEAD");
    pod_.spec.imagePullSecrets.clear();
    EXPECT_EQ(ensure("Never").error().reason, "ErrImageNeverPull");
}

TEST_F(NodeImagesTest, PullsWithoutASecretThatIsMissing) {
    give_secret("gone", "pw");
    objects_.secrets.clear();
    ASSERT_TRUE(ensure("IfNotPresent"));
    EXPECT_EQ(events_.texts[0],
              "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (gone); "
              "attempting to pull the image may not succeed.");
}

TEST_F(NodeImagesTest, GivesLoadedImagesToEverybody) {
    fs::path file = node_.folder.path() / "x.wasm";
    std::ofstream(file, std::ios::binary) << module_;
    ASSERT_TRUE(node_.run(load_image(*node_.store, LoadRequest{file.string(), ""})));
    EXPECT_TRUE(ensure("Never", "localhost/x"));
    EXPECT_TRUE(ensure("IfNotPresent", "localhost/x:latest"));
}

TEST_F(NodeImagesTest, ModulesAreFoundAsLongAsAnImageHasThem) {
    ASSERT_TRUE(ensure("IfNotPresent"));
    auto find = [&] {
        std::map<Digest, std::uint64_t> wanted = {{digest_of(module_), module_.size()},
                                                  {digest_of("of no image"), 11}};
        auto found = node_.run(find_modules(*node_.store, std::move(wanted)));
        EXPECT_TRUE(found);
        return found.value_or(std::set<Digest>());
    };
    EXPECT_EQ(find(), std::set<Digest>{digest_of(module_)});
    auto image = node_.store->list().front();
    ASSERT_TRUE(node_.run(node_.store->remove(image.reference)));
    EXPECT_TRUE(find().empty());
}

}  // namespace
}  // namespace skiff::images
