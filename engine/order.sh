#!/bin/bash
# order.sh LIBRARY LIST ORDER: the symbols of hot_functions.txt as they are named in this build of the
# library (rustc ends each name with a hash), for the linker's --symbol-ordering-file.
set -euo pipefail
library=$1 list=$2 order=$3
nm --defined-only -f posix "$library" 2>/dev/null | cut -d' ' -f1 |
    sed -E -n 'h; s/17h[0-9a-f]{16}E/E/; T; G; s/\n/ /; p' |
    awk 'NR == FNR { names[$1] = names[$1] "\n" $2; next } { print $1 names[$1] }' - "$list" >"$order.new"
mv "$order.new" "$order"
