/* The tools: each is a function that gets its words, uses the shell's descriptors and returns its
 * exit status. It may return from anywhere: what it took from scratch goes when it returns. */
#pragma once

#include "toolbox.h"

/* clang-format off */
#define FOR_ALL_TOOLS(X) \
    X(base64) X(basename) X(cat) X(chmod) X(clear) X(cp) X(cut) X(date) X(dirname) X(du) X(env) X(find) X(grep) \
    X(head) X(hexdump) X(hostname) X(id) X(ln) X(ls) X(mkdir) X(mv) X(nc) X(nslookup) X(printenv) \
    X(readlink) X(rm) X(rmdir) X(sed) X(seq) X(sha256sum) X(sleep) X(sort) X(stat) X(tail) X(tar) \
    X(tee) X(touch) X(tr) X(uname) X(uniq) X(wc) X(wget) X(which) X(whoami) X(xargs)
/* clang-format on */

#define DECLARE_TOOL(name) int name##_main(int argc, char** argv);
FOR_ALL_TOOLS(DECLARE_TOOL)
#undef DECLARE_TOOL
