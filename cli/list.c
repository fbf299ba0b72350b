/*
 * list: the containers of the state directory, as runc prints them: a table whose columns are at least 12
 * wide, or one line of JSON ("null" when there is none). A container that cannot be read (or went away
 * meanwhile) is logged and left out.
 */
#include <string.h>

#include "base/log.h"
#include "cli/command.h"

struct list_options {
    enum format format;
    bool quiet;
};

static const struct option_row rows[] = {
    {"format", 'f', "table|json", offsetof(struct list_options, format), option_choice,
     "how to print (default: table)"},
    {"quiet", 'q', NULL, offsetof(struct list_options, quiet), option_flag, "print ids only"},
    {0},
};

enum { COLUMNS = 6, COLUMN_MIN = 12, COLUMN_GAP = 3 };

struct table_row {
    const char *cell[COLUMNS];
};

/* Characters, not bytes: UTF-8 continuation bytes take no room. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_table(struct buffer *b, const struct container *c, size_t n)
{
    struct table_row *table = arena_new_n(b->arena, n + 1, struct table_row);
    size_t width[COLUMNS] = {0};

    table[0] = (struct table_row){{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
    for (size_t i = 0; i < n; i++)
        table[i + 1] =
            (struct table_row){{c[i].id, arena_printf(b->arena, "%d", c[i].pid),
                                container_status_name(c[i].status), c[i].bundle, c[i].created, c[i].owner}};
    for (size_t column = 0; column < COLUMNS; column++) {
        width[column] = COLUMN_MIN;
        for (size_t i = 0; i <= n; i++) {
            size_t needed = text_width(table[i].cell[column]) + COLUMN_GAP;
            if (needed > width[column])
                width[column] = needed;
        }
    }
    for (size_t i = 0; i <= n; i++)
        for (size_t column = 0; column < COLUMNS; column++) {
            const char *cell = table[i].cell[column];
            bool last = column == COLUMNS - 1;
            buffer_printf(b, "%s%*s", cell, last ? 0 : (int)(width[column] - text_width(cell)),
                          last ? "\n" : "");
        }
}

static void print_json(struct buffer *b, const struct container *c, size_t n)
{
    if (n == 0) {
        buffer_puts(b, "null\n");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *state = container_state_json(b->arena, &c[i], false, &length);

        buffer_puts(b, i ? "," : "[");
        buffer_add(b, state, length);
    }
    buffer_puts(b, "]\n");
}

static size_t load_all(const struct runtime *rt, const struct string_list *ids, struct container *out)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->n; i++) {
        struct error failure = {0};

        if (container_load(rt, ids->v[i], &out[n], &failure) == 0)
            n++;
        else
            log_warning("list: container %s: %s", ids->v[i], failure.message);
    }
    return n;
}

static int list(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    const struct list_options *o = options;
    struct buffer b = {.arena = rt->arena};
    struct string_list ids = {0};

    (void)arguments;
    if (container_ids(rt, &ids, err) < 0)
        return -1;
    if (o->quiet) {
        for (size_t i = 0; i < ids.n; i++)
            buffer_printf(&b, "%s\n", ids.v[i]);
    } else {
        struct container *containers = arena_new_n(rt->arena, ids.n + 1, struct container);
        size_t n = load_all(rt, &ids, containers);

        (o->format == FORMAT_JSON ? print_json : print_table)(&b, containers, n);
    }
    return print_text(b.data, b.length, err);
}

const struct command list_command = {
    .name = "list",
    .arguments = "",
    .summary = "list the containers of the state directory",
    .options = rows,
    .options_size = sizeof(struct list_options),
    .run = list,
};
