/*
 * A directory's content, copied into another: files (hard links among them stay links), directories, symlinks, devices and
 * fifos, with owner, mode, times and extended attributes. Both sides are descriptors, and either may be hostile: nothing is
 * followed, content is opened only after a look that it is a regular file, and looked at again once it is open.
 */
#pragma once

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/** Copy what is in the directory @from into @to. Left out: sockets, attributes that the target's file system or our rights do not
 * allow, and in a user namespace devices and owners that it does not have. */
int copy_tree(int from, int to, struct error *err);

/* Other owners for the copy. */
struct copy_owners {
    uint32_t (*uid)(const void *argument, uint32_t uid), (*gid)(const void *argument, uint32_t gid);
    const void *argument;
};

/** The same, with these; capabilities of a program hold where its new owner is root. */
int copy_tree_as(int from, int to, const struct copy_owners *owners, struct error *err);

/** The first @size bytes of a file into an empty one, on another file system too; holes stay holes. -1 with errno. */
int copy_content(int from, int to, off_t size);

/** Owner, mode and times, as @st says, for @to. -1 with errno. */
int copy_metadata(int to, const struct stat *st);

/** Give the file or directory @path below @dirfd, and all that is in it, to this user and group. A link at @path is not
 * followed, nor is one below it. */
int chown_tree(int dirfd, const char *path, uid_t uid, gid_t gid, struct error *err);
