/*
 * What `run --image` mounts of the store: volumes, by name or anonymous (-v DIR, the image's own, --volumes-from), other images;
 * and directories of the host's below an overlay. In three steps, as more is known: see run_image.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/keeper.h"
#include "cli/run_image.h"
#include "images/idmaps.h"
#include "images/store_private.h"
#include "namespaces/namespaces.h"

enum { VOLUMES_MAX = 1000 };

static bool is_mounted(const struct bundle *b, const char *destination)
{
    for (size_t i = 0; i < b->n_mounts; i++)
        if (strcmp(b->mounts[i].destination, destination) == 0)
            return true;
    return false;
}

/* --- --volumes-from ------------------------------------------------------------------------------------------------ */

/* Not what every container has: those are its own. */
static bool is_asked_for(const struct snapshot *c, const struct spec_mount *m)
{
    static const char *const own[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/init", "/sys"};
    size_t n = strlen(c->path);

    if (!m->type || strcmp(m->type, "bind") != 0 || !m->source)
        return false;
    if (strncmp(m->source, c->path, n) == 0 && m->source[n] == '/')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (strcmp(m->destination, own[i]) == 0)
            return false;
    return true;
}

/* The name of the volume whose content @source is, or NULL. */
static const char *volume_of(struct arena *a, const struct store *s, const char *source)
{
    const char *prefix = arena_printf(a, "%s/" STORE_VOLUMES "/", s->path);
    const char *name = strncmp(source, prefix, strlen(prefix)) == 0 ? source + strlen(prefix) : NULL;

    return name && strcmp(strchrnul(name, '/'), "/_data") == 0 ? arena_strndup(a, name, strcspn(name, "/"))
                                                               : NULL;
}

static void add_from(const struct store *s, const struct spec_mount *from, const char *access,
                     struct bundle *b, struct image_mounts *mounts)
{
    const char *volume = volume_of(b->arena, s, from->source);
    struct image_mount *m =
        image_mounts_add(b, mounts, volume ? IMAGE_MOUNT_VOLUME : IMAGE_MOUNT_BIND, from->destination);
    struct spec_mount *spec = &b->mounts[m->index];

    m->source = volume;
    spec->source = from->source;
    spec->uid_mappings = from->uid_mappings;
    spec->gid_mappings = from->gid_mappings;
    for (size_t i = 0; i < from->options.n; i++)
        string_list_add(b->arena, &spec->options, from->options.v[i]);
    if (access)
        string_list_add(b->arena, &spec->options, access);
}

static int from_container(const struct runtime *rt, const char *text, struct bundle *b,
                          struct image_mounts *mounts, struct error *err)
{
    char *access = arena_strdup(b->arena, text), *id = strsep(&access, ":");
    struct store s;
    struct snapshot c;
    struct spec *spec;

    if (access && strcmp(access, "z") == 0)
        access = NULL;
    if (access && strcmp(access, "ro") != 0 && strcmp(access, "rw") != 0)
        return error_set(err, 0, "must be CONTAINER[:ro|rw]");
    if (keeper_open(rt, id, &s, &c, err) < 0)
        return -1;
    int rc = spec_load(b->arena, c.dir, "config.json", &spec, err);
    for (size_t i = 0; rc == 0 && i < spec->n_mounts; i++)
        if (is_asked_for(&c, &spec->mounts[i]) && !is_mounted(b, spec->mounts[i].destination))
            add_from(&s, &spec->mounts[i], access, b, mounts);
    snapshot_close(&c);
    store_close(&s);
    return rc;
}

int image_volumes_from(const struct runtime *rt, const struct string_list *words, struct bundle *b,
                       struct image_mounts *mounts, struct error *err)
{
    for (size_t i = 0; i < words->n; i++)
        if (from_container(rt, words->v[i], b, mounts, err) < 0)
            return error_wrap(err, "--volumes-from %s", words->v[i]);
    return 0;
}

/* --- under the lock ------------------------------------------------------------------------------------------------ */

static int add_own(const struct found_image *image, struct bundle *b, struct image_mounts *mounts,
                   struct error *err)
{
    if (image->config.n_volumes > VOLUMES_MAX)
        return error_set(err, 0, "the image asks for %zu volumes, more than %d", image->config.n_volumes,
                         VOLUMES_MAX);
    for (size_t i = 0; i < image->config.n_volumes; i++) {
        const char *name = image->config.volumes[i].name;

        if (image_run_check_destination("the image's volume", arena_strndup(b->arena, name, 64), name, err) <
            0)
            return -1;
        if (is_mounted(b, name))
            continue;
        struct image_mount *m = image_mounts_add(b, mounts, IMAGE_MOUNT_VOLUME, name);
        string_list_add(b->arena, &b->mounts[m->index].options, "rbind");
        string_list_add(b->arena, &b->mounts[m->index].options, "rprivate");
    }
    return 0;
}

static int check_twice(const struct bundle *b, struct error *err)
{
    for (size_t i = 0; i < b->n_mounts; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(b->mounts[i].destination, b->mounts[k].destination) == 0)
                return error_set(err, 0, "%s: two mounts were asked for there", b->mounts[i].destination);
    return 0;
}

static int take_volume(struct store *s, const struct snapshot *c, struct image_mount *m, struct bundle *b,
                       struct error *err)
{
    struct volume v = {.anonymous = !m->source};

    if (!m->source && image_run_random_id(s->arena, &m->source, err) < 0)
        return -1;
    v.name = m->source;
    if (volume_take(s, c, &v, err) < 0)
        return -1;
    b->mounts[m->index].source = (char *)v.path;
    return 0;
}

static int take_image(struct store *s, const struct snapshot *c, struct image_mount *m, struct error *err)
{
    int found = image_find(s, m->source, &m->image, err);

    return found < 0    ? -1
           : found == 0 ? error_set(err, 0, "image %s is not in the store %s: `hull pull` it first",
                                    m->source, s->path)
                        : snapshot_use(s, c, &m->image, err);
}

int image_volumes_take(struct store *s, const struct snapshot *c, const struct found_image *image,
                       struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    if (add_own(image, b, mounts, err) < 0 || check_twice(b, err) < 0)
        return -1;
    for (size_t i = 0; i < mounts->n; i++) {
        struct image_mount *m = &mounts->v[i];

        if ((m->kind == IMAGE_MOUNT_VOLUME && take_volume(s, c, m, b, err) < 0) ||
            (m->kind == IMAGE_MOUNT_IMAGE && take_image(s, c, m, err) < 0))
            return error_wrap(err, "mount at %s", b->mounts[m->index].destination);
    }
    return 0;
}

/* --- when ids are known -------------------------------------------------------------------------------------------- */

struct finish {
    struct store *store;
    const struct snapshot *container;
    struct bundle *bundle;
    struct idmaps maps; /* of a user namespace that root gives it */
    uint32_t uid, gid;  /* the process's user, as whoever mounts the root sees him */
    struct image_work *work;
    size_t n_work;
};

static int check_chown(const char *path, struct error *err)
{
    static const char *const system[] = {"/",      "/bin",   "/boot", "/dev", "/etc",  "/home", "/lib",
                                         "/lib64", "/media", "/mnt",  "/opt", "/proc", "/root", "/run",
                                         "/sbin",  "/srv",   "/sys",  "/tmp", "/usr",  "/var"};

    for (size_t i = 0; i < ARRAY_SIZE(system); i++)
        if (strcmp(path, system[i]) == 0)
            return error_set(err, 0, "option U: %s is the system's: its owners stay as they are", path);
    return 0;
}

/* A tmpfs is mounted in the container, and so has its ids. */
static int finish_chown(struct finish *f, const struct image_mount *m, struct error *err)
{
    struct spec_mount *spec = &f->bundle->mounts[m->index];
    struct arena *a = f->bundle->arena;

    if (m->kind == IMAGE_MOUNT_TMPFS) {
        string_list_add(a, &spec->options, arena_printf(a, "uid=%u", f->bundle->user.uid));
        string_list_add(a, &spec->options, arena_printf(a, "gid=%u", f->bundle->user.gid));
        return 0;
    }
    if (m->kind == IMAGE_MOUNT_OVERLAY || m->kind == IMAGE_MOUNT_IMAGE)
        return error_set(err, 0, "option U is for directories and files of the host's, volumes and tmpfs");
    if (check_chown(spec->source, err) < 0)
        return -1;
    f->work[f->n_work++] = (struct image_work){.path = spec->source, .uid = f->uid, .gid = f->gid};
    return 0;
}

/* overlays/N, which takes the source's place. */
static int finish_overlay(struct finish *f, const struct image_mount *m, struct error *err)
{
    struct spec_mount *spec = &f->bundle->mounts[m->index];
    struct arena *a = f->bundle->arena;
    const bool image = m->kind == IMAGE_MOUNT_IMAGE;
    const struct snapshot_mount overlay = {.store = f->store,
                                           .snapshot = f->container,
                                           .place = arena_printf(a, "overlays/%zu", m->index),
                                           .layers = &m->image.layers,
                                           .lower = image ? NULL : spec->source,
                                           .read_only = image && !m->writable};

    if (snapshot_overlay(f->store, &overlay, err) < 0 ||
        (image && m->writable && idmaps_own(f->store, f->container, overlay.place, &f->maps, err) < 0))
        return -1;
    spec->source = arena_printf(a, "%s/%s/root", f->container->path, overlay.place);
    return 0;
}

static int finish_one(struct finish *f, const struct image_mount *m, struct error *err)
{
    if ((m->kind == IMAGE_MOUNT_IMAGE || m->kind == IMAGE_MOUNT_OVERLAY) && finish_overlay(f, m, err) < 0)
        return -1;
    if (m->kind == IMAGE_MOUNT_VOLUME)
        f->work[f->n_work++] = (struct image_work){.volume = m->source,
                                                   .destination = f->bundle->mounts[m->index].destination,
                                                   .uid = f->uid,
                                                   .gid = f->gid,
                                                   .no_copy = m->no_copy};
    return m->chown ? finish_chown(f, m, err) : 0;
}

static size_t depth(const char *path)
{
    size_t n = 0;

    for (; *path; path++)
        n += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    return n;
}

/* What is deeper is mounted later, or it would be hidden; else as it was said. */
static void sort(struct bundle *b)
{
    for (size_t i = 1; i < b->n_mounts; i++) {
        const struct spec_mount m = b->mounts[i];
        size_t k = i;

        for (; k > 0 && depth(b->mounts[k - 1].destination) > depth(m.destination); k--)
            b->mounts[k] = b->mounts[k - 1];
        b->mounts[k] = m;
    }
}

int image_volumes_finish(struct store *s, const struct snapshot *c, struct bundle *b,
                         const struct image_mounts *mounts, struct error *err)
{
    struct finish f = {.store = s, .container = c, .bundle = b, .uid = b->user.uid, .gid = b->user.gid};

    f.work = arena_new_n(b->arena, 2 * mounts->n + 1, struct image_work);
    if (b->user_namespace && geteuid() == 0) {
        f.maps = (struct idmaps){.uids = b->uid_maps, .gids = b->gid_maps};
        if (!idmap_to_host(&b->uid_maps, b->user.uid, &f.uid) ||
            !idmap_to_host(&b->gid_maps, b->user.gid, &f.gid))
            return error_set(err, 0, "the user namespace maps no user %u, or no group %u", b->user.uid,
                             b->user.gid);
    }
    for (size_t i = 0; i < mounts->n; i++)
        if (finish_one(&f, &mounts->v[i], err) < 0)
            return error_wrap(err, "mount at %s", b->mounts[mounts->v[i].index].destination);
    sort(b);
    return image_work_write(s, c, f.work, f.n_work, err);
}
