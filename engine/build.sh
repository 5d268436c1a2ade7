#!/bin/bash
# build.sh LIBRARY CARGO...: builds the engine and copies it to LIBRARY if it is another one.
# Called by CMakeLists.txt, which sets CARGO_TARGET_DIR and holds its lock.
set -euo pipefail
library=$1
shift
export CARGO_TERM_PROGRESS_WHEN=${CARGO_TERM_PROGRESS_WHEN:-auto}
"$@" build --release --locked
target=
for word in "$@"; do
    case $word in CARGO_TARGET_DIR=*) target=${word#*=} ;; esac
done
built=$target/release/libskiff_engine.a
if ! cmp -s "$built" "$library"; then
    cp "$built" "$library.new"
    mv "$library.new" "$library"
fi
