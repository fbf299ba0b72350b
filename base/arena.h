/*
 * One arena a command: everything that lives as long as the command is allocated here and never freed one by one.
 * Memory is zeroed. Allocation does not fail: a process out of memory while it reads its configuration has nothing to
 * undo yet, so the arena says "hull: out of memory" and exits with 1 - the one place below cli/ that may.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct arena {
    char *next, *end; /* free part of the newest chunk */
    struct arena_chunk *chunks;
};

void *arena_alloc(struct arena *a, size_t size);               /* 16-byte aligned, zeroed */
void *arena_array(struct arena *a, size_t count, size_t size); /* checked multiplication */
void *arena_grow(struct arena *a, void *old, size_t old_size,
                 size_t new_size); /* in place when it is the last one */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_copy(struct arena *a, const void *data, size_t n); /* n bytes and a NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
void arena_free(struct arena *a); /* all of it; for tests and fuzzers */

#define arena_new(a, type)      ((type *)arena_alloc(a, sizeof(type)))
#define arena_new_n(a, n, type) ((type *)arena_array(a, n, sizeof(type)))
