// The parts without I/O: references, documents, formats, credentials, challenges.
#include <gtest/gtest.h>

#include "base/text.h"
#include "images/challenge.h"
#include "images/credentials.h"
#include "images/formats.h"
#include "images/oci.h"
#include "images/reference.h"

namespace skiff::images {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, FillsInDockersDefaults) {
    EXPECT_EQ(parse_reference("nginx")->str(), "docker.io/library/nginx:latest");
    EXPECT_EQ(parse_reference("user/app:1")->str(), "docker.io/user/app:1");
    EXPECT_EQ(parse_reference("index.docker.io/nginx")->str(), "docker.io/library/nginx:latest");
    EXPECT_EQ(parse_reference("localhost/app")->str(), "localhost/app:latest");
    EXPECT_EQ(parse_reference("r.example:5000/a/b__c/d--e:T.1-x")->str(),
              "r.example:5000/a/b__c/d--e:T.1-x");
    EXPECT_EQ(parse_reference("[::1]:5000/a")->str(), "[::1]:5000/a:latest");
}

TEST(Reference, LetsTheDigestWinOverTheTag) {
    auto reference = parse_reference("r.example/a:1@sha256:" + kHex);
    ASSERT_TRUE(reference);
    EXPECT_EQ(reference->manifest_key(), "sha256:" + kHex);
    EXPECT_EQ(reference->str(), "r.example/a:1@sha256:" + kHex);
    EXPECT_EQ(parse_reference("r.example/a@sha256:" + kHex)->tag, "");
}

TEST(Reference, RefusesWhatDockerRefuses) {
    for (const std::string& text : {std::string(),
                                    std::string("UPPER"),
                                    std::string("a//b"),
                                    std::string("a/../b"),
                                    std::string("r.example:0/a"),
                                    std::string("r.example:99999/a"),
                                    std::string("a:"),
                                    std::string("a:-x"),
                                    std::string("a@sha256:../../x"),
                                    std::string("a@md5:00"),
                                    std::string("a b"),
                                    std::string("-a"),
                                    std::string("a_"),
                                    std::string("a..b"),
                                    std::string("r.example/"),
                                    std::string("http://r/a"),
                                    kHex,
                                    std::string(300, 'a'),
                                    "a:" + std::string(129, 't'),
                                    std::string("r_x.example/a"),
                                    std::string("a\nb")}) {
        EXPECT_FALSE(parse_reference(text)) << text;
    }
}

TEST(Digest, IsParsedStrictly) {
    EXPECT_TRUE(Digest::parse("sha256:" + kHex));
    for (const std::string& text :
         {"sha256:" + std::string(64, 'A'), "sha256:" + kHex + "a", "sha256:../" + kHex.substr(3),
          "sha512:" + kHex, "sha1:" + std::string(40, 'a'), std::string("sha256"), kHex}) {
        EXPECT_FALSE(Digest::parse(text)) << text;
    }
    EXPECT_EQ(digest_of("abc").str(),
              "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

std::string descriptor(const std::string& type, const std::string& rest = "") {
    return R"({"mediaType":")" + type + R"(","digest":"sha256:)" + kHex + R"(","size":3)" + rest +
           "}";
}

std::string manifest(const std::string& config, const std::string& layers,
                     const std::string& rest = "") {
    return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
           descriptor(config) + R"(,"layers":[)" + layers + "]" + rest + "}";
}

Manifest parsed(const std::string& json) {
    auto document = parse_document(json, "");
    EXPECT_TRUE(document) << format_as(document.error());
    return std::get<Manifest>(*document);
}

TEST(Document, RefusesHostileManifests) {
    std::string layer = descriptor("application/wasm");
    std::string good = manifest("application/vnd.wasm.config.v0+json", layer);
    EXPECT_TRUE(parse_document(good, ""));
    std::string both = good;
    both.insert(1, R"("manifests":[],)");
    EXPECT_EQ(parse_document(both, "").error().code, Code::invalid);
    std::string huge = good;
    huge.replace(huge.rfind("\"size\":3"), 8, "\"size\":9223372036854775807");
    EXPECT_FALSE(parse_document(huge, ""));
    std::string negative = good;
    negative.replace(negative.rfind("\"size\":3"), 8, "\"size\":-1");
    EXPECT_FALSE(parse_document(negative, ""));
    std::string many = layer;
    for (int i = 0; i < 127; ++i) {
        many += "," + layer;
    }
    EXPECT_FALSE(parse_document(manifest("x", many), ""));
    std::string deep;
    for (int i = 0; i < 100; ++i) {
        deep += R"({"a":)";
    }
    EXPECT_FALSE(parse_document(deep + "1" + std::string(100, '}'), ""));
    EXPECT_FALSE(parse_document("[]", ""));
    EXPECT_EQ(parse_document(R"({"schemaVersion":1,"fsLayers":[]})", "").error().code,
              Code::unsupported);
}

Index index_of(const std::vector<std::string>& platforms) {
    std::string entries;
    for (const std::string& platform : platforms) {
        auto parts = split(platform, '/');
        entries += entries.empty() ? "" : ",";
        entries += descriptor("application/vnd.oci.image.manifest.v1+json",
                              R"(,"platform":{"os":")" + std::string(parts[0]) +
                                  R"(","architecture":")" + std::string(parts[1]) + R"("})");
    }
    auto document = parse_document(R"({"schemaVersion":2,"manifests":[)" + entries + "]}",
                                   "application/vnd.oci.image.index.v1+json; charset=utf-8");
    return std::get<Index>(*document);
}

