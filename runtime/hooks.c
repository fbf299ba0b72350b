/*
 * Hooks (runtime-spec config.md, "POSIX-platform Hooks"). Each is a child with the state on stdin (a memfd:
 * nothing can block on a pipe), stdout and stderr in memfds too, of which the end is quoted when it fails. A
 * timeout is waited for on the pidfd; the hook's whole process group is killed then.
 */
#include "runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/syscalls.h"

enum { QUOTE = 512 };

struct hook_run {
    const struct spec_hook *hook;
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
    static char *const nothing[] = {NULL};
    char *const path_only[] = {run->hook->path, NULL};
    char *const *args = run->hook->args.n ? run->hook->args.v : path_only;
    char *const *env = run->hook->env.n ? run->hook->env.v : nothing;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    if (dup2(run->in, 0) < 0 || dup2(run->out, 1) < 0 || dup2(run->errors, 2) < 0)
        _exit(126);
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
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

/* 0: it ended; 1: time is up. */
static int wait_until(int pidfd, const struct spec_hook *hook)
{
    struct timespec now, deadline = {0};
    int left = -1;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += hook->timeout;
    for (;;) {
        if (hook->has_timeout) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            int64_t ms = (deadline.tv_sec - now.tv_sec) * 1000 + (deadline.tv_nsec - now.tv_nsec) / 1000000;

            left = ms <= 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
        }
        int n = poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, left);

        if (n > 0 || (n < 0 && errno != EINTR))
            return 0;
        if (n == 0 && hook->has_timeout && left == 0)
            return 1;
    }
}

static int report(const struct hook_run *run, int status, bool late, struct error *err)
{
    char out[QUOTE], errors[QUOTE], how[64];

    if (!late && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    quote(run->out, out);
    quote(run->errors, errors);
    if (late)
        snprintf(how, sizeof(how), "timed out after %lld s", (long long)run->hook->timeout);
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
    return error_set(err, 0, "%s, stdout: %s, stderr: %s", how, out, errors);
}

static int run_hook(const struct spec_hook *hook, const char *state_json, struct error *err)
{
    _cleanup_(fd_closep) int in = memfd_with(state_json);
    _cleanup_(fd_closep) int out = memfd_with(NULL);
    _cleanup_(fd_closep) int errors = memfd_with(NULL);
    _cleanup_(fd_closep) int pidfd = -1;
    struct hook_run run = {.hook = hook, .in = in, .out = out, .errors = errors};
    int status = 0;
    bool late;
    pid_t pid;

    if (in < 0 || out < 0 || errors < 0)
        return error_set(err, errno, "memfd_create");
    pid = fork();
    if (pid < 0)
        return error_set(err, errno, "fork");
    if (pid == 0)
        exec_hook(&run);
    pidfd = sys_pidfd_open(pid, 0);
    late = wait_until(pidfd, hook);
    if (late)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return report(&run, status, late, err);
}

int hooks_run(const struct spec *spec, enum hook_type type, const char *state_json, bool keep_going,
              struct error *err)
{
    const struct spec_hooks *hooks = &spec->hooks[type];

    for (size_t i = 0; i < hooks->n; i++) {
        struct error e = {0};

        if (run_hook(&hooks->v[i], state_json, &e) == 0)
            continue;
        error_wrap(&e, "%s hook %zu (%s)", hook_name(type), i, hooks->v[i].path);
        if (!keep_going) {
            if (err)
                *err = e;
            return -1;
        }
        log_warning("%s", e.message);
    }
    return 0;
}
