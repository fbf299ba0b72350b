/*
 * The systemd manager, hull's side: the container's cgroup is a transient scope, made by systemd through the helper
 * hull-systemd (systemd_helper.c; it links sd-bus, which would cost hull more than all else).
 *
 * linux.cgroupsPath is "slice:prefix:name", the scope prefix-name.scope in that slice. States of c->helper:
 *
 *   -1    --systemd_make()-->  socket of the helper, which is in the scope: without a process there would be none.
 *                              The container's first process is born there.
 *         --systemd_let_go()-->  -1; the helper has ended. From here on the scope ends with its last process.
 *
 * Other requests (attach, update, remove) start the helper anew when it isn't there, for that one.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/helper.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/systemd_private.h"

#define HELPER "hull-systemd"

enum {
    ANSWER_TIMEOUT_MS = 60000 /* above all that the helper waits for */,
    UNIT_NAME_MAX = 255,
    GONE_WAIT_MS = 500
};

/* --- names --------------------------------------------------------------------------------------------------- */

static bool unit_char(char c)
{
    return isalnum((unsigned char)c) || (c && strchr(":-_.\\", c));
}

/* As systemd-escape(1) does it; but "-" stays, or nobody would know the name again. */
static void add_escaped(struct buffer *b, const char *text)
{
    for (; *text; text++) {
        if (unit_char(*text) && *text != '\\')
            buffer_add(b, text, 1);
        else
            buffer_printf(b, "\\x%02x", (unsigned char)*text);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* "a-b.slice": nested slices, so no part may be empty. */
static int check_slice(const char *slice, struct error *err)
{
    size_t n = strlen(slice);
    bool good = ends_with(slice, ".slice") && n > 6 && n <= UNIT_NAME_MAX;

    if (strcmp(slice, "-.slice") == 0)
        return 0;
    for (size_t i = 0; good && i + 6 < n; i++)
        good = unit_char(slice[i]) && !(slice[i] == '-' && (i == 0 || slice[i + 1] == '-' || i + 7 == n));
    return good ? 0
                : error_set(err, 0,
                            "linux.cgroupsPath: \"%s\" is not the name of a slice, as \"system.slice\" or "
                            "\"a-b.slice\"",
                            slice);
}

static int split_path(struct arena *a, const char *path, const char *parts[3], struct error *err)
{
    char *text = arena_strdup(a, path), *first = strchr(text, ':'),
         *second = first ? strchr(first + 1, ':') : NULL;

    if (!second || strchr(second + 1, ':') || second[1] == '\0')
        return error_set(err, 0,
                         "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, "
                         "got \"%s\" instead",
                         path);
    *first = *second = '\0';
    parts[0] = text;
    parts[1] = first + 1;
    parts[2] = second + 1;
    return 0;
}

/* "a-b.slice" -> "/a.slice/a-b.slice" */
static const char *slice_path(struct arena *a, const char *slice)
{
    struct buffer b = {.arena = a};

    buffer_puts(&b, "");
    if (strcmp(slice, "-.slice") == 0)
        return "";
    for (const char *dash = strchr(slice, '-'); dash; dash = strchr(dash + 1, '-'))
        buffer_printf(&b, "/%.*s.slice", (int)(dash - slice), slice);
    buffer_printf(&b, "/%s", slice);
    return b.data;
}

static void set_paths(struct cgroup *c, const char *path)
{
    for (size_t i = 0; i < c->n_dirs; i++)
        c->dirs[i].path = path;
}

int systemd_plan(struct cgroup *c, const struct cgroup_request *q, struct error *err)
{
    const char *parts[3] = {"", "hull", q->id};
    struct buffer unit = {.arena = c->arena};

    if (q->path && *q->path && split_path(c->arena, q->path, parts, err) < 0)
        return -1;
    if (ends_with(parts[2], ".slice"))
        return error_set(err, 0,
                         "linux.cgroupsPath: \"%s\": a slice holds units, not processes: name a container",
                         q->path);
    c->user_manager = q->rootless;
    c->slice = *parts[0] ? parts[0] : q->rootless ? "user.slice" : "system.slice";
    if (strcmp(c->slice, "-") == 0)
        c->slice = "-.slice";
    if (check_slice(c->slice, err) < 0)
        return -1;
    add_escaped(&unit, parts[1]);
    if (*parts[1])
        buffer_puts(&unit, "-");
    add_escaped(&unit, parts[2]);
    buffer_puts(&unit, ".scope");
    c->unit = unit.data;
    if (unit.length > UNIT_NAME_MAX)
        return error_set(err, 0, "linux.cgroupsPath: the name of a scope has at most %d bytes, %s is longer",
                         UNIT_NAME_MAX, c->unit);
    if (c->n_dirs == 0)
        return error_set(err, 0,
                         "--cgroup-manager=systemd: no cgroup hierarchy is mounted at /sys/fs/cgroup");
    /* Where a system's systemd will put it; what is true it says itself, later. */
    set_paths(c, arena_printf(c->arena, "%s/%s", slice_path(c->arena, c->slice), c->unit));
    return systemd_annotation_properties(c->arena, q->annotations, q->n_annotations, NULL, err);
}

/* --- the helper -------------------------------------------------------------------------------------------------- */

/* What sd-bus looks for. */
static char **helper_environment(struct arena *a)
{
    static const char *const names[] = {"DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
                                        "XDG_RUNTIME_DIR"};
    char **env = arena_new_n(a, ARRAY_SIZE(names) + 1, char *);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (getenv(names[i]))
            env[n++] = arena_printf(a, "%s=%s", names[i], getenv(names[i]));
    return env;
}

/* It keeps none of the caller's descriptors: engines wait for the end of their pipes. */
static int spawn(struct arena *a, const char *path, int sock, pid_t *pid)
{
    char *argv[] = {(char[]){HELPER}, NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    for (int fd = 0; fd < 3 && !rc; fd++)
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, sock, SYSTEMD_SOCKET);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, SYSTEMD_SOCKET + 1);
    if (!rc)
        rc = posix_spawn(pid, path, &actions, NULL, argv, helper_environment(a));
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int helper_start(struct cgroup *c, struct error *err)
{
    const char *path = helper_path(c->arena, HELPER);
    _cleanup_(fd_closep) int theirs = -1;
    int ends[2], rc;

    if (c->helper >= 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "make a socket for " HELPER);
    c->helper = ends[0];
    theirs = ends[1];
    rc = spawn(c->arena, path, theirs, &c->helper_pid);
    if (rc == 0)
        return 0;
    fd_closep(&c->helper);
    return error_set(
        err, rc, "run %s%s", path,
        rc == ENOENT ? " (hull was built or installed without it: --cgroup-manager=cgroupfs does not need it)"
                     : "");
}

void systemd_let_go(struct cgroup *c)
{
    if (c->helper < 0)
        return;
    fd_closep(&c->helper);
    /* The container's first process may have a copy of the socket, so closing is not enough. */
    kill(c->helper_pid, SIGKILL);
    while (waitpid(c->helper_pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* One request, one answer. */
static int ask(struct cgroup *c, struct json_writer *w, struct json **answer, struct error *err)
{
    const char *refusal;
    size_t length;
    char *text = json_writer_end(w, &length);
    int r;

    if (systemd_send(c->helper, text, length) < 0)
        return error_set(err, errno, "speak to " HELPER);
    r = systemd_receive(c->helper, c->arena, ANSWER_TIMEOUT_MS, &text, &length);
    if (r <= 0)
        return error_set(err, r < 0 ? errno : 0,
                         r < 0 ? "wait for " HELPER : HELPER " ended without an answer");
    if (json_parse(c->arena, text, length, HELPER, answer, err) < 0)
        return -1;
    refusal = json_get_string(*answer, "error");
    return refusal ? error_set(err, 0, "%s", refusal) : 0;
}

static struct json_writer request(struct cgroup *c, const char *verb)
{
    struct json_writer w = json_writer_begin(c->arena, false);

    json_object(&w);
    json_key(&w, "do");
    json_string(&w, verb);
    json_key(&w, "user");
    json_bool(&w, c->user_manager);
    json_key(&w, "unit");
    json_string(&w, c->unit);
    return w;
}

/* By the helper that is there, or by one for this alone. */
static int ask_once(struct cgroup *c, struct json_writer *w, struct error *err)
{
    bool started = c->helper < 0;
    struct json *answer;
    int r;

    if (helper_start(c, err) < 0) {
        json_writer_end(w, NULL);
        return -1;
    }
    r = ask(c, w, &answer, err);
    if (started)
        systemd_let_go(c);
    return r;
}

/* --- what is asked ------------------------------------------------------------------------------------------------- */

int systemd_make(struct cgroup *c, const struct cgroup_request *q, const struct spec_resources *r,
                 struct error *err)
{
    struct json_writer w = request(c, "start");
    const struct json *path;
    struct json *answer;
    int result;

    json_key(&w, "properties");
    json_array(&w);
    result = systemd_scope_properties(c, q, r, &w, err);
    if (result == 0) {
        json_array_end(&w);
        json_object_end(&w);
    }
    if (result < 0 || helper_start(c, err) < 0) {
        json_writer_end(&w, NULL);
        return -1;
    }
    if (ask(c, &w, &answer, err) < 0) {
        systemd_let_go(c);
        return -1;
    }
    path = json_get(answer, "cgroup");
    if (!path || path->type != JSON_STRING || *path->text != '/' || path->text[1] == '\0') {
        systemd_let_go(c);
        return error_set(err, 0, HELPER " gave no cgroup for %s", c->unit);
    }
    set_paths(c, path->text);
    return 0;
}

int systemd_attach(struct cgroup *c, pid_t pid, struct error *err)
{
    struct json_writer w = request(c, "attach");

    json_key(&w, "pid");
    json_int(&w, pid);
    json_object_end(&w);
    return ask_once(c, &w, err);
}

/* Quota and period are one property; an update that has one of them gets the other from the kernel. */
static void complete_cpu(struct cgroup *c, struct spec_resources_cpu *cpu)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_CPU);
    char *quota, *period;

    if (!d || cpu->quota.set == cpu->period.set)
        return;
    quota = cgroup_file_read(c->arena, d, d->v2 ? "cpu.max" : "cpu.cfs_quota_us");
    period = d->v2 ? quota ? strchr(quota, ' ') : NULL : cgroup_file_read(c->arena, d, "cpu.cfs_period_us");
    if (!quota || !period)
        return;
    if (!cpu->period.set)
        cpu->period = (struct spec_limit){true, strtoll(period, NULL, 10)};
    else
        cpu->quota = (struct spec_limit){true, *quota == 'm' ? -1 : strtoll(quota, NULL, 10)};
}

/* Swap is counted with memory. */
static void complete_memory(struct cgroup *c, struct spec_resources_memory *m)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_MEMORY);
    char *limit;

    if (!d || !d->v2 || !m->swap.set || m->limit.set)
        return;
    limit = cgroup_file_read(c->arena, d, "memory.max");
    if (limit)
        m->limit = (struct spec_limit){true, *limit == 'm' ? -1 : strtoll(limit, NULL, 10)};
}

int systemd_update(struct cgroup *c, const struct spec_resources *r, struct error *err)
{
    struct json_writer w = request(c, "set");
    struct spec_resources whole = *r;

    complete_cpu(c, &whole.cpu);
    complete_memory(c, &whole.memory);
    json_key(&w, "properties");
    json_array(&w);
    if (systemd_limit_properties(c, &whole, &w, err) < 0) {
        json_writer_end(&w, NULL);
        return -1;
    }
    json_array_end(&w);
    json_object_end(&w);
    return ask_once(c, &w, err);
}

/* systemd removes a unit's cgroup as the last of it. */
static bool is_gone(struct cgroup *c)
{
    const struct cgroup_dir *d = cgroup_dir_v2(c);

    for (size_t i = 0; !d && i < c->n_dirs; i++)
        if (ends_with(c->dirs[i].mount, "/systemd"))
            d = &c->dirs[i];
    return !d || (access(cgroup_dir_path(c->arena, d), F_OK) < 0 && errno == ENOENT);
}

int systemd_remove(struct cgroup *c, struct error *err)
{
    struct json_writer w;

    systemd_let_go(c);
    if (is_gone(c))
        return 0;
    if (cgroup_signal(c, SIGKILL, err) < 0)
        return -1;
    /* The unit ends when systemd sees that its cgroup is empty; were the directory removed before, it would not. */
    for (unsigned waited = 0; cgroup_wait(&waited, GONE_WAIT_MS);)
        if (is_gone(c))
            return 0;
    w = request(c, "stop");
    json_object_end(&w);
    return ask_once(c, &w, err);
}
