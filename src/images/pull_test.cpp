// The contract of pulling: one suite against the fake registry and the real one, then the faults
// that only the fake can order.
#include <gtest/gtest.h>

#include "images/load.h"
#include "images/test_registry.h"

namespace skiff::images {
namespace {

using namespace testing;

// --- the contract ---

enum class Which { fake, real };

class Contract : public ::testing::TestWithParam<Which> {
protected:
    void SetUp() override {
        if (GetParam() == Which::fake) {
            fake_ = std::make_unique<FakeRegistry>();
            host_ = fake_->authority();
            return;
        }
        if (!RealRegistry::installed()) {
            GTEST_SKIP() << "docker-registry is not installed";
        }
        real_ = std::make_unique<RealRegistry>();
        host_ = real_->authority();
        auto ready = [&]() -> async::Task<bool> {
            for (int i = 0; i < 500; ++i) {
                http::Request request;
                request.url = "http://" + host_ + "/v2/";
                request.proxy = "";
                auto response = co_await node_.client.fetch(std::move(request));
                if (response) {
                    co_return response->status == 200;
                }
                (void)co_await async::sleep_for(std::chrono::milliseconds(20));
            }
            co_return false;
        };
        ASSERT_TRUE(node_.run(ready()));
    }

    Node node_;
    std::unique_ptr<FakeRegistry> fake_;
    std::unique_ptr<RealRegistry> real_;
    std::string host_;
};

TEST_P(Contract, PullsAnArtifactByTagAndByDigest) {
    std::string module = module_bytes(3'000'000);
    Digest digest = node_.push_artifact(host_, "team/app", "v1", module);
    auto outcome = node_.pull(host_ + "/team/app:v1");
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    const LocalImage& image = outcome->image;
    EXPECT_EQ(image.stored.image_id(), host_ + "/team/app@" + digest.str());
    EXPECT_EQ(image.recipe.kind, Kind::artifact);
    EXPECT_EQ(image.recipe.module_name, "app.wasm");
    EXPECT_TRUE(read_text(image.paths.at(0)) == module);
    auto by_digest = node_.pull(host_ + "/team/app@" + digest.str());
    ASSERT_TRUE(by_digest) << format_as(by_digest.error());
    EXPECT_EQ(by_digest->image.stored.image_id(), image.stored.image_id());
}

// The first start of a container uses what pull() says, later ones what inspect() says.
TEST_P(Contract, GivesTheImageConfigOfALayerImageAtPullAndAtInspect) {
    node_.push_layer_image(
        host_, "app", "v1", module_bytes(1000),
        R"({"os":"wasi","architecture":"wasm","config":{"Env":["A=1"],"Cmd":["x"],)"
        R"("User":"65532","WorkingDir":"/srv"},"rootfs":{"type":"layers","diff_ids":[]}})");
    auto pulled = node_.pull(host_ + "/app:v1");
    ASSERT_TRUE(pulled) << format_as(pulled.error());
    auto inspected = node_.run(node_.puller->inspect(pulled->image.stored, ""));
    ASSERT_TRUE(inspected) << format_as(inspected.error());
    EXPECT_EQ(pulled->image.recipe.kind, Kind::artifact);
    EXPECT_EQ(pulled->image.recipe.config.env, std::vector<std::string>{"A=1"});
    EXPECT_EQ(pulled->image.recipe.config.cmd, std::vector<std::string>{"x"});
    EXPECT_EQ(pulled->image.recipe.config.user, "65532");
    EXPECT_EQ(pulled->image.recipe.config.working_dir, "/srv");
    EXPECT_EQ(pulled->image.recipe, inspected->recipe);
    EXPECT_EQ(pulled->image.paths, inspected->paths);
    EXPECT_EQ(pulled->image.stored.size, inspected->stored.size);
}

TEST_P(Contract, LeavesAConfigThatIsNoImageConfigUnread) {
    Descriptor layer = node_.push_blob(host_, "odd", module_bytes(1000), std::string(kWasmLayer));
    Descriptor config =
        node_.push_blob(host_, "odd", R"({"config":{"Env":["A=1"]}})", std::string(kWasmConfig));
    node_.push_document(host_, "odd", "v1", Node::manifest_json(config, {layer}));
    auto pulled = node_.pull(host_ + "/odd:v1");
    ASSERT_TRUE(pulled) << format_as(pulled.error());
    auto inspected = node_.run(node_.puller->inspect(pulled->image.stored, ""));
    ASSERT_TRUE(inspected) << format_as(inspected.error());
    EXPECT_TRUE(pulled->image.recipe.config.env.empty());
    EXPECT_EQ(pulled->image.recipe, inspected->recipe);
}

TEST_P(Contract, FollowsATagThatMoves) {
    node_.push_artifact(host_, "app", "v1", module_bytes(1000, 1));
    auto first = node_.pull(host_ + "/app:v1");
    node_.push_artifact(host_, "app", "v1", module_bytes(1000, 2));
    auto second = node_.pull(host_ + "/app:v1");
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->image.stored.resolved, second->image.stored.resolved);
    EXPECT_EQ(node_.store->find(*parse_reference(host_ + "/app:v1"))->resolved,
              second->image.stored.resolved);
    // The old image stays under its digest.
    EXPECT_TRUE(node_.store->find(*parse_reference(first->image.stored.image_id())));
}

TEST_P(Contract, ChoosesTheWasmEntryOfAnIndex) {
    std::string module = module_bytes(1000);
    Digest wasm = node_.push_artifact(host_, "multi", "wasm", module);
    Descriptor linux_config =
        node_.push_blob(host_, "multi", R"({"os":"linux"})", std::string(kOciConfig));
    std::string linux_json = Node::manifest_json(linux_config, {});
    Digest linux_digest = node_.push_document(host_, "multi", "linux", linux_json);
    auto entry = [](const Digest& digest, std::size_t size, const char* os, const char* cpu) {
        return fmt::format(
            R"({{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"{}","architecture":"{}"}}}})",
            kOciManifest, digest, size, os, cpu);
    };
    // The size of the artifact's manifest is known once it was pulled.
    auto single = node_.pull(host_ + "/multi:wasm");
    ASSERT_TRUE(single) << format_as(single.error());
    std::string index =
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}})", kOciIndex,
                    entry(linux_digest, linux_json.size(), "linux", "amd64"),
                    entry(wasm, single->image.stored.manifest.size, "wasip1", "wasm"));
    Digest top = node_.push_document(host_, "multi", "all", index, kOciIndex);
    auto outcome = node_.pull(host_ + "/multi:all");
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_EQ(outcome->image.stored.resolved, top);
    EXPECT_EQ(outcome->image.stored.manifest.digest, wasm);
    EXPECT_TRUE(node_.store->find(*parse_reference(host_ + "/multi@" + top.str())));
}

