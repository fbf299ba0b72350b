/*
 * Layers laid over each other, as overlayfs will show them, without mounting: whiteouts hide, opaque directories begin anew,
 * symlinks stay inside. Each tree is hostile: all is looked up by descriptor, no link of the host's is followed.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"

enum { STACK_MAX_TREES = 512 };

struct stack {
    int trees[STACK_MAX_TREES]; /* O_PATH, the top first */
    size_t n;
};

/* What stands at a path. */
struct stack_entry {
    char path[4096];  /* below the root, free of symlinks; "" for the root */
    struct stat st;   /* st_mode 0: nothing is there */
    size_t tree;      /* which of the trees has it */
    size_t last_tree; /* a directory: the lowest of the trees that can add to it */
};

/** Look @path up; a symlink at its end is followed if @follow. Nothing there (but its parent is): st_mode 0. -1 with @err when
 * the way there leads through something that is no directory, or nothing. */
int stack_lookup(const struct stack *s, const char *path, bool follow, struct stack_entry *out,
                 struct error *err);

/** Open what was found: openat(2) flags, no symlink is followed. -1 with errno. */
int stack_open(const struct stack *s, const struct stack_entry *e, int flags);

/** A character device 0:0: what overlayfs calls a whiteout. */
static inline bool stat_is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/** Has the directory overlayfs's mark that what is below it does not shine through? By root's attribute or a user's. */
bool directory_is_opaque(int fd);
