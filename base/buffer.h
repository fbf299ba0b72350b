/* A string that grows in an arena; always NUL-terminated once something was added. */
#pragma once

#include "base/arena.h"

struct buffer {
    struct arena *arena;
    char *data;
    size_t length, capacity;
};

void buffer_add(struct buffer *b, const void *data, size_t length);
void buffer_puts(struct buffer *b, const char *s);
void buffer_printf(struct buffer *b, const char *fmt, ...) _printf_(2, 3);
