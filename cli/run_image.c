/*
 * `hull run --image` and `hull create --image`: an image of the store becomes a container. In order, so that whoever is killed leaves nothing that a
 * sweep would not spare or `rm` not remove:
 *
 *   find (or pull) the image -> containers/ID with its `uses`, under the store's lock -> config.json (images/bundle.h)
 *   -> it is started (image_start.h), unless this is create
 *   -> in the foreground with --rm: all of it goes
 */
#include "cli/run_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/helper.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "cli/image_start.h"
#include "images/snapshot.h"
#include "images/store_private.h"
#include "namespaces/namespaces.h"
#include "namespaces/subids.h"

enum { ID_SHORT = 12, COPIES_MISSING = 2, COPY_TRIES = 5 };

struct image_run {
    struct runtime rt;
    const struct image_run_options *o;
    struct store store;
    struct found_image image, originals;
    struct snapshot snapshot;
    struct stack trees;
    struct bundle bundle;
    struct image_mounts mounts;
    struct image_userns userns;
    struct keeper_record record;
    bool create; /* and no more */
};

/* --- the image ----------------------------------------------------------------------------------------------------- */

/* Its progress is for people, and standard output is the container's. #syscalls: fork execve dup2 wait4 */
static int pull(struct image_run *r, struct error *err)
{
    const char *helper = helper_path(r->rt.arena, "hull-images");
    const char *store = arena_printf(r->rt.arena, "--store=%s", r->store.path);
    const char *policy = r->o->pull == PULL_NEWER ? "--policy=newer" : "--policy=always";
    char *argv[] = {(char *)"hull-images",
                    (char *)store,
                    (char *)"pull",
                    (char *)(r->o->quiet ? "--quiet" : "--quiet=false"),
                    (char *)policy,
                    (char *)r->o->image,
                    NULL};
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid == 0) {
        if (dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
            execv(helper, argv);
        dprintf(STDERR_FILENO, "hull: execute %s: %s\n", helper, strerror(errno));
        _exit(EXIT_LIKE_PODMAN);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "wait for %s", helper);
    return status == 0 ? 0 : error_set(err, 0, "image %s could not be pulled", r->o->image);
}

int image_run_random_id(struct arena *a, const char **id, struct error *err)
{
    uint64_t n[4];

    if (getrandom(n, sizeof(n), 0) != sizeof(n))
        return error_set(err, errno, "getrandom");
    *id = arena_printf(a, "%016llx%016llx%016llx%016llx", (unsigned long long)n[0], (unsigned long long)n[1],
                       (unsigned long long)n[2], (unsigned long long)n[3]);
    return 0;
}

/* For a user who keeps his id: the copies of the layers take the layers' place. 0: one is missing. */
static int take_copies(struct image_run *r)
{
    struct string_list *layers = &r->image.layers;

    for (size_t i = 0; i < layers->n; i++) {
        const char *key = owners_key(r->rt.arena, layers->v[i], &r->userns.kept);

        if (!store_layer_exists(&r->store, key))
            return 0;
        layers->v[i] = (char *)key;
    }
    return 1;
}

static int make_copies(void *argument, struct error *err)
{
    struct image_run *r = argument;

    return owners_copy(&r->store, &r->originals.layers, &r->userns.kept, err);
}

/* What the container is made of, in use with it. */
static int put_to_use(struct image_run *r, const char *id, struct error *err)
{
    if (snapshot_create(&r->store, id, &r->image, &r->snapshot, err) < 0)
        return -1;
    if (r->userns.keep && snapshot_use(&r->store, &r->snapshot, &r->originals, err) < 0)
        return -1;
    return image_volumes_take(&r->store, &r->snapshot, &r->image, &r->bundle, &r->mounts, err);
}

/* Found and put to use under one lock. 1: done; 0: the image is not there; COPIES_MISSING. */
static int take_locked(struct image_run *r, const char *id, struct error *err)
{
    struct error left = {0};
    int found;

    if (store_lock(&r->store, false, err) < 0)
        return -1;
    found = image_find(&r->store, r->o->image, &r->image, err);
    if (found == 1 && r->userns.keep) {
        r->originals = r->image;
        r->originals.layers.v = arena_new_n(r->rt.arena, r->image.layers.n + 1, char *);
        for (size_t i = 0; i < r->image.layers.n; i++)
            r->originals.layers.v[i] = r->image.layers.v[i];
        found = take_copies(r) ? 1 : COPIES_MISSING;
    }
    if (found == 1 && put_to_use(r, id, err) < 0)
        found = -1;
    store_unlock(&r->store);
    if (found < 0 && r->snapshot.dir >= 0) {
        snapshot_close(&r->snapshot);
        keeper_erase(&r->rt, &r->store, id, true, &left);
    }
    return found;
}

