/*
 * See image_root.h. Who mounts the overlays and fills new volumes: init does, in its own mount namespace; for a container that
 * root gives a user namespace, hull (images/overlay.c), with a namespace of the same ids as the container's.
 */
#include "cli/image_root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/copy_tree.h"
#include "base/file.h"
#include "base/number.h"
#include "images/idmaps.h"
#include "images/owners.h"
#include "namespaces/namespaces.h"
#include "namespaces/rootfs.h"

/* --- work ---------------------------------------------------------------------------------------------------------- */

enum { WORK_MAX = 4 << 20, FIELDS = 6 };

/* "fill UID GID copy|nocopy VOLUME DESTINATION", "chown UID GID - - PATH". */
int image_work_write(struct store *s, const struct snapshot *c, const struct image_work *work, size_t n,
                     struct error *err)
{
    struct buffer b = {.arena = s->arena};

    for (size_t i = 0; i < n; i++) {
        const struct image_work *w = &work[i];
        const char *last = w->volume ? w->destination : w->path;

        if (strchr(last, '\n'))
            return error_set(err, 0, "%s: a line break is in its name", last);
        buffer_printf(&b, "%s %u %u %s %s %s\n", w->volume ? "fill" : "chown", w->uid, w->gid,
                      !w->volume   ? "-"
                      : w->no_copy ? "nocopy"
                                   : "copy",
                      w->volume ? w->volume : "-", last);
    }
    return b.length ? file_replace(c->dir, "work-list", 0600, b.data, b.length, err) : 0;
}

static int parse_work(char *line, struct image_work *out, struct error *err)
{
    char *fields[FIELDS];
    uint64_t uid, gid;

    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = i + 1 < FIELDS ? strsep(&line, " ") : line;
    if (!fields[FIELDS - 1])
        return error_set(err, 0, "work-list: a line has too few words");
    if (number_parse_u64(fields[1], "work-list", 0, UINT32_MAX, &uid, err) < 0 ||
        number_parse_u64(fields[2], "work-list", 0, UINT32_MAX, &gid, err) < 0)
        return -1;
    bool fill = strcmp(fields[0], "fill") == 0;
    *out = (struct image_work){.volume = fill ? fields[4] : NULL,
                               .destination = fill ? fields[5] : NULL,
                               .path = fill ? NULL : fields[5],
                               .uid = (uint32_t)uid,
                               .gid = (uint32_t)gid,
                               .no_copy = strcmp(fields[3], "nocopy") == 0,
                               .dir = -1};
    return 0;
}

/* Volumes that were used before need none. */
static int read_work(struct store *s, const struct snapshot *c, struct image_root *root, struct error *err)
{
    char *text, *line;

    if (file_read(c->dir, "work-list", WORK_MAX, s->arena, &text, NULL, err) < 0) {
        if (err->code != ENOENT)
            return -1;
        error_clear(err);
        return 0;
    }
    root->work = arena_new_n(s->arena, strlen(text) + 1, struct image_work);
    while ((line = strsep(&text, "\n"))) {
        struct image_work *w = &root->work[root->n_work];
        struct volume v;

        if (!*line)
            continue;
        if (parse_work(line, w, err) < 0 || (w->volume && volume_read(s, w->volume, &v, err) < 0))
            return -1;
        if (w->volume && v.used)
            continue;
        root->n_work++;
        if (w->volume && (w->dir = volume_open(s, w->volume, err)) < 0)
            return -1;
    }
    return 0;
}

/* @fd: the root directory. */
static int do_work(const struct image_root *root, int fd, struct error *err)
{
    for (size_t i = 0; i < root->n_work; i++) {
        const struct image_work *w = &root->work[i];
        const struct volume_fill fill = {w->dir, w->destination, w->uid, w->gid, w->no_copy};

        if (w->volume && volume_fill(&fill, fd, err) < 0)
            return error_wrap(err, "volume %s", w->volume);
        if (w->path && chown_tree(AT_FDCWD, w->path, w->uid, w->gid, err) < 0)
            return error_wrap(err, "option U");
    }
    return 0;
}

