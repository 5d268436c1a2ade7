/* The shell's state: variables, functions, positional parameters, and what a subshell puts back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolbox.h"

struct shell sh;
const char* tool_name = "sh";

static unsigned bucket_of(const char* name) {
    unsigned hash = 5381;
    for (; *name; name++) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash % kVarBuckets;
}

bool is_name(const char* text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return size > 0;
}

struct var* var_find(const char* name) {
    struct var* var = sh.vars[bucket_of(name)];
    while (var && strcmp(var->name, name) != 0) {
        var = var->next;
    }
    return var;
}

static struct var* var_make(const char* name) {
    struct var* var = var_find(name);
    if (!var) {
        struct var** bucket = &sh.vars[bucket_of(name)];
        var = keep(sizeof *var);
        *var = (struct var){.next = *bucket, .name = keep_copy(name)};
        *bucket = var;
    }
    return var;
}

const char* var_get(const char* name) {
    struct var* var = var_find(name);
    return var ? var->value : NULL;
}

bool var_set(const char* name, const char* value) {
    struct var* var = var_make(name);
    if (var->readonly) {
        complain("%s: is read only", name);
        return false;
    }
    char* copy = value ? keep_copy(value) : NULL;
    free(var->value);
    var->value = copy;
    return true;
}

void var_export(const char* name) {
    var_make(name)->exported = true;
}

static void var_free(struct var* var) {
    free(var->name);
    free(var->value);
    free(var);
}

bool var_unset(const char* name) {
    struct var** at = &sh.vars[bucket_of(name)];
    while (*at && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    struct var* var = *at;
    if (var && var->readonly) {
        complain("%s: is read only", name);
        return false;
    }
    if (var) {
        *at = var->next;
        var_free(var);
    }
    return true;
}

static char** sorted_names(size_t* count) {
    struct fields names = {0};
    for (int i = 0; i < kVarBuckets; i++) {
        for (struct var* var = sh.vars[i]; var; var = var->next) {
            fields_add(&names, var->name);
        }
    }
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof *names.items, compare_text);
    }
    *count = names.count;
    return names.items;
}

char** var_environment(void) {
    size_t count;
    char** names = sorted_names(&count);
    struct fields all = {0};
    for (size_t i = 0; i < count; i++) {
        struct var* var = var_find(names[i]);
        if (var->exported && var->value) {
            fields_add(&all, scratch_format("%s=%s", var->name, var->value));
        }
    }
    fields_add(&all, NULL);
    return all.items;
}

static void put_quoted(const char* text) {
    put_byte('\'');
    for (; *text; text++) {
        if (*text == '\'') {
            put("'\\''");
        } else {
            put_byte(*text);
        }
    }
    put_byte('\'');
}

void var_list(const char* prefix, bool exported, bool readonly) {
    size_t count;
    char** names = sorted_names(&count);
    for (size_t i = 0; i < count && !broken(); i++) {
        struct var* var = var_find(names[i]);
        if ((exported && !var->exported) || (readonly && !var->readonly)) {
            continue;
        }
        if (!var->value && !exported && !readonly) {
            continue;
        }
        putf("%s%s", prefix, var->name);
        if (var->value) {
            put_byte('=');
            put_quoted(var->value);
        }
        put_byte('\n');
    }
}

struct function* function_find(const char* name) {
    struct function* function = sh.functions;
    while (function && strcmp(function->name, name) != 0) {
        function = function->next;
    }
    return function;
}

static void function_free(struct function* function) {
    unit_drop(function->unit);
    free(function->name);
    free(function);
}

void function_unset(const char* name) {
    struct function** at = &sh.functions;
    while (*at && strcmp((*at)->name, name) != 0) {
        at = &(*at)->next;
    }
    struct function* function = *at;
    if (function) {
        *at = function->next;
        function_free(function);
    }
}

void function_set(const char* name, struct node* body, struct unit* unit) {
    unit->refs++;
    function_unset(name);
    struct function* function = keep(sizeof *function);
    *function = (struct function){
        .next = sh.functions, .name = keep_copy(name), .body = body, .unit = unit};
    sh.functions = function;
}

static void args_free(char** args, int count) {
    for (int i = 0; i < count; i++) {
        free(args[i]);
    }
    free(args);
}

static char** args_copy(char** args, int count) {
    char** copy = keep(((size_t)count + 1) * sizeof *copy);
    for (int i = 0; i < count; i++) {
        copy[i] = keep_copy(args[i]);
    }
    copy[count] = NULL;
    return copy;
}

void args_set(char** args, int count) {
    char** copy = args_copy(args, count);
    args_free(sh.args, sh.arg_count);
    sh.args = copy;
    sh.arg_count = count;
}

void local_add(const char* name) {
    struct var* var = var_find(name);
    struct local* local = keep(sizeof *local);
    *local = (struct local){.next = sh.locals,
                            .name = keep_copy(name),
                            .value = var && var->value ? keep_copy(var->value) : NULL,
                            .exported = var && var->exported};
    sh.locals = local;
}

void locals_restore(struct local* until) {
    while (sh.locals && sh.locals != until) {
        struct local* local = sh.locals;
        sh.locals = local->next;
        struct var* var = var_find(local->name);
        if (!var || !var->readonly) {
            if (local->value || local->exported) {
                var_set(local->name, local->value);
                var_find(local->name)->exported = local->exported;
            } else {
                var_unset(local->name);
            }
        }
        free(local->name);
        free(local->value);
        free(local);
    }
}

struct snapshot {
    struct shell shell;
    struct file* fds[kFds];
    char folder[kPathMax];
    const char* tool;
};

static struct var* vars_copy(const struct var* from) {
    struct var* first = NULL;
    for (struct var** at = &first; from; from = from->next, at = &(*at)->next) {
        *at = keep(sizeof **at);
        **at = (struct var){.name = keep_copy(from->name),
                            .value = from->value ? keep_copy(from->value) : NULL,
                            .exported = from->exported,
                            .readonly = from->readonly};
    }
    return first;
}

static struct function* functions_copy(const struct function* from) {
    struct function* first = NULL;
    for (struct function** at = &first; from; from = from->next, at = &(*at)->next) {
        *at = keep(sizeof **at);
        **at = (struct function){
            .name = keep_copy(from->name), .body = from->body, .unit = from->unit};
        from->unit->refs++;
    }
    return first;
}

struct snapshot* shell_save(void) {
    struct snapshot* saved = keep(sizeof *saved);
    saved->shell = sh;
    saved->tool = tool_name;
    for (int i = 0; i < kVarBuckets; i++) {
        sh.vars[i] = vars_copy(sh.vars[i]);
    }
    sh.functions = functions_copy(sh.functions);
    sh.args = args_copy(sh.args, sh.arg_count);
    sh.exit_trap = NULL;
    sh.locals = NULL;
    sh.interactive = false;
    for (int fd = 0; fd < kFds; fd++) {
        saved->fds[fd] = file_hold(fds[fd]);
    }
    if (!getcwd(saved->folder, sizeof saved->folder)) {
        saved->folder[0] = '\0';
    }
    return saved;
}

void function_drop_all(void) {
    while (sh.functions) {
        struct function* next = sh.functions->next;
        function_free(sh.functions);
        sh.functions = next;
    }
}

static void locals_forget(void) {
    while (sh.locals) {
        struct local* next = sh.locals->next;
        free(sh.locals->name);
        free(sh.locals->value);
        free(sh.locals);
        sh.locals = next;
    }
}

/* Not inlined: its buffer must not be on the stack while commands run. */
static __attribute__((noinline)) void folder_restore(const char* folder) {
    char now[kPathMax];
    if (folder[0] && (!getcwd(now, sizeof now) || strcmp(now, folder) != 0)) {
        (void)!chdir(folder);
    }
}

void shell_restore(struct snapshot* saved) {
    for (int i = 0; i < kVarBuckets; i++) {
        while (sh.vars[i]) {
            struct var* next = sh.vars[i]->next;
            var_free(sh.vars[i]);
            sh.vars[i] = next;
        }
    }
    function_drop_all();
    locals_forget();
    args_free(sh.args, sh.arg_count);
    free(sh.exit_trap);
    int status = sh.status;
    sh = saved->shell;
    sh.status = status;
    tool_name = saved->tool;
    for (int fd = 0; fd < kFds; fd++) {
        file_drop(fds[fd]);
        fds[fd] = saved->fds[fd];
    }
    folder_restore(saved->folder);
    free(saved);
}

void shell_fail(int status) {
    sh.status = status;
    sh.unwind = kUnwindExit;
}