TEST_P(Contract, SaysWhatIsMissing) {
    auto outcome = node_.pull(host_ + "/no/such:image");
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::not_found);
    EXPECT_NE(outcome.error().message.find("no/such"), std::string::npos);
}

TEST_P(Contract, RefusesALinuxImageBeforeItsLayers) {
    Descriptor config = node_.push_blob(
        host_, "linux",
        R"({"os":"linux","architecture":"amd64","config":{"Entrypoint":["/bin/sh"]},"rootfs":{"diff_ids":[]}})",
        std::string(kOciConfig));
    Descriptor layer = node_.push_blob(host_, "linux", std::string(5000, 'x'),
                                       "application/vnd.oci.image.layer.v1.tar+gzip");
    node_.push_document(host_, "linux", "v1", Node::manifest_json(config, {layer}));
    auto outcome = node_.pull(host_ + "/linux:v1");
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::unsupported);
    EXPECT_NE(outcome.error().message.find("a Linux image (linux/amd64"), std::string::npos);
    EXPECT_FALSE(fs::exists(node_.store->blob_path(layer.digest)));
}

TEST_P(Contract, ContinuesAPartialBlob) {
    std::string module = module_bytes(2'000'000);
    node_.push_artifact(host_, "app", "v1", module);
    fs::path partial = node_.store->ingest_path(digest_of(module));
    std::ofstream(partial, std::ios::binary) << module.substr(0, 1'500'000);
    auto outcome = node_.pull(host_ + "/app:v1");
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_TRUE(read_text(outcome->image.paths.at(0)) == module);
    EXPECT_FALSE(fs::exists(partial));
}

