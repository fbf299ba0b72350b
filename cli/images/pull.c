/* pull: an image from a registry. What it prints on standard output is the image's id, for scripts. */
#include "images/pull.h"

#include <string.h>

#include "cli/images/command.h"
#include "cli/images/remote.h"

struct pull_options {
    struct remote_options remote; /* first: its rows are shared */
    const char *platform;
    enum progress_form form;
    bool quiet;
};

static const struct option_row rows[] = {
    REMOTE_OPTIONS(struct pull_options),
    OPTION(struct pull_options, "platform", 0, "OS/ARCH[/VARIANT]", platform, option_string,
           "which of an index's images (default: this machine's)"),
    OPTION(struct pull_options, "format", 0, "table|json", form, option_choice,
           "form of the progress display"),
    OPTION(struct pull_options, "quiet", 'q', NULL, quiet, option_flag, "show no progress"),
    {0},
};

/* By digest, the digest is the name: the tag beside it was not looked at. */
static char *stored_name(struct arena *a, const struct reference *r)
{
    struct reference name = *r;

    if (name.digest)
        name.tag = NULL;
    return reference_format(a, &name);
}

static int pull_image(const struct pull *p, struct remote *remote, const char *text, struct pulled *out,
                      struct error *err)
{
    struct remote_image image;
    struct string_list names;
    struct pull with_origin = *p;
    char *name;
    int rc;

    if (remote_find(remote, text, &image, err) < 0)
        return -1;
    name = stored_name(p->store->arena, &image.reference);
    names = (struct string_list){.v = &name, .n = 1};
    with_origin.origin = &image.origin;
    rc = pull_manifest(&with_origin, image.manifest.data, image.manifest.length, image.manifest.media_type,
                       &names, out, err);
    remote_image_close(&image);
    return rc < 0 ? error_wrap(err, "%s", name) : 0;
}

static int pull_all(const struct pull_options *o, const struct pull *p, const struct string_list *arguments,
                    struct buffer *ids, struct error *err)
{
    struct registry_settings settings;
    struct remote remote;
    struct pulled pulled;
    int rc = remote_settings(&o->remote, &settings, err);

    if (rc == 0)
        rc = remote_start(&remote, p->store->arena, &settings, err);
    for (size_t i = 0; rc == 0 && i < arguments->n; i++) {
        rc = pull_image(p, &remote, arguments->v[i], &pulled, err);
        if (rc == 0)
            buffer_printf(ids, "%s\n", pulled.config);
    }
    remote_stop(&remote);
    return rc;
}

static int pull(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    const struct pull_options *o = options;
    struct buffer ids = {.arena = rt->arena};
    struct platform platform;
    struct store s;
    struct pull p = {
        .store = &s,
        .layers = {.progress = o->quiet ? PROGRESS_QUIET : o->form, .user_namespace = rt->rootless}};
    int rc;

    if (o->platform) {
        if (platform_parse(rt->arena, o->platform, &platform, err) < 0)
            return error_wrap(err, "--platform");
        p.platform = &platform;
    }
    if (command_open_store(rt, &s, err) < 0)
        return -1;
    rc = pull_all(o, &p, arguments, &ids, err);
    store_close(&s);
    return rc < 0 ? -1 : print_text(ids.data, ids.length, err);
}

const struct command pull_command = {
    .name = "pull",
    .arguments = "IMAGE...",
    .summary = "fetch images from registries",
    .options = rows,
    .options_size = sizeof(struct pull_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = pull,
};
