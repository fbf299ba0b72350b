/*
 * linux.netDevices by the helper hull-net (see net.h for why it is apart): its arguments say what to move,
 * descriptor 3 is the container's network namespace, what it writes to stderr is the error. It moves all
 * devices or none.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/helper.h"
#include "net/net.h"

#define HELPER "hull-net"

/* The helper, with @netns as descriptor 3 and stderr into @pipe. */
static int helper_spawn(const char *path, char *const argv[], int netns, int pipe_end, pid_t *pid)
{
    static char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    rc = posix_spawn_file_actions_adddup2(&actions, pipe_end, 2);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, netns, 3);
    if (!rc)
        rc = posix_spawn(pid, path, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Read until the helper closes its end; @size - 1 bytes are kept. */
static void read_message(int fd, char *text, size_t size)
{
    size_t used = 0;
    char rest[256];

    for (;;) {
        bool full = used == size - 1;
        ssize_t n = full ? read(fd, rest, sizeof(rest)) : read(fd, text + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += full ? 0 : (size_t)n;
    }
    while (used && text[used - 1] == '\n')
        used--;
    text[used] = '\0';
}

static int helper_run(const char *path, char *const argv[], int netns, struct error *err)
{
    _cleanup_(fd_closep) int reader = -1, writer = -1;
    char message[2048];
    int ends[2], status, rc;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "linux.netDevices: make a pipe");
    reader = ends[0];
    writer = ends[1];
    rc = helper_spawn(path, argv, netns, writer, &pid);
    if (rc)
        return error_set(err, rc, "linux.netDevices: run %s", path);
    close(steal_fd(&writer));
    read_message(reader, message, sizeof(message));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "linux.netDevices: wait for %s", path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(err, 0, "linux.netDevices: %s", *message ? message : "hull-net died");
}

static void arena_freep(struct arena *a)
{
    arena_free(a);
}

int net_devices_move_with(const char *helper, const struct spec_net_device *devices, size_t n, int netns_fd,
                          struct error *err)
{
    _cleanup_(arena_freep) struct arena a = {0};
    char **argv;

    if (n == 0)
        return 0;
    argv = arena_new_n(&a, 2 * n + 2, char *);
    argv[0] = arena_strdup(&a, HELPER);
    for (size_t i = 0; i < n; i++) {
        argv[1 + 2 * i] = devices[i].host_name;
        argv[2 + 2 * i] = devices[i].container_name ? devices[i].container_name : devices[i].host_name;
    }
    return helper_run(helper ? helper : helper_path(&a, HELPER), argv, netns_fd, err);
}

int net_devices_move(const struct spec_net_device *devices, size_t n, int netns_fd, struct error *err)
{
    return net_devices_move_with(NULL, devices, n, netns_fd, err);
}