TEST_P(Contract, DoesNotTrustAPartialBlob) {
    std::string module = module_bytes(2'000'000);
    node_.push_artifact(host_, "app", "v1", module);
    fs::path partial = node_.store->ingest_path(digest_of(module));
    std::ofstream(partial, std::ios::binary) << std::string(1'500'000, 'x');
    auto outcome = node_.pull(host_ + "/app:v1");
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_TRUE(read_text(outcome->image.paths.at(0)) == module);
}

TEST_P(Contract, ChecksThatTheRegistryGivesASharedLayer) {
    std::string module = module_bytes(1000);
    node_.push_artifact(host_, "private", "v1", module);
    ASSERT_TRUE(node_.pull(host_ + "/private:v1"));
    // Another repository names the same layer without having it.
    Descriptor layer{std::string(kWasmLayer), digest_of(module), module.size(), {}, {}, {}};
    Descriptor config = node_.push_blob(host_, "thief", "{}", std::string(kWasmConfig));
    std::string json = Node::manifest_json(config, {layer});
    if (GetParam() == Which::real) {
        // The real one does not even take such a manifest.
        auto refused = node_.send("PUT", "http://" + host_ + "/v2/thief/manifests/v1", json,
                                  std::string(kOciManifest));
        EXPECT_EQ(refused.status, 400);
        return;
    }
    node_.push_document(host_, "thief", "v1", json);
    auto outcome = node_.pull(host_ + "/thief:v1");
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::not_found);
}

INSTANTIATE_TEST_SUITE_P(Registries, Contract, ::testing::Values(Which::fake, Which::real),
                         [](const auto& one) {
                             return one.param == Which::fake ? "Fake" : "DockerRegistry";
                         });

// --- faults ---

class Pull : public ::testing::Test {
protected:
    Pull() { module_ = module_bytes(1'000'000); }
    void push() { node_.push_artifact(fake_.authority(), "app", "v1", module_); }
    std::string reference() const { return fake_.authority() + "/app:v1"; }
    std::string layer() const { return digest_of(module_).str(); }
    static CredentialEntry entry(std::string user, std::string password) {
        return CredentialEntry{"", Credential{std::move(user), std::move(password), "", ""},
                               "ns/s/1"};
    }
    void fault(std::string part, int times, std::function<void(TestResponse&)> answer) {
        fake_.add_fault(FakeRegistry::Fault{std::move(part), times, std::move(answer)});
    }

    FakeRegistry fake_;
    Node node_;
    std::string module_;
};

TEST_F(Pull, TriesAgainAfterPassingFaults) {
    push();
    fault("/manifests/", 2, [](TestResponse& r) {
        r.status = 429;
        r.headers.add("Retry-After", "0");
    });
    fault("/blobs/", 2, [](TestResponse& r) { r.status = 503; });
    auto outcome = node_.pull(reference());
    EXPECT_TRUE(outcome) << format_as(outcome.error());
}

TEST_F(Pull, GivesUpAfterTheAgreedNumberOfTries) {
    push();
    fault("/manifests/", 100, [](TestResponse& r) { r.status = 500; });
    auto outcome = node_.pull(reference());
    EXPECT_EQ(outcome.error().code, Code::unavailable);
    EXPECT_EQ(fake_.count("/manifests/v1"), 1 + 5);  // the push and five tries
}

