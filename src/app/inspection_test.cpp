#include "app/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace skiff::app {
namespace {

using testing::HasSubstr;
using testing::Not;

wire::ModuleFacts core() {
    wire::ModuleFacts facts;
    facts.kind = wire::ModuleKind::core;
    facts.wasi = 1;
    facts.has_start = true;
    facts.imports = {"wasi_snapshot_preview1 fd_write", "wasi_snapshot_preview1 proc_exit",
                     "env magic"};
    facts.exports = {"memory", "_start"};
    return facts;
}

wire::ModuleFacts component() {
    wire::ModuleFacts facts;
    facts.kind = wire::ModuleKind::component;
    facts.wasi = 2;
    facts.has_run = true;
    facts.imports = {"wasi:cli/environment@0.2.3", "wasi:cli/exit@0.2.3", "wasi:io/streams@0.2.0"};
    facts.exports = {"wasi:cli/run@0.2.3"};
    return facts;
}

std::string granted(const wire::ModuleFacts& facts, std::string_view what) {
    for (const Granted& one : granted_to(facts)) {
        if (one.what == what) {
            return one.text;
        }
    }
    return {};
}

TEST(Inspection, GroupsNamesByTheirModuleOrPackageAndVersion) {
    auto groups = group_names(core().imports);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0].head, "wasi_snapshot_preview1");
    EXPECT_THAT(groups[0].names, testing::ElementsAre("fd_write", "proc_exit"));
    EXPECT_EQ(groups[1].head, "env");
    groups = group_names(component().imports);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0].head, "wasi:cli@0.2.3");
    EXPECT_THAT(groups[0].names, testing::ElementsAre("environment", "exit"));
    EXPECT_EQ(groups[1].head, "wasi:io@0.2.0");
    groups = group_names(core().exports);
    ASSERT_EQ(groups.size(), 1U);
    EXPECT_EQ(groups[0].head, "");
}

TEST(Inspection, SaysWhatAModuleIs) {
    EXPECT_EQ(describe(core()), "core module, WASI 0.1, command");
    EXPECT_EQ(describe(component()), "component, WASI 0.2, command");
    auto reactor = core();
    reactor.has_start = false;
    reactor.has_initialize = true;
    EXPECT_EQ(describe(reactor), "core module, WASI 0.1, reactor");
    auto server = component();
    server.has_run = false;
    server.has_http_03 = true;
    server.purpose = wire::Purpose::server;
    server.wasi = 3;
    EXPECT_EQ(describe(server), "component, WASI 0.3, HTTP server");
    EXPECT_THAT(granted(server, "serves"), HasSubstr("8080"));
    EXPECT_THAT(granted(server, "needs"), HasSubstr("WASI 0.3"));
    EXPECT_THAT(granted(server, "stopping"), HasSubstr("drain"));
}

TEST(Inspection, SaysWhatItWouldBeGrantedAndNoMore) {
    EXPECT_THAT(granted(core(), "files"), HasSubstr("none"));
    EXPECT_THAT(granted(core(), "network"), HasSubstr("none"));
    EXPECT_THAT(granted(core(), "stopping"), HasSubstr("143"));
    auto opens = core();
    opens.imports.emplace_back("wasi_snapshot_preview1 path_open");
    EXPECT_THAT(granted(opens, "files"), HasSubstr("volumes"));
    EXPECT_THAT(granted(component(), "network"), HasSubstr("none"));
    auto calls = component();
    calls.uses_sockets = true;
    calls.uses_http = true;
    EXPECT_THAT(granted(calls, "network"), testing::StartsWith("outgoing HTTP"));
    calls.imports.emplace_back("wasi:sockets/tcp-create-socket@0.2.3");
    EXPECT_THAT(granted(calls, "network"), testing::StartsWith("sockets"));
    // Only takes sockets that another one made.
    auto takes = component();
    takes.imports.emplace_back("wasi:sockets/network@0.2.3");
    EXPECT_THAT(granted(takes, "network"), HasSubstr("none"));
    auto old = core();
    old.uses_http = true;
    EXPECT_THAT(granted(old, "network"), HasSubstr("allowed-domains"));
    auto polite = core();
    polite.handles_stop = true;
    EXPECT_THAT(granted(polite, "stopping"), HasSubstr("grace"));
}

Inspection inspection() {
    Inspection found;
    found.module = ModuleInspection{"x.wasm", "sha256:1234", Bytes{70'000}, core(), {}};
    found.module->verdicts = {{"wasmtime", wire::CompileCode::unsupported, "needs env magic"},
                              {"pulley", wire::CompileCode::unsupported, "needs env magic"},
                              {"wasmi", wire::CompileCode::ok, ""}};
    return found;
}

TEST(Inspection, TheTableNamesTheEnginesThatLackSomethingOnce) {
    auto text = render_table(inspection(), 80, Colour::no);
    EXPECT_THAT(text, HasSubstr("engines    wasmi\n"));
    EXPECT_THAT(text, HasSubstr("not wasmtime: needs env magic"));
    EXPECT_THAT(text, HasSubstr("not pulley: the same"));
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(render_table(inspection(), 80, Colour::yes), HasSubstr("\x1b[1mx.wasm"));
    EXPECT_TRUE(can_run(inspection()));
}

TEST(Inspection, LinesStayWithinTheWidth) {
    auto found = inspection();
    found.module->facts.imports.clear();
    for (int i = 0; i < 100; ++i) {
        found.module->facts.imports.push_back(fmt::format("env function_{}", i));
    }
    auto text = render_table(found, 72, Colour::no);
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = text.find('\n', at);
        if (text.substr(at, end - at).find("function_") != std::string::npos) {
            EXPECT_LE(end - at, 72U) << text.substr(at, end - at);
        }
        at = end + 1;
    }
}

TEST(Inspection, JsonSaysTheSame) {
    auto found = inspection();
    found.kind = Inspection::Kind::layered;
    found.reference = "example.com/x:1";
    found.command = {"/x.wasm", "serve"};
    found.files = {{"/y.wasm", Bytes{5}}};
    auto json = boost::json::parse(render_json(found)).as_object();
    EXPECT_EQ(json["kind"], "layered");
    EXPECT_EQ(json["files"].as_array().size(), 1U);
    auto& module = json["module"].as_object();
    EXPECT_EQ(module["kind"], "core");
    EXPECT_EQ(module["wasi"], "0.1");
    EXPECT_EQ(module["runtimes"].as_object()["wasmi"].as_object()["runs"], true);
    EXPECT_EQ(module["runtimes"].as_object()["pulley"].as_object()["message"], "needs env magic");
    EXPECT_EQ(module["imports"].as_array().size(), 3U);
    EXPECT_TRUE(module["granted"].as_object().contains("network"));
}

}  // namespace
}  // namespace skiff::app
