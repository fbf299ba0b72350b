/*
 * See image_root.h. Who mounts the overlay: init does, in its own mount namespace; for a container that root gives a user
 * namespace, hull (images/overlay.c), with a namespace of the same ids as the container's.
 */
#include "cli/image_root.h"

#include "base/file.h"
#include "images/idmaps.h"
#include "namespaces/namespaces.h"

static int mount_root(void *argument, struct error *err)
{
    const struct image_root *root = argument;

    return snapshot_mount(&root->mount, err);
}

static int open_root(void *argument, int *tree, struct error *err)
{
    const struct image_root *root = argument;

    return snapshot_tree(&root->mount, root->userns, tree, err);
}

int image_root_prepare(const struct runtime *rt, const struct store *s, const struct snapshot *c,
                       const struct string_list *layers, bool throw_away, struct image_root *root,
                       struct create_options *o, struct error *err)
{
    struct idmaps maps;

    *root = (struct image_root){.mount = {.store = s,
                                          .snapshot = c,
                                          .layers = layers,
                                          .user_namespace = rt->rootless,
                                          .throw_away = throw_away},
                                .userns = -1};
    if (idmaps_read(rt->arena, c, &maps, err) < 0)
        return -1;
    o->mount_root_argument = root;
    if (!maps.uids.n) {
        o->mount_root = mount_root;
        return 0;
    }
    o->open_root = open_root;
    o->root_place = arena_printf(rt->arena, "%s/root", c->path);
    return idmap_make_userns(&maps.uids, &maps.gids, &root->userns, err);
}

void image_root_close(struct image_root *root)
{
    fd_closep(&root->userns);
    root->userns = -1;
}
