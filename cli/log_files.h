/* The log of a detached container as one stream of lines, though it is in several files (runtime/monitor/monitor.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"

struct log_files {
    struct arena *arena;
    int dir;         /* the container's */
    uint64_t number; /* of log.N, if `file` was that when it was opened; else 0 */
    FILE *file;
};

/** Open the oldest one. ENOENT in err->code: there is none. */
int log_files_begin(struct log_files *l, struct error *err);

/** Open where the last @n lines of all begin. */
int log_files_tail(struct log_files *l, uint64_t n, struct error *err);

/** Nothing will be added to @file: it is full, and another one is the current one. */
bool log_files_is_full(const struct log_files *l);

/** Go on to what came after the full @file. */
int log_files_next(struct log_files *l, struct error *err);

void log_files_close(struct log_files *l);
