/* /etc/passwd of a root directory, without NSS: a container's is hostile, and static programs have no NSS. */
#pragma once

#include <stdint.h>

#include "base/arena.h"

struct passwd_entry {
    const char *name, *home; /* home: NULL when empty */
};

/** Look @uid up in etc/passwd below the directory @root. 0, or -1 when it is not there (or is no readable
 * regular file). */
int passwd_find(struct arena *a, int root, uint32_t uid, struct passwd_entry *out);
