/*
 * Instructions are a table: a word, and what takes the rest of the line. The JSON form of CMD, ENTRYPOINT and VOLUME is taken as
 * it is; other text for the first two is a shell's.
 */
#include "images/change.h"

#include <string.h>
#include <strings.h>

#include "base/signals.h"

struct change {
    struct arena *arena;
    const char *word, *text;
    struct image_config *config;
};

static void add(struct arena *a, struct string_list *list, const char *text)
{
    list->v = arena_grow(a, list->v, list->n ? (list->n + 1) * sizeof(*list->v) : 0,
                         (list->n + 2) * sizeof(*list->v));
    list->v[list->n++] = arena_strdup(a, text);
    list->v[list->n] = NULL;
}

static int add_json(const struct change *c, struct string_list *list, struct error *err)
{
    struct json *json;

    if (json_parse(c->arena, c->text, strlen(c->text), c->word, &json, err) < 0)
        return -1;
    for (size_t i = 0; i < json->count; i++) {
        if (json->items[i].type != JSON_STRING)
            return error_set(err, 0, "%s must be words or a JSON array of strings, got %s", c->word, c->text);
        add(c->arena, list, json->items[i].text);
    }
    return 0;
}

static int command(const struct change *c, struct string_list *list, struct error *err)
{
    *list = (struct string_list){0};
    if (*c->text == '[')
        return add_json(c, list, err);
    add(c->arena, list, "/bin/sh");
    add(c->arena, list, "-c");
    add(c->arena, list, c->text);
    return 0;
}

static int set_cmd(const struct change *c, struct error *err)
{
    return command(c, &c->config->cmd, err);
}

static int set_entrypoint(const struct change *c, struct error *err)
{
    return command(c, &c->config->entrypoint, err);
}

/* NAME=VALUE or NAME VALUE, taken apart. */
static int pair(const struct change *c, char **name, char **value, struct error *err)
{
    *name = arena_strdup(c->arena, c->text);
    *value = *name + strcspn(*name, "= ");
    if (*value == *name || !**value)
        return error_set(err, 0, "%s must be NAME=VALUE, got \"%s\"", c->word, c->text);
    *(*value)++ = '\0';
    return 0;
}

static int add_env(const struct change *c, struct error *err)
{
    char *name, *value;

    if (pair(c, &name, &value, err) < 0)
        return -1;
    add(c->arena, &c->config->env, arena_printf(c->arena, "%s=%s", name, value));
    return 0;
}

static int add_label(const struct change *c, struct error *err)
{
    struct image_config *config = c->config;
    size_t size = sizeof(*config->labels);
    char *name, *value;

    if (pair(c, &name, &value, err) < 0)
        return -1;
    config->labels =
        arena_grow(c->arena, config->labels, config->n_labels * size, (config->n_labels + 1) * size);
    config->labels[config->n_labels++] = (struct spec_annotation){name, value};
    return 0;
}

static void add_key(struct arena *a, struct image_key **keys, size_t *n, const char *name)
{
    *keys = arena_grow(a, *keys, *n * sizeof(**keys), (*n + 1) * sizeof(**keys));
    (*keys)[(*n)++] = (struct image_key){arena_strdup(a, name)};
}

static int add_port(const struct change *c, struct error *err)
{
    size_t digits = strspn(c->text, "0123456789");
    const char *protocol = c->text + digits;

    if (!digits || digits > 5 ||
        (*protocol && strcmp(protocol, "/tcp") && strcmp(protocol, "/udp") && strcmp(protocol, "/sctp")))
        return error_set(err, 0, "EXPOSE must be PORT[/tcp|/udp|/sctp], got \"%s\"", c->text);
    add_key(c->arena, &c->config->exposed_ports, &c->config->n_exposed_ports,
            *protocol ? c->text : arena_printf(c->arena, "%s/tcp", c->text));
    return 0;
}

static int add_volume(const struct change *c, struct error *err)
{
    struct string_list paths = {0};

    if (*c->text != '[')
        add(c->arena, &paths, c->text);
    else if (add_json(c, &paths, err) < 0)
        return -1;
    for (size_t i = 0; i < paths.n; i++) {
        if (paths.v[i][0] != '/')
            return error_set(err, 0, "VOLUME must be an absolute path, got \"%s\"", paths.v[i]);
        add_key(c->arena, &c->config->volumes, &c->config->n_volumes, paths.v[i]);
    }
    return 0;
}

static int set_stop_signal(const struct change *c, struct error *err)
{
    int number;

    c->config->stop_signal = arena_strdup(c->arena, c->text);
    return signal_parse(c->text, &number, err) < 0 ? error_wrap(err, "STOPSIGNAL") : 0;
}

static int set_user(const struct change *c, struct error *err)
{
    (void)err;
    c->config->user = arena_strdup(c->arena, c->text);
    return 0;
}

static int set_working_dir(const struct change *c, struct error *err)
{
    c->config->working_dir = arena_strdup(c->arena, c->text);
    return c->text[0] == '/' ? 0 : error_set(err, 0, "WORKDIR must be an absolute path, got \"%s\"", c->text);
}

static const struct {
    const char *word;
    int (*apply)(const struct change *c, struct error *err);
} words[] = {{"CMD", set_cmd},     {"ENTRYPOINT", set_entrypoint}, {"ENV", add_env},
             {"EXPOSE", add_port}, {"LABEL", add_label},           {"STOPSIGNAL", set_stop_signal},
             {"USER", set_user},   {"VOLUME", add_volume},         {"WORKDIR", set_working_dir}};

int change_apply(struct arena *a, const char *text, struct image_config *config, struct error *err)
{
    size_t n = strcspn(text, "= ");
    struct change c = {.arena = a, .text = text + n, .config = config};

    c.text += *c.text ? 1 : 0;
    c.text += strspn(c.text, " ");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strlen(words[i].word) != n || strncasecmp(words[i].word, text, n) != 0)
            continue;
        c.word = words[i].word;
        return *c.text ? words[i].apply(&c, err) : error_set(err, 0, "%s of what?", c.word);
    }
    return error_set(err, 0,
                     "\"%.64s\": there are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and "
                     "WORKDIR",
                     text);
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

static void write_text(struct json_writer *w, const char *key, const char *text)
{
    if (!text)
        return;
    json_key(w, key);
    json_string(w, text);
}

static void write_list(struct json_writer *w, const char *key, const struct string_list *list)
{
    if (!list->n)
        return;
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < list->n; i++)
        json_string(w, list->v[i]);
    json_array_end(w);
}

static void write_keys(struct json_writer *w, const char *key, const struct image_key *keys, size_t n)
{
    if (!n)
        return;
    json_key(w, key);
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        json_key(w, keys[i].name);
        json_object(w);
        json_object_end(w);
    }
    json_object_end(w);
}

void change_write(struct json_writer *w, const struct image_config *c)
{
    json_object(w);
    write_text(w, "User", c->user);
    write_keys(w, "ExposedPorts", c->exposed_ports, c->n_exposed_ports);
    write_list(w, "Env", &c->env);
    write_list(w, "Entrypoint", &c->entrypoint);
    write_list(w, "Cmd", &c->cmd);
    write_keys(w, "Volumes", c->volumes, c->n_volumes);
    write_text(w, "WorkingDir", c->working_dir);
    write_text(w, "StopSignal", c->stop_signal);
    if (c->n_labels) {
        json_key(w, "Labels");
        json_object(w);
        for (size_t i = 0; i < c->n_labels; i++)
            write_text(w, c->labels[i].key, c->labels[i].value);
        json_object_end(w);
    }
    json_object_end(w);
}
