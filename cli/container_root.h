/* The root directory of a container, running or not, for commands that read and write its files from outside. */
#pragma once

#include "cli/keeper.h"
#include "images/idmaps.h"

struct container_root {
    int fd;             /* O_PATH */
    const char *path;   /* what was asked for, below fd */
    int lock;           /* of one that does not run: nobody starts it while this is open; else -1 */
    struct idmaps maps; /* of its user namespace, for callers who are root on the host; else empty */
};

/**
 * Open the one that has @path; the caller is a process of its own, which ends when it is done: a container that does not run is mounted in a
 * mount namespace (without root: and a user namespace) that the caller becomes a part of.
 */
int container_root_open(const struct runtime *rt, const char *name, const char *path,
                        struct container_root *out, struct error *err);