/* A sweep may take what nobody uses yet: then once more. */
static int take_or_copy(struct image_run *r, const char *id, struct error *err)
{
    int found = take_locked(r, id, err);

    for (int i = 0; found == COPIES_MISSING && i < COPY_TRIES; i++) {
        if (subids_run_as_root(r->rt.arena, make_copies, r, err) < 0)
            return -1;
        found = take_locked(r, id, err);
    }
    return found == COPIES_MISSING ? error_set(err, 0, "the image's layers go as fast as they are copied")
                                   : found;
}

static int take_image(struct image_run *r, const char *id, struct error *err)
{
    int found;

    if ((r->o->pull == PULL_ALWAYS || r->o->pull == PULL_NEWER) && pull(r, err) < 0)
        return -1;
    found = take_or_copy(r, id, err);
    if (found == 0 && r->o->pull == PULL_MISSING) {
        if (pull(r, err) < 0)
            return -1;
        found = take_or_copy(r, id, err);
    }
    return found == 0  ? error_set(err, 0, "image %s is not in the store %s: `hull pull` it first",
                                   r->o->image, r->store.path)
           : found < 0 ? -1
                       : 0;
}

/* --- the bundle ---------------------------------------------------------------------------------------------------- */

static int open_trees(struct image_run *r, struct error *err)
{
    for (size_t i = r->image.layers.n; i-- > 0;) {
        const char *path = arena_printf(r->rt.arena, STORE_LAYERS "/%s/tree", r->image.layers.v[i]);
        int fd = openat(r->store.dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 || r->trees.n == STACK_MAX_TREES) {
            fd_closep(&fd);
            return error_set(err, errno, "open layer %s", r->image.layers.v[i]);
        }
        r->trees.trees[r->trees.n++] = fd;
    }
    return 0;
}

static void close_trees(struct image_run *r)
{
    while (r->trees.n > 0)
        fd_closep(&r->trees.trees[--r->trees.n]);
}

/* Who keeps his id is himself, unless the image or he says otherwise. */
static const char *user_of(const struct image_run *r)
{
    const char *user = r->o->user ? r->o->user : r->image.config.user;

    return r->userns.keep && !(user && *user)
               ? arena_printf(r->rt.arena, "%u:%u", r->userns.kept.uid, r->userns.kept.gid)
               : user;
}

static int find_user(struct image_run *r, struct error *err)
{
    struct image_user *u = &r->bundle.user;
    size_t n;

    if (image_user_find(r->rt.arena, &r->trees, user_of(r), u, err) < 0)
        return error_wrap(err, r->o->user ? "--user" : "the image's user");
    n = u->n_groups;
    u->groups = arena_grow(r->rt.arena, u->groups, n * sizeof(*u->groups),
                           (n + r->o->groups.n + 1) * sizeof(*u->groups));
    for (size_t i = 0; i < r->o->groups.n; i++)
        if (image_group_find(r->rt.arena, &r->trees, r->o->groups.v[i], &u->groups[u->n_groups++], err) < 0)
            return error_wrap(err, "--group-add");
    return 0;
}

