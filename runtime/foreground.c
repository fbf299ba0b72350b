/*
 * The foreground loop. All signals are blocked and come by signalfd; SIGCHLD reaps (as a subreaper hull
 * inherits what a container without a pid namespace leaves behind), SIGWINCH resizes a terminal, the rest is
 * the container's.
 */
#include "runtime/foreground.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/syscalls.h"
#include "runtime/terminal.h"

int signals_take(int *signal_fd, sigset_t *old, struct error *err)
{
    sigset_t all;

    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, old) < 0)
        return error_set(err, errno, "sigprocmask");
    *signal_fd = signalfd(-1, &all, SFD_CLOEXEC);
    return *signal_fd < 0 ? error_set(err, errno, "signalfd") : 0;
}

static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* 1: the process has ended. */
static int reap(pid_t wanted, int *exit_status)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid == wanted) {
            *exit_status = status_of(status);
            return 1;
        }
    }
    return 0;
}

/* 1: the process has ended; 0: go on; -1: error. */
static int handle_signal(const struct spawned *p, int signal_fd, const struct terminal_relay *relay,
                         int *exit_status, struct error *err)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return errno == EINTR || errno == EAGAIN ? 0 : error_set(err, errno, "read signals");
    switch (info.ssi_signo) {
    case SIGCHLD:
        return reap(p->pid, exit_status);
    case SIGWINCH:
        if (relay) {
            terminal_resize(relay->master);
            return 0;
        }
        break;
    case SIGURG:
    case SIGTTIN:
    case SIGTTOU:
        return 0;
    }
    sys_pidfd_send_signal(p->pidfd, (int)info.ssi_signo);
    return 0;
}

static int wait_with_terminal(const struct spawned *p, int signal_fd, struct terminal_relay *relay,
                              int *exit_status, struct error *err)
{
    bool ended = false, open = true;

    while (!ended || open) {
        struct pollfd fds[] = {
            {.fd = open ? relay->master : -1, .events = POLLIN},
            {.fd = signal_fd, .events = POLLIN},
            {.fd = open && !ended && relay->stdin_open ? STDIN_FILENO : -1, .events = POLLIN}};
        int n = poll(fds, ARRAY_SIZE(fds), ended ? 100 : -1);

        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        /* What was printed before the end is still read; a process left behind that keeps the terminal open
         * is not waited for. */
        if (n == 0 && ended)
            return 0;
        if (open)
            open = terminal_relay_step(relay, fds[0].revents, fds[2].revents);
        if (fds[1].revents) {
            int r = handle_signal(p, signal_fd, relay, exit_status, err);

            if (r < 0)
                return -1;
            ended |= r == 1;
        }
    }
    return 0;
}

int foreground_wait(struct arena *a, const struct spawned *p, int signal_fd, int master, int *exit_status,
                    struct error *err)
{
    struct terminal_relay relay;
    int r;

    if (master >= 0) {
        if (terminal_relay_begin(a, master, &relay, err) < 0)
            return -1;
        r = wait_with_terminal(p, signal_fd, &relay, exit_status, err);
        terminal_relay_end(&relay);
        return r;
    }
    while ((r = handle_signal(p, signal_fd, NULL, exit_status, err)) == 0)
        ;
    return r < 0 ? -1 : 0;
}
