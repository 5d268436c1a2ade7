// The verbs of the `skiff` program. Each returns the process's exit code and reports its own errors
// on stderr.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "app/events_command.h"
#include "app/local.h"
#include "app/top.h"
#include "app/workload.h"
#include "base/result.h"
#include "config/settings.h"

namespace skiff::app {

// Exit codes of the program itself; `skiff run` otherwise returns its guest's.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
// As podman and docker: the failure is ours, not the guest's.
inline constexpr int kExitCannotRun = 125;
// As a program that the kernel ends because nobody reads its output: 128 + SIGPIPE.
inline constexpr int kExitOutputLost = 141;

struct RunOptions {
    std::string target;  // manifest file, `-`, module, OCI layout, archive, or image reference
    ImageRun image;      // everything but `image` and `name`
    std::string name;    // --name
    std::vector<std::string> plain_http;  // registries without TLS
    std::string pull = "missing";         // always, missing, never
    std::filesystem::path root_dir;       // --root-dir, empty for the user's own
    std::string log_level = "warn";
    bool quiet = false;
    bool remove = true;  // --rm: there is no other way
    config::Settings settings;
};
[[nodiscard]] int run_command(RunOptions options);

struct InspectOptions {
    std::string target;   // module, OCI layout, archive, or image reference
    std::string runtime;  // --runtime; empty: each
    std::string file;     // --file: of a layered image
    OutputFormat format = OutputFormat::table;
    std::vector<std::string> plain_http;
    std::string pull = "missing";
    std::filesystem::path root_dir;
    config::Settings settings;
};
[[nodiscard]] int inspect_command(InspectOptions options);

struct ImageOptions {
    enum class Verb { list, precompile, remove } verb = Verb::list;
    std::vector<std::string> images;
    std::string runtime;  // --runtime; empty: the node's default
    bool all = false;
    OutputFormat format = OutputFormat::table;
    // Whose images: the node's, or those of `skiff run`.
    enum class Whose { node, run } whose = Whose::node;
    bool root_dir_given = false;
    std::vector<std::string> plain_http;  // for Whose::run
    std::filesystem::path own_root_dir;   // --root-dir of Whose::run
    config::Settings settings;            // of the node
};
[[nodiscard]] int image_command(ImageOptions options);

struct NodeOptions {
    config::Settings settings;
    bool standalone = false;
};
[[nodiscard]] int node_command(NodeOptions options);

struct CheckOptions {
    config::Settings settings;
    bool standalone = false;
    OutputFormat format = OutputFormat::table;
};
// kExitFailure when the node would not work.
[[nodiscard]] int check_command(const CheckOptions& options);

struct JoinOptions {
    std::string server;                       // https://host:port, or host:port
    std::string token;                        // "id.secret"
    std::vector<std::string> ca_cert_hashes;  // "sha256:…"
    std::filesystem::path bootstrap_kubeconfig;
};
[[nodiscard]] int join_command(const JoinOptions& options);

enum class ResetScope { running, everything };
[[nodiscard]] int reset_command(const config::Settings& settings, ResetScope scope);

[[nodiscard]] int ps_command(const std::filesystem::path& run_dir, OutputFormat format);
[[nodiscard]] int top_command(const std::filesystem::path& run_dir, OutputFormat format,
                              Watching watching);
[[nodiscard]] int events_command(const std::filesystem::path& run_dir, EventsQuery query);
[[nodiscard]] int logs_command(const std::filesystem::path& run_dir, LogsQuery query);

// What a verb's work came to: a failure is told on stderr, being cancelled is none.
[[nodiscard]] int exit_code_of(const Result<void>& result);
// "skiff: …" on stderr.
void print_error(std::string_view message);
// As fmt::print, which throws when nobody reads: then `text` is lost.
void print_to(std::FILE* file, std::string_view text);

}  // namespace skiff::app
