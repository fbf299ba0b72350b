/*
 * A layer's tar archive becomes a directory tree in overlayfs's own form (layer.md, "Applying Changesets"): whiteouts become
 * character devices 0:0, opaque directories get overlayfs's attribute. libarchive reads the archive, Hull makes the files:
 * every path is resolved below the tree's descriptor, whatever the archive says.
 *
 * A layer is unpacked without the layers below it. Only what it says about them by omission (a directory it does not
 * describe, a hard link to a file of theirs) is looked up there; then the layer fits that place alone, and `depends` says so.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "images/source.h"
#include "images/stack.h"

enum {
    UNPACK_MAX_ENTRIES = 10 << 20, /* of one layer, unless the options say less */
    UNPACK_MAX_DIRECTORIES = 1 << 20,
    UNPACK_MAX_DEPTH = 256, /* directories in each other: a look-up in the layers below costs their square */
};

struct unpack_options {
    bool
        user_namespace; /* devices cannot be made: they are left out, with a warning; attributes are user.overlay.* */
    /** Wait for the layers below, add their trees (the next one first) to @below. NULL: there are none. */
    int (*below)(void *context, struct stack *below, struct error *err);
    void *context;
    /** Do not wait for them where a directory is not described, but guess (see result.guessed_wrong). */
    bool may_guess;
    /** Keep in the directory @skeleton what the archive has besides its files' content: see skeleton.h. */
    bool keep_skeleton;
    int skeleton;
    uint64_t max_entries, max_directories; /* 0: as above */
};

struct unpack_result {
    bool depends;       /* on the layers below */
    bool guessed_wrong; /* that is why it failed: without guesses, into an empty tree, it may not */
    bool root_given;    /* the archive described its root directory: */
    struct stat root;   /* mode, owner, time */
    uint64_t entries, bytes /* of files' content, holes not counted */;
};

/** Unpack all of @from into the empty directory @tree. Fails at the first entry that cannot be as it is; what was made
 * stays for the caller to remove. */
int unpack_layer(struct source *from, int tree, const struct unpack_options *o, struct unpack_result *result,
                 struct error *err);