TEST(Platform, IsChosenInTheOrderOfTheDocs) {
    auto choose = [](const std::vector<std::string>& platforms) {
        Index index = index_of(platforms);
        const Descriptor* chosen = select_platform(index);
        return chosen == nullptr ? std::string() : format_as(*chosen->platform);
    };
    EXPECT_EQ(choose({"linux/amd64", "wasi/wasm", "wasip1/wasm", "wasip2/wasm"}), "wasip2/wasm");
    EXPECT_EQ(choose({"linux/wasm", "wasi/wasm32", "wasi/wasm"}), "wasi/wasm");
    EXPECT_EQ(choose({"linux/amd64", "linux/wasm"}), "linux/wasm");
    EXPECT_EQ(choose({"linux/amd64", "unknown/unknown"}), "linux/amd64");
    EXPECT_EQ(choose({"linux/amd64", "linux/arm64"}), "");
    auto error = no_platform(index_of({"linux/amd64", "linux/arm64"}));
    EXPECT_NE(error.message.find("linux/amd64, linux/arm64"), std::string::npos);
}

TEST(Platform, ForAVolumeAnyWillDo) {
    auto choose = [](const std::vector<std::string>& platforms) {
        Index index = index_of(platforms);
        const Descriptor* chosen = select_platform(index, Purpose::volume);
        return chosen == nullptr ? std::string() : format_as(*chosen->platform);
    };
    EXPECT_EQ(choose({"linux/amd64", "wasi/wasm", "linux/arm64"}), "wasi/wasm");
    std::string here = choose({"linux/s390x", "linux/amd64", "linux/arm64"});
    EXPECT_TRUE(here == "linux/amd64" || here == "linux/arm64") << here;
    EXPECT_EQ(choose({"unknown/unknown", "linux/s390x", "windows/amd64"}), "linux/s390x");
    EXPECT_EQ(choose({"unknown/unknown"}), "");
}

Result<Recipe> classified(const std::string& json, const std::string& config = "{}",
                          const std::string& command = "") {
    Manifest document = parsed(json);
    auto image = parse_image_document(config);
    return classify(Candidate{document, *image, "team/tool", command});
}

TEST(Formats, RecognisesEachKindOfArtifact) {
    const std::pair<const char*, const char*> kKinds[] = {
        {"application/vnd.wasm.config.v0+json", "application/wasm"},
        {"application/vnd.oci.image.config.v1+json",
         "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"},
        {"application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"},
        {"application/vnd.oci.image.config.v1+json", "application/wasm"},
        {"application/octet-stream", "application/vnd.module.wasm.content.layer.v1+wasm"},
    };
    for (const auto& [config, layer] : kKinds) {
        auto recipe = classified(manifest(config, descriptor(layer)));
        ASSERT_TRUE(recipe) << config << " " << layer;
        EXPECT_EQ(recipe->kind, Kind::artifact);
        EXPECT_EQ(recipe->module_name, "tool.wasm");
    }
}

TEST(Formats, TakesTheTitleAsNameButNeverAsPath) {
    auto named = [](const std::string& title) {
        std::string annotations =
            R"(,"annotations":{"org.opencontainers.image.title":")" + title + R"("})";
        std::string layer = descriptor("application/wasm", annotations);
        return classified(manifest("application/vnd.wasm.config.v0+json", layer))->module_name;
    };
    EXPECT_EQ(named("hello.wasm"), "hello.wasm");
    EXPECT_EQ(named("../../etc/passwd"), "passwd");
    EXPECT_EQ(named(".."), "tool.wasm");
    EXPECT_EQ(named("a b"), "tool.wasm");
}

