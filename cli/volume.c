/*
 * hull volume create | ls | inspect | exists | rm | prune, in podman's words: volumes of the store (images/volume.h).
 *
 * Without root, what containers wrote to a volume belongs to any of the user's ids: it is removed as root of a user namespace
 * of theirs.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/keeper.h"
#include "cli/run_image.h"
#include "cli/table.h"
#include "images/volume.h"
#include "namespaces/subids.h"

struct volume_options {
    struct string_list labels, filters;
    bool quiet, ignore, force, all;
    enum format format;
    const char *driver;
};

#define ROW(name, letter, value, field, parse, help)                                                         \
    {                                                                                                        \
        name, letter, value, offsetof(struct volume_options, field), parse, help                             \
    }

struct subcommand {
    const char *name, *arguments, *summary;
    size_t min, max;
    const struct option_row *rows;
    int (*run)(const struct runtime *rt, struct store *s, const struct volume_options *o,
               const struct string_list *names, struct error *err);
};

static int print_line(const struct runtime *rt, const char *text, struct error *err)
{
    const char *line = arena_printf(rt->arena, "%s\n", text);

    return print_text(line, strlen(line), err);
}

/* --- create -------------------------------------------------------------------------------------------------------- */

static const struct option_row create_rows[] = {
    ROW("label", 'l', "KEY[=VALUE]", labels, option_list, "a label"),
    ROW("ignore", 0, NULL, ignore, option_flag, "one that there is already is no error"),
    ROW("driver", 'd', "local", driver, option_string, "local, the only one"),
    {0},
};

static int create(const struct runtime *rt, struct store *s, const struct volume_options *o,
                  const struct string_list *names, struct error *err)
{
    struct volume v = {.labels = o->labels};

    if (o->driver && strcmp(o->driver, "local") != 0)
        return error_set(err, 0, "--driver must be local, got \"%s\"", o->driver);
    v.name = names->n ? names->v[0] : NULL;
    if (!v.name && image_run_random_id(rt->arena, &v.name, err) < 0)
        return -1;
    if (store_lock(s, false, err) < 0)
        return -1;
    int made = volume_create(s, &v, err);
    store_unlock(s);
    if (made == 0 && !o->ignore)
        return error_set(err, EEXIST, "volume %s: there is one of that name", v.name);
    return made < 0 ? -1 : print_line(rt, v.name, err);
}

/* --- ls ------------------------------------------------------------------------------------------------------------ */

static const struct option_row ls_rows[] = {
    ROW("quiet", 'q', NULL, quiet, option_flag, "names only"),
    ROW("format", 0, "table|json", format, option_choice, "form of the list"),
    ROW("filter", 'f', "KEY=VALUE", filters, option_list,
        "name=PART, label=KEY[=VALUE], dangling=true|false"),
    {0},
};

static bool has_label(const struct volume *v, const char *wanted)
{
    size_t n = strlen(wanted);

    for (size_t i = 0; i < v->labels.n; i++)
        if (strcmp(v->labels.v[i], wanted) == 0 ||
            (strncmp(v->labels.v[i], wanted, n) == 0 && v->labels.v[i][n] == '='))
            return true;
    return false;
}

/* 1: it passes all; 0: not. */
static int passes(struct store *s, const struct volume *v, const struct string_list *filters,
                  struct error *err)
{
    for (size_t i = 0; i < filters->n; i++) {
        const char *f = filters->v[i];
        struct string_list users;

        if (strncmp(f, "name=", 5) == 0) {
            if (!strstr(v->name, f + 5))
                return 0;
        } else if (strncmp(f, "label=", 6) == 0) {
            if (!has_label(v, f + 6))
                return 0;
        } else if (strcmp(f, "dangling=true") == 0 || strcmp(f, "dangling=false") == 0) {
            if (volume_users(s, v->name, &users, err) < 0)
                return -1;
            if (!users.n != (f[9] == 't'))
                return 0;
        } else {
            return error_set(err, 0, "--filter must be name=, label= or dangling=true|false, got \"%s\"", f);
        }
    }
    return 1;
}

static void write_labels(struct json_writer *w, struct arena *a, const struct volume *v)
{
    json_key(w, "Labels");
    json_object(w);
    for (size_t i = 0; i < v->labels.n; i++) {
        char *key = arena_strdup(a, v->labels.v[i]), *value = strchr(key, '=');

        if (value)
            *value++ = '\0';
        json_key(w, key);
        json_string(w, value ? value : "");
    }
    json_object_end(w);
}

