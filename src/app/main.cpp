// The `skiff` program: reads its command line and calls a verb.
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "app/commands.h"
#include "app/exec_command.h"
#include "base/log.h"
#include "base/log_format.h"
#include "config/fields.h"
#include "wire/grant.h"

namespace skiff::app {
namespace {

std::vector<std::string> engines() {
    return {wire::kEngineNames.begin(), wire::kEngineNames.end()};
}

// Where the command line ends up.
struct CommandLine {
    std::filesystem::path config_file = "/etc/skiff/config.yaml";
    bool config_given = false;
    std::filesystem::path config_dir;
    std::vector<std::pair<const config::Field*, std::string>> flags;
    bool show_config = false;
    NodeOptions node;
    JoinOptions join;
    bool reset_all = false;
    RunOptions run;
    InspectOptions inspect;
    ImageOptions image;
    std::string image_root_dir;
    std::string image_run_dir;
    std::filesystem::path run_dir = "/run/skiff";
    std::string output = "table";
    LogsQuery logs;
    EventsQuery events;
    std::string since;
    bool once = false;  // top
    ExecOptions exec;
};

int report(const Error& error, int code) {
    print_error(format_as(error));
    return code;
}

void add_field_flags(CLI::App& app, CommandLine& line) {
    for (const config::Field& field : config::fields()) {
        if (field.flag.empty()) {
            continue;
        }
        auto take = [&line, &field](const std::string& text) {
            line.flags.emplace_back(&field, text);
        };
        // What Krustlet called it is understood as well.
        std::string names = "--" + field.flag + (field.name == "nodeName" ? ",--node-name" : "");
        CLI::Option* option = app.add_option_function<std::string>(names, take, field.meaning);
        option->type_name(field.type)
            ->group(field.document == config::Document::kubelet ? "Settings of a kubelet"
                                                                : "Settings");
        if (field.type == "true or false") {
            option->expected(0, 1)->default_str("true");
        }
    }
}

void add_config(CLI::App& app, CommandLine& line) {
    app.add_option_function<std::string>(
           "--config",
           [&line](const std::string& path) {
               line.config_file = path;
               line.config_given = true;
           },
           "configuration file (default /etc/skiff/config.yaml)")
        ->type_name("path");
    app.add_option("--config-dir", line.config_dir,
                   "folder of *.conf files that are merged over the configuration file")
        ->type_name("path");
    add_field_flags(app, line);
}

void add_check(CLI::App& root, CommandLine& line) {
    CLI::App* check = root.add_subcommand(
        "check", "find out what keeps this machine from being a node, and how to mend it");
    check->add_flag("--standalone", line.node.standalone, "for a node without an API server");
    check->add_option("-o,--output", line.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    add_config(*check, line);
}

void add_node(CLI::App& root, CommandLine& line) {
    CLI::App* node = root.add_subcommand("node", "join this machine to a cluster, and serve pods");
    add_config(*node, line);
    node->add_flag("--standalone", line.node.standalone,
                   "no API server: run the pods of --pod-manifest-path and --manifest-url");
    node->add_flag("--show-config", line.show_config, "print the effective settings and end");
    CLI::App* join = node->add_subcommand(
        "join", "write the bootstrap kubeconfig for a cluster, as kubeadm join");
    join->add_option("SERVER", line.join.server, "the API server, host:port or https://host:port")
        ->required();
    join->add_option("--token", line.join.token,
                     "bootstrap token (id.secret), or the token of a k3s or RKE2 server "
                     "(K10HASH::USER:PASSWORD)")
        ->required();
    join->add_option("--ca-cert-hash,--discovery-token-ca-cert-hash", line.join.ca_cert_hashes,
                     "sha256:HASH of the cluster's CA public key; a k3s token holds one");
    join->fallthrough();
    CLI::App* reset = node->add_subcommand(
        "reset", "end every pod of this node and remove mounts, namespaces and cgroups");
    reset->add_flag("--all", line.reset_all, "remove state, images and credentials, too");
    reset->fallthrough();
    node->require_subcommand(0, 1);
}

void add_run(CLI::App& root, CommandLine& line) {
    CLI::App* run = root.add_subcommand(
        "run", "run a manifest, an image or a .wasm file here, without a cluster");
    RunOptions& options = line.run;
    run->add_option(
           "TARGET", options.target,
           "FILE.yaml (- for stdin), FILE.wasm, an OCI layout folder or archive, or an image "
           "reference")
        ->required();
    run->add_option("ARGS", options.image.args, "arguments of the module");
    run->add_option("-e,--env", options.image.env, "NAME=VALUE, or NAME to pass on this process's")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    run->add_option("-v,--volume", options.image.volumes, "HOST:CONTAINER[:ro]")
        ->type_name("HOST:CONTAINER")
        ->allow_extra_args(false);
    run->add_option("-p,--publish", options.image.ports,
                    "port of this machine that leads to the guest's; it has a network of its own "
                    "then (as root)")
        ->type_name("[ADDRESS:]HOSTPORT:PORT[/PROTOCOL]")
        ->allow_extra_args(false);
    run->add_flag("-i,--interactive", options.image.interactive, "pass on standard input");
    run->add_flag("-t,--tty", options.image.terminal, "the guest's stdio is this terminal");
    run->add_flag("--rm", options.remove,
                  "accepted for habit: the pod is always removed at its end");
    run->add_option("-m,--memory", options.image.memory, "memory limit (64m, 64Mi)")
        ->type_name("SIZE");
    run->add_option("--cpus", options.image.cpus, "CPU limit (0.5)")->type_name("NUMBER");
    run->add_option("-w,--workdir", options.image.working_dir, "working directory")
        ->type_name("PATH");
    run->add_option("--runtime", options.image.runtime,
                    "wasmtime (native code), pulley or wasmi (interpreters)")
        ->check(CLI::IsMember(engines()));
    run->add_option("--annotation", options.image.annotations,
                    "annotation of the pod, as skiff/egress=none")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    run->add_option("--name", options.name, "name of the pod")->type_name("NAME");
    run->add_option("--pull", options.pull, "always, missing or never")
        ->check(CLI::IsMember({"always", "missing", "never"}));
    run->add_option("--plain-http", options.plain_http, "registry that speaks plain HTTP")
        ->type_name("HOST[:PORT]")
        ->allow_extra_args(false);
    run->add_option("--root-dir", options.root_dir, "where images and compiled modules are kept")
        ->type_name("PATH");
    run->add_option("--log-level", options.log_level, "debug, info, warn or error");
    run->add_flag("-q,--quiet", options.quiet, "only the guest's output and warnings");
}

void add_inspect(CLI::App& root, CommandLine& line) {
    CLI::App* inspect = root.add_subcommand(
        "inspect", "say what a module or image is, imports and would be granted");
    InspectOptions& options = line.inspect;
    inspect
        ->add_option("TARGET", options.target,
                     "FILE.wasm, an OCI layout folder or archive, or an image reference")
        ->required();
    inspect->add_option("--runtime", options.runtime, "only whether this one can run it")
        ->check(CLI::IsMember(engines()));
    inspect->add_option("--file", options.file, "which .wasm file of a layered image")
        ->type_name("PATH");
    inspect->add_option("-o,--output", line.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    inspect->add_option("--pull", options.pull, "always, missing or never")
        ->check(CLI::IsMember({"always", "missing", "never"}));
    inspect->add_option("--plain-http", options.plain_http, "registry that speaks plain HTTP")
        ->type_name("HOST[:PORT]")
        ->allow_extra_args(false);
    inspect->add_option("--root-dir", options.root_dir, "where `skiff run` keeps its images")
        ->type_name("PATH");
}

void add_image(CLI::App& root, CommandLine& line) {
    CLI::App* image = root.add_subcommand("image", "the images of this machine's node");
    ImageOptions& options = line.image;
    CLI::App* list = image->add_subcommand("ls", "list images");
    list->add_option("-o,--output", line.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    CLI::App* precompile = image->add_subcommand(
        "precompile", "compile what pods of an image will start; pulls the image if needed");
    precompile->add_option("IMAGE", options.images, "image references")->required();
    precompile
        ->add_option("--runtime", options.runtime,
                     "wasmtime, pulley or wasmi; what pods without a class get if not given")
        ->check(CLI::IsMember(engines()));
    precompile->add_flag("--all", options.all, "every .wasm file of a layered image");
    CLI::App* remove = image->add_subcommand("rm", "remove images and what was compiled of them");
    remove->add_option("IMAGE", options.images, "image references")->required();
    for (CLI::App* verb : {list, precompile, remove}) {
        verb->add_flag_callback(
            "--run", [&options] { options.whose = ImageOptions::Whose::run; },
            "the images of `skiff run`, not the node's (the default for ordinary users)");
        verb->add_option("--root-dir", line.image_root_dir, "root folder of the node")
            ->type_name("PATH");
        verb->add_option("--run-dir", line.image_run_dir, "run folder of the node")
            ->type_name("PATH");
        verb->add_option_function<std::string>(
                "--config",
                [&line](const std::string& path) {
                    line.config_file = path;
                    line.config_given = true;
                },
                "configuration file of the node")
            ->type_name("PATH");
        verb->add_option("--plain-http", options.plain_http,
                         "with --run: registry that speaks plain HTTP")
            ->type_name("HOST[:PORT]")
            ->allow_extra_args(false);
    }
    image->require_subcommand(1);
}

void add_local(CLI::App& root, CommandLine& line) {
    CLI::App* ps = root.add_subcommand("ps", "list the pods of the node on this machine");
    ps->add_option("-o,--output", line.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    ps->add_option("--run-dir", line.run_dir, "run folder of the node");
    CLI::App* top = root.add_subcommand("top", "show what the node and its containers use now");
    top->add_option("-o,--output", line.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    top->add_flag("--once", line.once, "one picture, also on a terminal");
    top->add_option("--run-dir", line.run_dir, "run folder of the node");
    CLI::App* events = root.add_subcommand(
        "events", "print the latest events of this node, also without a cluster");
    events->add_option("POD", line.events.pod, "only those about this pod");
    events->add_option("-n,--namespace", line.events.ns, "only those in this namespace");
    events->add_flag("-w,--watch", line.events.watch, "go on with what comes");
    events->add_option("-o,--output", line.output, "table, or json: one object a line")
        ->check(CLI::IsMember({"table", "json"}));
    events->add_option("--run-dir", line.run_dir, "run folder of the node");
    CLI::App* logs = root.add_subcommand("logs", "print a container's log");
    logs->add_option("POD", line.logs.pod, "name of the pod")->required();
    logs->add_option("-c,--container", line.logs.container, "container, if there are several");
    logs->add_option("-n,--namespace", line.logs.ns, "namespace of the pod (default: default)");
    logs->add_flag("-f,--follow", line.logs.follow, "go on until the container ends");
    logs->add_flag("-p,--previous", line.logs.previous, "of the instance before a restart");
    logs->add_flag("--timestamps", line.logs.timestamps, "with the time of each line");
    logs->add_option("--tail", line.logs.tail_lines, "only the last lines");
    logs->add_option("--since", line.since, "only what is newer (5s, 2m, 3h)");
    logs->add_option("--run-dir", line.run_dir, "run folder of the node");
}

void add_exec(CLI::App& root, CommandLine& line) {
    CLI::App* exec = root.add_subcommand("exec", "run a command in a container of this node");
    ExecOptions& options = line.exec;
    exec->add_option("POD", options.pod, "name of the pod")->required();
    exec->add_option("COMMAND", options.command,
                     "a .wasm file of the container's image, or a command of the toolbox (ls, "
                     "cat, env and so on), and its arguments")
        ->required();
    exec->add_option("-c,--container", options.container,
                     "container (default: as kubectl chooses, else the first)");
    exec->add_option("-n,--namespace", options.ns, "namespace of the pod (default: default)");
    exec->add_flag("-i,--stdin", options.interactive, "pass on standard input");
    exec->add_flag("-t,--tty", options.terminal, "the command's stdio is this terminal");
    exec->add_option("--run-dir", line.run_dir, "run folder of the node");
}

// What follows the target of `skiff run` belongs to the guest, options too: puts `--` behind the
// target.
std::vector<std::string> separate_guest_arguments(const CLI::App& run, int argc, char** argv) {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.empty() || arguments[0] != "run") {
        return arguments;
    }
    std::size_t at = 1;
    while (at < arguments.size() && arguments[at].starts_with('-') && arguments[at] != "-") {
        if (arguments[at] == "--") {
            return arguments;
        }
        const CLI::Option* option = run.get_option_no_throw(arguments[at]);
        at += option != nullptr && option->get_items_expected_max() > 0 ? 2 : 1;
    }
    if (at + 1 < arguments.size()) {
        arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, "--");
    }
    return arguments;
}

int print_version(const std::string& output) {
    if (output == "json") {
        fmt::print("{{\"version\":\"{}\"}}\n", SKIFF_VERSION);
    } else {
        fmt::print("skiff {}\n", SKIFF_VERSION);
    }
    return kExitOk;
}

// Defaults, file, flags, in this order.
Result<config::Settings> effective_settings(const CommandLine& line) {
    config::ConfigFiles files;
    files.file = line.config_file;
    files.missing = line.config_given ? config::Missing::is_error : config::Missing::is_fine;
    files.folder = line.config_dir;
    SKIFF_TRY(auto loaded, config::load_settings(files, config::Settings{}));
    for (const auto& [field, text] : line.flags) {
        SKIFF_CHECK(config::set_flag(loaded.settings, *field, text));
    }
    SKIFF_CHECK(config::resolve(loaded.settings));
    log::set_level(log::parse_level(loaded.settings.log_level));
    log::set_format(loaded.settings.logging_format == "json" ? log::Format::json
                                                             : log::Format::text);
    for (const std::string& warning : loaded.warnings) {
        log::warn("configuration", log::kv("detail", warning));
    }
    return std::move(loaded.settings);
}

int node(const CLI::App& app, CommandLine& line) {
    auto settings = effective_settings(line);
    if (!settings) {
        return report(settings.error(), kExitUsage);
    }
    if (line.show_config) {
        fmt::print("{}", config::render_settings(*settings));
        return kExitOk;
    }
    if (app.got_subcommand("join")) {
        line.join.bootstrap_kubeconfig = settings->bootstrap_kubeconfig;
        return join_command(line.join);
    }
    if (app.got_subcommand("reset")) {
        return reset_command(*settings,
                             line.reset_all ? ResetScope::everything : ResetScope::running);
    }
    for (const config::Field& field : config::fields()) {
        log::debug("setting", log::kv("name", field.name), log::kv("value", field.show(*settings)));
    }
    line.node.settings = std::move(*settings);
    return node_command(std::move(line.node));
}

int check(CommandLine& line, OutputFormat format) {
    auto settings = effective_settings(line);
    if (!settings) {
        return report(settings.error(), kExitUsage);
    }
    return check_command({std::move(*settings), line.node.standalone, format});
}

int image(const CLI::App& app, CommandLine& line) {
    ImageOptions& options = line.image;
    options.verb = app.got_subcommand("precompile") ? ImageOptions::Verb::precompile
                   : app.got_subcommand("rm")       ? ImageOptions::Verb::remove
                                                    : ImageOptions::Verb::list;
    if (::geteuid() != 0) {
        options.whose = ImageOptions::Whose::run;
    }
    if (options.whose == ImageOptions::Whose::run) {
        options.own_root_dir = line.image_root_dir;
        log::set_level(log::Level::warn);
        return image_command(std::move(options));
    }
    auto settings = effective_settings(line);
    if (!settings) {
        return report(settings.error(), kExitUsage);
    }
    log::set_level(log::Level::warn);
    options.settings = std::move(*settings);
    if (!line.image_run_dir.empty()) {
        options.settings.run_dir = line.image_run_dir;
    }
    options.root_dir_given = !line.image_root_dir.empty();
    if (options.root_dir_given) {
        options.settings.root_dir = std::filesystem::absolute(line.image_root_dir);
    }
    return image_command(std::move(options));
}

int logs(CommandLine& line) {
    if (!line.since.empty()) {
        auto since = parse_duration(line.since);
        if (!since || *since <= Duration::zero()) {
            print_error("--since \"" + line.since + "\": not a duration such as 5s or 2m");
            return kExitUsage;
        }
        line.logs.since_seconds = std::chrono::ceil<std::chrono::seconds>(*since).count();
    }
    return logs_command(line.run_dir, line.logs);
}

int main_of(int argc, char** argv) {
    CommandLine line;
    CLI::App root("Skiff: a Kubernetes node agent for WebAssembly pods", "skiff");
    root.require_subcommand(1);
    add_run(root, line);
    add_node(root, line);
    add_check(root, line);
    add_inspect(root, line);
    add_image(root, line);
    add_local(root, line);
    add_exec(root, line);
    CLI::App* version = root.add_subcommand("version", "print the version");
    version->add_option("-o,--output", line.output, "table or json");
    CLI::App* config = root.add_subcommand("config", "about the configuration");
    config->add_subcommand("reference", "print docs/config.md")->required();
    root.set_version_flag("--version", "skiff " SKIFF_VERSION);
    try {
        auto arguments = separate_guest_arguments(*root.get_subcommand("run"), argc, argv);
        // CLI11 takes its arguments last first.
        std::reverse(arguments.begin(), arguments.end());
        root.parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
        int code = root.exit(error);
        return code == 0 ? kExitOk : kExitUsage;
    }
    if (root.got_subcommand("run")) {
        log::set_level(log::parse_level(line.run.log_level));
        return run_command(std::move(line.run));
    }
    if (root.got_subcommand("node")) {
        return node(*root.get_subcommand("node"), line);
    }
    const auto format = line.output == "json" ? OutputFormat::json : OutputFormat::table;
    if (root.got_subcommand("check")) {
        return check(line, format);
    }
    if (root.got_subcommand("inspect")) {
        line.inspect.format = format;
        return inspect_command(std::move(line.inspect));
    }
    if (root.got_subcommand("image")) {
        line.image.format = format;
        return image(*root.get_subcommand("image"), line);
    }
    if (root.got_subcommand("ps")) {
        return ps_command(line.run_dir, format);
    }
    if (root.got_subcommand("top")) {
        return top_command(line.run_dir, format,
                           line.once ? Watching::once : Watching::on_terminal);
    }
    if (root.got_subcommand("events")) {
        line.events.format = format;
        return events_command(line.run_dir, line.events);
    }
    if (root.got_subcommand("logs")) {
        return logs(line);
    }
    if (root.got_subcommand("exec")) {
        line.exec.run_dir = line.run_dir;
        return exec_command(line.exec);
    }
    if (root.got_subcommand("config")) {
        fmt::print("{}", config::render_reference());
        return kExitOk;
    }
    return print_version(line.output);
}

}  // namespace
}  // namespace skiff::app

int main(int argc, char** argv) {
    return skiff::app::main_of(argc, argv);
}
