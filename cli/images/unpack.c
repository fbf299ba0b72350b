/*
 * unpack: a bundle (config.json and rootfs) of an image, for any runtime. What is in the way is never written over; a bundle
 * that did not become whole is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/images/command.h"
#include "images/bundle.h"
#include "images/merge.h"
#include "images/snapshot.h"
#include "images/store_private.h"

struct unpack_command_options {
    bool rootless;
};

static const struct option_row rows[] = {
    OPTION(struct unpack_command_options, "rootless", 0, NULL, rootless, option_flag,
           "for the user who runs hull: its own id is root in the container"),
    {0},
};

static int open_trees(struct store *s, const struct found_image *image, struct stack *trees,
                      struct error *err)
{
    for (size_t i = image->layers.n; i-- > 0;) {
        int fd = open(store_layer_path(s, image->layers.v[i]), O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || trees->n == STACK_MAX_TREES) {
            fd_closep(&fd);
            return error_set(err, errno, "open layer %s", image->layers.v[i]);
        }
        trees->trees[trees->n++] = fd;
    }
    return trees->n ? 0 : error_set(err, 0, "the image has no layers: there is nothing to unpack");
}

/* The maps under which hull-images itself works, if it is in a user namespace of its own. */
static int read_maps(struct arena *a, const char *path, struct id_maps *maps, struct error *err)
{
    char *text, *line;

    if (file_read(AT_FDCWD, path, 1 << 16, a, &text, NULL, err) < 0)
        return -1;
    maps->v = arena_new_n(a, strlen(text) / 6 + 1, struct id_map);
    while ((line = strsep(&text, "\n")) && *line) {
        unsigned container, host, size;

        if (sscanf(line, "%u %u %u", &container, &host, &size) != 3)
            return error_set(err, 0, "%s: \"%s\" is no map", path, line);
        maps->v[maps->n++] = (struct id_map){.container_id = container, .host_id = host, .size = size};
    }
    return 0;
}

static int write_config(const struct runtime *rt, const struct found_image *image, const struct stack *trees,
                        bool rootless, int dir, const char *name, struct error *err)
{
    struct bundle b = {.arena = rt->arena,
                       .id = name,
                       .root = "rootfs",
                       .hostname = name,
                       .image = &image->config,
                       .capabilities = bundle_default_capabilities,
                       .network = rootless ? NETWORK_HOST : NETWORK_NONE,
                       .user_namespace = rootless};
    static char *shell[] = {(char *)"sh",
                            NULL}; /* for an image that says nothing: config.json is there to be changed */
    size_t length;
    char *text;

    if (!image->config.entrypoint.n && !image->config.cmd.n)
        b.args = (struct string_list){.v = shell, .n = 1};
    if (image_user_find(rt->arena, trees, image->config.user, &b.user, err) < 0)
        return error_wrap(err, "the image's user");
    if (rootless && (read_maps(rt->arena, "/proc/self/uid_map", &b.uid_maps, err) < 0 ||
                     read_maps(rt->arena, "/proc/self/gid_map", &b.gid_maps, err) < 0))
        return -1;
    if (bundle_write(&b, &text, &length, err) < 0)
        return -1;
    return file_replace(dir, "config.json", 0644, text, length, err);
}

static int fill(const struct runtime *rt, struct store *s, const struct found_image *image, bool rootless,
                int dir, const char *name, struct error *err)
{
    struct stack trees = {0};
    int rc = open_trees(s, image, &trees, err);

    if (rc == 0 && mkdirat(dir, "rootfs", 0755) < 0)
        rc = error_set(err, errno, "make rootfs");
    _cleanup_(fd_closep) int root = rc < 0 ? -1 : openat(dir, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && root < 0)
        rc = error_set(err, errno, "open rootfs");
    if (rc == 0)
        rc = merge_layers(&trees, root, rt->rootless, err);
    if (rc == 0)
        /* The topmost layer, from whose root directory this one was made, may not have described it. */
        rc = snapshot_set_root(s, &image->layers, root) < 0
                 ? error_set(err, errno, "set the owner, mode and time of rootfs")
                 : 0;
    if (rc == 0)
        rc = write_config(rt, image, &trees, rootless, dir, name, err);
    while (trees.n)
        fd_closep(&trees.trees[--trees.n]);
    return rc;
}

static int unpack_to(const struct runtime *rt, struct store *s, const struct found_image *image,
                     bool rootless, const char *path, struct error *err)
{
    bool made = mkdir(path, 0755) == 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    _cleanup_(fd_closep) int dir =
        made || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (dir < 0)
        return error_set(err, errno, "make %s", path);
    if (faccessat(dir, "config.json", F_OK, 0) == 0 || faccessat(dir, "rootfs", F_OK, 0) == 0)
        return error_set(err, EEXIST, "%s has a bundle already", path);
    if (fill(rt, s, image, rootless, dir, *name ? name : "bundle", err) == 0)
        return 0;
    file_remove_tree(dir, "rootfs", NULL);
    unlinkat(dir, "config.json", 0);
    if (made)
        rmdir(path);
    return error_wrap(err, "%s", path);
}

static int unpack(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    const struct unpack_command_options *o = options;
    struct found_image image;
    struct session session;
    struct store s;
    int rc;

    if (command_open_store(rt, &s, err) < 0 ||
        command_use_image(&s, arguments->v[0], &session, &image, err) < 0)
        return -1;
    rc = unpack_to(rt, &s, &image, o->rootless || rt->rootless, arguments->v[1], err);
    session_end(&session);
    store_close(&s);
    return rc;
}

const struct command unpack_command = {
    .name = "unpack",
    .arguments = "IMAGE BUNDLE",
    .summary = "make a bundle for any runtime: rootfs and config.json",
    .options = rows,
    .options_size = sizeof(struct unpack_command_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = unpack,
};
