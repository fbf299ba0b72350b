/* diff: what a container wrote over its image: shown, or made into an image. */
#include "images/commit.h"

#include <errno.h>
#include <string.h>

#include "cli/images/command.h"

struct diff_options {
    const char *message;
    enum progress_form form;
    bool quiet;
};

static const struct option_row rows[] = {
    OPTION(struct diff_options, "message", 'm', "TEXT", message, option_string,
           "a comment for the new image's history"),
    OPTION(struct diff_options, "format", 0, "table|json", form, option_choice,
           "form of the progress display"),
    OPTION(struct diff_options, "quiet", 'q', NULL, quiet, option_flag, "show no progress"),
    {0},
};

/* By its name or id, or the only one that begins so. */
static int open_container(struct store *s, const char *name, struct snapshot *c, struct error *err)
{
    const char *id = NULL;
    struct string_list ids;

    if (snapshot_ids(s, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.n; i++) {
        bool whole = strcmp(ids.v[i], name) == 0;

        if (!whole && strncmp(ids.v[i], name, strlen(name)) != 0)
            continue;
        if (id && !whole)
            return error_set(err, 0, "container %s: more than one begins so: %s, %s", name, id, ids.v[i]);
        id = ids.v[i];
        if (whole)
            break;
    }
    return id ? snapshot_open(s, id, c, err) : error_set(err, ENOENT, "container %s", name);
}

static int make_image(const struct runtime *rt, const struct diff_options *o, struct store *s,
                      const struct snapshot *c, const char *text, struct buffer *b, struct error *err)
{
    const struct layers_options layers = {.progress = o->quiet ? PROGRESS_QUIET : o->form,
                                          .user_namespace = rt->rootless};
    struct pulled pulled;
    const char *name;

    if (command_new_name(rt->arena, text, &name, err) < 0 ||
        commit_image(s, c, name, o->message, &layers, &pulled, err) < 0)
        return -1;
    buffer_printf(b, "%s\n", pulled.config);
    return 0;
}

static int diff(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    struct buffer b = {.arena = rt->arena};
    struct snapshot c;
    struct store s;
    int rc;

    if (command_open_store(rt, &s, err) < 0 || open_container(&s, arguments->v[0], &c, err) < 0)
        return -1;
    rc = arguments->n > 1 ? make_image(rt, options, &s, &c, arguments->v[1], &b, err)
                          : commit_list(&s, &c, &b, err);
    snapshot_close(&c);
    store_close(&s);
    return rc < 0 ? -1 : b.length ? print_text(b.data, b.length, err) : 0;
}

const struct command diff_command = {
    .name = "diff",
    .arguments = "CONTAINER [IMAGE]",
    .summary = "show what a container wrote, or make an image of it",
    .details = "   With IMAGE, a name: the container's image and what it wrote over it become a new image, "
               "whose id is\n"
               "   printed. Without: a line a file, A for added, C for changed, D for removed.\n",
    .options = rows,
    .options_size = sizeof(struct diff_options),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = diff,
};
