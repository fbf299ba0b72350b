/* Text in columns. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"

struct text_table {
    struct arena *arena;
    size_t columns, min_width, gap; /* the gap is part of a column's width */
    const char **cells;             /* row by row */
    size_t n, capacity;
};

/** Add a row: as many cells as there are columns. */
void text_table_add(struct text_table *t, const char *const *cells);
void text_table_print(const struct text_table *t, struct buffer *b);