TEST_F(Pull, ContinuesWhereATransferBroke) {
    push();
    fake_.forget_log();
    fault(layer(), 1, [](TestResponse& r) { r.cut_after = 600'000; });
    auto outcome = node_.pull(reference());
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_TRUE(read_text(outcome->image.paths.at(0)) == module_);
    ASSERT_EQ(fake_.count(layer()), 2);
    EXPECT_TRUE(fake_.log().back().headers.find("Range").value_or("").starts_with("bytes="));
}

TEST_F(Pull, RefusesWrongBytes) {
    push();
    fault(layer(), 100, [](TestResponse& r) { r.body[5] ^= 1; });
    auto outcome = node_.pull(reference());
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::corrupt);
    EXPECT_NE(outcome.error().message.find("wrong digest"), std::string::npos);
    EXPECT_FALSE(fs::exists(node_.store->ingest_path(digest_of(module_))));
    EXPECT_FALSE(fs::exists(node_.store->blob_path(digest_of(module_))));
    EXPECT_EQ(node_.store->list().size(), 0U);
}

TEST_F(Pull, NothingHasItsNameBeforeItsDigestIsProved) {
    push();
    fs::path blob = node_.store->blob_path(digest_of(module_));
    int reports = 0;
    PullRequest request{*parse_reference(reference()), {}, {}, {}};
    request.progress = [&](const BlobProgress& progress) {
        ++reports;
        EXPECT_FALSE(fs::exists(blob)) << progress.done << " of " << progress.total;
    };
    ASSERT_TRUE(node_.run(node_.puller->pull(request)));
    EXPECT_GE(reports, 1);
    EXPECT_TRUE(fs::exists(blob));
}

TEST_F(Pull, RefusesABlobOfAnotherLength) {
    push();
    fault(layer(), 100, [](TestResponse& r) { r.body += "more"; });
    EXPECT_EQ(node_.pull(reference()).error().code, Code::corrupt);
}

TEST_F(Pull, RefusesAManifestWithAnotherDigest) {
    push();
    Digest digest = node_.pull(reference())->image.stored.resolved;
    fault("/manifests/sha256", 100, [](TestResponse& r) { r.body += " "; });
    auto outcome = node_.pull(fake_.authority() + "/app@" + digest.str());
    EXPECT_EQ(outcome.error().code, Code::corrupt);
}

TEST_F(Pull, RefusesAManifestThatIsTooLong) {
    push();
    fault("/manifests/v1", 100, [](TestResponse& r) { r.body = std::string(5U << 20, ' '); });
    EXPECT_EQ(node_.pull(reference()).error().code, Code::exhausted);
}

TEST_F(Pull, GivesUpOnARegistryThatFallsSilent) {
    RegistrySettings settings;
    settings.idle_timeout = std::chrono::milliseconds(30);
    settings.retry.attempts_max = 2;
    Node impatient(std::move(settings));
    push();
    fault("/manifests/v1", 100, [](TestResponse& r) { r.hang_after = 0; });
    EXPECT_EQ(impatient.pull(reference()).error().code, Code::timeout);
}

TEST_F(Pull, LogsInByBasic) {
    push();
    fake_.require(FakeRegistry::Auth::basic, "user", "pw");
    auto anonymous = node_.pull(reference());
    EXPECT_EQ(anonymous.error().code, Code::unauthenticated);
    EXPECT_NE(anonymous.error().message.find("imagePullSecrets"), std::string::npos);
    EXPECT_EQ(node_.pull(reference(), {entry("user", "wrong")}).error().code,
              Code::unauthenticated);
    auto outcome = node_.pull(reference(), {entry("user", "wrong"), entry("user", "pw")});
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_EQ(outcome->used->credential.password, "pw");
}

TEST_F(Pull, LogsInByTokenAndKeepsTheTokenPerCredential) {
    push();
    fake_.require(FakeRegistry::Auth::bearer, "user", "pw");
    fake_.forget_log();
    auto outcome = node_.pull(reference(), {entry("user", "pw")});
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_EQ(fake_.count("/token"), 1);
    EXPECT_NE(fake_.log().at(1).target.find("scope=repository%3Ax%3Apull"), std::string::npos);
    // The cached token is the other credential's: nobody else gets it.
    EXPECT_EQ(node_.pull(reference()).error().code, Code::unauthenticated);
}

TEST_F(Pull, LogsInByIdentityToken) {
    push();
    fake_.require(FakeRegistry::Auth::bearer, "user", "pw");
    CredentialEntry identity{"", Credential{"", "", "identity", ""}, ""};
    auto outcome = node_.pull(reference(), {identity});
    EXPECT_TRUE(outcome) << format_as(outcome.error());
}

TEST_F(Pull, NeverSendsCredentialsToAnotherRealm) {
    push();
    std::vector<TestRequest> seen;
    TestServer thief([&](const TestRequest& request) {
        seen.push_back(request);
        return TestResponse{};
    });
    fake_.require(FakeRegistry::Auth::bearer, "user", "pw");
    fake_.set_realm(thief.url("/token"));
    EXPECT_FALSE(node_.pull(reference(), {entry("user", "pw")}));
    EXPECT_TRUE(seen.empty());
}

TEST_F(Pull, FollowsARedirectOfABlobWithoutCredentials) {
    push();
    fake_.require(FakeRegistry::Auth::basic, "user", "pw");
    std::vector<TestRequest> seen;
    TestServer store([&](const TestRequest& request) {
        seen.push_back(request);
        TestResponse response;
        response.body = module_;
        return response;
    });
    fault(layer(), 100, [&](TestResponse& r) {
        if (r.status == 200) {
            r = TestResponse();
            r.status = 307;
            r.headers.add("Location", store.url("/signed"));
        }
    });
    auto outcome = node_.pull(reference(), {entry("user", "pw")});
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].headers.find("Authorization"), std::nullopt);
}

