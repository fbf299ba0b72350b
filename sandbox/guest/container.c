/*
 * The container's making: config.json becomes a bundle in the agent's directory, the engine creates it from that with
 * guest_spec_adapt() in between, and its stdio are our pipes, or a terminal whose master the engine hands to our console socket.
 *
 * Two descriptors tell what the engine cannot: `log`, a fifo that is its log file, and `executed`, a pipe whose other end
 * only the container's init has, close-on-exec: its end of file is the moment of execve, or of death. A start that fails has left
 * its words in the log by then.
 */
#include "sandbox/guest/container.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "base/syscalls.h"
#include "runtime/guest_spec.h"

enum { LOG_PIPE_SIZE = 1 << 20 }; /* init may write, and nobody reads, until create returns */

static char *in_run(const struct guest_container *c, const char *name)
{
    return arena_printf(c->arena, "%s/%s", c->place->run, name);
}

/* #syscalls: mknodat openat fcntl */
static int open_log(struct guest_container *c, bool debug, struct error *err)
{
    const char *path = in_run(c, "log");

    if (mkfifo(path, 0600) < 0 || (c->log = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
        return error_set(err, errno, "make %s", path);
    fcntl(c->log, F_SETPIPE_SZ, LOG_PIPE_SIZE); /* else the default's 64 KiB have to do */
    return log_open(path, LOG_JSON, debug ? LOG_DEBUG : LOG_WARNING, err);
}

static int write_bundle(struct guest_container *c, const char *config, size_t length, struct error *err)
{
    const char *bundle = in_run(c, "bundle");

    if (mkdir(bundle, 0700) < 0)
        return error_set(err, errno, "make %s", bundle);
    return file_replace(AT_FDCWD, in_run(c, "bundle/config.json"), 0600, config, length, err);
}

static int listen_console(const struct guest_container *c, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = in_run(c, "console");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(address.sun_path)) {
        fd_closep(&fd);
        return error_set(err, ENAMETOOLONG, "bind %s", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        fd_closep(&fd);
        return error_set(err, errno, "listen on %s", path);
    }
    return fd;
}

/* #syscalls: accept4 recvmsg */
static int take_master(struct guest_container *c, int listener, struct error *err)
{
    _cleanup_(fd_closep) int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char name[64];
    size_t n = 1;

    if (sock < 0 || socket_recv_fds(sock, name, sizeof(name), &c->master, &n) < 0 || n != 1)
        return error_set(err, errno, "take the container's terminal");
    c->stdin_fd = fcntl(c->master, F_DUPFD_CLOEXEC, 3);
    c->stdout_fd = fcntl(c->master, F_DUPFD_CLOEXEC, 3);
    return c->stdin_fd < 0 || c->stdout_fd < 0 ? error_set(err, errno, "duplicate the terminal") : 0;
}

struct stdio {
    int pipes[3][2];
    int saved[3];
};

/* Descriptors 0, 1 and 2 become the pipes' inner ends while the container is made. */
static int stdio_enter(struct stdio *s, struct error *err)
{
    for (int fd = 0; fd < 3; fd++) {
        if (pipe2(s->pipes[fd], O_CLOEXEC) < 0 || (s->saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
            return error_set(err, errno, "make pipes for stdio");
        if (dup2(s->pipes[fd][fd != 0], fd) < 0)
            return error_set(err, errno, "dup2");
    }
    return 0;
}

static void stdio_leave(struct stdio *s)
{
    for (int fd = 0; fd < 3; fd++) {
        if (s->saved[fd] >= 0)
            dup2(s->saved[fd], fd);
        fd_closep(&s->saved[fd]);
        fd_closep(&s->pipes[fd][fd != 0]);
    }
}

static int run_engine(struct guest_container *c, const struct create_options *o, struct error *err)
{
    struct stdio s = {.pipes = {{-1, -1}, {-1, -1}, {-1, -1}}, .saved = {-1, -1, -1}};
    int result = stdio_enter(&s, err);

    if (result == 0)
        result = container_create(&c->runtime, o, err);
    stdio_leave(&s);
    c->stdin_fd = s.pipes[0][1];
    c->stdout_fd = s.pipes[1][0];
    c->stderr_fd = s.pipes[2][0];
    return result;
}

/* The specification is read twice: here for what the options need, then by the engine. */
static int wants_terminal(struct guest_container *c, const char *config, size_t length, bool *wants,
                          struct error *err)
{
    struct spec *spec;

    if (spec_parse(c->arena, config, length, "config.json", &spec, err) < 0)
        return -1;
    *wants = spec->process.terminal;
    return 0;
}

static int create(struct guest_container *c, const struct agent_create *how, int *listener, struct error *err)
{
    struct create_options o = {.id = c->id,
                               .bundle = in_run(c, "bundle"),
                               .console_socket = c->terminal ? in_run(c, "console") : NULL,
                               .no_new_keyring = how->flags & AGENT_NO_NEW_KEYRING,
                               .unsealed = true,
                               .adapt = guest_spec_adapt,
                               .adapt_argument = c->place->shared};

    if (!c->terminal)
        return run_engine(c, &o, err);
    *listener = listen_console(c, err);
    if (*listener < 0 || container_create(&c->runtime, &o, err) < 0 || take_master(c, *listener, err) < 0)
        return -1;
    return 0;
}

int guest_container_create(struct guest_container *c, const struct agent_create *how, const char *config,
                           size_t length, struct error *err)
{
    _cleanup_(fd_closep) int listener = -1;
    struct container made;
    int executed[2], result;

    c->runtime =
        (struct runtime){.arena = c->arena, .root = in_run(c, "state"), .cgroup_manager = CGROUP_CGROUPFS};
    if (open_log(c, how->flags & AGENT_DEBUG, err) < 0 ||
        wants_terminal(c, config, length, &c->terminal, err) < 0 || write_bundle(c, config, length, err) < 0)
        return -1;
    if (pipe2(executed, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    c->executed = executed[0];
    result = create(c, how, &listener, err);
    fd_closep(&executed[1]); /* only the container's init has it now */
    if (result < 0 || container_load(&c->runtime, c->id, &made, err) < 0)
        return -1;
    c->pid = made.pid;
    c->pidfd = sys_pidfd_open(c->pid, 0);
    if (c->pidfd < 0)
        return error_set(err, errno, "pidfd_open of the container's init");
    guest_container_resize(c, &how->window);
    return 0;
}

int guest_container_start(struct guest_container *c, struct error *err)
{
    return container_start(&c->runtime, c->id, err);
}

/* #syscalls: ioctl */
void guest_container_resize(const struct guest_container *c, const struct agent_window *w)
{
    struct winsize size = {.ws_row = w->rows, .ws_col = w->columns, .ws_xpixel = w->x, .ws_ypixel = w->y};

    if (c->master >= 0 && w->rows && w->columns)
        ioctl(c->master, TIOCSWINSZ, &size);
}
