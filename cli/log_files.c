/*
 * The current file is `log`; what is full was renamed log.N, N growing, and the oldest of them are removed: by the monitor,
 * at any time. A file that is open stays readable. Whoever lists the names, opens `log` and finds the same names again has
 * opened what came after all of them.
 */
#include "cli/log_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/monitor/monitor.h"

enum { BLOCK = 64 << 10, TRIES = 300, PAUSE_MS = 1 };

struct numbers {
    uint64_t *v;
    size_t n;
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Of the full files, the oldest first. */
static int list(const struct log_files *l, struct numbers *numbers, struct error *err)
{
    int fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    *numbers = (struct numbers){0};
    if (!dir)
        return error_set(err, errno, "read the container's directory");
    while ((e = readdir(dir))) {
        uint64_t n = strncmp(e->d_name, MONITOR_LOG ".", sizeof(MONITOR_LOG)) == 0
                         ? strtoull(e->d_name + sizeof(MONITOR_LOG), NULL, 10)
                         : 0;
        size_t size = sizeof(n);

        if (n == 0)
            continue;
        numbers->v = arena_grow(l->arena, numbers->v, numbers->n * size, (numbers->n + 1) * size);
        numbers->v[numbers->n++] = n;
    }
    if (numbers->n)
        qsort(numbers->v, numbers->n, sizeof(*numbers->v), compare);
    return 0;
}

static const char *name_of(const struct log_files *l, uint64_t number)
{
    return number ? arena_printf(l->arena, MONITOR_LOG ".%llu", (unsigned long long)number) : MONITOR_LOG;
}

void log_files_close(struct log_files *l)
{
    if (l->file)
        fclose(l->file);
    l->file = NULL;
}

/* In place of the open one. 1: done; 0: it is gone; -1. @number 0: the current one. */
static int open_number(struct log_files *l, uint64_t number, struct error *err)
{
    int fd = openat(l->dir, name_of(l, number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file)
        return errno == ENOENT ? 0 : error_set(err, errno, "open the log");
    log_files_close(l);
    l->file = file;
    l->number = number;
    return 1;
}

/* The first of the files after @after, or the current one. For a moment, as a container begins or a file is full, there is none. */
static int open_after(struct log_files *l, uint64_t after, struct error *err)
{
    struct numbers before, again;
    bool found = false;

    for (int i = 0; i < TRIES; i++) {
        const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
        size_t k = 0;
        int rc;

        if (i > 0)
            nanosleep(&pause, NULL);
        if (list(l, &before, err) < 0)
            return -1;
        while (k < before.n && before.v[k] <= after)
            k++;
        rc = open_number(l, k < before.n ? before.v[k] : 0, err);
        if (rc < 0)
            return -1;
        if (rc > 0 && l->number)
            return 0;
        if (list(l, &again, err) < 0)
            return -1;
        if (rc > 0 && (again.n == 0 || again.v[again.n - 1] <= after))
            return 0;
        found |= rc > 0 || again.n > 0;
    }
    return found ? error_set(err, EBUSY, "the log changes too fast to be read")
                 : error_set(err, ENOENT, "open the log");
}

int log_files_begin(struct log_files *l, struct error *err)
{
    return open_after(l, 0, err);
}

bool log_files_is_full(const struct log_files *l)
{
    struct stat own, current;

    return fstat(fileno(l->file), &own) == 0 &&
           fstatat(l->dir, MONITOR_LOG, &current, AT_SYMLINK_NOFOLLOW) == 0 &&
           (own.st_ino != current.st_ino || own.st_dev != current.st_dev);
}

/* What was opened as `log` may have got a number meanwhile. If it is gone, so is all that was older. */
static int find_number(struct log_files *l, uint64_t *number, struct error *err)
{
    struct numbers all;
    struct stat own, other;

    *number = l->number;
    if (l->number)
        return 0;
    if (fstat(fileno(l->file), &own) < 0)
        return error_set(err, errno, "look at the log");
    if (list(l, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < all.n; i++)
        if (fstatat(l->dir, name_of(l, all.v[i]), &other, AT_SYMLINK_NOFOLLOW) == 0 &&
            other.st_ino == own.st_ino && other.st_dev == own.st_dev)
            *number = all.v[i];
    return 0;
}

int log_files_next(struct log_files *l, struct error *err)
{
    uint64_t number;

    return find_number(l, &number, err) < 0 ? -1 : open_after(l, number, err);
}

/* --- the last lines ------------------------------------------------------------------------------------------------ */

/* Where the last *@n lines begin; *@n becomes how many there are before what is there. */
static off_t tail_offset(int fd, off_t size, uint64_t *n, char *block)
{
    for (off_t end = size; end > 0;) {
        off_t start = end > BLOCK ? end - BLOCK : 0;
        ssize_t got = pread(fd, block, (size_t)(end - start), start);

        for (ssize_t i = got - 1; i >= 0; i--)
            if (block[i] == '\n' && start + i != size - 1 && --*n == 0)
                return start + i + 1;
        if (got <= 0)
            break;
        end = start;
    }
    if (size > 0)
        --*n;
    return 0;
}

int log_files_tail(struct log_files *l, uint64_t n, struct error *err)
{
    struct numbers all;
    char *block = arena_alloc(l->arena, BLOCK);

    if (log_files_begin(l, err) < 0)
        return -1;
    while (log_files_is_full(l)) /* to the current one: usually at once */
        if (open_number(l, 0, err) < 0)
            return -1;
    if (list(l, &all, err) < 0)
        return -1;
    for (size_t i = all.n;; i--) {
        off_t size, start;

        if (fseeko(l->file, 0, SEEK_END) < 0 || (size = ftello(l->file)) < 0)
            return error_set(err, errno, "read the log");
        start = n == 0 ? size : tail_offset(fileno(l->file), size, &n, block);
        if (fseeko(l->file, start, SEEK_SET) < 0)
            return error_set(err, errno, "read the log");
        if (n == 0 || i == 0)
            return 0;
        int rc = open_number(l, all.v[i - 1], err);
        if (rc <= 0)
            return rc; /* older ones are gone: what is open will do */
    }
}
