#!/bin/bash
# build.sh TARGET LIBRARY FEATURES CARGO...: builds the engine in the target folder TARGET with cargo's
# arguments FEATURES (may be empty) and copies it to LIBRARY if it is another one.
# Called by CMakeLists.txt, which holds TARGET's lock.
set -euo pipefail
target=$1
library=$2
features=$3
shift 3
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-auto}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The last few libraries are kept by what is in the sources: clones that share the folder build in turn.
sources=$(find src tests examples Cargo.toml -type f | LC_ALL=C sort | xargs cat | sha256sum)
kept=$target/release/skiff_engine-${sources:0:16}.a
if [ ! -f "$kept" ]; then
    # shellcheck disable=SC2086 # no or one argument
    "$here/at_one_place.sh" "$target" "$@" build --release --locked $features
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
