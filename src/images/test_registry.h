// For tests: registries to pull from (a fake with faults, the real docker-registry), a way to push,
// and everything a pull needs.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "async/scope.h"
#include "base/text.h"
#include "http/client.h"
#include "http/test_server.h"
#include "images/puller.h"
#include "os/file.h"

namespace skiff::images::testing {

namespace fs = std::filesystem;
using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = fs::temp_directory_path() / "skiff-images-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) {
            std::abort();
        }
        path_ = pattern;
    }
    ~TemporaryFolder() { (void)os::remove_tree(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

// The distribution protocol over maps. Push and pull; authentication and faults to order.
class FakeRegistry {
public:
    enum class Auth { none, basic, bearer };

    // A fault for targets that contain `part`: `answer` changes the response; it holds for `times`
    // requests.
    struct Fault {
        std::string part;
        int times = 0;
        std::function<void(TestResponse&)> answer;
    };

    FakeRegistry() : server_([this](const TestRequest& request) { return answer(request); }) {}

    [[nodiscard]] std::string authority() const { return server_.authority(); }
    void require(Auth auth, std::string user, std::string password) {
        auth_ = auth;
        user_password_ = user + ":" + password;
    }
    void set_realm(std::string realm) { realm_ = std::move(realm); }
    void add_fault(Fault fault) { faults_.push_back(std::move(fault)); }
    // Requests whose target contains `part`.
    [[nodiscard]] int count(const std::string& part) const {
        return static_cast<int>(std::count_if(log_.begin(), log_.end(), [&](const TestRequest& r) {
            return r.target.find(part) != std::string::npos;
        }));
    }
    [[nodiscard]] const std::vector<TestRequest>& log() const { return log_; }
    void forget_log() { log_.clear(); }

private:
    TestResponse answer(TestRequest request) {
        log_.push_back(request);
        if (request.target.starts_with("http://")) {
            // The absolute form, as proxies get it.
            request.target.erase(0, request.target.find('/', 7));
        }
        TestResponse response = answer_rightly(request);
        for (Fault& fault : faults_) {
            if (fault.times > 0 && request.target.find(fault.part) != std::string::npos) {
                --fault.times;
                fault.answer(response);
                break;
            }
        }
        return response;
    }

    static TestResponse simple(int status, std::string body = "") {
        TestResponse response;
        response.status = status;
        response.body = std::move(body);
        return response;
    }

    TestResponse answer_rightly(const TestRequest& request) {
        std::string target = request.target.substr(0, request.target.find('?'));
        std::string authorization = request.headers.find("Authorization").value_or("");
        if (target == "/token") {
            bool good = authorization == "Basic " + base64_encode(user_password_);
            bool identity = request.method == "POST" &&
                            request.body.find("refresh_token=identity") != std::string::npos;
            return good || identity ? simple(200, R"({"token":"opaque","expires_in":300})")
                                    : simple(401);
        }
        bool reading = request.method == "GET" || request.method == "HEAD";
        if (reading && !authorized(authorization)) {
            TestResponse response = simple(401, R"({"errors":[{"message":"log in first"}]})");
            std::string realm = realm_.empty() ? server_.url("/token") : realm_;
            response.headers.add("WWW-Authenticate",
                                 auth_ == Auth::basic
                                     ? std::string("Basic realm=\"r\"")
                                     : "Bearer realm=\"" + realm +
                                           "\",service=\"fake\",scope=\"repository:x:pull\"");
            return response;
        }
        if (target.find("/blobs/uploads/") != std::string::npos) {
            return upload(request);
        }
        if (auto at = target.find("/manifests/"); at != std::string::npos) {
            return manifest(request, target.substr(0, at), target.substr(at + 11));
        }
        if (auto at = target.find("/blobs/"); at != std::string::npos) {
            return blob(request, target.substr(0, at) + "@" + target.substr(at + 7));
        }
        return simple(404);
    }

    bool authorized(const std::string& authorization) const {
        if (auth_ == Auth::none) {
            return true;
        }
        return authorization == (auth_ == Auth::basic ? "Basic " + base64_encode(user_password_)
                                                      : std::string("Bearer opaque"));
    }

    TestResponse upload(const TestRequest& request) {
        if (request.method == "POST") {
            TestResponse response = simple(202);
            response.headers.add("Location", request.target + "1");
            return response;
        }
        auto at = request.target.find("digest=");
        std::string digest = request.target.substr(at + 7);
        digest.replace(digest.find("%3A"), 3, ":");
        std::string repository = request.target.substr(0, request.target.find("/blobs/"));
        blobs_[repository + "@" + digest] = request.body;
        return simple(201);
    }

    TestResponse manifest(const TestRequest& request, const std::string& repository,
                          const std::string& key) {
        if (request.method == "PUT") {
            auto type = request.headers.find("Content-Type").value_or("");
            manifests_[repository + ":" + key] = {type, request.body};
            manifests_[repository + ":" + digest_of(request.body).str()] = {type, request.body};
            return simple(201);
        }
        auto found = manifests_.find(repository + ":" + key);
        if (found == manifests_.end()) {
            return simple(404, R"({"errors":[{"message":"manifest unknown"}]})");
        }
        TestResponse response = simple(200, found->second.second);
        response.headers.add("Content-Type", found->second.first);
        response.headers.add("Docker-Content-Digest", digest_of(found->second.second).str());
        return response;
    }

    TestResponse blob(const TestRequest& request, const std::string& key) {
        auto found = blobs_.find(key);
        if (found == blobs_.end()) {
            return simple(404);
        }
        TestResponse response = simple(200, found->second);
        std::string range = request.headers.find("Range").value_or("");
        if (range.starts_with("bytes=")) {
            auto start = *parse_uint(range.substr(6, range.size() - 7));
            response.status = 206;
            response.headers.add("Content-Range",
                                 fmt::format("bytes {}-{}/{}", start, response.body.size() - 1,
                                             response.body.size()));
            response.body = response.body.substr(start);
        }
        return response;
    }

    Auth auth_ = Auth::none;
    std::string user_password_;
    std::string realm_;
    std::vector<Fault> faults_;
    std::vector<TestRequest> log_;
    std::map<std::string, std::pair<std::string, std::string>> manifests_;
    std::map<std::string, std::string> blobs_;
    // Last: its threads use all of the above.
    TestServer server_;
};

// Debian's docker-registry on a loopback port; absent where the program is not installed.
class RealRegistry {
public:
    [[nodiscard]] static bool installed() { return ::access(kProgram, X_OK) == 0; }

    RealRegistry() {
        {
            TestServer probe([](const TestRequest&) { return TestResponse{}; });
            authority_ = probe.authority();
        }
        fs::path config = folder_.path() / "config.yml";
        std::ofstream(config) << "version: 0.1\nlog: {level: error}\nstorage:\n  filesystem:\n"
                                 "    rootdirectory: "
                              << (folder_.path() / "store").string()
                              << "\nhttp:\n  addr: " << authority_ << "\n";
        pid_ = ::fork();
        if (pid_ == 0) {
            int null = ::open("/dev/null", O_RDWR);
            ::dup2(null, 1);
            ::dup2(null, 2);
            ::execl(kProgram, kProgram, "serve", config.c_str(), nullptr);
            ::_exit(127);
        }
    }
    ~RealRegistry() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    RealRegistry(const RealRegistry&) = delete;
    RealRegistry& operator=(const RealRegistry&) = delete;
    [[nodiscard]] std::string authority() const { return authority_; }

private:
    static constexpr const char* kProgram = "/usr/bin/docker-registry";
    TemporaryFolder folder_;
    std::string authority_;
    pid_t pid_ = -1;
};

// A node's image rooms on a temporary folder, and a way to push to a registry.
class Node {
public:
    enum class Proxies { none, of_environment };
    explicit Node(RegistrySettings settings = {}, Proxies proxies = Proxies::none,
                  DownloadLimits own_limits = {})
        : limits(own_limits) {
        settings.retry.first = std::chrono::milliseconds(1);
        settings.retry.longest = std::chrono::milliseconds(2);
        settings.retry.retry_after_max = std::chrono::milliseconds(2);
        settings.proxy = proxies == Proxies::none ? std::optional<std::string>("") : std::nullopt;
        registry = std::make_unique<Registry>(client, random, std::move(settings));
        auto opened = async::run_to_end(reactor, Store::open(pool, folder.path() / "images"));
        EXPECT_TRUE(opened) << format_as(opened.error());
        store = std::move(*opened);
        downloads = std::make_unique<Downloads>(reactor.executor(), *store, *registry, limits);
        puller = std::make_unique<Puller>(*store, *registry, *downloads, clock, 4);
    }
    ~Node() { async::run_to_end(reactor, downloads->stop()); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    template <typename T>
    T run(async::Task<T> task) {
        std::optional<T> result;
        auto body = [&]() -> async::Task<void> { result.emplace(co_await std::move(task)); };
        async::run_to_end(reactor, body());
        return std::move(*result);
    }
    void run(async::Task<void> task) { async::run_to_end(reactor, std::move(task)); }

    // Forgets all memory, as a restarted agent.
    void restart() {
        run(downloads->stop());
        puller.reset();
        downloads.reset();
        store = std::move(*run(Store::open(pool, folder.path() / "images")));
        downloads = std::make_unique<Downloads>(reactor.executor(), *store, *registry, limits);
        puller = std::make_unique<Puller>(*store, *registry, *downloads, clock, 4);
    }

    Result<PullOutcome> pull(const std::string& reference,
                             std::vector<CredentialEntry> credentials = {},
                             std::string command = "") {
        PullRequest request{
            *parse_reference(reference), std::move(credentials), std::move(command), {}};
        return run(puller->pull(std::move(request)));
    }

    http::Response send(const std::string& method, const std::string& url, const std::string& body,
                        const std::string& type) {
        http::Request request;
        request.method = method;
        request.url = url;
        request.body = body;
        request.proxy = "";
        request.headers.add("Content-Type", type);
        auto response = run(client.fetch(std::move(request)));
        EXPECT_TRUE(response) << format_as(response.error());
        return response ? *response : http::Response();
    }

    Descriptor push_blob(const std::string& registry_url, const std::string& repository,
                         const std::string& bytes, const std::string& type) {
        std::string base = "http://" + registry_url + "/v2/" + repository + "/blobs/uploads/";
        auto begun = send("POST", base, "", "application/octet-stream");
        auto location =
            http::resolve_url(*http::parse_url(base), begun.headers.find("Location").value_or(""));
        Digest digest = digest_of(bytes);
        EXPECT_TRUE(location) << begun.status << begun.body;
        if (location) {
            location->add_query("digest", digest.str());
            auto done = send("PUT", location->str(), bytes, "application/octet-stream");
            EXPECT_EQ(done.status, 201) << done.body;
        }
        return Descriptor{type, digest, bytes.size(), {}, std::nullopt, {}};
    }

    // Returns the manifest's digest.
    Digest push_document(const std::string& registry_url, const std::string& repository,
                         const std::string& key, const std::string& json,
                         std::string_view type = kOciManifest) {
        auto done =
            send("PUT", "http://" + registry_url + "/v2/" + repository + "/manifests/" + key, json,
                 std::string(type));
        EXPECT_EQ(done.status, 201) << done.body;
        return digest_of(json);
    }

    static std::string to_json(const Descriptor& blob) {
        return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", blob.media_type,
                           blob.digest, blob.size);
    }

    static std::string manifest_json(const Descriptor& config,
                                     const std::vector<Descriptor>& layers) {
        std::string list;
        for (const Descriptor& layer : layers) {
            list += (list.empty() ? "" : ",") + to_json(layer);
        }
        return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})",
                           kOciManifest, to_json(config), list);
    }

    // A CNCF Wasm artifact around `module`.
    Digest push_artifact(const std::string& registry_url, const std::string& repository,
                         const std::string& tag, const std::string& module) {
        Descriptor layer = push_blob(registry_url, repository, module, std::string(kWasmLayer));
        std::string config_text = R"({"architecture":"wasm","os":"wasip1","layerDigests":[")" +
                                  layer.digest.str() + "\"]}";
        Descriptor config =
            push_blob(registry_url, repository, config_text, std::string(kWasmConfig));
        return push_document(registry_url, repository, tag, manifest_json(config, {layer}));
    }

    // A module as the only layer under an ordinary image config, as `runwasi` tools push it.
    Digest push_layer_image(const std::string& registry_url, const std::string& repository,
                            const std::string& tag, const std::string& module,
                            const std::string& config_text) {
        Descriptor layer =
            push_blob(registry_url, repository, module,
                      "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm");
        Descriptor config =
            push_blob(registry_url, repository, config_text, std::string(kOciConfig));
        return push_document(registry_url, repository, tag, manifest_json(config, {layer}));
    }

    DownloadLimits limits;
    TemporaryFolder folder;
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 4, 256};
    http::Client client{reactor.executor(), "skiff-test"};
    SeededRandom random{1};
    SystemClock clock;
    std::unique_ptr<Registry> registry;
    std::unique_ptr<Store> store;
    std::unique_ptr<Downloads> downloads;
    std::unique_ptr<Puller> puller;
};

// Bytes that look like a module and compress badly.
inline std::string module_bytes(std::size_t size, std::uint64_t seed = 7) {
    std::string bytes(size, '\0');
    SeededRandom random(seed);
    random.fill(std::as_writable_bytes(std::span(bytes)));
    bytes.replace(0, std::min<std::size_t>(8, size), std::string("\0asm\1\0\0\0", 8));
    return bytes;
}

inline std::string read_text(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace skiff::images::testing
