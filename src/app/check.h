// What `skiff check` finds out about a machine before it becomes a node.
//
// Each group of checks is a file: it observes facts (which needs the machine) and judges them
// (pure, so that faults can be injected).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace skiff::app {

enum class Verdict {
    ok,
    warn,  // the node works, but less well
    fail,  // the node, or its pods, would not work
};

struct Finding {
    std::string check;  // "kernel: Landlock"
    Verdict verdict = Verdict::ok;
    std::string detail;  // what was found, one line
    std::string remedy;  // how to mend it; empty when all is well
    friend bool operator==(const Finding&, const Finding&) = default;
};
using Findings = std::vector<Finding>;

// `check` is fine.
[[nodiscard]] Finding fine(std::string check, std::string detail);

[[nodiscard]] Verdict worst_of(const Findings& findings);

enum class Colour { none, ansi };
// One line each, with the remedy below what is not well, and a last line that counts. Pure.
[[nodiscard]] std::string render_findings(const Findings& findings, Colour colour);
// {"verdict":…,"findings":[{"check":…,"verdict":…,"detail":…,"remedy":…}]}. Pure.
[[nodiscard]] std::string findings_json(const Findings& findings);

}  // namespace skiff::app
