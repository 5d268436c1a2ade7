#!/bin/bash
# build.sh LIBRARY FEATURES CARGO...: builds the engine with cargo's arguments FEATURES (may be empty) and
# copies it to LIBRARY if it is another one.
# Called by CMakeLists.txt, which sets CARGO_TARGET_DIR and holds its lock.
set -euo pipefail
library=$1
features=$2
shift 2
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-auto}
target=
for word in "$@"; do
    case $word in CARGO_TARGET_DIR=*) target=${word#*=} ;; esac
done
built=$target/release/libskiff_engine.a
# Cargo goes by times: where another clone that shares the target folder built its own sources after ours were
# written, it calls them fresh and hands out that clone's library. So the folder says of whose sources it is.
sources=$(find src tests Cargo.toml -name '*.rs' -o -name Cargo.toml | LC_ALL=C sort | xargs cat | sha256sum)
stamp=$target/release/skiff-engine.sources
of_ours() { echo "${sources%% *} $features $(stat -c '%Y %s' "$built" 2>&1)"; }
if [ "$(cat "$stamp" 2>&1)" != "$(of_ours)" ]; then
    find src tests -name '*.rs' -exec touch {} +
fi
# shellcheck disable=SC2086 # no or one argument
"$@" build --release --locked $features
of_ours > "$stamp"
if ! cmp -s "$built" "$library"; then
    cp "$built" "$library.new"
    mv "$library.new" "$library"
fi
