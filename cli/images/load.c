/* load, import: images from archives, directories, a plain tar. */
#include "images/load.h"

#include <unistd.h>

#include "cli/images/command.h"
#include "images/change.h"

struct load_options {
    const char *input, *platform, *message;
    struct string_list changes;
    enum progress_form form;
    bool quiet;
};

static const struct option_row load_rows[] = {
    OPTION(struct load_options, "input", 'i', "PATH", input, option_string,
           "archive or directory to read (default: standard input)"),
    OPTION(struct load_options, "platform", 0, "OS/ARCH[/VARIANT]", platform, option_string,
           "which of an index's images (default: this machine's)"),
    OPTION(struct load_options, "format", 0, "table|json", form, option_choice,
           "form of the progress display"),
    OPTION(struct load_options, "quiet", 'q', NULL, quiet, option_flag, "show no progress"),
    {0},
};

static int print_loaded(const struct runtime *rt, const struct loaded *loaded, struct error *err)
{
    struct buffer b = {.arena = rt->arena};

    for (size_t i = 0; i < loaded->n; i++) {
        for (size_t n = 0; n < loaded->names[i].n; n++)
            buffer_printf(&b, "Loaded image: %s\n", loaded->names[i].v[n]);
        if (loaded->names[i].n == 0)
            buffer_printf(&b, "Loaded image: %s\n", loaded->v[i].config);
    }
    return print_text(b.data, b.length, err);
}

static int prepare(const struct runtime *rt, const struct load_options *o, struct store *s, struct load *l,
                   struct platform *platform, struct error *err)
{
    *l = (struct load){
        .store = s,
        .layers = {.progress = o->quiet ? PROGRESS_QUIET : o->form, .user_namespace = rt->rootless}};
    if (o->platform) {
        if (platform_parse(rt->arena, o->platform, platform, err) < 0)
            return error_wrap(err, "--platform");
        l->platform = platform;
    }
    return command_open_store(rt, s, err);
}

static int load(const struct runtime *rt, void *options, const struct string_list *arguments,
                struct error *err)
{
    const struct load_options *o = options;
    const char *path = o->input ? o->input : "-";
    struct platform platform;
    struct loaded loaded = {0};
    struct store s;
    struct load l;
    int rc;

    if (prepare(rt, o, &s, &l, &platform, err) < 0 ||
        (arguments->n && command_new_name(rt->arena, arguments->v[0], &l.name, err) < 0))
        return -1;
    if (!o->input && isatty(STDIN_FILENO))
        return error_set(err, 0,
                         "an archive is read from standard input, which is a terminal: give --input FILE");
    rc = load_images(&l, path, &loaded, err);
    store_close(&s);
    return rc < 0 ? -1 : print_loaded(rt, &loaded, err);
}

const struct command load_command = {
    .name = "load",
    .arguments = "[NAME]",
    .summary = "take images from an archive or a directory",
    .details = "   Of docker's and podman's `save`, of skopeo, of umoci: docker-archive, oci-archive, or a "
               "directory\n"
               "   with an OCI image layout. Archives may be compressed. NAME is for the only image in it.\n",
    .options = load_rows,
    .options_size = sizeof(struct load_options),
    .max_arguments = 1,
    .run = load,
};

static const struct option_row import_rows[] = {
    OPTION(struct load_options, "message", 'm', "TEXT", message, option_string,
           "a comment for the image's history"),
    OPTION(struct load_options, "change", 'c', "INSTRUCTION", changes, option_list,
           "how it is run, in a Dockerfile's words: \"CMD ls\", \"ENV A=b\" ..."),
    OPTION(struct load_options, "format", 0, "table|json", form, option_choice,
           "form of the progress display"),
    OPTION(struct load_options, "quiet", 'q', NULL, quiet, option_flag, "show no progress"),
    {0},
};

static int import(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    const struct load_options *o = options;
    struct image_config config = {0};
    struct platform platform;
    struct pulled pulled;
    struct store s;
    struct load l;
    int rc;

    for (size_t i = 0; i < o->changes.n; i++)
        if (change_apply(rt->arena, o->changes.v[i], &config, err) < 0)
            return error_wrap(err, "--change");
    if (prepare(rt, o, &s, &l, &platform, err) < 0 ||
        (arguments->n > 1 && command_new_name(rt->arena, arguments->v[1], &l.name, err) < 0))
        return -1;
    l.config = &config;
    rc = import_tar(&l, arguments->v[0], o->message, &pulled, err);
    store_close(&s);
    if (rc < 0)
        return -1;
    const char *line = arena_printf(rt->arena, "%s\n", pulled.config);
    return print_text(line, DIGEST_SIZE, err);
}

const struct command import_command = {
    .name = "import",
    .arguments = "FILE|- [NAME]",
    .summary = "make an image of a tar archive of a root directory",
    .options = import_rows,
    .options_size = sizeof(struct load_options),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = import,
};
