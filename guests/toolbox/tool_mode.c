/* chmod, id and whoami; modes as people write and read them, and the names of ids. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools.h"

enum { kNamesMax = 10000, kUmask = 022 };

/* ---- names: /etc/passwd and /etc/group of the container, if it has any ---- */

struct named {
    struct named* next;
    long long id;
    char* name;
};
struct names {
    const char* path;
    struct named* first;
    bool loaded;
};
static struct names users = {.path = "/etc/passwd"}, groups = {.path = "/etc/group"};

/* NAME:PASSWORD:ID… */
static void load_name(struct names* names, struct named** last, char* line) {
    char* password = strchr(line, ':');
    char* number = password ? strchr(password + 1, ':') : NULL;
    long long id;
    if (!number) {
        return;
    }
    *password = '\0';
    number[1 + strcspn(number + 1, ":")] = '\0';
    if (!*line || !parse_number(number + 1, &id)) {
        return;
    }
    struct named* named = keep(sizeof *named);
    *named = (struct named){.id = id, .name = keep_copy(line)};
    *(*last ? &(*last)->next : &names->first) = named;
    *last = named;
}

static void load_names(struct names* names) {
    if (names->loaded) {
        return;
    }
    names->loaded = true;
    int status = 0;
    struct file* file = file_open(names->path, O_RDONLY);
    struct reader reader = {.file = file, .name = names->path, .status = &status};
    struct named* last = NULL;
    struct mark mark = scratch_mark();
    struct str line = {0};
    for (int count = 0; file && count < kNamesMax && read_line(&reader, &line); count++) {
        load_name(names, &last, str_end(&line));
    }
    file_drop(file);
    scratch_release(mark);
}

static const char* name_in(struct names* names, long long id) {
    load_names(names);
    for (const struct named* named = names->first; named; named = named->next) {
        if (named->id == id) {
            return named->name;
        }
    }
    return NULL;
}

static bool id_in(struct names* names, const char* text, long long* id) {
    load_names(names);
    for (const struct named* named = names->first; named; named = named->next) {
        if (strcmp(named->name, text) == 0) {
            *id = named->id;
            return true;
        }
    }
    return parse_number(text, id);
}

const char* user_name(long long id) {
    return name_in(&users, id);
}

const char* group_name(long long id) {
    return name_in(&groups, id);
}

bool user_id(const char* text, long long* id) {
    return id_in(&users, text, id);
}

bool group_id(const char* text, long long* id) {
    return id_in(&groups, text, id);
}

/* ---- modes ---- */

void mode_text(mode_t mode, char text[11]) {
    static const char letters[] = "rwxrwxrwx";
    struct stat status = {.st_mode = mode};
    text[0] = kind_letter(&status);
    for (int i = 0; i < 9; i++) {
        text[1 + i] = mode & (0400U >> i) ? letters[i] : '-';
    }
    if (mode & 04000) {
        text[3] = mode & 0100 ? 's' : 'S';
    }
    if (mode & 02000) {
        text[6] = mode & 0010 ? 's' : 'S';
    }
    if (mode & 01000) {
        text[9] = mode & 0001 ? 't' : 'T';
    }
    text[10] = '\0';
}

/* The bits of rwxXst, or those that u, g or o have now, for all three at once. */
static bool mode_bits(const char** at, mode_t now, bool folder, mode_t* bits) {
    *bits = 0;
    for (;; ++*at) {
        mode_t same = **at == 'u' ? now >> 6 & 7 : **at == 'g' ? now >> 3 & 7 : now & 7;
        switch (**at) {
            case 'r':
                *bits |= 0444;
                break;
            case 'w':
                *bits |= 0222;
                break;
            case 'X':
                *bits |= folder || now & 0111 ? 0111 : 0;
                break;
            case 'x':
                *bits |= 0111;
                break;
            case 's':
                *bits |= 06000;
                break;
            case 't':
                *bits |= 01000;
                break;
            case 'u':
            case 'g':
            case 'o':
                *bits |= same * 0111;
                break;
            default:
                return !**at || strchr(",+-=", **at);
        }
    }
}

bool mode_parse(const char* text, mode_t now, bool folder, mode_t* mode) {
    size_t digits = strspn(text, "01234567");
    *mode = now & 07777;
    if (digits > 0) {
        *mode = (mode_t)strtoul(text, NULL, 8);
        return digits <= 5 && !text[digits] && *mode <= 07777;
    }
    for (const char* at = text;; at++) {
        mode_t who = 0;
        for (; *at && strchr("ugoa", *at); at++) {
            who |= *at == 'u' ? 04700 : *at == 'g' ? 02070 : *at == 'o' ? 01007 : 07777;
        }
        mode_t reach = who ? who : 07777 & ~(mode_t)kUmask;
        if (!*at || !strchr("+-=", *at)) {
            return false;
        }
        while (*at && strchr("+-=", *at)) {
            char op = *at++;
            mode_t bits;
            if (!mode_bits(&at, *mode, folder, &bits)) {
                return false;
            }
            bits &= reach;
            mode_t cleared = op == '='   ? (who ? who : 07777) & (folder ? 01777 : 07777)
                             : op == '-' ? bits
                                         : 0;
            *mode = (*mode & ~cleared) | (op == '-' ? 0 : bits);
        }
        if (*at != ',') {
            return !*at;
        }
    }
}

