/* Redirections: which file a descriptor of the shell points to. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "toolbox.h"

void fds_save(struct saved_fds* saved) {
    for (int fd = 0; fd < kFds; fd++) {
        saved->fds[fd] = file_hold(fds[fd]);
    }
}

void fds_restore(struct saved_fds* saved) {
    for (int fd = 0; fd < kFds; fd++) {
        file_drop(fds[fd]);
        fds[fd] = saved->fds[fd];
    }
}

void fds_forget(struct saved_fds* saved) {
    for (int fd = 0; fd < kFds; fd++) {
        file_drop(saved->fds[fd]);
    }
}

void fd_set_file(int fd, struct file* file) {
    file_drop(fds[fd]);
    fds[fd] = file;
}

static bool redirect_copy(const struct redir* redir, const char* word) {
    if (strcmp(word, "-") == 0) {
        fd_set_file(redir->fd, NULL);
        return true;
    }
    if (word[0] < '0' || word[0] > '9' || word[1] || !fds[word[0] - '0']) {
        complain("%s: bad descriptor: an open one from 0 to 9 is needed", word);
        return false;
    }
    fd_set_file(redir->fd, file_hold(fds[word[0] - '0']));
    return true;
}

static bool redirect(const struct redir* redir) {
    if (redir->kind == kRedirHere) {
        const char* text = redir->literal ? redir->word : expand_here(redir->word);
        if (text) {
            fd_set_file(redir->fd, file_text(text, strlen(text)));
        }
        return text != NULL;
    }
    const char* word = expand_one(redir->word);
    if (!word) {
        return false;
    }
    if (redir->kind == kRedirDup) {
        return redirect_copy(redir, word);
    }
    static const int flags[] = {[kRedirIn] = O_RDONLY,
                                [kRedirOut] = O_WRONLY | O_CREAT | O_TRUNC,
                                [kRedirAppend] = O_WRONLY | O_CREAT | O_APPEND,
                                [kRedirBoth] = O_RDWR | O_CREAT};
    struct file* file = file_open(word, flags[redir->kind]);
    if (!file) {
        complain("cannot %s %s: %s", redir->kind == kRedirIn ? "open" : "create", word,
                 strerror(errno));
        return false;
    }
    fd_set_file(redir->fd, file);
    return true;
}

bool redirect_all(const struct redir* redir) {
    for (; redir; redir = redir->next) {
        if (!redirect(redir)) {
            sh.status = 2;
            return false;
        }
    }
    return true;
}
