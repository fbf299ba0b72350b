/*
 * What people see of a pull, push or load while it lasts. Threads count into bars; the display looks at them: on a terminal
 * a line a layer, redrawn at most ten times a second; elsewhere a line when a layer is done; or a JSON object a line.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum progress_form { PROGRESS_TABLE, PROGRESS_JSON, PROGRESS_QUIET }; /* the first two: --format */

enum bar_state { BAR_WAITS, BAR_WORKS, BAR_PRESENT, BAR_DONE, BAR_FAILED };

struct bar {
    char name[16];          /* the layer's digits, shortened */
    _Atomic uint64_t total; /* bytes; 0: not known */
    _Atomic uint64_t done;
    _Atomic int state; /* enum bar_state */
};

struct progress;

/** Show @n bars on standard error until progress_end(). @what: "pulled". NULL when quiet, or when the
 * display cannot be had: it is never an error. */
struct progress *progress_begin(enum progress_form form, const char *what, struct bar *const *bars, size_t n);
void progress_end(struct progress *p);
