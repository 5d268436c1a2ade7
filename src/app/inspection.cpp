#include "app/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.h"

namespace skiff::app {

namespace {

constexpr std::size_t kLabelWidth = 9;  // "exports" and two blanks
constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kOff = "\x1b[0m";

bool is_component(const wire::ModuleFacts& facts) {
    return facts.kind == wire::ModuleKind::component;
}

bool serves(const wire::ModuleFacts& facts) {
    return facts.purpose == wire::Purpose::server;
}

bool is_command(const wire::ModuleFacts& facts) {
    return facts.has_start || facts.has_run || facts.has_run_03;
}

bool imports_one_of(const wire::ModuleFacts& facts,
                    std::initializer_list<std::string_view> prefixes) {
    return std::ranges::any_of(facts.imports, [&](const std::string& import) {
        return std::ranges::any_of(
            prefixes, [&](std::string_view prefix) { return import.starts_with(prefix); });
    });
}

std::string network_of(const wire::ModuleFacts& facts) {
    if (!is_component(facts)) {
        return facts.uses_http ? "HTTP requests to alpha.wasi.krustlet.dev/allowed-domains only"
                               : "none: a core module has no sockets";
    }
    bool sockets =
        imports_one_of(facts, {"wasi:sockets/tcp-create-socket", "wasi:sockets/udp-create-socket",
                               "wasi:sockets/ip-name-lookup", "wasi:sockets/types"});
    std::string reach;
    if (sockets) {
        reach = "sockets and name lookup";
    }
    if (facts.uses_http) {
        reach += reach.empty() ? "outgoing HTTP" : ", outgoing HTTP";
    }
    if (reach.empty()) {
        return serves(facts) ? "the requests it serves; it opens no connection"
                             : "none: it imports neither sockets nor HTTP";
    }
    return reach + ", within skiff/egress";
}

std::string stop_of(const wire::ModuleFacts& facts) {
    if (serves(facts)) {
        return "goes on for the drain delay, finishes its requests, exits 0";
    }
    return facts.handles_stop ? "is told and has the grace period"
                              : "ended at once (exit 143); skiff/stop: file tells it by a file";
}

std::string runtimes_that(const std::vector<Verdict>& verdicts, wire::CompileCode code) {
    std::string names;
    for (const Verdict& verdict : verdicts) {
        if (verdict.code == code) {
            names += (names.empty() ? "" : ", ") + verdict.runtime;
        }
    }
    return names;
}

// Lines of a label and what belongs to it, the label once.
class Table {
public:
    Table(std::size_t width, Colour colour) : width_(width), colour_(colour) {}

