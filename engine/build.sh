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
# Cargo goes by paths and times: it would build the same sources once more for each clone that shares the target
# folder, and call another clone's library fresh where its own sources are older. So the last few libraries are
# kept by what is in the sources.
sources=$(find src tests Cargo.toml -name '*.rs' -o -name Cargo.toml | LC_ALL=C sort | xargs cat | sha256sum)
kept=$target/release/skiff_engine-${sources:0:16}.a
if [ ! -f "$kept" ]; then
    find src tests -name '*.rs' -exec touch {} +
    # shellcheck disable=SC2086 # no or one argument
    "$@" build --release --locked $features
    cp "$target/release/libskiff_engine.a" "$kept.new"
    mv "$kept.new" "$kept"
    find "$target/release" -maxdepth 1 -name 'skiff_engine-*.a' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2- |
        tail -n +4 | xargs -r rm -f
fi
touch "$kept"
if ! cmp -s "$kept" "$library"; then
    cp "$kept" "$library.new"
    mv "$library.new" "$library"
fi