TEST_F(Pull, DownloadsADigestOnceForConcurrentCallers) {
    push();
    fake_.forget_log();
    int done = 0;
    auto one = [&]() -> async::Task<void> {
        PullRequest request{*parse_reference(reference()), {}, "", {}};
        auto outcome = co_await node_.puller->pull(std::move(request));
        EXPECT_TRUE(outcome) << format_as(outcome.error());
        ++done;
    };
    auto all = [&]() -> async::Task<void> {
        async::Scope scope(co_await async::current_executor());
        for (int i = 0; i < 4; ++i) {
            scope.spawn("pull", one());
        }
        EXPECT_TRUE(co_await scope.join());
    };
    node_.run(all());
    EXPECT_EQ(done, 4);
    int gets = 0;
    for (const TestRequest& request : fake_.log()) {
        gets += request.method == "GET" && request.target.find(layer()) != std::string::npos;
    }
    EXPECT_EQ(gets, 1);
}

TEST_F(Pull, UsesAMirrorAndFallsBackToTheOrigin) {
    push();
    FakeRegistry mirror;
    RegistrySettings settings;
    RegistryHost host;
    host.host = "upstream.test";
    host.mirrors = {mirror.authority() + "/cache", fake_.authority()};
    settings.hosts.push_back(host);
    Node node(std::move(settings));
    auto outcome = node.pull("upstream.test/app:v1");
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_GE(mirror.count("/v2/cache/app/manifests/v1"), 1);
    EXPECT_EQ(outcome->image.stored.name, "upstream.test/app");
}

TEST_F(Pull, ReportsProgress) {
    push();
    std::uint64_t last = 0;
    std::uint64_t total = 0;
    PullRequest request{*parse_reference(reference()), {}, "", [&](const BlobProgress& progress) {
                            EXPECT_GE(progress.done, last);
                            last = progress.done;
                            total = progress.total;
                        }};
    ASSERT_TRUE(node_.run(node_.puller->pull(std::move(request))));
    EXPECT_EQ(last, module_.size());
    EXPECT_EQ(total, module_.size());
}

TEST_F(Pull, ReplacesABlobThatWentBadOnDisk) {
    push();
    auto first = node_.pull(reference());
    ASSERT_TRUE(first);
    fs::path path = first->image.paths.at(0);
    std::string bad = module_;
    bad[500] ^= 1;
    std::ofstream(path, std::ios::binary) << bad;
    auto look = node_.run(node_.puller->inspect(first->image.stored, ""));
    EXPECT_EQ(look.error().code, Code::not_found);
    EXPECT_FALSE(fs::exists(path));
    ASSERT_TRUE(node_.pull(reference()));
    EXPECT_TRUE(read_text(path) == module_);
}

TEST_F(Pull, StartsFromDiskAfterARestart) {
    push();
    auto first = node_.pull(reference());
    ASSERT_TRUE(first);
    node_.restart();
    auto stored = node_.store->find(*parse_reference(reference()));
    ASSERT_TRUE(stored);
    auto look = node_.run(node_.puller->inspect(*stored, ""));
    ASSERT_TRUE(look) << format_as(look.error());
    EXPECT_EQ(look->paths, first->image.paths);
    EXPECT_EQ(look->stored.size, first->image.stored.size);
}

