#!/bin/bash
# build.sh TARGET LIBRARY PROFILE FEATURES CARGO...: builds the engine in the target folder TARGET by cargo's profile
# PROFILE and with its arguments FEATURES (may be empty), and copies it to LIBRARY if it is another one.
# Called by CMakeLists.txt, which holds TARGET's lock.
set -euo pipefail
target=$1
library=$2
profile=$3
features=$4
shift 4
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-auto}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The last few libraries are kept by what is in the sources: clones that share the folder build in turn.
sources=$(find src tests examples Cargo.toml -type f | LC_ALL=C sort | xargs cat | sha256sum)
kept=$target/$profile/skiff_engine-${sources:0:16}.a
if [ ! -f "$kept" ]; then
    # shellcheck disable=SC2086 # no or one argument
    "$here/at_one_place.sh" "$target" "$@" build --profile "$profile" --locked $features
    cp "$target/$profile/libskiff_engine.a" "$kept.new"
    mv "$kept.new" "$kept"
    find "$target/$profile" -maxdepth 1 -name 'skiff_engine-*.a' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2- |
        tail -n +4 | xargs -r rm -f
fi
touch "$kept"
if ! cmp -s "$kept" "$library"; then
    cp "$kept" "$library.new"
    mv "$library.new" "$library"
fi
