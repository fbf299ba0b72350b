/*
 * What this host can do for containers and for sandboxes: `hull check` as a library. Every answer was had by trying, in
 * a forked child where the try would change something, so that nothing stays behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

enum check_status {
    CHECK_OK,
    CHECK_WARN, /* something that some containers ask for is missing */
    CHECK_NO,   /* missing, and neither container (or no sandbox, for the sandbox's rows) can do without */
};

struct check_result {
    const char *name;  /* "namespace.user"; stays the same from version to version */
    const char *group; /* "namespaces" */
    enum check_status status;
    const char *detail; /* what was found */
    const char *remedy; /* what to do about it; NULL where nothing is missing, or nothing can be done */
};

struct check_report {
    struct check_result *results; /* by group, in the order to print them */
    size_t n;
    bool containers, sandboxes; /* can they run here, with this build */
};

const char *check_status_name(enum check_status); /* "ok", "warn", "no" */

/** Try everything as the user and with the rights of the caller. @state_directory is runtime.root; it need not exist.
 * Cannot fail: what cannot be found out is said in the row. */
void host_check(struct arena *a, const char *state_directory, struct check_report *out);
