/*
 * A user as root of its own ids; see subids.h. What unpacks an image without root does all of it so: files get the owners that
 * the image says, within the ranges that the user was given, and containers that are mapped alike find them right.
 */
#include "namespaces/subids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/passwd.h"
#include "namespaces/namespaces.h"

enum { FILE_MAX_BYTES = 1 << 20, RANGES_MAX = 64 };

/* "start:count" up to @end. */
static bool parse_range(const char *text, const char *end, uint32_t *start, uint32_t *count)
{
    size_t a = strspn(text, "0123456789"), b = text[a] == ':' ? strspn(text + a + 1, "0123456789") : 0;

    if (a == 0 || a > 10 || b == 0 || b > 10 || text + a + 1 + b != end)
        return false;
    unsigned long first = strtoul(text, NULL, 10), size = strtoul(text + a + 1, NULL, 10);
    if (size == 0 || first > UINT32_MAX || size > UINT32_MAX - first)
        return false;
    *start = (uint32_t)first;
    *count = (uint32_t)size;
    return true;
}

bool subids_next(const char **text, const char *name, uint32_t uid, uint32_t *start, uint32_t *count)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", uid);
    while (**text) {
        const char *line = *text, *end = strchrnul(line, '\n');
        size_t owner = strcspn(line, ":\n");
        bool own = (name && owner == strlen(name) && !strncmp(line, name, owner)) ||
                   (owner == strlen(number) && !strncmp(line, number, owner));

        *text = *end ? end + 1 : end;
        if (line[owner] == ':' && own && parse_range(line + owner + 1, end, start, count))
            return true;
    }
    return false;
}

static void find_ranges(struct arena *a, const char *file, const char *name, uint32_t own,
                        struct id_maps *maps)
{
    uint32_t next = 1;
    const char *rest;
    char *text = NULL;

    maps->v = arena_new_n(a, RANGES_MAX, struct id_map);
    maps->v[0] = (struct id_map){.host_id = own, .size = 1};
    maps->n = 1;
    if (file_read(AT_FDCWD, file, FILE_MAX_BYTES, a, &text, NULL, NULL) < 0)
        return;
    rest = text;
    for (uint32_t start, count; maps->n < RANGES_MAX && subids_next(&rest, name, getuid(), &start, &count);) {
        if (count > UINT32_MAX - next)
            break;
        maps->v[maps->n++] = (struct id_map){.container_id = next, .host_id = start, .size = count};
        next += count;
    }
}

int subids_find(struct arena *a, struct id_maps *uids, struct id_maps *gids, struct error *err)
{
    struct passwd_entry user = {0};
    _cleanup_(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return error_set(err, errno, "open /");
    if (passwd_find(a, root, getuid(), &user) < 0)
        user.name = NULL;
    find_ranges(a, "/etc/subuid", user.name, geteuid(), uids);
    find_ranges(a, "/etc/subgid", user.name, getegid(), gids);
    if (uids->n == 1) /* one file without the other is of no use */
        gids->n = 1;
    return 0;
}

/* #syscalls: setns setresuid setresgid */
int subids_become_root(struct arena *a, struct error *err)
{
    struct id_maps uids, gids;
    _cleanup_(fd_closep) int fd = -1;

    if (subids_find(a, &uids, &gids, err) < 0 || idmap_make_userns(&uids, &gids, &fd, err) < 0)
        return error_wrap(err, "a user namespace, to do without root");
    if (setns(fd, CLONE_NEWUSER) < 0)
        return error_set(err, errno, "enter the user namespace that does without root");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_set(err, errno, "become root of the user namespace");
    return 0;
}

/* #syscalls: fork pipe2 wait4 */
int subids_run_as_root(struct arena *a, int (*action)(void *argument, struct error *err), void *argument,
                       struct error *err)
{
    struct error failure = {0};
    int status[2];

    if (geteuid() == 0)
        return action(argument, err);
    if (pipe2(status, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        if (subids_become_root(a, &failure) < 0 || action(argument, &failure) < 0)
            (void)!write(status[1], &failure, sizeof(failure));
        _exit(0);
    }
    close(status[1]);
    if (pid < 0) {
        close(status[0]);
        return error_set(err, errno, "fork");
    }
    ssize_t n = read(status[0], &failure, sizeof(failure));
    int ended;
    close(status[0]);
    while (waitpid(pid, &ended, 0) < 0 && errno == EINTR)
        ;
    if (n == 0 && WIFEXITED(ended))
        return 0;
    if (n == (ssize_t)sizeof(failure) && err)
        *err = failure;
    return n == (ssize_t)sizeof(failure)
               ? -1
               : error_set(err, 0, "who did it as root of a user namespace was killed");
}
