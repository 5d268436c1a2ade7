#!/bin/bash
# order.sh LIBRARY LIST ORDER: the symbols of hot_functions.txt as they are named in this build of the
# library (rustc ends each name with a hash), for the linker's --symbol-ordering-file.
# By readelf: nm gives up at the first member in LLVM's own code, which a library built as a whole (LTO) has.
set -euo pipefail
library=$1 list=$2 order=$3
readelf --wide --symbols "$library" | awk '$4 == "FUNC" && $7 != "UND" { print $8 }' |
    sed -E -n 'h; s/17h[0-9a-f]{16}E/E/; T; G; s/\n/ /; p' |
    awk 'FILENAME == "-" { names[$1] = names[$1] "\n" $2; next }
         { if ($1 in names) found++; print $1 names[$1] }
         END { if (!found) { print "order.sh: none of the functions is in the library" >"/dev/stderr"; exit 1 } }' \
        - "$list" >"$order.new"
mv "$order.new" "$order"
