"""tools/check is itself tested: each rule sees what it is for, and lets the rest pass."""

import importlib.machinery
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree of its own: tree(name, text) writes a file, tree.rule(name) runs a rule on all."""
    loader = importlib.machinery.SourceFileLoader("check", str(ROOT / "tools/check"))
    spec = importlib.util.spec_from_loader("check", loader)
    check = importlib.util.module_from_spec(spec)
    loader.exec_module(check)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    written = []

    def tracked(*patterns):
        return [p for p in written if not patterns or any(
            str(p.relative_to(tmp_path)).startswith(q) or p.match(q) for q in patterns)]

    monkeypatch.setattr(check, "tracked", tracked)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)

    write.rule = lambda rule: list(check.RULES[rule]())
    return write


@pytest.mark.parametrize("line", [
    "auto x = co_await f(Opts{1});",
    "co_await f({.a = 1});",
    "auto v = c ? co_await x() : y;",
    "co_await scope.run([x] { return x; });",
    "if (c ? co_await a() : b) {",
])
def test_co_await_sees_what_gcc_miscompiles(tree, line):
    tree("src/pods/a.cpp", f"void f() {{\n    {line}\n}}\n")
    assert len(tree.rule("co_await")) == 1


@pytest.mark.parametrize("line", [
    "if (auto x = co_await f(); !x) {",
    "while (co_await more()) {",
    "auto t = f({1}); co_await std::move(t);",
    'log("a ? b {", co_await f());',
    "co_return co_await f(a, b);",
])
def test_co_await_lets_the_cures_pass(tree, line):
    tree("src/pods/a.cpp", f"void f() {{\n    {line}\n}}\n")
    assert tree.rule("co_await") == []


def test_layers_hold_adapters_apart(tree):
    tree("src/images/a.cpp", '#include "volumes/b.h"\n#include "pods/ports.h"\n')
    tree("src/engine/a.cpp", '#include "kube/types.h"\n')
    assert tree.rule("layers") == ["src/images/a.cpp:1: images may not include volumes/b.h",
                                   "src/engine/a.cpp:1: engine may not include kube/types.h"]


def test_banned_calls_name_their_replacement_and_can_be_excused(tree):
    tree("src/os/a.cpp", 'void f() {\n    system("x");\n    // tidy: allow banned: a test\n'
                         '    system("y");\n    file.system(1);\n    // system("z")\n}\n')
    assert tree.rule("banned") == ["src/os/a.cpp:2: system( is banned; use os/spawn.h"]


def test_sizes_measure_files_and_functions(tree):
    body = "    x();\n" * 80
    tree("src/os/a.cpp", f"void f() {{\n{body}}}\n\nvoid g() {{\n    x();\n}}\n")
    tree("src/os/b.cpp", "// line\n" * 601)
    assert tree.rule("sizes") == ["src/os/a.cpp:1: a function of 82 lines",
                                  "src/os/b.cpp: 601 lines, more than 600"]


def test_names_refuse_what_says_nothing(tree):
    tree("src/os/a.h", "class PodManager {\n    void set(bool on);\n    bool get() const;\n};\n")
    assert len(tree.rule("names")) == 2


def test_docs_want_one_title_and_living_links(tree):
    tree("src/base/x.h", "")
    tree("a.md", "# One\n\n```\n# not a title\n```\n[x](b.md) [y](gone.md)\n")
    tree("b.md", "## none\n")
    (tree_problems := tree.rule("docs")).sort()
    assert tree_problems == ["a.md: link to gone.md, which is not there",
                             "b.md: 0 titles of the first level, not 1"]


def test_every_fuzzer_has_its_name_and_corpus_and_every_corpus_its_fuzzer(tree):
    tree("src/wire/a_fuzz.cpp", "SKIFF_FUZZ(wire_a) {}\n")
    tree("test/corpus/wire_a/x", "x")
    assert tree.rule("fuzzers") == []
    tree("src/os/b_fuzz.cpp", "SKIFF_FUZZ(wire_b) {}\n")
    tree("test/corpus/os_c/big", "x" * 4096)
    assert tree.rule("fuzzers") == [
        "test/corpus/os_c/big: 4096 bytes, a file of a corpus has less than 4096",
        "src/os/b_fuzz.cpp: does not say SKIFF_FUZZ(os_b)",
        "src/os/b_fuzz.cpp: no corpus in test/corpus/os_b",
        "test/corpus/os_c: a corpus without a fuzzer"]


def test_what_the_contract_claims_has_a_test(tree):
    tree("test/e2e/test_x.py", "def test_a_pod_runs(kube):\n    pass\n")
    tree("src/pods/decide_test.cpp", "TEST(Decide, Stops) {\n}\n")
    tree("docs/contract.md", """# Contract

| row | behaviour | state | proof |
| --- | --- | --- | --- |
| 13 | Admission | works | `test_a_pod_runs`, `Decide.Stops` |
| 14 | Preemption | not yet (issue 9) | |
""")
    assert tree.rule("proofs") == []
    tree("docs/contract.md", """# Contract

| 15 | Phase | works | `test_gone`, `Decide.Gone`, `Decide` |
| 14 | Preemption | works | |
| 16 | Conditions | perhaps | |
""")
    assert tree.rule("proofs") == [
        "docs/contract.md:3: test_gone is no test",
        "docs/contract.md:3: Decide.Gone is no test",
        "docs/contract.md:4: works, but no test says so",
        "docs/contract.md:5: the state is 'perhaps', not works, by design not or not yet",
        "docs/contract.md: the rows are not in order, each once",
    ]
