/* inspect, history: what an image's documents say. inspect writes podman's fields. */
#include <string.h>

#include "base/timestamp.h"
#include "cli/images/command.h"
#include "cli/table.h"
#include "images/reference.h"

/* --- inspect ------------------------------------------------------------------------------------------------------- */

struct inspect_options {
    bool raw, config;
};

static const struct option_row inspect_rows[] = {
    OPTION(struct inspect_options, "config", 0, NULL, config, option_flag, "with --raw: the configuration"),
    OPTION(struct inspect_options, "raw", 0, NULL, raw, option_flag, "print the manifest as it came"),
    {0},
};

static void write_strings(struct json_writer *w, const char *key, const char *const *v, size_t n)
{
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < n; i++)
        json_string(w, v[i]);
    json_array_end(w);
}

static void write_member(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value ? value : "");
}

/* All names of the image, and the same by digest. */
static int write_names(struct json_writer *w, const struct store *s, const struct image_info *info,
                       struct error *err)
{
    struct store_image *all;
    const char **tags, **digests;
    size_t n, n_tags = 0, n_digests = 0;

    if (store_names(s, &all, &n, err) < 0)
        return -1;
    tags = arena_new_n(s->arena, n + 1, const char *);
    digests = arena_new_n(s->arena, n + 1, const char *);
    for (size_t i = 0; i < n; i++) {
        struct reference r;

        if (!all[i].name || strcmp(all[i].manifest, info->image.manifest) != 0 ||
            reference_parse(s->arena, all[i].name, &r, NULL) < 0)
            continue;
        if (r.tag)
            tags[n_tags++] = all[i].name;
        digests[n_digests++] = arena_printf(s->arena, "%s@%s", reference_name(s->arena, &r), all[i].manifest);
    }
    write_strings(w, "RepoTags", tags, n_tags);
    write_strings(w, "RepoDigests", digests, n_digests);
    return 0;
}

static void write_layers(struct json_writer *w, const struct store *s, const struct image_info *info)
{
    json_key(w, "RootFS");
    json_object(w);
    write_member(w, "Type", "layers");
    write_strings(w, "Layers", (const char *const *)info->settings.diff_ids.v, info->settings.diff_ids.n);
    json_object_end(w);
    json_key(w, "Directories"); /* Hull's own: where the layers are, base first */
    json_array(w);
    for (size_t i = 0; i < info->keys.n; i++)
        json_string(w, store_layer_path(s, info->keys.v[i]));
    json_array_end(w);
}

static int write_image(struct json_writer *w, const struct store *s, const struct image_info *info,
                       struct error *err)
{
    const struct platform *p = &info->settings.platform;
    const struct json *config;
    struct json *json;

    if (json_parse(s->arena, info->config_text, info->config_length, "image configuration", &json, err) < 0)
        return -1;
    json_object(w);
    write_member(w, "Id", digest_hex(info->config));
    write_member(w, "Digest", info->image.manifest);
    if (write_names(w, s, info, err) < 0)
        return -1;
    write_member(w, "Created", info->settings.created);
    write_member(w, "Author", info->settings.author);
    write_member(w, "Architecture", p->architecture);
    if (p->variant)
        write_member(w, "Variant", p->variant);
    write_member(w, "Os", p->os);
    config = json_get(json, "config");
    if (config) {
        json_key(w, "Config");
        json_value(w, config);
    }
    json_key(w, "Size");
    json_uint(w, info->bytes);
    json_key(w, "VirtualSize");
    json_uint(w, info->bytes);
    write_layers(w, s, info);
    write_member(w, "ManifestType", info->manifest.media_type);
    config = json_get(json, "history");
    if (config) {
        json_key(w, "History");
        json_value(w, config);
    }
    json_object_end(w);
    return 0;
}

static int print_raw(struct store *s, const char *text, bool config, struct error *err)
{
    struct store_image image;
    struct image_info info;

    if (command_find_image(s, text, &image, err) < 0 || image_info_read(s, &image, &info, err) < 0)
        return -1;
    return config ? print_text(info.config_text, info.config_length, err)
                  : print_text(info.manifest_text, info.manifest_length, err);
}

static int inspect_all(struct store *s, const struct string_list *texts, struct error *err)
{
    struct json_writer w = json_writer_begin(s->arena, true);
    size_t length;

    json_array(&w);
    for (size_t i = 0; i < texts->n; i++) {
        struct store_image image;
        struct image_info info;

        if (command_find_image(s, texts->v[i], &image, err) < 0 ||
            image_info_read(s, &image, &info, err) < 0 || write_image(&w, s, &info, err) < 0) {
            json_writer_end(&w, &length);
            return -1;
        }
    }
    json_array_end(&w);
    const char *text = json_writer_end(&w, &length);
    return print_text(arena_printf(s->arena, "%s\n", text), length + 1, err);
}

