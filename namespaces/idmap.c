/*
 * User-namespace id maps (user_namespaces(7)): written for a process that waits in its new user namespace,
 * and made into a namespace of their own for idmapped mounts.
 *
 * Who may write which map: with CAP_SETUID/CAP_SETGID over the parent namespace any; without, only one's own
 * id, one wide, and the group map only after "deny" went to setgroups; everything else goes through newuidmap
 * and newgidmap, which read /etc/subuid and /etc/subgid. They are looked for in a fixed PATH, because ours
 * may be anybody's.
 */
#include "namespaces/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/procfs.h"
#include "base/syscalls.h"

struct map_kind {
    const char *file, *helper, *subfile, *json;
};

static const struct map_kind uid_kind = {"uid_map", "newuidmap", "/etc/subuid", "linux.uidMappings"};
static const struct map_kind gid_kind = {"gid_map", "newgidmap", "/etc/subgid", "linux.gidMappings"};

bool idmap_to_host(const struct id_maps *maps, uint32_t id, uint32_t *host)
{
    if (maps->n == 0) {
        *host = id;
        return true;
    }
    for (size_t i = 0; i < maps->n; i++) {
        const struct id_map *m = &maps->v[i];
        if (id < m->container_id || id - m->container_id >= m->size)
            continue;
        if (id - m->container_id > UINT32_MAX - m->host_id)
            return false;
        *host = m->host_id + (id - m->container_id);
        return true;
    }
    return false;
}

static int write_direct(pid_t pid, const struct map_kind *kind, const struct id_maps *maps)
{
    struct arena arena = {0};
    struct buffer text = {.arena = &arena};
    char path[48];

    for (size_t i = 0; i < maps->n; i++)
        buffer_printf(&text, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", maps->v[i].container_id,
                      maps->v[i].host_id, maps->v[i].size);
    snprintf(path, sizeof(path), "%d/%s", pid, kind->file);
    _cleanup_(fd_closep) int fd = procfs_open(path, O_WRONLY);
    int result = fd < 0 || write(fd, text.data, text.length) < 0 ? -1 : 0;
    int saved = errno;
    arena_free(&arena);
    errno = saved;
    return result;
}

static int deny_setgroups(pid_t pid, struct error *err)
{
    char path[48];

    snprintf(path, sizeof(path), "%d/setgroups", pid);
    return procfs_write(path, "deny", err);
}

