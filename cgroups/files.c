/*
 * The kernel's small files: three system calls to read one (open, read, close). The kernel makes such a file as one
 * record; a read that leaves room in the buffer has had all of it. A write is one write(2): each is a command.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cgroups/cgroup_private.h"

enum { FIRST_CAPACITY = 4096, MAX_CAPACITY = 4 << 20 };

char *cgroup_text_read(struct arena *a, int dirfd, const char *path)
{
    /* Not to wait is for what is none of the kernel's files: the fifos of a test's hierarchy. */
    _cleanup_(fd_closep) int fd = openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    size_t capacity = FIRST_CAPACITY, n = 0;
    char *text;

    if (fd < 0)
        return NULL;
    text = arena_alloc(a, capacity);
    for (;;) {
        ssize_t got = read(fd, text + n, capacity - 1 - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        n += (size_t)got;
        if (n < capacity - 1)
            break;
        if (capacity == MAX_CAPACITY) {
            errno = EFBIG;
            return NULL;
        }
        text = arena_grow(a, text, capacity, 2 * capacity);
        capacity *= 2;
    }
    if (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    return text;
}

char *cgroup_file_read(struct arena *a, const struct cgroup_dir *d, const char *name)
{
    return cgroup_text_read(a, d->fd, name);
}

int cgroup_file_write(const struct cgroup_dir *d, const char *name, const char *text)
{
    _cleanup_(fd_closep) int fd = openat(d->fd, name, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) >= 0 ? 0 : -1;
}
