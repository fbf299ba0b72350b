/*
 * Hooks (runtime-spec config.md, "POSIX-platform Hooks"). Each is a child with the state on stdin (a memfd:
 * nothing can block on a pipe), stdout and stderr in memfds too, of which the end is quoted when it fails.
 * The wait ends by the hook's end, its timeout, or a signal that ends hull (where the caller has blocked
 * those to tidy up first); in the last two cases the hook's whole process group is killed. A hook does not
 * outlive who runs it.
 */
#include "runtime/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/syscalls.h"

enum { QUOTE = 512 };

struct hook_run {
    const struct spec_hook *hook;
    const char *cwd;
    char *const *env; /* for a hook that has none */
    int in, out, errors;
};

static int memfd_with(const char *text)
{
    int fd = memfd_create("hook", MFD_CLOEXEC);

    if (fd >= 0 && text && (fd_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0))
        fd_closep(&fd);
    return fd;
}

static void exec_hook(const struct hook_run *run)
{
    char *const path_only[] = {run->hook->path, NULL};
    char *const *args = run->hook->args.n ? run->hook->args.v : path_only;
    char *const *env = run->hook->env.n ? run->hook->env.v : run->env;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(run->in, 0) < 0 || dup2(run->out, 1) < 0 || dup2(run->errors, 2) < 0)
        _exit(126);
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
    }
    if (run->cwd && chdir(run->cwd) < 0 && errno != ENOENT) { /* a bundle may be gone before its poststop */
        dprintf(2, "enter %s: %s", run->cwd, strerror(errno));
        _exit(126);
    }
    execve(run->hook->path, args, env);
    dprintf(2, "execute: %s", strerror(errno));
    _exit(127);
}

/* What the hook said last, on one line. */
static void quote(int fd, char text[QUOTE])
{
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > QUOTE - 1 ? end - (QUOTE - 1) : 0;
    ssize_t n = pread(fd, text, QUOTE - 1, from);

    if (n < 0)
        n = 0;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
}

/* A descriptor of its own: reading the caller's would also take the SIGCHLD that tells of the container's
 * end.
 */
static int ending_signals(void)
{
    sigset_t ending;

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGQUIT);
    return signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int milliseconds_left(const struct timespec *deadline)
{
    struct timespec now;
    int64_t ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (deadline->tv_sec - now.tv_sec) * 1000 + (deadline->tv_nsec - now.tv_nsec) / 1000000;
    return ms <= 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

/* 0: it ended; -1: time is up, or hull is told to end. */
static int wait_until(int pidfd, const struct spec_hook *hook, struct error *err)
{
    _cleanup_(fd_closep) int signal_fd = ending_signals();
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    struct timespec deadline = {0};
    int left = -1;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += hook->timeout;
    for (;;) {
        if (hook->has_timeout)
            left = milliseconds_left(&deadline);
        int n = poll(fds, ARRAY_SIZE(fds), left);

        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (n > 0 && fds[0].revents)
            return 0;
        if (n > 0 && sync_check_signals(signal_fd, err) < 0)
            return -1;
        if (n == 0 && hook->has_timeout && left == 0)
            return error_set(err, 0, "timed out after %lld s", (long long)hook->timeout);
    }
}

/* As engines know the words from Go: "bad system call". */
static const char *signal_text(int number, char text[64])
{
    snprintf(text, 64, "%s", strsignal(number));
    text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

/* @stopped: why it was not waited for any longer is in @err already. */
static int report(const struct hook_run *run, int status, bool stopped, struct error *err)
{
    char out[QUOTE], errors[QUOTE], text[64];
    struct error why = {0};

    if (!stopped && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    quote(run->out, out);
    quote(run->errors, errors);
    if (stopped)
        why = *err;
    else if (WIFSIGNALED(status))
        error_set(&why, 0, "killed by signal %d (%s)", WTERMSIG(status), signal_text(WTERMSIG(status), text));
    else
        error_set(&why, 0, "exit status %d", WEXITSTATUS(status));
    error_set(err, 0, "%s, stdout: %s, stderr: %s", why.message, out, errors);
    err->exit_code = why.exit_code;
    return -1;
}

/* The environment where a hook runs: createContainer and startContainer belong to the container, and the
 * host's variables do not enter there. */
static char *const *default_env(const struct spec *spec, enum hook_type type)
{
    static char *const nothing[] = {NULL};

    if (type != HOOK_CREATE_CONTAINER && type != HOOK_START_CONTAINER)
        return environ;
    return spec->process.env.n ? spec->process.env.v : nothing;
}

static int run_hook(struct hook_run run, const char *state_json, struct error *err)
{
    _cleanup_(fd_closep) int in = memfd_with(state_json);
    _cleanup_(fd_closep) int out = memfd_with(NULL);
    _cleanup_(fd_closep) int errors = memfd_with(NULL);
    _cleanup_(fd_closep) int pidfd = -1;
    int status = 0;
    bool stopped;
    pid_t pid;

    if (in < 0 || out < 0 || errors < 0)
        return error_set(err, errno, "memfd_create");
    run.in = in, run.out = out, run.errors = errors;
    /* fork(2) with a pidfd: a filter around us may forbid pidfd_open(2) */
    pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0);
    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid == 0)
        exec_hook(&run);
    stopped = wait_until(pidfd, run.hook, err) < 0;
    if (stopped) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL); /* before it has a process group */
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return report(&run, status, stopped, err);
}

int hooks_run(const struct spec *spec, enum hook_type type, const char *state_json, const char *cwd,
              bool keep_going, struct error *err)
{
    const struct spec_hooks *hooks = &spec->hooks[type];

    for (size_t i = 0; i < hooks->n; i++) {
        struct error e = {0};
        struct hook_run run = {.hook = &hooks->v[i], .cwd = cwd, .env = default_env(spec, type)};

        if (run_hook(run, state_json, &e) == 0)
            continue;
        error_wrap(&e, "error running %s hook #%zu: %s", hook_name(type), i, hooks->v[i].path);
        if (!keep_going) {
            if (err)
                *err = e;
            return -1;
        }
        log_warning("%s", e.message);
    }
    return 0;
}
