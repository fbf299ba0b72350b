/* images: what is in the store, a line a name, in podman's columns and JSON fields. An image that cannot be read is logged and
 * left out. */
#include <string.h>

#include "base/log.h"
#include "base/timestamp.h"
#include "cli/images/command.h"
#include "cli/table.h"
#include "images/reference.h"

struct images_options {
    enum format format;
    bool quiet, no_trunc;
};

static const struct option_row rows[] = {
    OPTION(struct images_options, "format", 'f', "table|json", format, option_choice,
           "how to print (default: table)"),
    OPTION(struct images_options, "no-trunc", 0, NULL, no_trunc, option_flag, "print ids whole"),
    OPTION(struct images_options, "quiet", 'q', NULL, quiet, option_flag, "print ids only"),
    {0},
};

static size_t read_all(const struct store *s, const struct store_image *images, size_t n,
                       struct image_info *out)
{
    size_t read = 0;

    for (size_t i = 0; i < n; i++) {
        struct error failure = {0};

        if (image_info_read(s, &images[i], &out[read], &failure) == 0)
            read++;
        else
            log_warning("%s", failure.message);
    }
    return read;
}

static const char *shown_id(struct arena *a, const struct image_info *info, bool whole)
{
    return whole ? info->config : command_short_id(a, info->config);
}

static void print_table(struct buffer *b, const struct image_info *infos, size_t n, bool whole)
{
    struct arena *a = b->arena;
    struct text_table t = {.arena = a, .columns = 5, .min_width = 12, .gap = 2};

    text_table_add(&t, (const char *[]){"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"});
    for (size_t i = 0; i < n; i++) {
        struct reference r = {0};
        const char *name = infos[i].image.name;
        bool named = name && reference_parse(a, name, &r, NULL) == 0;

        text_table_add(&t,
                       (const char *[]){named ? reference_name(a, &r) : "<none>", r.tag ? r.tag : "<none>",
                                        shown_id(a, &infos[i], whole), command_ago(a, infos[i].created),
                                        command_size(a, infos[i].bytes)});
    }
    text_table_print(&t, b);
}

static void write_member(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value);
}

static void write_image(struct json_writer *w, const struct image_info *info)
{
    char created[TIMESTAMP_SIZE];

    json_object(w);
    write_member(w, "Id", digest_hex(info->config));
    json_key(w, "Names");
    json_array(w);
    if (info->image.name)
        json_string(w, info->image.name);
    json_array_end(w);
    write_member(w, "Digest", info->image.manifest);
    json_key(w, "Created");
    json_uint(w, info->created);
    timestamp_format(&(struct timespec){.tv_sec = (time_t)info->created}, false, created);
    write_member(w, "CreatedAt", created);
    json_key(w, "Size");
    json_uint(w, info->bytes);
    json_key(w, "Dangling");
    json_bool(w, !info->image.name);
    json_key(w, "Labels");
    json_object(w);
    for (size_t i = 0; i < info->settings.n_labels; i++)
        write_member(w, info->settings.labels[i].key, info->settings.labels[i].value);
    json_object_end(w);
    json_object_end(w);
}

static void print_json(struct buffer *b, const struct image_info *infos, size_t n)
{
    struct json_writer w = json_writer_begin(b->arena, true);
    size_t length;

    json_array(&w);
    for (size_t i = 0; i < n; i++)
        write_image(&w, &infos[i]);
    json_array_end(&w);
    const char *text = json_writer_end(&w, &length);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
}

/* With several names an id is printed once. */
static void print_ids(struct buffer *b, const struct image_info *infos, size_t n, bool whole)
{
    for (size_t i = 0; i < n; i++) {
        bool again = false;

        for (size_t before = 0; before < i; before++)
            again = again || strcmp(infos[before].config, infos[i].config) == 0;
        if (!again)
            buffer_printf(b, "%s\n", shown_id(b->arena, &infos[i], whole));
    }
}

static int images(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    const struct images_options *o = options;
    struct buffer b = {.arena = rt->arena};
    struct store_image *all;
    struct store s;
    size_t n;

    (void)arguments;
    if (command_open_store(rt, &s, err) < 0 || store_names(&s, &all, &n, err) < 0)
        return -1;
    struct image_info *infos = arena_new_n(rt->arena, n + 1, struct image_info);
    n = read_all(&s, all, n, infos);
    store_close(&s);
    if (o->quiet)
        print_ids(&b, infos, n, o->no_trunc);
    else if (o->format == FORMAT_JSON)
        print_json(&b, infos, n);
    else
        print_table(&b, infos, n, o->no_trunc);
    return print_text(b.data, b.length, err);
}

const struct command images_command = {
    .name = "images",
    .arguments = "",
    .summary = "list the images of the store",
    .options = rows,
    .options_size = sizeof(struct images_options),
    .run = images,
};
