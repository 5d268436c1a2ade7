"""What docs/errors.md quotes is what the programs say."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Said by others (the scheduler, kubectl, curl, the engine), put together, or a class of answers.
OTHERS = {"FailedScheduling", "untolerated taint {kubernetes.io/arch", "-wasi}",
          "wasm trap", "OutOfmemory", "5xx", "connection refused", "server gave HTTP response", "kubectl logs", "dial tcp", "10250: connect", "Unauthorized",
          "Forbidden", "NotReady", "join", "remote error"}


def quoted():
    """(line number, quoted text) of the columns that show what a user sees."""
    found = []
    for number, line in enumerate((ROOT / "docs/errors.md").read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or set(line) <= set("|- ") or len(cells) < 2:
            continue
        for text in re.findall(r"`([^`]+)`", " ".join(cells[:-1])):
            found.append((number, text))
    return found


@pytest.fixture(scope="module")
def sources():
    files = [f for folder, kind in (("src", "*.cpp"), ("src", "*.h"), ("engine/src", "*.rs"))
             for f in (ROOT / folder).rglob(kind)
             if not f.name.endswith("_test.cpp")]
    # Adjacent literals are one text.
    return re.sub(r'"\s*\n\s*"', "", "\n".join(f.read_text() for f in files))


@pytest.mark.parametrize("number,text", quoted())
def test_every_quoted_message_is_in_the_sources(number, text, sources):
    # What varies is … in the page and {} or an example's value in the sources.
    for part in re.split(r"…|\bN\b|\d+(?:/TCP)?|f\.yaml:|[\"'():]", text):
        part = part.strip(" .,;")
        if len(part) > 2 and part not in OTHERS:
            assert part in sources, f"docs/errors.md:{number}: nobody says '{part}' of '{text}'"