TEST_F(Pull, FindsTheSizeOfAnEntryThatHasNone) {
    push();
    auto first = node_.pull(reference());
    ASSERT_TRUE(first);
    ASSERT_GT(first->image.stored.size.value, module_.size());
    fs::path index = node_.store->root() / "index.json";
    std::string text = read_text(index);
    auto at = text.find("dev.skiff.image.size");
    ASSERT_NE(at, std::string::npos);
    text.replace(at, 20, "dev.skiff.image.none");
    std::ofstream(index) << text;
    node_.restart();
    auto stored = node_.store->find(*parse_reference(reference()));
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->size, first->image.stored.size);
}

TEST_F(Pull, KeepsTheBlobsWhenTheIndexIsCorrupt) {
    push();
    ASSERT_TRUE(node_.pull(reference()));
    std::ofstream(node_.store->root() / "index.json") << "{ broken";
    node_.restart();
    EXPECT_TRUE(node_.store->list().empty());
    fake_.forget_log();
    ASSERT_TRUE(node_.pull(reference()));
    for (const TestRequest& request : fake_.log()) {
        EXPECT_FALSE(request.method == "GET" && request.target.find(layer()) != std::string::npos);
    }
}

TEST_F(Pull, CollectsWhatNoNameLeadsTo) {
    push();
    auto outcome = node_.pull(reference());
    ASSERT_TRUE(outcome);
    EXPECT_EQ(node_.run(node_.store->collect())->value, 0U);
    ASSERT_TRUE(fs::exists(outcome->image.paths.at(0)));
    ASSERT_TRUE(node_.run(node_.store->remove(outcome->image.stored.reference)));
    EXPECT_GT(node_.run(node_.store->collect())->value, module_.size());
    EXPECT_FALSE(fs::exists(outcome->image.paths.at(0)));
    EXPECT_EQ(node_.run(node_.store->remove("x")).error().code, Code::not_found);
}

// --- loading from files ---

TEST_F(Pull, LoadsABareModule) {
    fs::path file = node_.folder.path() / "My App.wasm";
    std::ofstream(file, std::ios::binary) << module_;
    auto loaded = node_.run(load_image(*node_.store, LoadRequest{file.string(), ""}));
    ASSERT_TRUE(loaded) << format_as(loaded.error());
    EXPECT_EQ(loaded->reference, "localhost/my-app:latest");
    auto image = node_.run(node_.puller->inspect(*loaded, ""));
    ASSERT_TRUE(image) << format_as(image.error());
    // A blank cannot stand in a name of ours: the repository gives it.
    EXPECT_EQ(image->recipe.module_name, "my-app.wasm");
    EXPECT_TRUE(read_text(image->paths.at(0)) == module_);
}

TEST_F(Pull, LoadsAnOciLayoutAndItsArchive) {
    push();
    ASSERT_TRUE(node_.pull(reference()));
    Node other;
    std::string layout = node_.store->root().string();
    auto loaded = other.run(load_image(*other.store, LoadRequest{layout, "copy.test/app:2"}));
    ASSERT_TRUE(loaded) << format_as(loaded.error());
    EXPECT_TRUE(other.run(other.puller->inspect(*loaded, "")));
    fs::path archive = node_.folder.path() / "a.tar";
    std::string command =
        "tar -C " + layout + " -cf " + archive.string() + " oci-layout index.json blobs";
    ASSERT_EQ(std::system(command.c_str()), 0);
    Node third;
    auto from_tar = third.run(load_image(*third.store, LoadRequest{archive.string(), ""}));
    ASSERT_TRUE(from_tar) << format_as(from_tar.error());
    EXPECT_EQ(from_tar->reference, "localhost/a:latest");
    EXPECT_EQ(third.run(load_image(*third.store, LoadRequest{layout + ":none", ""})).error().code,
              Code::not_found);
    std::ofstream(archive) << "neither";
    EXPECT_FALSE(third.run(load_image(*third.store, LoadRequest{archive.string(), ""})));
}

}  // namespace
}  // namespace skiff::images
