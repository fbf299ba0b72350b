/* See keeper.h. */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/helper.h"
#include "base/json.h"
#include "images/volume.h"
#include "namespaces/subids.h"
#include "runtime/monitor/monitor.h"

enum { RECORD_MAX = 1 << 20, POLL_MS = 10, KILL_TIMEOUT_MS = 10000 };

/* --- container.json ------------------------------------------------------------------------------------------------ */

enum record_kind { RECORD_TEXT, RECORD_FLAG, RECORD_NUMBER };

#define FIELD(key, kind, member)                                                                             \
    {                                                                                                        \
        key, kind, offsetof(struct keeper_record, member)                                                    \
    }

static const struct {
    const char *key;
    enum record_kind kind;
    size_t offset;
} fields[] = {
    FIELD("image", RECORD_TEXT, image),
    FIELD("imageID", RECORD_TEXT, image_id),
    FIELD("command", RECORD_TEXT, command),
    FIELD("created", RECORD_TEXT, created),
    FIELD("stopSignal", RECORD_TEXT, stop_signal),
    FIELD("network", RECORD_TEXT, network),
    FIELD("userns", RECORD_TEXT, userns),
    FIELD("vmAsker", RECORD_TEXT, vm_asker),
    FIELD("kernel", RECORD_TEXT, kernel),
    FIELD("pidFile", RECORD_TEXT, pid_file),
    FIELD("terminal", RECORD_FLAG, terminal),
    FIELD("interactive", RECORD_FLAG, interactive),
    FIELD("rm", RECORD_FLAG, rm),
    FIELD("kernelMessages", RECORD_FLAG, kernel_messages),
    FIELD("logOff", RECORD_FLAG, log.off),
    FIELD("logSize", RECORD_NUMBER, log.max_size),
    FIELD("logFiles", RECORD_NUMBER, log.files),
};

static void write_field(struct json_writer *w, const char *key, enum record_kind kind, const void *value)
{
    const char *text = kind == RECORD_TEXT ? *(const char *const *)value : NULL;

    if (kind == RECORD_TEXT && !text)
        return;
    json_key(w, key);
    if (kind == RECORD_TEXT)
        json_string(w, text);
    else if (kind == RECORD_FLAG)
        json_bool(w, *(const bool *)value);
    else
        json_uint(w, *(const uint64_t *)value);
}

int keeper_record_write(struct arena *a, const struct snapshot *c, const struct keeper_record *r,
                        struct error *err)
{
    struct json_writer w = json_writer_begin(a, false);
    size_t length;

    json_object(&w);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        write_field(&w, fields[i].key, fields[i].kind, (const char *)r + fields[i].offset);
    json_object_end(&w);
    const char *text = json_writer_end(&w, &length);
    _cleanup_(fd_closep) int fd =
        openat(c->dir, "container.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 || fd_write_all(fd, text, length) < 0
               ? error_set(err, errno, "write %s/container.json", c->path)
               : 0;
}

static void read_field(const struct json *json, const char *key, enum record_kind kind, void *value)
{
    if (kind == RECORD_TEXT)
        *(const char **)value = json_get_string(json, key);
    else if (kind == RECORD_FLAG)
        *(bool *)value = json_get_bool(json, key);
    else
        *(uint64_t *)value = json_get_u64(json, key);
}

int keeper_record_read(struct arena *a, const struct snapshot *c, struct keeper_record *out,
                       struct error *err)
{
    struct json *json;
    char *text;
    size_t length;

