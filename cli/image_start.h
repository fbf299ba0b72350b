/* A container of the store runs: the first time (run, create), or again. */
#pragma once

#include "cli/keeper.h"

struct image_start {
    struct store *store;
    struct snapshot *container; /* whose lock is held */
    const struct keeper_record *record;
    const struct string_list *layers; /* base first */
    bool attach;      /* in the foreground: signals, streams and exit status are the caller's */
    bool interactive; /* and standard input too; detached ones have record->interactive */
    uint64_t timing;  /* as in struct create_options */
};

/** Run it. @status: its exit status; 0 when it runs detached. */
int image_start(const struct runtime *rt, const struct image_start *s, int *status, struct error *err);

/** What podman exits with where a container does not start: 127 what is not there, 126 what may not be executed, 125 all
 * else. @message: the runtime's. */
int image_start_exit_code(const char *message);

/** `start` of @id, whose name is printed when it runs detached; one that runs already is left alone. ENOENT in err->code:
 * the store has none. */
int image_start_again(const struct runtime *rt, const char *id, bool attach, bool interactive, int *status,
                      struct error *err);