// Contract row 67.
TEST(Formats, ForAVolumeTakesLinuxImagesAndAnyArtifact) {
    auto for_volume = [](const std::string& json, const std::string& config) {
        Manifest document = parsed(json);
        auto image = parse_image_document(config);
        return classify(Candidate{document, *image, "team/tool", "", Purpose::volume});
    };
    std::string layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
    std::string image = manifest("application/vnd.oci.image.config.v1+json", layer);
    std::string config =
        R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:)" + kHex + R"("]}})";
    auto tree = for_volume(image, config);
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(tree->kind, Kind::layered);
    EXPECT_EQ(for_volume(image, "{}").error().code, Code::invalid) << "no diff id";

    std::string titled = descriptor("application/octet-stream",
                                    R"(,"annotations":{"org.opencontainers.image.title":"a/b"})");
    auto files = for_volume(
        manifest("application/vnd.oci.empty.v1+json",
                 titled + "," + descriptor("text/plain") + "," + descriptor("application/wasm")),
        "{}");
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->kind, Kind::files);
    EXPECT_EQ(files->names, (std::vector<std::string>{"a/b", kHex, "tool.wasm"}));
}

TEST(Formats, RefusesArtifactsOfSeveralLayersAndSpin) {
    std::string layer = descriptor("application/wasm");
    auto two = classified(manifest("application/vnd.wasm.config.v0+json", layer + "," + layer));
    EXPECT_EQ(two.error().code, Code::unsupported);
    EXPECT_NE(two.error().message.find("2 layers"), std::string::npos);
    std::string app = descriptor("application/vnd.fermyon.spin.application.v1+config");
    auto spin =
        classified(manifest("application/vnd.oci.image.config.v1+json",
                            descriptor("application/vnd.wasm.content.layer.v1+wasm") + "," + app));
    EXPECT_NE(spin.error().message.find("Spin"), std::string::npos);
}

TEST(Formats, TellsLayeredWasmImagesFromLinuxImages) {
    std::string layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
    std::string plain = manifest("application/vnd.oci.image.config.v1+json", layer);
    std::string ids = R"(,"rootfs":{"diff_ids":["sha256:)" + kHex + R"("]})";
    auto config = [&](const std::string& platform, const std::string& entrypoint) {
        return R"({"os":"linux","architecture":")" + platform + R"(","config":{"Entrypoint":[")" +
               entrypoint + R"("],"Cmd":["x"],"User":"5"})" + ids + "}";
    };
    auto wasm = classified(plain, config("amd64", "/app.wasm"));
    ASSERT_TRUE(wasm);
    EXPECT_EQ(wasm->kind, Kind::layered);
    EXPECT_EQ(wasm->config.user, "5");
    EXPECT_TRUE(classified(plain, config("amd64", "/app.wasm#run")));
    EXPECT_TRUE(classified(plain, config("wasm", "/app")));
    EXPECT_TRUE(classified(plain, config("amd64", "/bin/sh"), "/app.wasm"));
    auto variant = [&](const std::string& value) {
        return manifest("application/vnd.oci.image.config.v1+json", layer,
                        R"(,"annotations":{"module.wasm.image/variant":")" + value + R"("})");
    };
    EXPECT_TRUE(classified(variant("compat"), config("amd64", "/app")));
    EXPECT_FALSE(classified(variant("compat-smart"), config("amd64", "/app")));
    auto linux = classified(plain, config("amd64", "/bin/sh"));
    ASSERT_FALSE(linux);
    EXPECT_EQ(linux.error().code, Code::unsupported);
    EXPECT_NE(linux.error().message.find("Linux image (linux/amd64, command \"/bin/sh x\")"),
              std::string::npos)
        << linux.error().message;
}

