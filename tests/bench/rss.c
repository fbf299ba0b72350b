/*
 * rss FILE COMMAND...: run the command, write the peak resident size in KiB of the largest process below it
 * to FILE. A program of its own because a child starts with its parent's peak: measured from bash or python,
 * every figure would be theirs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return 125;
    FILE *out = fopen(argv[1], "we");
    if (!out)
        return 125;
    fprintf(out, "%ld\n", usage.ru_maxrss);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
