/*
 * mounts/HEX of the store: `root` is where an overlay of the image's layers is mounted; `top`, an empty layer over the others with
 * the owner, mode and time that the image's root has; `uses`, what a sweep must leave (store.h). All is made under the store's lock, so
 * that a sweep never sees a directory that is about to be mounted on.
 */
#include "images/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/syscalls.h"
#include "images/snapshot.h"
#include "images/store_private.h"

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif

const char *image_mount_path(const struct store *s, const char *config_hex)
{
    return arena_printf(s->arena, "%s/" STORE_MOUNTS "/%s/root", s->path, config_hex);
}

int image_mounts(const struct store *s, struct string_list *hex, struct error *err)
{
    *hex = (struct string_list){0};
    if (faccessat(s->dir, STORE_MOUNTS, F_OK, 0) < 0)
        return 0;
    return store_list(s, STORE_MOUNTS, hex, err);
}

static bool is_mounted(const char *path)
{
    struct statx st;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int write_uses(const struct store *s, int dir, const struct found_image *image, struct error *err)
{
    struct buffer b = {.arena = s->arena};

    buffer_printf(&b, "%s\n%s\n", digest_hex(image->manifest), digest_hex(image->config_digest));
    for (size_t i = 0; i < image->layers.n; i++)
        buffer_printf(&b, "%s\n", image->layers.v[i]);
    return file_replace(dir, "uses", 0600, b.data, b.length, err);
}

/* Layers the top first: one by one since Linux 6.5, before that in one string of names. */
static int set_layers(int fs, const struct store *s, const char *directory, const struct found_image *image)
{
    struct buffer all = {.arena = s->arena};
    const char *top = arena_printf(s->arena, "%s/top", directory);
    bool one_by_one = fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", top, 0) == 0;

    if (!one_by_one && errno != EINVAL)
        return -1;
    buffer_puts(&all, top);
    for (size_t i = image->layers.n; i-- > 0;) {
        const char *layer = store_layer_path(s, image->layers.v[i]);

        buffer_printf(&all, ":%s", layer);
        if (one_by_one && fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", layer, 0) < 0)
            return -1;
    }
    return one_by_one ? 0 : fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", all.data, 0);
}

/* #syscalls: fsopen fsconfig fsmount move_mount */
static int mount_layers(const struct store *s, const char *directory, const struct found_image *image,
                        struct error *err)
{
    _cleanup_(fd_closep) int fs = fsopen("overlay", FSOPEN_CLOEXEC), mount = -1;
    const char *root = arena_printf(s->arena, "%s/root", directory);

    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0 ||
        set_layers(fs, s, directory, image) < 0 || fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
        (mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID)) <
            0 ||
        move_mount(mount, "", AT_FDCWD, root, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return error_set(err, errno, "mount overlayfs on %s", root);
    return 0;
}

static int make_top(const struct store *s, int dir, const struct string_list *layers)
{
    if (mkdirat(dir, "top", 0700) < 0 && errno != EEXIST)
        return -1;
    _cleanup_(fd_closep) int top = openat(dir, "top", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return top < 0 ? -1 : snapshot_set_root(s, layers, top);
}

int image_mount(struct store *s, const struct found_image *image, const char **path, struct error *err)
{
    const char *hex = digest_hex(image->config_digest);
    const char *directory = arena_printf(s->arena, "%s/" STORE_MOUNTS "/%s", s->path, hex);
    _cleanup_(fd_closep) int dir = -1;

    *path = image_mount_path(s, hex);
    if (is_mounted(*path))
        return 0;
    if ((mkdirat(s->dir, STORE_MOUNTS, 0700) < 0 && errno != EEXIST) ||
        (mkdir(directory, 0700) < 0 && errno != EEXIST))
        return error_set(err, errno, "make %s", directory);
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return error_set(err, errno, "open %s", directory);
    if ((mkdirat(dir, "root", 0700) < 0 && errno != EEXIST) || make_top(s, dir, &image->layers) < 0)
        return error_set(err, errno, "make directories in %s", directory);
    if (write_uses(s, dir, image, err) < 0 || mount_layers(s, directory, image, err) < 0) {
        file_remove_tree(AT_FDCWD, directory, NULL);
        return -1;
    }
    return 0;
}

/* #syscalls: umount2 */
int image_unmount(struct store *s, const char *config, struct error *err)
{
    const char *hex = digest_hex(config), *root = image_mount_path(s, hex);

    if (!is_mounted(root))
        return 0;
    if (umount2(root, UMOUNT_NOFOLLOW) < 0)
        return error_set(err, errno, "unmount %s", root);
    return file_remove_tree(s->dir, arena_printf(s->arena, STORE_MOUNTS "/%s", hex), err) < 0 ? -1 : 1;
}