static int write_file(const struct image_run *r, const char *name, mode_t mode, const char *text,
                      size_t length, struct error *err)
{
    _cleanup_(fd_closep) int fd =
        openat(r->snapshot.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    return fd < 0 || fd_write_all(fd, text, length) < 0 || fchmod(fd, mode) < 0
               ? error_set(err, errno, "write %s/%s", r->snapshot.path, name)
               : 0;
}

static bool is_mounted(const struct bundle *b, const char *destination)
{
    for (size_t i = 0; i < b->n_mounts; i++)
        if (strcmp(b->mounts[i].destination, destination) == 0)
            return true;
    return false;
}

static void bind_own(struct bundle *b, const char *source, const char *destination)
{
    static char *options[] = {(char *)"bind", (char *)"rprivate", NULL};

    if (!is_mounted(b, destination))
        image_run_add_mount(b, destination, "bind", source, &(struct string_list){options, 2});
}

/* It belongs to the container's root. */
static int write_own(const struct image_run *r, const char *name, const char *text, struct error *err)
{
    uint32_t uid, gid;

    if (write_file(r, name, 0644, text, strlen(text), err) < 0)
        return -1;
    if (r->userns.kind == USERNS_HOST || !idmap_to_host(&r->bundle.uid_maps, 0, &uid) ||
        !idmap_to_host(&r->bundle.gid_maps, 0, &gid))
        return 0;
    return fchownat(r->snapshot.dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0
               ? error_set(err, errno, "give %s/%s to user %u", r->snapshot.path, name, uid)
               : 0;
}

/* Files of /etc that are the container's, not the image's: its names, and where to ask for others'. */
static int add_files(struct image_run *r, struct error *err)
{
    struct arena *a = r->rt.arena;
    struct bundle *b = &r->bundle;
    const char *hostname = arena_printf(a, "%s\n", b->hostname);
    const char *hosts =
        arena_printf(a, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", b->hostname);

    if (write_own(r, "hostname", hostname, err) < 0 || write_own(r, "hosts", hosts, err) < 0)
        return -1;
    bind_own(b, arena_printf(a, "%s/hostname", r->snapshot.path), "/etc/hostname");
    bind_own(b, b->network == NETWORK_HOST ? "/etc/hosts" : arena_printf(a, "%s/hosts", r->snapshot.path),
             "/etc/hosts");
    if (b->network != NETWORK_NONE && access("/etc/resolv.conf", R_OK) == 0)
        bind_own(b, "/etc/resolv.conf", "/etc/resolv.conf");
    return 0;
}

static void add_init(struct image_run *r)
{
    static char *options[] = {(char *)"bind", (char *)"ro", (char *)"rprivate", NULL};

    if (!r->o->init)
        return;
    r->bundle.init = "/dev/init";
    image_run_add_mount(&r->bundle, r->bundle.init, "bind", helper_path(r->rt.arena, "hull-init"),
                        &(struct string_list){options, 3});
}

static const char *join(struct arena *a, const struct string_list *words)
{
    struct buffer b = {.arena = a};

    for (size_t i = 0; i < words->n; i++)
        buffer_printf(&b, "%s%s", i ? " " : "", words->v[i]);
    return b.data ? b.data : "";
}

/* What is another container's is looked up again at each start. */
static const char *of_container(const char *namespace)
{
    return namespace && strncmp(namespace, "container:", 10) == 0 ? namespace : NULL;
}

static int record(struct image_run *r, struct error *err)
{
    const struct string_list args = bundle_args(&r->bundle);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    r->record = (struct keeper_record){
        .image = r->image.name ? r->image.name : r->image.manifest,
        .image_id = r->image.config_digest,
        .command = join(r->rt.arena, &args),
        .created = timestamp_format(&now, true, arena_alloc(r->rt.arena, TIMESTAMP_SIZE)),
        .stop_signal = r->image.config.stop_signal,
        .network = of_container(r->o->network),
        .userns = of_container(r->o->userns),
        .vm_asker = r->rt.vm_asker,
        .kernel = r->o->kernel,
        .pid_file = r->o->pid_file,
        .terminal = r->o->tty,
        .interactive = r->o->interactive,
        .rm = r->o->rm,
        .kernel_messages = r->o->kernel_messages};
    return image_run_log(r->o, &r->record.log, err) < 0
               ? -1
               : keeper_record_write(r->rt.arena, &r->snapshot, &r->record, err);
}

static int make_bundle(struct image_run *r, const struct string_list *arguments, struct error *err)
{
    struct bundle *b = &r->bundle;
    size_t length, named = r->o->name ? 63 : ID_SHORT;
    char *text;

    b->id = r->snapshot.id;
    b->root = "root";
    b->image = &r->image.config;
    b->args = *arguments;
    b->hostname = r->o->hostname ? r->o->hostname : arena_printf(r->rt.arena, "%.*s", (int)named, b->id);
    int rc = open_trees(r, err);
    if (rc == 0)
        rc = find_user(r, err);
    if (rc == 0)
        rc = image_userns_take(&r->userns, &r->store, &r->snapshot, &r->trees, b, err);
    if (rc == 0)
        rc = add_files(r, err);
    close_trees(r);
    add_init(r);
    if (rc == 0)
        rc = image_volumes_finish(&r->store, &r->snapshot, b, &r->mounts, err);
    if (rc < 0 || bundle_write(b, &text, &length, err) < 0 || record(r, err) < 0)
        return -1;
    return write_file(r, "config.json", 0600, text, length, err);
}

/* --- the run ------------------------------------------------------------------------------------------------------- */

static int print_id(const struct image_run *r, struct error *err)
{
    return print_text(arena_printf(r->rt.arena, "%s\n", r->snapshot.id), strlen(r->snapshot.id) + 1, err);
}

static int run(struct image_run *r, int *status, struct error *err)
{
    const struct image_start start = {.store = &r->store,
                                      .container = &r->snapshot,
                                      .record = &r->record,
                                      .layers = &r->image.layers,
                                      .attach = !r->o->detach,
                                      .interactive = r->o->interactive,
                                      .timing = r->o->timing};

    if (r->create)
        return snapshot_created_write(&r->snapshot, err) < 0 ? -1 : print_id(r, err);
    if (image_start(&r->rt, &start, status, err) < 0)
        return -1;
    return r->o->detach ? print_id(r, err) : 0;
}

static int check_options(const struct image_run_options *o, struct error *err)
{
    if (o->name && container_id_validate(o->name, err) < 0)
        return error_wrap(err, "--name");
    if (o->name && strlen(o->name) > 255)
        return error_set(err, 0, "--name: longer than 255 characters");
    return 0;
}

static int make(const struct runtime *rt, const struct image_run_options *o,
                const struct string_list *arguments, bool create, struct error *err)
{
    struct image_run r = {.rt = *rt,
                          .o = o,
                          .bundle = {.arena = rt->arena},
                          .snapshot = {.dir = -1, .exit = -1},
                          .create = create};
    const char *id = o->name;
    int status = 0, rc;

    if (command_isolation(o->isolation, &r.rt.vm_asker, err) < 0 || check_options(o, err) < 0 ||
        image_userns_complete(&r.rt, o, &r.bundle, &r.userns, err) < 0 ||
        image_run_complete(&r.rt, o, &r.bundle, &r.mounts, err) < 0 ||
        image_volumes_from(&r.rt, &o->volumes_from, &r.bundle, &r.mounts, err) < 0 ||
        store_open(rt->arena, rt->store, rt->rootless, &r.store, err) < 0 ||
        (!id && image_run_random_id(rt->arena, &id, err) < 0) || take_image(&r, id, err) < 0)
        return -1;
    rc = make_bundle(&r, arguments, err);
    if (rc == 0)
        rc = run(&r, &status, err);
    if (rc < 0) {
        err->exit_code = image_start_exit_code(err->message);
        status = -1;
    }
    if (rc < 0 || (o->rm && !o->detach && !create)) {
        struct error left = {0};

        if (keeper_erase(rt, &r.store, id, true, &left) < 0)
            log_warning("%s", left.message);
    }
    snapshot_close(&r.snapshot);
    return status;
}

static int run_image(const struct runtime *rt, void *options, const struct string_list *arguments,
                     struct error *err)
{
    return make(rt, options, arguments, false, err);
}

static int create_image(const struct runtime *rt, void *options, const struct string_list *arguments,
                        struct error *err)
{
    return make(rt, options, arguments, true, err);
}

const struct command create_image_command = {
    .name = "create",
    .arguments = "[COMMAND [ARGUMENT...]]",
    .summary = "make a container of an image of the store, for `start`",
    .details = "With --image, create takes the options below and a command in place of the image's own; "
               "without it,\n"
               "a bundle (see `hull create --help`). Its id is printed.\n",
    .options = image_run_rows,
    .options_size = sizeof(struct image_run_options),
    .max_arguments = ARGUMENTS_ANY,
    .order = OPTIONS_FIRST,
    .creates = true,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = create_image,
};

const struct command run_image_command = {
    .name = "run",
    .arguments = "[COMMAND [ARGUMENT...]]",
    .summary = "run a container from an image of the store",
    .details =
        "With --image, run takes the options below and a command in place of the image's own; without it, a\n"
        "bundle (see `hull run --help`). The exit status is the command's own; 125 where hull failed, 126 "
        "and\n"
        "127 where the command could not be executed or was not found.\n",
    .options = image_run_rows,
    .options_size = sizeof(struct image_run_options),
    .max_arguments = ARGUMENTS_ANY,
    .order = OPTIONS_FIRST,
    .creates = true,
    .failure_status = EXIT_LIKE_PODMAN,
    .run = run_image,
};
