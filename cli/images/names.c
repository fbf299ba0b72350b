/*
 * tag, rmi, prune: giving and taking names, and sweeping out what has none.
 *
 * rmi of a name takes the name; the image goes with its last one. By id, all names of the image are meant, which --force
 * has to say. What a container uses stays on the disk in any case, until the container is removed.
 */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/images/command.h"
#include "images/store_private.h"
#include "images/sweep.h"

/* --- tag ----------------------------------------------------------------------------------------------------------- */

static int tag(const struct runtime *rt, void *options, const struct string_list *arguments,
               struct error *err)
{
    struct store_image image;
    struct store s;
    int rc = 0;

    (void)options;
    if (command_open_store(rt, &s, err) < 0 || command_find_image(&s, arguments->v[0], &image, err) < 0)
        return -1;
    for (size_t i = 1; rc == 0 && i < arguments->n; i++) {
        rc = command_new_name(rt->arena, arguments->v[i], &image.name, err);
        if (rc == 0)
            rc = store_name_set(&s, &image, err);
    }
    store_close(&s);
    return rc;
}

const struct command tag_command = {
    .name = "tag",
    .arguments = "IMAGE NAME...",
    .summary = "give an image one more name",
    .min_arguments = 2,
    .max_arguments = ARGUMENTS_ANY,
    .run = tag,
};

/* --- rmi ----------------------------------------------------------------------------------------------------------- */

enum { USES_MAX = 1 << 20 };

struct rmi_options {
    bool force, all;
};

static const struct option_row rmi_rows[] = {
    OPTION(struct rmi_options, "all", 'a', NULL, all, option_flag, "all images"),
    OPTION(struct rmi_options, "force", 'f', NULL, force, option_flag,
           "also with several names, or while a container uses it"),
    {0},
};

/* The first container (or mount) that uses the image of this manifest; NULL: none. */
static const char *find_user(const struct store *s, const char *manifest)
{
    static const char *const users[][2] = {{STORE_CONTAINERS, "container"}, {STORE_MOUNTS, "mount"}};
    struct string_list ids;

    for (size_t k = 0; k < ARRAY_SIZE(users); k++) {
        if (store_list(s, users[k][0], &ids, NULL) < 0)
            continue;
        for (size_t i = 0; i < ids.n; i++) {
            const char *path = arena_printf(s->arena, "%s/%s/uses", users[k][0], ids.v[i]);
            char *text;

            if (file_read(s->dir, path, USES_MAX, s->arena, &text, NULL, NULL) == 0 &&
                strstr(text, digest_hex(manifest)))
                return arena_printf(s->arena, "%s %s", users[k][1], ids.v[i]);
        }
    }
    return NULL;
}

/* The names of one image: those with its manifest. */
static int find_names(const struct store *s, const char *manifest, struct string_list *names,
                      struct error *err)
{
    struct store_image *all;
    size_t n;