    void heading(std::string_view text) { out_ += paint(kBold, text) + "\n"; }
    void row(std::string_view label, std::string_view text, std::string_view paint_with = {}) {
        out_ += fmt::format("  {:<{}}  {}\n", label == last_ ? "" : label, kLabelWidth,
                            paint_with.empty() ? std::string(text) : paint(paint_with, text));
        last_ = label;
    }
    // A sentence, broken between words.
    void prose(std::string_view label, std::string_view text, std::string_view paint_with) {
        const std::size_t room = width_ - kLabelWidth - 4;
        while (!text.empty()) {
            std::size_t end = text.size();
            if (end > room) {
                end = text.rfind(' ', room);
                end = end == std::string_view::npos ? text.find(' ') : end;
                end = end == std::string_view::npos ? text.size() : end;
            }
            row(label, text.substr(0, end), paint_with);
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }
    // `names` behind one another, as many in a line as fit.
    void names(std::string_view label, std::string_view indent,
               const std::vector<std::string>& names) {
        std::string line;
        for (const std::string& name : names) {
            bool full = kLabelWidth + 4 + indent.size() + line.size() + 1 + name.size() > width_;
            if (!line.empty() && full) {
                row(label, fmt::format("{}{}", indent, line));
                line.clear();
            }
            line += (line.empty() ? "" : " ") + name;
        }
        if (!line.empty()) {
            row(label, fmt::format("{}{}", indent, line));
        }
    }
    void groups(std::string_view label, const std::vector<std::string>& lines) {
        for (const NameGroup& group : group_names(lines)) {
            if (!group.head.empty()) {
                row(label, group.head);
            }
            names(label, group.head.empty() ? "" : "  ", group.names);
        }
        if (lines.empty()) {
            row(label, "none");
        }
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    [[nodiscard]] std::string paint(std::string_view with, std::string_view text) const {
        return colour_ == Colour::yes ? fmt::format("{}{}{}", with, text, kOff) : std::string(text);
    }

    std::size_t width_;
    Colour colour_;
    std::string out_;
    std::string last_;
};

void show_engines(Table& table, const ModuleInspection& module) {
    if (auto good = runtimes_that(module.verdicts, wire::CompileCode::ok); !good.empty()) {
        table.row("engines", good);
    }
    std::string said;
    for (const Verdict& verdict : module.verdicts) {
        if (verdict.code != wire::CompileCode::ok) {
            // The same import is missing everywhere: said once.
            std::string why = verdict.message == said ? "the same" : verdict.message;
            table.prose("engines", fmt::format("not {}: {}", verdict.runtime, why), kRed);
            said = verdict.message;
        }
    }
}

void show_module(Table& table, const ModuleInspection& module) {
    table.row("digest", module.digest);
    table.row("size", fmt::format("{}", module.size));
    if (module.facts.kind != wire::ModuleKind::unknown) {
        table.row("kind", describe(module.facts));
    }
    show_engines(table, module);
    if (module.facts.kind == wire::ModuleKind::unknown) {
        return;
    }
    if (module.facts.memory_bytes_min > 0) {
        table.row("memory", fmt::format("{} from the start", Bytes{module.facts.memory_bytes_min}));
    }
    table.groups("imports", module.facts.imports);
    table.groups("exports", module.facts.exports);
    table.heading("In a pod");
    for (const Granted& one : granted_to(module.facts)) {
        table.row(one.what, one.text);
    }
}

boost::json::array array_of(const std::vector<std::string>& texts) {
    boost::json::array array;
    for (const std::string& text : texts) {
        array.emplace_back(text);
    }
    return array;
}

boost::json::object json_of(const ModuleInspection& module) {
    const wire::ModuleFacts& facts = module.facts;
    boost::json::object json;
    json["name"] = module.name;
    json["digest"] = module.digest;
    json["size"] = module.size.value;
    boost::json::object runtimes;
    for (const Verdict& verdict : module.verdicts) {
        boost::json::object one;
        one["runs"] = verdict.code == wire::CompileCode::ok;
        if (verdict.code != wire::CompileCode::ok) {
            one["message"] = verdict.message;
        }
        runtimes[verdict.runtime] = std::move(one);
    }
    json["runtimes"] = std::move(runtimes);
    if (facts.kind == wire::ModuleKind::unknown) {
        return json;
    }
    json["kind"] = is_component(facts) ? "component" : "core";
    json["wasi"] = facts.wasi == 0 ? "" : fmt::format("0.{}", facts.wasi);
    json["command"] = is_command(facts);
    json["reactor"] = facts.has_initialize;
    json["server"] = serves(facts);
    json["usesSockets"] = facts.uses_sockets;
    json["usesHttp"] = facts.uses_http;
    json["handlesStop"] = facts.handles_stop;
    json["memoryBytesMin"] = facts.memory_bytes_min;
    json["imports"] = array_of(facts.imports);
    json["exports"] = array_of(facts.exports);
    boost::json::object granted;
    for (const Granted& one : granted_to(facts)) {
        granted[one.what] = one.text;
    }
    json["granted"] = std::move(granted);
    return json;
}

std::string_view word_of(Inspection::Kind kind) {
    switch (kind) {
        case Inspection::Kind::file:
            return "file";
        case Inspection::Kind::artifact:
            return "artifact";
        case Inspection::Kind::layered:
            break;
    }
    return "layered";
}

}  // namespace

bool can_run(const Inspection& inspection) {
    return inspection.module &&
           std::ranges::any_of(inspection.module->verdicts, [](const Verdict& verdict) {
               return verdict.code == wire::CompileCode::ok;
           });
}

std::vector<NameGroup> group_names(const std::vector<std::string>& lines) {
    std::vector<NameGroup> groups;
    auto add = [&](std::string head, std::string name) {
        auto found = std::ranges::find(groups, head, &NameGroup::head);
        if (found == groups.end()) {
            groups.push_back(NameGroup{std::move(head), {}});
            found = std::prev(groups.end());
        }
        found->names.push_back(std::move(name));
    };
    for (const std::string& line : lines) {
        auto slash = line.find('/');
        auto at = line.find('@');
        bool interface = line.find(':') < slash && slash != std::string::npos;
        if (interface) {
            // wasi:cli/exit@0.2.3 → wasi:cli@0.2.3: exit
            std::string version = at == std::string::npos ? "" : line.substr(at);
            auto end = at == std::string::npos ? line.size() : at;
            add(line.substr(0, slash) + version, line.substr(slash + 1, end - slash - 1));
        } else if (auto blank = line.find(' '); blank != std::string::npos) {
            add(line.substr(0, blank), line.substr(blank + 1));
        } else {
            add("", line);
        }
    }
    return groups;
}

std::string describe(const wire::ModuleFacts& facts) {
    std::string text = is_component(facts) ? "component" : "core module";
    text += facts.wasi == 0 ? ", no WASI" : fmt::format(", WASI 0.{}", facts.wasi);
    if (serves(facts)) {
        text += ", HTTP server";
    } else if (is_command(facts)) {
        text += ", command";
    } else if (facts.has_initialize) {
        text += ", reactor";
    } else {
        text += ", library: a pod has to name a function (FILE.wasm#FUNCTION)";
    }
    return text;
}

std::vector<Granted> granted_to(const wire::ModuleFacts& facts) {
    // Every file is reached from an open folder, and these give the first one.
    bool has_files =
        imports_one_of(facts, {"wasi:filesystem/preopens", "wasi_snapshot_preview1 path_open"});
    std::vector<Granted> list;
    list.push_back({"files", has_files ? "the image's own and the pod's volumes, as /"
                                       : "none: it imports no files"});
    list.push_back({"network", network_of(facts)});
    if (serves(facts)) {
        list.push_back({"serves", "HTTP on the first containerPort, else 8080"});
    }
    list.push_back({"stopping", stop_of(facts)});
    constexpr std::uint8_t kLevel03 = 3;
    if (facts.wasi == kLevel03) {
        list.push_back({"needs", "WASI 0.3 (the node's setting wasi03, on by default)"});
    }
    return list;
}

std::string render_table(const Inspection& inspection, std::size_t width, Colour colour) {
    Table table(width, colour);
    if (inspection.kind != Inspection::Kind::file) {
        table.heading(inspection.reference);
        table.row("image", fmt::format("{} {}", word_of(inspection.kind), inspection.image_digest));
        if (inspection.kind == Inspection::Kind::layered) {
            table.row("command", inspection.command.empty()
                                     ? "none: the pod has to name a file by `command`"
                                     : fmt::format("{}", fmt::join(inspection.command, " ")));
        }
    }
    if (inspection.module) {
        table.heading(inspection.module->name);
        show_module(table, *inspection.module);
    }
    if (!inspection.files.empty()) {
        table.heading(inspection.module ? "Other modules in the image" : "Modules in the image");
        std::size_t longest = 0;
        for (const auto& file : inspection.files) {
            longest = std::max(longest, file.path.size());
        }
        std::string lines;
        for (const auto& file : inspection.files) {
            lines += fmt::format("  {:<{}}  {}\n", file.path, longest, file.size);
        }
        return table.take() + lines;
    }
    return table.take();
}

std::string render_json(const Inspection& inspection) {
    boost::json::object json;
    json["kind"] = word_of(inspection.kind);
    if (inspection.kind != Inspection::Kind::file) {
        json["image"] = inspection.reference;
        json["imageDigest"] = inspection.image_digest;
    }
    if (inspection.kind == Inspection::Kind::layered) {
        json["command"] = array_of(inspection.command);
        boost::json::array files;
        for (const auto& file : inspection.files) {
            files.push_back(boost::json::object{{"path", file.path}, {"size", file.size.value}});
        }
        json["files"] = std::move(files);
    }
    if (inspection.module) {
        json["module"] = json_of(*inspection.module);
    }
    return boost::json::serialize(json) + "\n";
}

}  // namespace skiff::app