static int write_volume(struct json_writer *w, struct store *s, const struct volume *v, struct error *err)
{
    const struct {
        const char *key, *value;
    } strings[] = {{"Name", v->name},
                   {"Driver", "local"},
                   {"Mountpoint", v->path},
                   {"CreatedAt", v->created},
                   {"Scope", "local"}};
    struct string_list users;

    if (volume_users(s, v->name, &users, err) < 0)
        return -1;
    json_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        json_key(w, strings[i].key);
        json_string(w, strings[i].value);
    }
    write_labels(w, s->arena, v);
    json_key(w, "Options");
    json_object(w);
    json_object_end(w);
    json_key(w, "Anonymous");
    json_bool(w, v->anonymous);
    json_key(w, "MountCount");
    json_uint(w, users.n);
    json_key(w, "NeedsCopyUp");
    json_bool(w, !v->used);
    json_key(w, "NeedsChown");
    json_bool(w, !v->used);
    json_object_end(w);
    return 0;
}

static int print_json(struct store *s, const struct volume *v, size_t n, struct error *err)
{
    struct json_writer w = json_writer_begin(s->arena, true);
    size_t length;

    json_array(&w);
    for (size_t i = 0; i < n; i++)
        if (write_volume(&w, s, &v[i], err) < 0)
            return -1;
    json_array_end(&w);
    const char *text = json_writer_end(&w, &length);
    return print_text(arena_printf(s->arena, "%s\n", text), length + 1, err);
}

static int print_table(struct arena *a, const struct volume *v, size_t n, bool quiet, struct error *err)
{
    struct text_table t = {.arena = a, .columns = 2, .gap = 6};
    struct buffer b = {.arena = a};

    text_table_add(&t, (const char *[]){"DRIVER", "VOLUME NAME"});
    for (size_t i = 0; i < n; i++)
        if (quiet)
            buffer_printf(&b, "%s\n", v[i].name);
        else
            text_table_add(&t, (const char *[]){"local", v[i].name});
    if (!quiet && n)
        text_table_print(&t, &b);
    return b.length ? print_text(b.data, b.length, err) : 0;
}

static int ls(const struct runtime *rt, struct store *s, const struct volume_options *o,
              const struct string_list *names, struct error *err)
{
    struct string_list all;
    size_t n = 0;

    (void)names;
    if (volume_names(s, &all, err) < 0)
        return -1;
    struct volume *v = arena_new_n(rt->arena, all.n + 1, struct volume);
    for (size_t i = 0; i < all.n; i++) {
        struct error failure = {0};
        int pass = volume_read(s, all.v[i], &v[n], &failure);

        if (pass < 0 && failure.code == ENOENT)
            continue; /* it went meanwhile */
        if (pass == 0)
            pass = passes(s, &v[n], &o->filters, &failure);
        if (pass < 0) {
            *err = failure;
            return -1;
        }
        n += (size_t)pass;
    }
    return o->format == FORMAT_JSON ? print_json(s, v, n, err) : print_table(rt->arena, v, n, o->quiet, err);
}

/* --- inspect, exists ----------------------------------------------------------------------------------------------- */

static int inspect(const struct runtime *rt, struct store *s, const struct volume_options *o,
                   const struct string_list *names, struct error *err)
{
    struct volume *v = arena_new_n(rt->arena, names->n + 1, struct volume);

    (void)o;
    for (size_t i = 0; i < names->n; i++)
        if (volume_read(s, names->v[i], &v[i], err) < 0)
            return -1;
    return print_json(s, v, names->n, err);
}

static int exists(const struct runtime *rt, struct store *s, const struct volume_options *o,
                  const struct string_list *names, struct error *err)
{
    struct volume v;

    (void)rt, (void)o;
    if (volume_read(s, names->v[0], &v, err) == 0)
        return 0;
    return err->code == ENOENT ? 1 : -1;
}

/* --- rm, prune ----------------------------------------------------------------------------------------------------- */

static const struct option_row rm_rows[] = {
    ROW("all", 'a', NULL, all, option_flag, "all volumes"),
    ROW("force", 'f', NULL, force, option_flag,
        "remove the containers that use it first; one that does not exist is no error"),
    {0},
};