const char *idmap_find_helper(const char *name, char path[64])
{
    static const char *const directories[] = {"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"};

    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        snprintf(path, 64, "%s/%s", directories[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

/* Run argv[0], its stderr (first part) in @said without the newline. The exit status, or -1. */
static int run_helper(char *const argv[], char *said, size_t size)
{
    static char *const environment[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", NULL};
    int pipes[2], status = -1;
    pid_t pid;
    posix_spawn_file_actions_t actions;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
    int code = posix_spawn(&pid, argv[0], &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (code == 0) {
        size_t n = 0;
        ssize_t got;
        while (n < size - 1 && (got = read(pipes[0], said + n, size - 1 - n)) > 0)
            n += (size_t)got;
        said[n] = '\0';
        said[strcspn(said, "\n")] = '\0';
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(pipes[0]);
    errno = code;
    return code ? -1 : status;
}

/* The helper says which range it does not like; say what to do about it. */
static int helper_refused(const struct map_kind *kind, const struct id_maps *maps, const char *said,
                          struct error *err)
{
    const struct id_map *m = &maps->v[0];
    uint32_t own = kind == &uid_kind ? geteuid() : getegid();
    size_t n = strlen(kind->helper);

    if (strncmp(said, kind->helper, n) == 0 && said[n] == ':' && said[n + 1] == ' ')
        said += n + 2;
    if (!strstr(said, "not allowed"))
        return error_set(err, 0, "%s: %s", kind->helper, said[0] ? said : "failed without a word");
    for (size_t i = 0; i < maps->n && m->host_id == own && m->size == 1; i++) /* that one needs no line */
        m = &maps->v[i];
    return error_set(err, 0,
                     "%s: %s: ids %" PRIu32 "-%" PRIu64
                     " are not in %s for user %u; add the line \"%u:%" PRIu32 ":%" PRIu32 "\"",
                     kind->helper, said, m->host_id, (uint64_t)m->host_id + m->size - 1, kind->subfile,
                     getuid(), getuid(), m->host_id, m->size);
}

static int write_with_helper(pid_t pid, const struct map_kind *kind, const struct id_maps *maps,
                             struct error *err)
{
    struct arena arena = {0};
    char path[64], said[256] = "";
    size_t argc = 0;
    int result = 0;

    if (!idmap_find_helper(kind->helper, path))
        return error_set(
            err, 0,
            "%s: only root may map these ids, and %s is not installed (Debian: apt install uidmap); "
            "without it one id can be mapped: your own, %u, with size 1",
            kind->json, kind->helper, kind == &uid_kind ? geteuid() : getegid());

    char **argv = arena_array(&arena, 3 * maps->n + 3, sizeof(*argv));
    argv[argc++] = path;
    argv[argc++] = arena_printf(&arena, "%d", pid);
    for (size_t i = 0; i < maps->n; i++) {
        argv[argc++] = arena_printf(&arena, "%" PRIu32, maps->v[i].container_id);
        argv[argc++] = arena_printf(&arena, "%" PRIu32, maps->v[i].host_id);
        argv[argc++] = arena_printf(&arena, "%" PRIu32, maps->v[i].size);
    }
    int status = run_helper(argv, said, sizeof(said));
    if (status < 0)
        result = error_set(err, errno, "run %s", path);
    else if (status != 0)
        result = helper_refused(kind, maps, said, err);
    arena_free(&arena);
    return result;
}

static bool only_own_id(const struct id_maps *maps, uint32_t own)
{
    return maps->n == 1 && maps->v[0].size == 1 && maps->v[0].host_id == own;
}

static int write_map(pid_t pid, const struct map_kind *kind, const struct id_maps *maps, struct error *err)
{
    if (maps->n == 0 || write_direct(pid, kind, maps) == 0)
        return 0;
    if (errno != EPERM)
        return error_set(err, errno, "%s: write /proc/%d/%s", kind->json, pid, kind->file);
    if (kind == &gid_kind && only_own_id(maps, getegid())) {
        if (deny_setgroups(pid, err) < 0)
            return error_wrap(err, "%s", kind->json);
        if (write_direct(pid, kind, maps) == 0)
            return 0;
        return error_set(err, errno, "%s: write /proc/%d/%s", kind->json, pid, kind->file);
    }
    return write_with_helper(pid, kind, maps, err);
}

int idmap_write(pid_t pid, const struct id_maps *uids, const struct id_maps *gids, struct error *err)
{
    if (write_map(pid, &uid_kind, uids, err) < 0)
        return -1;
    return write_map(pid, &gid_kind, gids, err);
}

int idmap_make_userns(const struct id_maps *uids, const struct id_maps *gids, int *fd, struct error *err)
{
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");

    /* No exit signal: the runtime's SIGCHLD handling must not see this child. */
    pid_t pid = sys_clone3(&(struct clone3_args){.flags = CLONE_NEWUSER});
    if (pid < 0 && (errno == ENOSYS ||
                    errno == EPERM)) /* a seccomp filter around us that cannot look into clone3's arguments */
        pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char byte;
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) < 0); /* until the parent closes its end, or dies */
    }
    close(pipes[0]);
    if (pid < 0) {
        int saved = errno;
        close(pipes[1]);
        return error_set(err, saved, "create a user namespace for idmapped mounts");
    }
    int result = idmap_write(pid, uids, gids, err);
    if (result == 0) {
        *fd = namespace_open_process(pid, NS_USER);
        if (*fd < 0)
            result = error_set(err, errno, "open /proc/%d/ns/user", pid);
    }
    close(pipes[1]);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    return result;
}

/* One line of /proc/PID/uid_map: container id, host id, size. */
static int read_map(struct arena *a, pid_t pid, const char *file, struct id_maps *out, struct error *err)
{
    char path[48], *text, *line;

    *out = (struct id_maps){0};
    snprintf(path, sizeof(path), "%d/%s", pid, file);
    if (file_read(procfs_fd(), path, 64 << 10, a, &text, NULL, err) < 0)
        return -1;
    while ((line = strsep(&text, "\n"))) {
        struct id_map m;

        if (sscanf(line, "%" SCNu32 " %" SCNu32 " %" SCNu32, &m.container_id, &m.host_id, &m.size) != 3)
            continue;
        out->v = arena_grow(a, out->v, out->n * sizeof(m), (out->n + 1) * sizeof(m));
        out->v[out->n++] = m;
    }
    return 0;
}

/* #syscalls: clone3 setns */
int idmap_read_userns(struct arena *a, int userns, struct id_maps *uids, struct id_maps *gids,
                      struct error *err)
{
    int ready[2], done[2], code = 0, result = -1;

    if (pipe2(ready, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    if (pipe2(done, O_CLOEXEC) < 0) {
        close(ready[0]);
        close(ready[1]);
        return error_set(err, errno, "pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        code = setns(userns, CLONE_NEWUSER) < 0 ? errno : 0;
        if (write(ready[1], &code, sizeof(code)) == sizeof(code))
            (void)!read(done[0], &code, 1); /* until the parent has read, or dies */
        _exit(0);
    }
    close(ready[1]);
    close(done[0]);
    if (pid < 0 || read(ready[0], &code, sizeof(code)) != sizeof(code) || code)
        error_set(err, pid < 0 ? errno : code, "enter the user namespace");
    else if (read_map(a, pid, "uid_map", uids, err) == 0)
        result = read_map(a, pid, "gid_map", gids, err);
    close(ready[0]);
    close(done[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}
