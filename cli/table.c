/* Columns as wide as what is widest in them; see table.h. */
#include "cli/table.h"

#include <string.h>

/* Characters, not bytes: UTF-8 continuation bytes take no room. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

void text_table_add(struct text_table *t, const char *const *cells)
{
    if (t->n + t->columns > t->capacity) {
        size_t more = 2 * t->capacity + 16 * t->columns;

        t->cells = arena_grow(t->arena, t->cells, t->capacity * sizeof(*t->cells), more * sizeof(*t->cells));
        t->capacity = more;
    }
    memcpy(t->cells + t->n, cells, t->columns * sizeof(*cells));
    t->n += t->columns;
}

static size_t column_width(const struct text_table *t, size_t column)
{
    size_t width = t->min_width;

    for (size_t i = column; i < t->n; i += t->columns) {
        size_t needed = text_width(t->cells[i]) + t->gap;

        width = needed > width ? needed : width;
    }
    return width;
}

void text_table_print(const struct text_table *t, struct buffer *b)
{
    size_t *widths = arena_new_n(t->arena, t->columns, size_t);

    for (size_t column = 0; column < t->columns; column++)
        widths[column] = column_width(t, column);
    for (size_t i = 0, column = 0; i < t->n; i++) {
        bool last = column + 1 == t->columns;

        buffer_printf(b, "%s%*s", t->cells[i], last ? 0 : (int)(widths[column] - text_width(t->cells[i])),
                      last ? "\n" : "");
        column = last ? 0 : column + 1;
    }
}
