/*
 * hull-init: `run --init` puts it into the container as its first process. It runs the command, passes every signal on to
 * it, reaps what is orphaned, and ends as the command does (128 + N by signal N). The command leads a process group of its
 * own, which gets the terminal if there is one.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_RUN = 126, NOT_FOUND = 127 };

static int run(char **argv, const sigset_t *mask)
{
    if (setpgid(0, 0) == 0 && isatty(STDIN_FILENO))
        tcsetpgrp(STDIN_FILENO, getpgrp()); /* SIGTTOU is still blocked */
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int code = errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
    dprintf(STDERR_FILENO, "hull-init: %s: %s\n", argv[0], strerror(errno));
    return code;
}

int main(int argc, char **argv)
{
    sigset_t all, old;
    int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1, number, status;

    if (argc <= first)
        return CANNOT_RUN;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    pid_t child = fork(), pid;
    if (child < 0)
        return CANNOT_RUN;
    if (child == 0)
        return run(argv + first, &old);
    for (;;) {
        if (sigwait(&all, &number) != 0)
            continue;
        if (number != SIGCHLD) {
            kill(child, number);
            continue;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == child)
                return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}
