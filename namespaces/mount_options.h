/* Mount options of the runtime specification (and a few of crun's), as words in config.json -> flags. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

enum mount_extension {
    MOUNT_EXT_TMPCOPYUP = 1 << 0,
    MOUNT_EXT_IDMAP = 1 << 1,
    MOUNT_EXT_RIDMAP = 1 << 2,
    MOUNT_EXT_COPY_SYMLINK = 1 << 3,
    MOUNT_EXT_SRC_NOFOLLOW = 1 << 4,
    MOUNT_EXT_DEST_NOFOLLOW = 1 << 5,
};

enum { MOUNT_MAX_PROPAGATION = 5, MOUNT_MAX_DATA = 4095 };

struct mount_options {
    unsigned long set, clear;   /* MS_*: asked for, asked not to be */
    unsigned long rset, rclear; /* the same for the whole tree (rro, rnosuid ...) */
    unsigned long propagation[MOUNT_MAX_PROPAGATION];
    size_t n_propagation;
    unsigned extensions; /* enum mount_extension */
    char *data;          /* what no table knows, joined by commas; NULL when empty */
};

/** Split @words into flags and file-system data. Fails when there is more than the kernel takes. */
int mount_options_parse(struct arena *a, const struct string_list *words, struct mount_options *out,
                        struct error *err);

/** MS_* set/clear -> MOUNT_ATTR_* set/clear; flags of the super block (sync, mand ...) have none and are
 * dropped. */
void mount_options_attrs(unsigned long set, unsigned long clear, uint64_t *attr_set, uint64_t *attr_clear);

/** "rslave" -> MS_SLAVE|MS_REC; 0 when @name is no propagation. */
unsigned long mount_propagation_from_name(const char *name);

/** What `features` lists: every mount option this build understands, sorted, NULL-terminated. */
const char *const *mount_option_names(size_t *n);
