/* mount, umount: an image's root, read-only, to look at. */
#include <errno.h>
#include <string.h>

#include "cli/images/command.h"
#include "images/mount.h"

static int find(struct store *s, const char *text, struct found_image *image, struct error *err)
{
    int rc = image_find(s, text, image, err);

    return rc > 0   ? 0
           : rc < 0 ? -1
                    : error_set(err, ENOENT, "image %s is not in the store %s", text, s->path);
}

static int need_root(const struct runtime *rt, const char *command, struct error *err)
{
    if (!rt->rootless)
        return 0;
    return error_set(
        err, EPERM,
        "%s: without root a mount would be seen by this command alone; hull unpack IMAGE DIRECTORY gives "
        "the files",
        command);
}

static int mount_all(struct store *s, const struct string_list *texts, struct buffer *paths,
                     struct error *err)
{
    for (size_t i = 0; i < texts->n; i++) {
        struct found_image image;
        const char *path;

        if (find(s, texts->v[i], &image, err) < 0 || image_mount(s, &image, &path, err) < 0)
            return error_wrap(err, "%s", texts->v[i]);
        buffer_printf(paths, "%s\n", path);
    }
    return 0;
}

static int list_mounts(struct store *s, struct buffer *b, struct error *err)
{
    struct string_list hex;

    if (image_mounts(s, &hex, err) < 0)
        return -1;
    for (size_t i = 0; i < hex.n; i++)
        buffer_printf(b, "%.12s  %s\n", hex.v[i], image_mount_path(s, hex.v[i]));
    return 0;
}

static int mount_(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    struct buffer b = {.arena = rt->arena};
    struct store s;
    int rc;

    (void)options;
    if (need_root(rt, "mount", err) < 0 || command_open_store(rt, &s, err) < 0 ||
        store_lock(&s, false, err) < 0)
        return -1;
    rc = arguments->n ? mount_all(&s, arguments, &b, err) : list_mounts(&s, &b, err);
    store_close(&s);
    return rc < 0 ? -1 : b.length ? print_text(b.data, b.length, err) : 0;
}

const struct command mount_command = {
    .name = "mount",
    .arguments = "[IMAGE...]",
    .summary = "mount images read-only, print where; or list what is mounted",
    .max_arguments = ARGUMENTS_ANY,
    .run = mount_,
};

/* --- umount -------------------------------------------------------------------------------------------------------- */

struct umount_options {
    bool all;
};

static const struct option_row rows[] = {
    OPTION(struct umount_options, "all", 'a', NULL, all, option_flag, "whatever is mounted"),
    {0},
};

static int unmount_named(struct store *s, const struct string_list *texts, struct error *err)
{
    for (size_t i = 0; i < texts->n; i++) {
        struct found_image image;
        int rc;

        if (find(s, texts->v[i], &image, err) < 0)
            return -1;
        rc = image_unmount(s, image.config_digest, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return error_set(err, EINVAL, "image %s is not mounted", texts->v[i]);
    }
    return 0;
}

static int unmount_all(struct store *s, struct error *err)
{
    struct string_list hex;

    if (image_mounts(s, &hex, err) < 0)
        return -1;
    for (size_t i = 0; i < hex.n; i++)
        if (image_unmount(s, arena_printf(s->arena, "sha256:%s", hex.v[i]), err) < 0)
            return -1;
    return 0;
}

static int umount_(const struct runtime *rt, void *options, const struct string_list *arguments,
                   struct error *err)
{
    const struct umount_options *o = options;
    struct store s;
    int rc;

    if (o->all == (arguments->n > 0)) {
        error_set(err, 0, "give images to unmount, or --all");
        return usage_error(&umount_command, err);
    }
    if (need_root(rt, "umount", err) < 0 || command_open_store(rt, &s, err) < 0 ||
        store_lock(&s, false, err) < 0)
        return -1;
    rc = o->all ? unmount_all(&s, err) : unmount_named(&s, arguments, err);
    store_close(&s);
    return rc;
}

const struct command umount_command = {
    .name = "umount",
    .arguments = "[IMAGE...]",
    .summary = "unmount images",
    .options = rows,
    .options_size = sizeof(struct umount_options),
    .max_arguments = ARGUMENTS_ANY,
    .run = umount_,
};