/* --- mounts -------------------------------------------------------------------------------------------------------- */

static const char *place_of(const struct snapshot_mount *m)
{
    return arena_printf(m->store->arena, "%s/%s%sroot", m->snapshot->path, m->place ? m->place : "",
                        m->place ? "/" : "");
}

/* Of a user who keeps his id what he made is his own: the root directory is to be root's. */
static int give_to_root(const struct image_root *root, struct error *err)
{
    static const char *const names[] = {"upper", "work"};

    for (size_t i = 0; i < root->n_mounts; i++) {
        const struct snapshot_mount *m = &root->mounts[i];

        for (size_t k = 0; k < ARRAY_SIZE(names) && !m->read_only && !m->lower; k++) {
            const char *path = arena_printf(m->store->arena, "%s/%s%s%s", m->snapshot->path,
                                            m->place ? m->place : "", m->place ? "/" : "", names[k]);

            if (fchownat(AT_FDCWD, path, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set(err, errno, "give %s to root", path);
        }
    }
    return 0;
}

/* In init. */
static int mount_all(void *argument, struct error *err)
{
    const struct image_root *root = argument;
    _cleanup_(fd_closep) int fd = -1;

    if (root->keeps_id && give_to_root(root, err) < 0)
        return -1;

    for (size_t i = 0; i < root->n_mounts; i++)
        if (snapshot_mount(&root->mounts[i], err) < 0)
            return -1;
    if (!root->n_work)
        return 0;
    fd = open(place_of(&root->mounts[0]), O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "open the root") : do_work(root, fd, err);
}

/* Here and now. */
static int make_all(const struct image_root *root, const struct idmaps *maps, struct create_options *o,
                    struct error *err)
{
    _cleanup_(fd_closep) int userns = -1;
    struct rootfs_made *made = arena_new_n(root->mounts[0].store->arena, root->n_mounts, struct rootfs_made);

    if (idmap_make_userns(&maps->uids, &maps->gids, &userns, err) < 0)
        return -1;
    o->made = made;
    for (; o->n_made < root->n_mounts; o->n_made++) {
        const struct snapshot_mount *m = &root->mounts[o->n_made];

        made[o->n_made].place = place_of(m);
        if (snapshot_tree(m, userns, &made[o->n_made].tree, err) < 0)
            return -1;
    }
    return do_work(root, made[0].tree, err);
}

int image_root_prepare(const struct runtime *rt, struct store *s, const struct snapshot *c,
                       const struct string_list *layers, bool throw_away, struct image_root *root,
                       struct create_options *o, struct error *err)
{
    struct snapshot_mount *more = NULL;
    struct idmaps maps;
    struct owners kept;
    size_t n;

    *root = (struct image_root){0};
    int keeps = owners_read(rt->arena, c, &kept, err);
    root->keeps_id = keeps > 0;
    if (keeps < 0 || idmaps_read(rt->arena, c, &maps, err) < 0 ||
        snapshot_overlays(s, c, &more, &n, err) < 0 || read_work(s, c, root, err) < 0)
        return -1;
    root->mounts = arena_new_n(rt->arena, n + 1, struct snapshot_mount);
    root->mounts[root->n_mounts++] = (struct snapshot_mount){.store = s, .snapshot = c, .layers = layers};
    for (size_t i = 0; i < n; i++)
        root->mounts[root->n_mounts++] = more[i];
    for (size_t i = 0; i <= n; i++) {
        root->mounts[i].user_namespace = rt->rootless;
        root->mounts[i].throw_away = throw_away;
    }
    if (maps.uids.n)
        return make_all(root, &maps, o, err);
    o->mount_root = mount_all;
    o->mount_root_argument = root;
    return 0;
}

void image_root_close(struct image_root *root)
{
    for (size_t i = 0; i < root->n_work; i++)
        fd_closep(&root->work[i].dir);
    root->n_work = 0;
}