    if (file_read(c->dir, "container.json", RECORD_MAX, a, &text, &length, err) < 0 ||
        json_parse(a, text, length, "container.json", &json, err) < 0)
        return error_wrap(err, "container %s", c->id);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        read_field(json, fields[i].key, fields[i].kind, (char *)out + fields[i].offset);
    return 0;
}

/* --- finding and waiting ------------------------------------------------------------------------------------------- */

bool keeper_id_is_random(const char *id)
{
    return strlen(id) == DIGEST_HEX && strspn(id, "0123456789abcdef") == DIGEST_HEX;
}

static int complete_id(struct store *s, const char *name, const char **id, struct error *err)
{
    struct string_list ids;

    *id = NULL;
    if (snapshot_ids(s, &ids, err) < 0)
        return -1;
    for (size_t i = 0; i < ids.n; i++) {
        if (!keeper_id_is_random(ids.v[i]) || strncmp(ids.v[i], name, strlen(name)) != 0)
            continue;
        if (*id)
            return error_set(err, 0, "container %s: more than one begins so: %s, %s", name, *id, ids.v[i]);
        *id = ids.v[i];
    }
    if (*id)
        return 0;
    error_set(err, 0,
              "there is no container of the name or id \"%s\" (`hull list --all` shows those that are)",
              name);
    err->code = ENOENT;
    return -1;
}

const char *keeper_full_id(const struct runtime *rt, const char *name)
{
    size_t n = strlen(name);
    struct container live;
    struct error no = {0};
    struct store s;
    const char *id = NULL;

    if (n >= DIGEST_HEX || strspn(name, "0123456789abcdef") != n || container_load(rt, name, &live, &no) == 0)
        return name;
    if (store_open(rt->arena, rt->store, rt->rootless, &s, &no) == 0) {
        complete_id(&s, name, &id, &no);
        store_close(&s);
    }
    return id ? id : name;
}

int keeper_open(const struct runtime *rt, const char *name, struct store *s, struct snapshot *c,
                struct error *err)
{
    const char *id = name;

    if (container_id_validate(name, err) < 0 || store_open(rt->arena, rt->store, rt->rootless, s, err) < 0)
        return -1;
    if (snapshot_open(s, name, c, err) == 0)
        return 0;
    if (err->code != ENOENT)
        return -1;
    error_clear(err);
    return complete_id(s, name, &id, err) < 0 ? -1 : snapshot_open(s, id, c, err);
}

int keeper_namespace(const struct runtime *rt, const char *option, const char *text, enum namespace_type type,
                     const char **path, struct error *err)
{
    struct container c;

    if (container_load(rt, text + strlen("container:"), &c, err) < 0)
        return error_wrap(err, "%s %s", option, text);
    if (c.pid == 0)
        return error_set(err, 0, "%s %s: it is not running", option, text);
    *path = arena_printf(rt->arena, "/proc/%d/ns/%s", c.pid, type == NS_USER ? "user" : "net");
    return 0;
}

int keeper_wait(const struct snapshot *c, int64_t timeout_ms, struct snapshot_exit *out, struct error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

    if (timeout_ms < 0 && c->exit >= 0) {
        while (flock(c->exit, LOCK_SH) < 0)
            if (errno != EINTR)
                return error_set(err, errno, "container %s: wait for its end", c->id);
        flock(c->exit, LOCK_UN);
    }
    for (;; timeout_ms -= POLL_MS) {
        if (snapshot_exit_read(c, out, err) < 0)
            return -1;
        if (out->known || out->created || !out->alive)
            return 1;
        if (timeout_ms <= 0)
            return 0;
        nanosleep(&pause, NULL);
    }
}

/* Its anonymous volumes last: until then it uses them. */
static int erase(struct store *s, const char *id, bool volumes, struct error *err)
{
    struct string_list names = {0};

    if ((volumes && volume_names_of(s, id, &names, err) < 0) || snapshot_remove(s, id, err) < 0)
        return -1;
    return names.n ? volume_remove(s, &names, VOLUME_ANONYMOUS, NULL, err) : 0;
}

struct erasure {
    struct store *store;
    const char *id;
    bool volumes;
};

static int erase_as_root(void *argument, struct error *err)
{
    const struct erasure *e = argument;

    return erase(e->store, e->id, e->volumes, err);
}

int keeper_erase(const struct runtime *rt, struct store *s, const char *id, bool volumes, struct error *err)
{
    struct erasure e = {s, id, volumes};

    return subids_run_as_root(rt->arena, erase_as_root, &e, err);
}

int keeper_remove(const struct runtime *rt, struct store *s, struct snapshot *c, bool volumes,
                  struct error *err)
{
    struct snapshot_exit e;

    if (snapshot_exit_read(c, &e, err) < 0)
        return -1;
    if (e.alive && !e.known && !e.created) {
        if (container_kill(rt, c->id, SIGKILL, true, err) < 0)
            error_clear(err); /* it ended meanwhile, or is just being made */
        int over = keeper_wait(c, KILL_TIMEOUT_MS, &e, err);
        if (over <= 0)
            return over < 0 ? -1
                            : error_set(err, 0, "container %s is still there %d s after SIGKILL", c->id,
                                        KILL_TIMEOUT_MS / 1000);
    }
    return container_delete(rt, c->id, true, err) < 0 ? -1 : keeper_erase(rt, s, c->id, volumes, err);
}

/* --- hand-over ----------------------------------------------------------------------------------------------------- */

/* Ends of the container's standard streams: [0] the monitor's, [1] the container's. */
struct streams {
    int input[2], output[2], errors[2];
};

static int open_streams(struct streams *s, bool interactive, bool terminal, struct error *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), input[2];

