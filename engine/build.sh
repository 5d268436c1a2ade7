#!/bin/bash
# build.sh TARGET LIBRARY FEATURES CARGO...: builds the engine in the target folder TARGET with cargo's
# arguments FEATURES (may be empty) and copies it to LIBRARY if it is another one.
# Called by CMakeLists.txt, which holds TARGET's lock.
set -euo pipefail
export CARGO_TARGET_DIR=$1
library=$2
features=$3
shift 3
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-auto}
# Cargo goes by paths and times: it would build the same sources once more for each clone that shares the target
# folder, and call another clone's library fresh where its own sources are older. So the last few libraries are
# kept by what is in the sources.
sources=$(find src tests Cargo.toml -name '*.rs' -o -name Cargo.toml | LC_ALL=C sort | xargs cat | sha256sum)
kept=$CARGO_TARGET_DIR/release/skiff_engine-${sources:0:16}.a
if [ ! -f "$kept" ]; then
    find src tests -name '*.rs' -exec touch {} +
    # shellcheck disable=SC2086 # no or one argument
    "$@" build --release --locked $features
    cp "$CARGO_TARGET_DIR/release/libskiff_engine.a" "$kept.new"
    mv "$kept.new" "$kept"
    find "$CARGO_TARGET_DIR/release" -maxdepth 1 -name 'skiff_engine-*.a' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2- |
        tail -n +4 | xargs -r rm -f
fi
touch "$kept"
if ! cmp -s "$kept" "$library"; then
    cp "$kept" "$library.new"
    mv "$library.new" "$library"
fi