static int remove_users(const struct runtime *rt, struct store *s, const char *name, struct error *err)
{
    struct string_list ids;

    if (volume_users(s, name, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.n; i++) {
        struct snapshot c;

        if (snapshot_open(s, ids.v[i], &c, err) < 0)
            return -1;
        int rc = keeper_remove(rt, s, &c, false, err);
        snapshot_close(&c);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* Nobody comes back from a user namespace: what runs as the user himself was done before. */
static int become_root(const struct runtime *rt, struct error *err)
{
    return geteuid() == 0 ? 0 : subids_become_root(rt->arena, err);
}

static int rm_one(const struct runtime *rt, struct store *s, char *name, bool force, struct error *err)
{
    const struct string_list one = {.v = &name, .n = 1};

    if (volume_remove(s, &one, VOLUME_NAMED, NULL, err) == 0)
        return print_line(rt, name, err);
    if (!force || err->code != ENOENT)
        return -1;
    error_clear(err);
    return 0;
}

static int rm(const struct runtime *rt, struct store *s, const struct volume_options *o,
              const struct string_list *names, struct error *err)
{
    struct string_list all = *names;
    int rc = 0;

    if (o->all == (names->n > 0))
        return error_set(err, 0, "volume rm: give volumes, or --all");
    if (o->all && volume_names(s, &all, err) < 0)
        return -1;
    for (size_t i = 0; o->force && i < all.n; i++)
        if (remove_users(rt, s, all.v[i], err) < 0)
            return -1;
    if (become_root(rt, err) < 0)
        return -1;
    for (size_t i = 0; i < all.n; i++) {
        struct error failure = {0};

        if (rm_one(rt, s, all.v[i], o->force, &failure) == 0)
            continue;
        if (rc == 0)
            *err = failure;
        else
            log_error("%s", failure.message);
        rc = -1;
    }
    return rc;
}

static const struct option_row prune_rows[] = {
    ROW("all", 'a', NULL, all, option_flag, "those with a name, too"),
    ROW("force", 'f', NULL, force, option_flag, "as podman has it: hull does not ask anyway"),
    {0},
};

static int prune(const struct runtime *rt, struct store *s, const struct volume_options *o,
                 const struct string_list *names, struct error *err)
{
    struct string_list removed = {0};

    (void)names;
    if (become_root(rt, err) < 0 ||
        volume_remove(s, NULL, o->all ? VOLUME_UNUSED : VOLUME_ANONYMOUS, &removed, err) < 0)
        return -1;
    for (size_t i = 0; i < removed.n; i++)
        if (print_line(rt, removed.v[i], err) < 0)
            return -1;
    return 0;
}

/* --- which of them ------------------------------------------------------------------------------------------------- */

static const struct subcommand subcommands[] = {
    {"create", "[NAME]", "make a volume, print its name", 0, 1, create_rows, create},
    {"ls", "", "list volumes", 0, 0, ls_rows, ls},
    {"list", "", "the same", 0, 0, ls_rows, ls},
    {"inspect", "VOLUME...", "what is known of volumes, as JSON", 1, SIZE_MAX, NULL, inspect},
    {"exists", "VOLUME", "exit with 0 if it exists, with 1 if not", 1, 1, NULL, exists},
    {"rm", "VOLUME...", "remove volumes", 0, SIZE_MAX, rm_rows, rm},
    {"prune", "", "remove the anonymous volumes that no container uses", 0, 0, prune_rows, prune},
};

static const struct option_row no_rows[] = {{0}};

static int help(const struct runtime *rt, const struct subcommand *c, struct error *err)
{
    struct buffer b = {.arena = rt->arena};

    buffer_printf(&b,
                  "NAME:\n   hull volume %s - %s\n\nUSAGE:\n   hull volume %s [OPTION...] %s\n\nOPTIONS:\n",
                  c->name, c->summary, c->name, c->arguments);
    options_help(&b, c->rows ? c->rows : no_rows);
    return print_text(b.data, b.length, err);
}

static int run_subcommand(const struct runtime *rt, const struct subcommand *c, char *const *argv,
                          struct error *err)
{
    struct volume_options o = {0};
    struct string_list names = {0};
    struct store s;
    int rc = options_parse(rt->arena, c->rows ? c->rows : no_rows, OPTIONS_ANYWHERE, argv, &o, &names, err);

    if (rc == OPTIONS_HELP)
        return help(rt, c, err);
    if (rc < 0 || names.n < c->min || names.n > c->max) {
        if (rc == 0)
            error_set(err, 0, "usage: hull volume %s [OPTION...] %s", c->name, c->arguments);
        return usage_error(&volume_command, err);
    }
    if (store_open(rt->arena, rt->store, rt->rootless, &s, err) < 0)
        return -1;
    rc = c->run(rt, &s, &o, &names, err);
    store_close(&s);
    return rc;
}

static int volume(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    char **argv = arena_new_n(rt->arena, arguments->n, char *);

    (void)options;
    for (size_t i = 1; i < arguments->n; i++)
        argv[i - 1] = arguments->v[i];
    for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        if (strcmp(subcommands[i].name, arguments->v[0]) == 0)
            return run_subcommand(rt, &subcommands[i], argv, err);
    error_set(err, 0, "there is no command volume %s", arguments->v[0]);
    return usage_error(&volume_command, err);
}

const struct command volume_command = {
    .name = "volume",
    .arguments = "create|ls|inspect|exists|rm|prune [OPTION...] [VOLUME...]",
    .summary = "directories that outlive the containers that write to them",
    .details =
        "   create [--label KEY=VALUE] [--ignore] [NAME]    make one, print its name\n"
        "   ls [-q] [--format json] [--filter KEY=VALUE]    list them\n"
        "   inspect VOLUME...                               what is known of them\n"
        "   exists VOLUME                                   exit with 0 or 1\n"
        "   rm [--force] VOLUME... | --all                  remove them\n"
        "   prune [--all]                                   remove anonymous ones that nobody uses, or all\n"
        "A container mounts one by `hull run --image REF -v NAME:/PATH`.\n",
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .order = OPTIONS_FIRST,
    .run = volume,
};
