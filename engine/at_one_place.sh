#!/bin/bash
# at_one_place.sh TARGET CARGO…: runs cargo with the target folder TARGET, in a copy of the sources at one place for
# all clones.
# Cargo goes by paths and times: it would compile the same sources once more for each clone, and call another clone's
# library fresh. What differs is copied, and so newer than what was built of it.
# Called by build.sh and ctest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CARGO_TARGET_DIR=$1
shift
copy=$CARGO_TARGET_DIR/source
mkdir -p "$copy"
exec {lock}>"$copy.lock"
flock "$lock"
cd "$here"
find src tests examples Cargo.toml Cargo.lock -type f -print0 | while IFS= read -r -d '' file; do
    cmp -s "$file" "$copy/$file" || { mkdir -p "$copy/$(dirname "$file")" && cp "$file" "$copy/$file"; }
done
cd "$copy"
find src tests examples -type f -print0 | while IFS= read -r -d '' file; do
    [ -e "$here/$file" ] || rm "$file"
done
SKIFF_GUESTS=${SKIFF_GUESTS:-$here/../build/guests} "$@"