static int inspect(const struct runtime *rt, void *options, const struct string_list *arguments,
                   struct error *err)
{
    const struct inspect_options *o = options;
    struct store s;
    int rc;

    if (o->raw && arguments->n != 1) {
        error_set(err, 0, "--raw is for one image");
        return usage_error(&inspect_command, err);
    }
    if (command_open_store(rt, &s, err) < 0)
        return -1;
    rc = o->raw ? print_raw(&s, arguments->v[0], o->config, err) : inspect_all(&s, arguments, err);
    store_close(&s);
    return rc;
}

const struct command inspect_command = {
    .name = "inspect",
    .arguments = "IMAGE...",
    .summary = "show what is known of an image",
    .options = inspect_rows,
    .options_size = sizeof(struct inspect_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = inspect,
};

/* --- history ------------------------------------------------------------------------------------------------------- */

enum { CREATED_BY_WIDTH = 44 };

struct history_options {
    enum format format;
    bool no_trunc;
};

static const struct option_row history_rows[] = {
    OPTION(struct history_options, "format", 'f', "table|json", format, option_choice,
           "how to print (default: table)"),
    OPTION(struct history_options, "no-trunc", 0, NULL, no_trunc, option_flag, "print all of each line"),
    {0},
};

/* What a step of the history added; steps and layers are in the same order, steps without a layer between. */
struct step {
    const struct image_history *h;
    uint64_t bytes;
};

static struct step *find_steps(const struct store *s, const struct image_info *info)
{
    struct step *steps = arena_new_n(s->arena, info->settings.n_history + 1, struct step);
    size_t layer = 0;

    for (size_t i = 0; i < info->settings.n_history; i++) {
        steps[i].h = &info->settings.history[i];
        if (!steps[i].h->empty_layer && layer < info->keys.n)
            steps[i].bytes = info->layer_bytes[layer++];
    }
    return steps;
}

/* On one line; a control character of a hostile image reaches no terminal. */
static const char *one_line(struct arena *a, const char *text, bool whole)
{
    char *line = arena_strdup(a, text ? text : "");

    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    if (!whole && strlen(line) > CREATED_BY_WIDTH)
        return arena_printf(a, "%.*s...", CREATED_BY_WIDTH - 3, line);
    return line;
}

/* "2026-11-21T09:58:19.1Z" to "2026-11-21 09:58:19" */
static const char *short_time(struct arena *a, const char *created)
{
    char *text = arena_strndup(a, created ? created : "unknown", 19);

    if (strlen(text) > 10 && text[10] == 'T')
        text[10] = ' ';
    return one_line(a, text, true);
}

static void history_table(struct buffer *b, const struct step *steps, size_t n, bool whole)
{
    struct text_table t = {.arena = b->arena, .columns = 4, .min_width = 12, .gap = 2};

    text_table_add(&t, (const char *[]){"CREATED", "CREATED BY", "SIZE", "COMMENT"});
    for (size_t i = n; i-- > 0;)
        text_table_add(&t, (const char *[]){short_time(b->arena, steps[i].h->created),
                                            one_line(b->arena, steps[i].h->created_by, whole),
                                            command_size(b->arena, steps[i].bytes),
                                            one_line(b->arena, steps[i].h->comment, whole)});
    text_table_print(&t, b);
}

static void history_json(struct buffer *b, const struct step *steps, size_t n)
{
    struct json_writer w = json_writer_begin(b->arena, true);
    size_t length;

    json_array(&w);
    for (size_t i = n; i-- > 0;) {
        json_object(&w);
        write_member(&w, "created", steps[i].h->created);
        write_member(&w, "CreatedBy", steps[i].h->created_by);
        json_key(&w, "size");
        json_uint(&w, steps[i].bytes);
        write_member(&w, "comment", steps[i].h->comment);
        json_object_end(&w);
    }
    json_array_end(&w);
    const char *text = json_writer_end(&w, &length);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
}

static int history(const struct runtime *rt, void *options, const struct string_list *arguments,
                   struct error *err)
{
    const struct history_options *o = options;
    struct buffer b = {.arena = rt->arena};
    struct store_image image;
    struct image_info info;
    struct store s;

    if (command_open_store(rt, &s, err) < 0 || command_find_image(&s, arguments->v[0], &image, err) < 0 ||
        image_info_read(&s, &image, &info, err) < 0)
        return -1;
    const struct step *steps = find_steps(&s, &info);
    store_close(&s);
    if (o->format == FORMAT_JSON)
        history_json(&b, steps, info.settings.n_history);
    else
        history_table(&b, steps, info.settings.n_history, o->no_trunc);
    return print_text(b.data, b.length, err);
}

const struct command history_command = {
    .name = "history",
    .arguments = "IMAGE",
    .summary = "show how an image came about",
    .options = history_rows,
    .options_size = sizeof(struct history_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = history,
};
