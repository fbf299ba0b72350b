/*
 * Credential helpers (docker's protocol): docker-credential-NAME get|store|erase, found in $PATH and executed without a shell.
 * What it is asked for goes to its standard input, the answer comes from its standard output; its standard error is the
 * user's, as it may ask for a passphrase. It has a time limit and a limit on what it may say, and is killed beyond.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "images/auth_private.h"

enum { HELPER_SECONDS = 60 /* somebody may have to type */, HELPER_OUTPUT_MAX = 64 << 10 };

extern char **environ;

const char *auth_helper_url(struct arena *a, const char *host)
{
    /* docker's own name for its hub. */
    return strcmp(host, "docker.io") == 0 ? "https://index.docker.io/v1/" : arena_strdup(a, host);
}

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* #syscalls: pipe2 clone clone3 vfork execve dup2 wait4 kill poll read write close clock_gettime rt_sigaction rt_sigprocmask */
static int start(const char *program, const char *action, int pipes[2][2], pid_t *pid, struct error *err)
{
    char *const argv[] = {(char *)program, (char *)action, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, pipe_signal;
    int code;

    if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe for %s", program);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[0][0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDOUT_FILENO);
    /* Whatever this program does about signals is not the helper's. */
    sigemptyset(&none);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    code = posix_spawnp(pid, program, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    fd_closep(&pipes[0][0]);
    fd_closep(&pipes[1][1]);
    pipes[0][0] = pipes[1][1] = -1;
    if (code)
        return error_set(err, code, "credential helper %s", program);
    return 0;
}

/* What is asked fits into a pipe, so writing cannot block; that the helper does not read it is its own affair. */
static void ask(int *fd, const char *input)
{
    sigset_t pipe_signal, before;
    const struct timespec at_once = {0};

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    if (fd_write_all(*fd, input, strlen(input)) < 0 && errno == EPIPE)
        sigtimedwait(&pipe_signal, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fd_closep(fd);
    *fd = -1;
}

/* Read until the end, the limit or the time is up. */
static int listen_to(int fd, char *text, size_t size)
{
    long long end = now_ms() + HELPER_SECONDS * 1000LL;
    size_t length = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        long long left = end - now_ms();
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        n = read(fd, text + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            text[length] = '\0';
            return (int)n;
        }
        length += (size_t)n;
        if (length == size) {
            errno = EFBIG;
            return -1;
        }
    }
}

int auth_helper_run(struct arena *a, const char *name, const char *action, const char *input, char **output,
                    struct error *err)
{
    const char *program = arena_printf(a, "docker-credential-%s", name);
    int pipes[2][2] = {{-1, -1}, {-1, -1}}, status = 0, result;
    pid_t pid = -1;

    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(name) ||
        strlen(name) > 64)
        return error_set(
            err, 0, "\"%.80s\" is no credential helper's name: what comes after docker-credential-", name);
    if (strlen(input) > 4096)
        return error_set(err, E2BIG, "%s", program);
    *output = arena_alloc(a, HELPER_OUTPUT_MAX + 1);
    result = start(program, action, pipes, &pid, err);
    if (result == 0) {
        ask(&pipes[0][1], input);
        result = listen_to(pipes[1][0], *output, HELPER_OUTPUT_MAX);
        if (result < 0) {
            error_set(err, errno, "credential helper %s %s", program, action);
            kill(pid, SIGKILL);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    for (int i = 0; i < 4; i++)
        fd_closep(&pipes[i / 2][i % 2]);
    if (result < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    /* The one failure that is an answer; by the protocol it is told in words on standard output. */
    if (strstr(*output, "credentials not found"))
        return 0;
    return error_set(err, 0, "credential helper %s %s failed (%s %d): see what it wrote", program, action,
                     WIFEXITED(status) ? "exit status" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}
