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
# Another clone that shares the target folder may have put its own library there since, which cargo, that looks
# at the age of this clone's sources, calls fresh. Asked before cargo runs: it names this clone afterwards either way.
if ! grep -qs "$PWD/src/lib.rs" "$target/release/libskiff_engine.d"; then
    touch src/lib.rs
fi
# shellcheck disable=SC2086 # no or one argument
"$@" build --release --locked $features
if ! cmp -s "$built" "$library"; then
    cp "$built" "$library.new"
    mv "$library.new" "$library"
fi
