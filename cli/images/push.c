/* push, save: images out of the store. */
#include "images/push.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/images/remote.h"
#include "images/save.h"

/* --- push ---------------------------------------------------------------------------------------------------------- */

struct push_options {
    struct remote_options remote;
    enum compression compression; /* counted as in enum compression */
    bool has_compression;
    enum progress_form form;
    bool quiet;
};

static int parse_compression(const struct option_use *use, void *field, struct error *err)
{
    static const char *const names[] = {
        [COMPRESSION_NONE] = "none", [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(use->text, names[i]) == 0) {
            struct push_options *o =
                (struct push_options *)((char *)field - offsetof(struct push_options, compression));
            o->compression = (enum compression)i;
            o->has_compression = true;
            return 0;
        }
    return error_set(err, 0, "%s must be gzip, zstd or none, got \"%s\"", use->what, use->text);
}

static const struct option_row push_rows[] = {
    REMOTE_OPTIONS(struct push_options),
    OPTION(struct push_options, "compression", 0, "gzip|zstd|none", compression, parse_compression,
           "of layers that the registry does not have (default: gzip)"),
    OPTION(struct push_options, "format", 0, "table|json", form, option_choice,
           "form of the progress display"),
    OPTION(struct push_options, "quiet", 'q', NULL, quiet, option_flag, "show no progress"),
    {0},
};

static int push_to(const struct push_options *o, struct store *s, const struct image_info *info,
                   const char *destination, char digest[DIGEST_SIZE], struct error *err)
{
    struct push p = {.store = s,
                     .compression = o->has_compression ? o->compression : COMPRESSION_GZIP,
                     .progress = o->quiet ? PROGRESS_QUIET : o->form};
    struct registry_settings settings;
    struct reference reference;
    struct remote remote;
    int rc;

    if (remote_settings(&o->remote, &settings, err) < 0)
        return -1;
    rc = remote_start(&remote, s->arena, &settings, err);
    if (rc == 0)
        rc = remote_open_for_push(&remote, destination, &reference, &p.registry, err);
    if (rc == 0) {
        p.destination = reference;
        rc = push_image(&p, info, digest, err);
        registry_close(p.registry);
    }
    remote_stop(&remote);
    return rc;
}

static int push(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    struct store_image image;
    struct image_info info;
    struct store s;
    char digest[DIGEST_SIZE + 1];
    const char *destination = arguments->v[arguments->n - 1];
    int rc;

    if (command_open_store(rt, &s, err) < 0 || command_find_image(&s, arguments->v[0], &image, err) < 0 ||
        image_info_read(&s, &image, &info, err) < 0)
        return -1;
    if (arguments->n == 1 && image.name)
        destination = image.name;
    if (strncmp(destination, "docker://", 9) == 0)
        destination += 9;
    rc = push_to(options, &s, &info, destination, digest, err);
    store_close(&s);
    if (rc < 0)
        return -1;
    strcat(digest, "\n");
    return print_text(digest, strlen(digest), err);
}

const struct command push_command = {
    .name = "push",
    .arguments = "IMAGE [DESTINATION]",
    .summary = "send an image to a registry",
    .details = "   DESTINATION is a name with its registry; without it, the image's own. Prints the digest "
               "that the\n"
               "   image has there.\n",
    .options = push_rows,
    .options_size = sizeof(struct push_options),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = push,
};

/* --- save ---------------------------------------------------------------------------------------------------------- */

struct save_options {
    enum save_format format;
    const char *output;
};

static const struct option_row save_rows[] = {
    OPTION(struct save_options, "format", 0, "docker-archive|oci-archive|oci-dir", format, option_choice,
           "what to write (default: docker-archive)"),
    OPTION(struct save_options, "output", 'o', "PATH", output, option_string,
           "file or directory to write (default: standard output)"),
    {0},
};

static int save(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    const struct save_options *o = options;
    struct image_info *infos = arena_new_n(rt->arena, arguments->n, struct image_info);
    struct store s;
    int rc = 0;

    if (!o->output && (o->format == SAVE_OCI_DIR || isatty(STDOUT_FILENO))) {
        error_set(err, 0, "give --output PATH: %s",
                  o->format == SAVE_OCI_DIR ? "a directory" : "standard output is a terminal");
        return usage_error(&save_command, err);
    }
    if (command_open_store(rt, &s, err) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < arguments->n; i++) {
        struct store_image image;

        rc = command_find_image(&s, arguments->v[i], &image, err);
        if (rc == 0)
            rc = image_info_read(&s, &image, &infos[i], err);
    }
    if (rc == 0)
        rc = save_images(&s, infos, arguments->n, o->format, o->output ? o->output : "-", err);
    store_close(&s);
    return rc;
}

const struct command save_command = {
    .name = "save",
    .arguments = "IMAGE...",
    .summary = "write images to an archive or a directory",
    .options = save_rows,
    .options_size = sizeof(struct save_options),
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = save,
};
