/*
 * list: the containers of the state directory, as runc prints them: a table whose columns are at least 12
 * wide, or one line of JSON ("null" when there is none). A container that cannot be read (or went away
 * meanwhile) is logged and left out.
 */
#include "base/log.h"
#include "cli/containers.h"
#include "cli/table.h"

struct list_options {
    enum format format;
    bool quiet, all;
};

static const struct option_row rows[] = {
    {"format", 'f', "table|json", offsetof(struct list_options, format), option_choice,
     "how to print (default: table)"},
    {"quiet", 'q', NULL, offsetof(struct list_options, quiet), option_flag, "print ids only"},
    {"all", 'a', NULL, offsetof(struct list_options, all), option_flag,
     "those that were run from images of the store, also when they have ended"},
    {0},
};

static void print_table(struct buffer *b, const struct container *c, size_t n)
{
    struct text_table t = {.arena = b->arena, .columns = 6, .min_width = 12, .gap = 3};

    text_table_add(&t, (const char *[]){"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"});
    for (size_t i = 0; i < n; i++)
        text_table_add(&t, (const char *[]){c[i].id, arena_printf(b->arena, "%d", c[i].pid),
                                            container_status_name(c[i].status), c[i].bundle, c[i].created,
                                            c[i].owner});
    text_table_print(&t, b);
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
    if (o->all)
        return list_all(rt, o->format, o->quiet, err);
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