    if (store_names(s, &all, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (all[i].name && strcmp(all[i].manifest, manifest) == 0)
            string_list_add(s->arena, names, all[i].name);
    return 0;
}

/* Did the user write one of the image's names, rather than its id or digest? */
static bool is_by_name(const struct store_image *image, const char *text)
{
    return image->name && strncmp(text, "sha256:", 7) != 0 &&
           !(strlen(text) >= 4 && strspn(text, "0123456789abcdef") == strlen(text));
}

static int remove_image(struct store *s, const char *text, bool force, struct buffer *told, struct error *err)
{
    struct store_image image;
    struct string_list names = {0};

    if (command_find_image(s, text, &image, err) < 0 || find_names(s, image.manifest, &names, err) < 0)
        return -1;
    if (names.n > 1 && is_by_name(&image, text)) {
        buffer_printf(told, "Untagged: %s\n", image.name);
        return store_name_remove(s, image.name, err);
    }
    if (names.n > 1 && !force)
        return error_set(err, 0, "image %s has %zu names (%s, %s%s): give one of them, or --force", text,
                         names.n, names.v[0], names.v[1], names.n > 2 ? " ..." : "");
    const char *user = find_user(s, image.manifest);
    if (user && !force)
        return error_set(err, 0, "image %s is used by %s: remove that first, or give --force", text, user);
    for (size_t i = 0; i < names.n; i++) {
        if (store_name_remove(s, names.v[i], err) < 0)
            return -1;
        buffer_printf(told, "Untagged: %s\n", names.v[i]);
    }
    if (store_name_remove(s, image.manifest, err) < 0) /* the nameless entry, if there is one */
        return -1;
    buffer_printf(told, "Deleted: %s\n", image.manifest);
    return 0;
}

static int all_images(const struct store *s, struct string_list *texts, struct error *err)
{
    struct store_image *all;
    size_t n;

    if (store_names(s, &all, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        string_list_add(s->arena, texts, all[i].name ? all[i].name : all[i].manifest);
    return 0;
}

static int rmi(const struct runtime *rt, void *options, const struct string_list *arguments,
               struct error *err)
{
    const struct rmi_options *o = options;
    struct string_list texts = *arguments;
    struct buffer told = {.arena = rt->arena};
    struct sweep_result swept;
    struct store s;
    int rc = 0;

    if (o->all == (arguments->n > 0)) {
        error_set(err, 0, "give images to remove, or --all");
        return usage_error(&rmi_command, err);
    }
    if (command_open_store(rt, &s, err) < 0 || (o->all && all_images(&s, &texts, err) < 0))
        return -1;
    for (size_t i = 0; i < texts.n; i++) {
        struct error failure = {0};

        if (remove_image(&s, texts.v[i], o->force, &told, &failure) == 0)
            continue;
        if (rc == 0)
            *err = failure;
        else
            log_error("%s", failure.message);
        rc = -1;
    }
    if (rc == 0 || told.length) {
        struct error failure;

        if (store_sweep(&s, false, false, &swept, &failure) < 0)
            log_warning("%s", failure.message);
    }
    store_close(&s);
    if (told.length && print_text(told.data, told.length, rc < 0 ? NULL : err) < 0)
        return -1;
    return rc;
}

const struct command rmi_command = {
    .name = "rmi",
    .arguments = "[IMAGE...]",
    .summary = "remove images",
    .details = "   A name is taken from the image; the image goes with its last name.\n",
    .options = rmi_rows,
    .options_size = sizeof(struct rmi_options),
    .max_arguments = ARGUMENTS_ANY,
    .run = rmi,
};

/* --- prune --------------------------------------------------------------------------------------------------------- */

struct prune_options {
    bool all;
};

static const struct option_row prune_rows[] = {
    OPTION(struct prune_options, "all", 'a', NULL, all, option_flag,
           "all images that no container uses, not only those without a name"),
    {0},
};

static const char *count(struct arena *a, size_t n, const char *name)
{
    return arena_printf(a, "%zu %s%s", n, name, n == 1 ? "" : "s");
}

static int prune(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    const struct prune_options *o = options;
    struct sweep_result r;
    struct store s;
    int rc;

    (void)arguments;
    if (command_open_store(rt, &s, err) < 0)
        return -1;
    rc = store_sweep(&s, true, o->all, &r, err);
    store_close(&s);
    if (rc < 0)
        return -1;
    const char *text =
        arena_printf(rt->arena, "Removed %s, %s, %s, what %s left: %s\n", count(rt->arena, r.images, "image"),
                     count(rt->arena, r.layers, "layer"), count(rt->arena, r.blobs, "document"),
                     count(rt->arena, r.sessions, "broken-off command"), command_size(rt->arena, r.bytes));
    return print_text(text, strlen(text), err);
}

const struct command prune_command = {
    .name = "prune",
    .arguments = "",
    .summary = "remove images and layers that nothing uses",
    .options = prune_rows,
    .options_size = sizeof(struct prune_options),
    .run = prune,
};
