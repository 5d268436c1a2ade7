#!/bin/bash
# test.sh CARGO…: runs the words, which are cargo's, in a copy of the sources at one place for all clones.
# Cargo goes by paths and times: in each clone it would compile and link a dozen test programs once more.
# Called by ctest, with CARGO_TARGET_DIR among the words.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=
for word in "$@"; do
    case $word in CARGO_TARGET_DIR=*) target=${word#*=} ;; esac
done
copy=$target/source
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
