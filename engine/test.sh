#!/bin/bash
# test.sh TARGET CARGO…: runs cargo's tests with the target folder TARGET, in a copy of the sources at one place
# for all clones.
# Cargo goes by paths and times: in each clone it would compile and link a dozen test programs once more.
# Called by ctest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CARGO_TARGET_DIR=$1
shift
copy=$CARGO_TARGET_DIR/source
mkdir -p "$copy"
exec {lock}>"$copy.lock"
flock "$lock"
# What is the same keeps its time.
cd "$here"
find src tests examples Cargo.toml Cargo.lock -type f -print0 | while IFS= read -r -d '' file; do
    cmp -s "$file" "$copy/$file" || { mkdir -p "$copy/$(dirname "$file")" && cp "$file" "$copy/$file"; }
done
cd "$copy"
find src tests examples -type f -print0 | while IFS= read -r -d '' file; do
    [ -e "$here/$file" ] || rm "$file"
done
SKIFF_GUESTS=${SKIFF_GUESTS:-$here/../build/guests} "$@"
