/* Runs the checks below a directory and says how they went, as TAP: posix-checks DIRECTORY [SUBSTRING]. See posix.h. */
#include "posix.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { SKIPPED = 77, SECONDS = 300 /* emulated machines are slow */ };

void failed(const char *file, int line, const char *what)
{
    printf("# %s:%d: %s (errno: %s)\n", file, line, what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

void skipped(const char *why)
{
    printf("# skipped: %s\n", why);
    fflush(stdout);
    _exit(SKIPPED);
}

void become(uid_t uid, gid_t gid)
{
    MUST(setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0);
}

void in_child(void (*f)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        f();
        _exit(0);
    }
    MUST(waitpid(pid, &status, 0) == pid && status == 0);
}

void put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

bool holds(const char *name, const char *text)
{
    char buffer[4096];
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));

    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)n) == 0;
}

struct stat look(const char *name)
{
    struct stat st;
    MUST(lstat(name, &st) == 0);
    return st;
}

static void run(const struct check *check, const char *directory, int number, int *bad)
{
    char place[4096];
    int status = -1;

    snprintf(place, sizeof(place), "%s/%d", directory, number);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        umask(022);
        alarm(SECONDS);
        MUST(mkdir(place, 0777) == 0 && chmod(place, 0777) == 0 && chdir(place) == 0);
        check->run();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    bool skip = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED, good = status == 0 || skip;
    printf("%sok %d %s%s\n", good ? "" : "not ", number, check->name, skip ? " # skip" : "");
    if (WIFSIGNALED(status))
        printf("# ended by signal %d\n", WTERMSIG(status));
    *bad += !good;
}

int main(int argc, char **argv)
{
    static const struct check_group *const groups[] = {&names_group, &directories_group, &attributes_group,
                                                       &data_group,  &xattr_group,       &locks_group};
    char directory[2048];
    int number = 0, bad = 0;

    if (argc < 2 || geteuid() != 0) {
        fprintf(stderr, "usage (as root): posix-checks DIRECTORY [PART-OF-A-NAME]\n");
        return 2;
    }
    snprintf(directory, sizeof(directory), "%s/posix-checks.%d", argv[1], (int)getpid());
    if (mkdir(directory, 0755) < 0) {
        perror(directory);
        return 2;
    }
    for (size_t g = 0; g < COUNT(groups); g++)
        for (size_t i = 0; i < groups[g]->count; i++)
            if (argc < 3 || strstr(groups[g]->checks[i].name, argv[2]))
                run(&groups[g]->checks[i], directory, ++number, &bad);
    printf("1..%d\n", number);
    return bad != 0;
}