TEST(Credentials, AreReadFromBothFormats) {
    auto config = parse_docker_config(
        R"({"auths":{"https://index.docker.io/v1/":{"auth":")" + base64_encode("u:p:w") +
            R"("},"r.example:5000/team":{"username":"a","password":"b"},"empty.example":{},)"
            R"("t.example":{"auth":")" +
            base64_encode("00000000-0000:x") +
            R"(","identitytoken":"tok"}},"credHelpers":{"x":"y"}})",
        ConfigFormat::config_json, "ns/secret/uid");
    ASSERT_TRUE(config);
    ASSERT_EQ(config->size(), 3U);
    EXPECT_EQ((*config)[0].pattern, "docker.io");
    EXPECT_EQ((*config)[0].credential.username, "u");
    EXPECT_EQ((*config)[0].credential.password, "p:w");
    EXPECT_EQ((*config)[2].credential.identity_token, "tok");
    EXPECT_EQ((*config)[2].credential.username, "");
    auto old = parse_docker_config(R"({"https://r.example":{"username":"a","password":"b"}})",
                                   ConfigFormat::dockercfg, "");
    EXPECT_EQ(old->at(0).pattern, "r.example");
    EXPECT_FALSE(parse_docker_config("{", ConfigFormat::config_json, ""));
    EXPECT_FALSE(parse_docker_config(std::string(2U << 20, ' '), ConfigFormat::config_json, ""));
}

TEST(Credentials, HelpersAreNamedForTheyAreNotRun) {
    auto names = named_helpers(
        R"({"auths":{},"credsStore":"desktop","credHelpers":{"a.example":"ecr-login",)"
        R"("b.example":"ecr-login","c.example":7}})");
    EXPECT_EQ(names, (std::vector<std::string>{"docker-credential-desktop",
                                               "docker-credential-ecr-login"}));
    EXPECT_TRUE(named_helpers(R"({"auths":{}})").empty());
    EXPECT_TRUE(named_helpers("{").empty());
}

TEST(Credentials, MatchByHostPartsAndWholePathComponents) {
    EXPECT_TRUE(matches("docker.io", "docker.io/library/x"));
    EXPECT_TRUE(matches("*.example.com", "a.example.com/x"));
    EXPECT_FALSE(matches("*.example.com", "a.b.example.com/x"));
    EXPECT_FALSE(matches("example.com", "example.com:5000/x"));
    EXPECT_TRUE(matches("example.com:5000/team", "example.com:5000/team/x"));
    EXPECT_FALSE(matches("example.com/team", "example.com/team2/x"));
    EXPECT_FALSE(matches("*", "example.com/x"));
    std::vector<CredentialEntry> entries = {
        {"r.example", {"a", "1", "", ""}, ""},
        {"r.example/team", {"b", "2", "", ""}, ""},
        {"other.example", {"c", "3", "", ""}, ""},
    };
    auto found = find_credentials(entries, "r.example/team/x");
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].credential.username, "b");
}

TEST(Challenge, IsParsedWithQuotesAndSeveralSchemes) {
    auto list = parse_challenges(
        R"(Bearer realm="https://auth.example/t?x=a,b",service="r \"q\"",scope="repository:a/b:pull", Basic realm="x")");
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].scheme, "bearer");
    EXPECT_EQ(list[0].parameters.at("realm"), "https://auth.example/t?x=a,b");
    EXPECT_EQ(list[0].parameters.at("service"), "r \"q\"");
    EXPECT_EQ(list[1].scheme, "basic");
    EXPECT_TRUE(parse_challenges("").empty());
    EXPECT_EQ(parse_challenges("Negotiate").at(0).scheme, "negotiate");
    EXPECT_EQ(parse_challenges("Bearer realm=\"unterminated").size(), 1U);
    EXPECT_TRUE(parse_challenges(",,,===\"\"").empty());
}

TEST(Realm, GetsCredentialsOnlyWhenItBelongsToTheRegistry) {
    auto trusted = [](const char* registry, const char* realm) {
        return realm_may_see_credentials(*http::parse_url(registry), *http::parse_url(realm));
    };
    EXPECT_TRUE(trusted("https://registry-1.docker.io/", "https://auth.docker.io/token"));
    EXPECT_TRUE(trusted("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth"));
    EXPECT_TRUE(trusted("https://r.example/", "https://r.example:8443/token"));
    EXPECT_TRUE(trusted("http://127.0.0.1:5000/", "http://127.0.0.1:5000/token"));
    EXPECT_FALSE(trusted("https://r.example/", "http://r.example/token"));
    EXPECT_FALSE(trusted("https://r.example/", "https://evil.test/token"));
    EXPECT_FALSE(trusted("https://a.co.uk/", "https://b.co.uk/token"));
    EXPECT_FALSE(trusted("https://me.github.io/", "https://you.github.io/token"));
    EXPECT_FALSE(trusted("https://10.0.0.1/", "https://10.0.0.2/token"));
    EXPECT_FALSE(trusted("http://127.0.0.1:5000/", "http://127.0.0.1:6000/token"));
}

}  // namespace
}  // namespace skiff::images
