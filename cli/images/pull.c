/* pull: an image from a registry. What it prints on standard output is the image's id, for scripts. */
#include "images/pull.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/images/command.h"
#include "cli/images/remote.h"

enum policy { POLICY_ALWAYS, POLICY_MISSING, POLICY_NEVER, POLICY_NEWER }; /* --policy */

struct pull_options {
    struct remote_options remote; /* first: its rows are shared */
    enum policy policy;
    const char *platform;
    enum progress_form form;
    bool quiet;
};

static const struct option_row rows[] = {
    REMOTE_OPTIONS(struct pull_options),
    OPTION(struct pull_options, "platform", 0, "OS/ARCH[/VARIANT]", platform, option_string,
           "which of an index's images (default: this machine's)"),
    OPTION(struct pull_options, "policy", 0, "always|missing|never|newer", policy, option_choice,
           "when to fetch one that is in the store (default: always)"),
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

/* A short name may be at several registries: on a terminal, a person says which is meant (short-name-mode). */
static int choose(const char *text, char *const *names, size_t n, struct error *err)
{
    char line[16], *end;

    fprintf(stderr, "\"%s\" is a short name (registries.conf can have an alias for it); which is meant?\n",
            text);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "  %zu  %s\n", i + 1, names[i]);
    fprintf(stderr, "1-%zu> ", n);
    if (!fgets(line, sizeof(line), stdin))
        return error_set(err, 0, "\"%s\": none was chosen", text);
    unsigned long chosen = strtoul(line, &end, 10);
    if (end == line || (*end && *end != '\n') || chosen < 1 || chosen > n)
        return error_set(err, 0, "\"%s\": a number from 1 to %zu is wanted", text, n);
    return (int)chosen - 1;
}

/* 1: it is one that the store has already, see remote_find(). */
static int fetch(const struct pull *p, struct remote *remote, const char *text, const char *const *known,
                 struct pulled *out, struct error *err)
{
    struct remote_image image;
    struct string_list names;
    struct pull with_origin = *p;
    char *name;
    int rc = remote_find(remote, text, known, &image, err);

    if (rc != 0)
        return rc;
    name = stored_name(p->store->arena, &image.reference);
    names = (struct string_list){.v = &name, .n = 1};
    with_origin.origin = &image.origin;
    rc = pull_manifest(&with_origin, image.manifest.data, image.manifest.length, image.manifest.media_type,
                       &names, out, err);
    remote_image_close(&image);
    return rc < 0 ? error_wrap(err, "%s", name) : 0;
}

/* What the store has by that name, if it is for the platform that is asked for. */
static int find_stored(const struct pull *p, const char *text, struct found_image *found, struct error *err)
{
    int rc;

    if (store_lock(p->store, false, err) < 0)
        return -1;
    rc = image_find(p->store, text, found, err);
    store_unlock(p->store);
    return rc == 1 && p->platform && !platform_fits(&found->config.platform, p->platform) ? 0 : rc;
}

/* podman's "newer": another digest. Without an answer the stored one will do. */
static int fetch_newer(const struct pull *p, struct remote *remote, const struct found_image *stored,
                       struct pulled *out, struct error *err)
{
    struct store_image image;

    if (!stored->name) /* it has none that a registry could know */
        return 0;
    if (store_name_get(p->store, stored->name, &image, err) <= 0)
        return fetch(p, remote, stored->name, NULL, out, err);
    const char *known[] = {image.manifest, image.index, NULL};
    if (fetch(p, remote, stored->name, known, out, err) < 0) {
        log_warning("%s; the image in the store will do", err->message);
        error_clear(err);
    }
    return 0;
}

static int pull_image(const struct pull *p, enum policy policy, struct remote *remote, const char *text,
                      struct pulled *out, struct error *err)
{
    struct found_image stored;
    int found = policy == POLICY_ALWAYS ? 0 : find_stored(p, text, &stored, err);

    if (found < 0)
        return -1;
    if (found == 0 && policy == POLICY_NEVER)
        return error_set(err, ENOENT, "image %s is not in the store %s", text, p->store->path);
    if (found == 0)
        return fetch(p, remote, text, NULL, out, err);
    memcpy(out->config, stored.config_digest, DIGEST_SIZE);
    return policy == POLICY_NEWER ? fetch_newer(p, remote, &stored, out, err) : 0;
}

static int pull_all(const struct pull_options *o, const struct pull *p, const struct string_list *arguments,
                    struct buffer *ids, struct error *err)
{
    struct registry_settings settings;
    struct remote remote = {0};
    struct pulled pulled;
    int rc = remote_settings(&o->remote, &settings, err);

    if (rc == 0)
        rc = remote_start(&remote, p->store->arena, &settings, err);
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
        remote.choose = choose;
    for (size_t i = 0; rc == 0 && i < arguments->n; i++) {
        rc = pull_image(p, o->policy, &remote, arguments->v[i], &pulled, err);
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
