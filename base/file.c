/*
 * Whole files. Reads refuse what could block or never end; writes to kernel files are one write(2), because
 * those files take each write as a command of its own; replacement is write-then-rename.
 *
 * Removing a tree: the tree may have been made by a container, so it may be deeper than there are
 * descriptors, hold links, and hold mounts. Directories are opened below their parent without following links
 * or crossing mounts. What lies deeper than MAX_DEPTH is moved up to the top directory first and found there
 * again in the next round.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/procfs.h"
#include "base/syscalls.h"

enum { FIRST_READ = 4096, MAX_DEPTH = 32 };

/* Reads until the end of the file, or until a regular file of known @size has given that and a short read. */
static int read_all(int fd, size_t size, size_t max, struct arena *a, char **data, size_t *length)
{
    size_t capacity = size ? size + 1 : FIRST_READ, n = 0;
    char *text = arena_alloc(a, capacity);

    for (;;) {
        ssize_t got = read(fd, text + n, capacity - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max) {
            errno = EFBIG;
            return -1;
        }
        if (n == size)
            break; /* there was room for a byte more, and the file did not have it */
        if (n == capacity) {
            text = arena_grow(a, text, capacity, capacity * 2);
            capacity *= 2;
        }
    }
    text[n] = '\0';
    *data = text;
    if (length)
        *length = n;
    return 0;
}

int fd_read_all(int fd, size_t max, struct arena *a, char **data, size_t *length)
{
    return read_all(fd, 0, max, a, data, length);
}

int file_open_regular(int dirfd, const char *path, struct stat *st, struct error *err)
{
    /* O_NONBLOCK: a fifo that stands where the file should must not hang us. */
    _cleanup_(fd_closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return error_set(err, errno, "open %s", path);
    if (fstat(fd, st))
        return error_set(err, errno, "stat %s", path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, 0, "%s is not a regular file", path);
    return steal_fd(&fd);
}

int file_read(int dirfd, const char *path, size_t max, struct arena *a, char **data, size_t *length,
              struct error *err)
{
    struct stat st;
    _cleanup_(fd_closep) int fd = file_open_regular(dirfd, path, &st, err);

    if (fd < 0)
        return -1;
    if ((uint64_t)st.st_size > max)
        return error_set(err, 0, "%s is larger than %zu bytes", path, max);
    if (read_all(fd, (size_t)st.st_size, max, a, data, length)) {
        if (errno == EFBIG)
            return error_set(err, 0, "%s is larger than %zu bytes", path, max);
        return error_set(err, errno, "read %s", path);
    }
    return 0;
}

int file_write(int dirfd, const char *path, const char *data, size_t length, struct error *err)
{
    _cleanup_(fd_closep) int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, errno, "open %s", path);

    ssize_t n;
    do
        n = write(fd, data, length);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)length)
        return error_set(err, n < 0 ? errno : EIO, "write \"%.64s\" to %s", data, path);
    return 0;
}

int fd_write_all(int fd, const void *data, size_t length)
{
    const char *p = data;
    while (length) {
        ssize_t n = write(fd, p, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

/* The directory may be /tmp: O_EXCL keeps us from writing into what somebody else has put there. */
static int temporary_open(int dirfd, const char *name, mode_t mode, char *temporary, size_t size)
{
    enum { TRIES = 100 };
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

    for (int i = 0; i < TRIES; i++) {
        int n = snprintf(temporary, size, "%.*s.%s.%d-%d", (int)(base - name), name, base, getpid(), i);
        if (n < 0 || (size_t)n >= size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int file_replace(int dirfd, const char *name, mode_t mode, const char *data, size_t length, struct error *err)
{
    char temporary[PATH_MAX];
    _cleanup_(fd_closep) int fd = temporary_open(dirfd, name, mode, temporary, sizeof(temporary));
    if (fd < 0)
        return error_set(err, errno, "make a temporary file for %s", name);

    if (fd_write_all(fd, data, length) || renameat(dirfd, temporary, dirfd, name)) {
        int code = errno;
        unlinkat(dirfd, temporary, 0);
        return error_set(err, code, "write %s", name);
    }
    return 0;
}

struct removal {
    int top;
    bool moved;      /* something was moved up: look again */
    unsigned serial; /* for its new name */
};

/* Open a subdirectory unless it is a link or another mount (EXDEV). */
static int subdirectory_open(int parent, const char *name)
{
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    int fd = sys_openat2(parent, name, &how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;

    _cleanup_(fd_closep) int sub = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    uint64_t above, below;
    if (sub < 0 || fd_mount_id(parent, &above) || fd_mount_id(sub, &below))
        return -1;
    if (above != below) {
        errno = EXDEV;
        return -1;
    }
    return steal_fd(&sub);
}

static int remove_children(struct removal *r, int dir, unsigned depth);

static int move_up(struct removal *r, int parent, const char *name)
{
    char fresh[64];
    r->moved = true;
    for (;;) {
        snprintf(fresh, sizeof(fresh), ".hull-remove-%u", r->serial++);
        if (renameat(parent, name, r->top, fresh) == 0 || errno == ENOENT)
            return 0;
        bool taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
        if (!taken || r->serial == 0)
            return -1;
    }
}

static int remove_directory(struct removal *r, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -1;
    if (depth == MAX_DEPTH)
        return move_up(r, parent, name);

    _cleanup_(fd_closep) int sub = subdirectory_open(parent, name);
    if (sub < 0)
        return -1;
    if (remove_children(r, sub, depth + 1))
        return -1;
    return unlinkat(parent, name, AT_REMOVEDIR);
}

static int remove_children(struct removal *r, int dir, unsigned depth)
{
    /* A description of its own: fdopendir() moves the offset and closes what it is given. */
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d) {
        fd_closep(&copy);
        return -1;
    }
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (e->d_type != DT_DIR) {
            if (unlinkat(dir, e->d_name, 0) == 0 || errno == ENOENT)
                continue;
            if (errno != EISDIR) /* a file system that does not tell types, or a race */
                return -1;
        }
        if (remove_directory(r, dir, e->d_name, depth))
            return -1;
    }
    return errno ? -1 : 0;
}

int file_remove_tree(int dirfd, const char *name, struct error *err)
{
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTDIR && (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT))
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return error_set(err, errno, "remove %s", name);

    _cleanup_(fd_closep) int top = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (top < 0)
        return error_set(err, errno, "remove %s", name);
    struct removal r = {.top = top};
    do {
        r.moved = false;
        if (remove_children(&r, top, 0))
            return error_set(err, errno, "remove what is below %s", name);
    } while (r.moved);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) && errno != ENOENT)
        return error_set(err, errno, "remove %s", name);
    return 0;
}

int file_mkdir_parents(const char *path, mode_t mode, struct error *err)
{
    char partial[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(partial))
        return error_set(err, ENAMETOOLONG, "make directory %s", path);
    if (mkdir(path, mode) == 0)
        return 0;

    memcpy(partial, path, length + 1);
    for (char *p = partial + 1; errno == ENOENT && (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdir(partial, mode) && errno != EEXIST)
            return error_set(err, errno, "make directory %s", partial);
        *p = '/';
        errno = ENOENT;
    }
    struct stat st;
    if (mkdir(path, mode) && errno != EEXIST)
        return error_set(err, errno, "make directory %s", path);
    if (stat(path, &st))
        return error_set(err, errno, "make directory %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "make directory %s", path);
    return 0;
}