    *s = (struct streams){{-1, null}, {-1, null}, {-1, null}};
    if (null < 0)
        return error_set(err, errno, "open /dev/null");
    if (terminal)
        return 0;
    if (pipe2(s->output, O_CLOEXEC) < 0 || pipe2(s->errors, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    if (interactive && pipe2(input, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    if (interactive) {
        s->input[0] = input[1];
        s->input[1] = input[0];
    }
    return 0;
}

static int attach_streams(int input, int output, int errors)
{
    return dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0
               ? -1
               : 0;
}

static const char *inherit(struct arena *a, int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, 0);
    return arena_printf(a, "%d", fd);
}

/* What the monitor becomes when the container has ended: see monitor.h. */
static void add_clean_up(const struct runtime *rt, const struct store *s, const char *id, bool rm,
                         struct string_list *argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const char *words[] = {arena_printf(rt->arena, "%.*s", (int)(n < 0 ? 0 : n), path),
                           "--root",
                           rt->root,
                           "--store",
                           s->path,
                           rt->rootless ? "--rootless=true" : "--rootless=false",
                           rm ? "rm" : "delete",
                           "--force",
                           id};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        string_list_add(rt->arena, argv, words[i]);
}

static int become_monitor(const struct runtime *rt, const struct store *s, const struct snapshot *c,
                          const struct streams *streams, const struct detached *d,
                          const struct keeper_record *r, struct error *err)
{
    struct arena *a = rt->arena;
    const unsigned long long files = r->log.off ? 0 : r->log.files ? r->log.files : 1, size = r->log.max_size;
    const char *helper = helper_path(a, "hull-monitor");
    const char *words[MONITOR_ARGUMENTS] = {"hull-monitor",
                                            arena_printf(a, "%d", d->pid),
                                            inherit(a, c->exit),
                                            inherit(a, c->dir),
                                            inherit(a, streams->input[0]),
                                            inherit(a, streams->output[0]),
                                            inherit(a, streams->errors[0]),
                                            inherit(a, d->terminal),
                                            arena_printf(a, "%llu", files),
                                            arena_printf(a, "%llu", size)};
    struct string_list argv = {0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (size_t i = 0; i < MONITOR_ARGUMENTS; i++)
        string_list_add(a, &argv, words[i]);
    add_clean_up(rt, s, c->id, r->rm, &argv);
    if (null >= 0 && attach_streams(null, null, null) == 0)
        execv(helper, argv.v);
    return error_set(err, errno, "execute %s", helper);
}

/* In the child: never returns. Nothing on @status means that all went well. */
static void child(const struct runtime *rt, const struct store *s, const struct snapshot *c,
                  const struct create_options *options, const struct streams *streams,
                  const struct keeper_record *r, int status)
{
    struct error err = {0};
    struct detached d = {.terminal = -1};
    struct create_options o = *options;
    int ignored;

    o.detached = &d;
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (attach_streams(streams->input[1], streams->output[1], streams->errors[1]) < 0)
        error_set(&err, errno, "dup2");
    else if (container_run(rt, &o, &ignored, &err) == 0) {
        become_monitor(rt, s, c, streams, &d, r, &err);
        container_delete(rt, c->id, true, NULL);
    }
    (void)!write(status, &err, sizeof(err));
    _exit(1);
}

/* #syscalls: fork setsid pipe2 */
int keeper_detach(const struct runtime *rt, struct store *s, const struct snapshot *c,
                  struct create_options *o, const struct keeper_record *r, struct error *err)
{
    struct streams streams;
    int status[2];
    struct error failure;

    if (open_streams(&streams, r->interactive, r->terminal, err) < 0)
        return -1;
    if (pipe2(status, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid == 0) {
        close(status[0]);
        child(rt, s, c, o, &streams, r, status[1]);
    }
    close(status[1]);
    ssize_t n = read(status[0], &failure, sizeof(failure));
    close(status[0]);
    if (n == (ssize_t)sizeof(failure)) {
        *err = failure;
        return -1;
    }
    return n == 0 ? 0 : error_set(err, errno, "hear from the container's monitor");
}