/* ---- chmod ---- */

struct modes {
    const char* text;
    bool recursive, quiet, verbose;
};

static enum walk chmod_visit(struct walker* w, const char* path, const struct stat* status,
                             int depth) {
    const struct modes* m = w->context;
    mode_t mode = 0;
    if (S_ISLNK(status->st_mode) && depth > 0) {
        return kWalkSkip;
    }
    (void)mode_parse(m->text, status->st_mode, S_ISDIR(status->st_mode), &mode);
    if (mode == (status->st_mode & 07777)) {
        /* nothing to do, and so nothing that could fail */
    } else if (mode & 06000) {
        complain("%s: setuid and setgid bits cannot be set in a Wasm container", path);
        w->status = 1;
    } else if (!mode_set(path, mode)) {
        if (!m->quiet) {
            complain_errno(path);
        }
        w->status = 1;
    } else if (m->verbose) {
        putf("mode of '%s' changed to %04o\n", path, (unsigned)mode);
    }
    return m->recursive ? kWalkInto : kWalkSkip;
}

int chmod_main(int argc, char** argv) {
    struct modes m = {0};
    int at = 1;
    /* A mode may begin with a minus. */
    for (; at < argc && argv[at][0] == '-' && strspn(argv[at] + 1, "Rfvc-") == strlen(argv[at]) - 1;
         at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        m.recursive = m.recursive || strchr(argv[at], 'R');
        m.quiet = m.quiet || strchr(argv[at], 'f');
        m.verbose = m.verbose || strchr(argv[at], 'v') || strchr(argv[at], 'c');
    }
    mode_t mode;
    if (argc - at < 2) {
        complain("usage: chmod [-Rfv] MODE FILE...");
        return 1;
    }
    m.text = argv[at++];
    if (!mode_parse(m.text, 0, false, &mode)) {
        complain("%s: no mode: as 0644, or as u+x,go-w", m.text);
        return 1;
    }
    struct walker w = {.visit = chmod_visit, .context = &m, .top_followed = true};
    for (; at < argc; at++) {
        walk_tree(&w, argv[at]);
    }
    return w.status;
}

/* ---- id, whoami ---- */

static void put_id(const char* before, long long id, const char* name) {
    putf("%s%lld", before, id);
    if (name) {
        putf("(%s)", name);
    }
}

static void put_groups(const struct identity* who, bool names) {
    const char* before = "";
    for (size_t i = 0; i <= who->group_count; i++) {
        long long id = i == 0 ? who->gid : who->groups[i - 1];
        const char* name = names ? group_name(id) : NULL;
        if (i > 0 && id == who->gid) {
            continue;
        }
        putf("%s", before);
        name ? put(name) : putf("%lld", id);
        before = " ";
    }
    put_byte('\n');
}

int id_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "ugGnr");
    struct identity who;
    char what = 0;
    bool names = false;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        names |= letter == 'n';
        what = strchr("ugG", letter) ? (char)letter : what;
    }
    if (o.operand_count > 0) {
        complain("%s: only the container's own user is known", o.operands[0]);
        return 1;
    }
    identity_get(&who);
    if (what == 'G') {
        put_groups(&who, names);
    } else if (what) {
        long long id = what == 'u' ? who.uid : who.gid;
        const char* name = !names ? NULL : what == 'u' ? user_name(id) : group_name(id);
        name ? putf("%s\n", name) : putf("%lld\n", id);
    } else {
        put_id("uid=", who.uid, user_name(who.uid));
        put_id(" gid=", who.gid, group_name(who.gid));
        put_id(" groups=", who.gid, group_name(who.gid));
        for (size_t i = 0; i < who.group_count; i++) {
            if (who.groups[i] != who.gid) {
                put_id(",", who.groups[i], group_name(who.groups[i]));
            }
        }
        put_byte('\n');
    }
    return 0;
}

int whoami_main(int argc, char** argv) {
    (void)argc, (void)argv;
    struct identity who;
    identity_get(&who);
    const char* name = user_name(who.uid);
    if (!name) {
        complain("/etc/passwd has no name for user %u", who.uid);
        return 1;
    }
    putf("%s\n", name);
    return 0;
}
