/*
 * The runtime runs it as any bundle; its init mounts the overlay (images/snapshot.h). In the foreground its exit status is
 * written down by whoever ran it, detached by hull-monitor (keeper.c).
 *
 * What was made when the container was (config.json, container.json, files of its own, what it wrote) stays as it is from
 * start to start; only what may have gone since is looked for again: namespaces of other containers.
 */
#include "cli/image_start.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/image_root.h"

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, LOCK_TIMEOUT_MS = 10000 };

int image_start_exit_code(const char *message)
{
    static const struct {
        const char *words;
        int code;
    } codes[] = {{"executable file not found", EXIT_NOT_FOUND},
                 {"no such file or directory", EXIT_NOT_FOUND},
                 {"permission denied", EXIT_CANNOT_RUN},
                 {"is a directory", EXIT_CANNOT_RUN},
                 {"exec format error", EXIT_CANNOT_RUN}};
    const char *exec = strstr(message, "exec: \"");

    for (size_t i = 0; exec && i < ARRAY_SIZE(codes); i++)
        if (strstr(exec, codes[i].words))
            return codes[i].code;
    return EXIT_LIKE_PODMAN;
}

/* Without -i standard input is empty. */
static int close_input(const struct image_start *s, struct error *err)
{
    _cleanup_(fd_closep) int null = s->interactive ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (s->interactive || (s->record->terminal && isatty(STDIN_FILENO)))
        return 0;
    return null < 0 || dup2(null, STDIN_FILENO) < 0 ? error_set(err, errno, "/dev/null as standard input")
                                                    : 0;
}

static int run_foreground(const struct runtime *rt, const struct image_start *s,
                          const struct create_options *o, int *status, struct error *err)
{
    if (close_input(s, err) < 0 || container_run(rt, o, status, err) < 0)
        return -1;
    return s->record->rm ? 0 : snapshot_exit_write(s->container, *status, err);
}

/* Namespaces of other containers, as they are today: @paths has a line each for the network and the users'. */
static int join(struct arena *a, struct spec *spec, const char *paths, struct error *err)
{
    static const enum namespace_type types[] = {NS_NETWORK, NS_USER};
    char *rest = arena_strdup(a, paths);

    (void)err;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        char *path = strsep(&rest, "\n");

        if (*path)
            spec->linux_.namespaces[types[i]].path = path;
    }
    return 0;
}

static int find_namespaces(const struct runtime *rt, const struct keeper_record *r, struct create_options *o,
                           struct error *err)
{
    const char *network = "", *users = "";

    if ((r->network && keeper_namespace(rt, "--network", r->network, NS_NETWORK, &network, err) < 0) ||
        (r->userns && keeper_namespace(rt, "--userns", r->userns, NS_USER, &users, err) < 0))
        return -1;
    o->adapt = join;
    o->adapt_argument = arena_printf(rt->arena, "%s\n%s", network, users);
    return 0;
}

static int run(const struct runtime *rt, const struct image_start *s, struct create_options *o, int *status,
               struct error *err)
{
    struct image_root root;
    int rc = image_root_prepare(rt, s->store, s->container, s->layers, s->record->rm, &root, o, err);

    *status = 0;
    if (rc == 0 && s->attach)
        rc = run_foreground(rt, s, o, status, err);
    else if (rc == 0)
        rc = keeper_detach(rt, s->store, s->container, o, s->record, err);
    image_root_close(&root);
    return rc;
}

int image_start(const struct runtime *rt, const struct image_start *s, int *status, struct error *err)
{
    const struct keeper_record *r = s->record;
    struct runtime own = *rt;
    struct create_options o = {.id = s->container->id,
                               .bundle = s->container->path,
                               .config = "config.json",
                               .pid_file = r->pid_file,
                               .kernel = r->kernel,
                               .kernel_messages = r->kernel_messages,
                               .timing = s->timing,
                               .detach = !s->attach};

    own.vm_asker = r->vm_asker;
    if ((r->network || r->userns) && find_namespaces(rt, r, &o, err) < 0)
        return -1;
    return run(&own, s, &o, status, err);
}

/* --- again --------------------------------------------------------------------------------------------------------- */

/* 1: it runs already, or did meanwhile; 0: it does not, and whatever its last life left is gone. The lock is held then. */
static int take(const struct runtime *rt, struct snapshot *c, struct error *err)
{
    struct snapshot_exit e, now;
    struct container live;
    struct error gone = {0};

    if (snapshot_exit_read(c, &e, err) < 0)
        return -1;
    if (e.alive && !e.known && !e.created)
        return 1;
    if (snapshot_lock(c, LOCK_TIMEOUT_MS, err) < 0 || snapshot_exit_of_locked(c, &now, err) < 0)
        return -1;
    if (now.created != e.created || now.known != e.known || now.finished != e.finished)
        return 1; /* somebody else started it, and it has ended */
    if (container_load(rt, c->id, &live, &gone) < 0)
        return 0;
    if (live.status != CONTAINER_STOPPED)
        return error_set(err, 0, "container %s runs, but who looked after it was killed: stop it first",
                         c->id);
    return container_delete(rt, c->id, true, err);
}

static int start_locked(const struct runtime *rt, const struct image_start *how, int *status,
                        struct error *err)
{
    struct keeper_record record;
    struct string_list layers;
    struct image_start s = *how;
    struct error left = {0};

    if (keeper_record_read(rt->arena, s.container, &record, err) < 0 ||
        store_stack(s.store, record.image_id ? record.image_id : "", &layers, err) < 0 ||
        snapshot_exit_clear(s.container, err) < 0)
        return -1;
    s.record = &record;
    s.layers = &layers;
    if (image_start(rt, &s, status, err) < 0) {
        err->exit_code = image_start_exit_code(err->message);
        snapshot_exit_write(s.container, err->exit_code, &left);
        return -1;
    }
    if (record.rm && s.attach && keeper_erase(rt, s.store, s.container->id, true, &left) < 0)
        log_warning("%s", left.message);
    return 0;
}

int image_start_again(const struct runtime *rt, const char *id, bool attach, bool interactive, int *status,
                      struct error *err)
{
    struct store store;
    struct snapshot c;
    const struct image_start s = {
        .store = &store, .container = &c, .attach = attach, .interactive = interactive};

    if (keeper_open(rt, id, &store, &c, err) < 0)
        return -1;
    int rc = take(rt, &c, err);
    if (rc == 1 && attach)
        rc = error_set(err, 0, "container %s is running: `hull attach` connects to it", c.id);
    else if (rc == 0)
        rc = start_locked(rt, &s, status, err);
    snapshot_close(&c);
    store_close(&store);
    if (rc < 0 && !err->exit_code)
        err->exit_code = EXIT_LIKE_PODMAN;
    return rc < 0 ? -1 : 0;
}
