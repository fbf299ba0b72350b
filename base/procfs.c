/*
 * The checked /proc. Two things can stand between a name and procfs: a symlink or another file system at
 * /proc (so the descriptor is checked once, type and inode), and mounts inside of it (so each file is opened
 * without crossing one). openat2 does the second; before 5.6 each component is opened by itself and its mount
 * id compared.
 */
#include "base/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/path_private.h"
#include "base/syscalls.h"

enum { PROC_ROOT_INODE = 1 };

static int proc_fd = -1;
static bool no_openat2;

void procfs_pretend_no_openat2(bool pretend)
{
    no_openat2 = pretend;
}

static bool is_procfs(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

int procfs_fd(void)
{
    if (proc_fd >= 0)
        return proc_fd;

    _cleanup_(fd_closep) int fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return -1;
    if (!is_procfs(fd) || st.st_ino != PROC_ROOT_INODE) {
        errno = ENODEV;
        return -1;
    }
    return proc_fd = steal_fd(&fd);
}

void procfs_reset(void)
{
    fd_closep(&proc_fd);
    proc_fd = -1;
}

/* Reads from the checked /proc by plain openat: this is what the comparison of mounts itself rests on. */
int fd_mount_id(int fd, uint64_t *id)
{
    char path[64], text[512];
    int proc = procfs_fd();
    if (proc < 0)
        return -1;

    snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
    _cleanup_(fd_closep) int info = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return -1;
    if (!is_procfs(info)) {
        errno = EXDEV;
        return -1;
    }
    ssize_t n = read(info, text, sizeof(text) - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';

    const char *line = strstr(text, "mnt_id:");
    if (!line) {
        errno = ENOTSUP;
        return -1;
    }
    *id = strtoull(line + strlen("mnt_id:"), NULL, 10);
    return 0;
}

/* "self/attr" -> "1234/attr": the two symlinks of procfs that are followed. */
static int expand_self(int proc, const char *path, char *out, size_t size)
{
    size_t first = strcspn(path, "/");
    char link[64] = "";
    bool self = first == strlen("self") && memcmp(path, "self", first) == 0;
    bool thread = first == strlen("thread-self") && memcmp(path, "thread-self", first) == 0;

    if (self || thread) {
        ssize_t n = readlinkat(proc, self ? "self" : "thread-self", link, sizeof(link) - 1);
        if (n <= 0)
            return -1;
        link[n] = '\0';
        path += first;
    }
    if ((size_t)snprintf(out, size, "%s%s", link, path) < size)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

static int walk(int proc, const char *path, int flags)
{
    char text[256], *rest = text;
    uint64_t mount, here;
    if (expand_self(proc, path, text, sizeof(text)) || fd_mount_id(proc, &mount))
        return -1;

    _cleanup_(fd_closep) int at = -1;
    for (char *name; (name = strsep(&rest, "/"));) {
        if (*name == '\0' && rest)
            continue;
        if (strcmp(name, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        int how = rest ? O_PATH | O_DIRECTORY : flags;
        int next = openat(at < 0 ? proc : at, name, how | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -1;
        fd_closep(&at);
        at = next;
        if (fd_mount_id(at, &here))
            return -1;
        if (here != mount) {
            errno = EXDEV;
            return -1;
        }
    }
    return steal_fd(&at);
}

int procfs_open(const char *path, int flags)
{
    int proc = procfs_fd();
    if (proc < 0)
        return -1;

    const struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    int fd = -1;
    errno = ENOSYS;
    if (!no_openat2)
        fd = sys_openat2(proc, path, &how);
    /* EPERM: either the file's, and the walk will say so again, or a seccomp profile's that is older than
     * openat2. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = walk(proc, path, flags);
    return fd;
}

int procfs_write(const char *path, const char *text, struct error *err)
{
    _cleanup_(fd_closep) int fd = procfs_open(path, O_WRONLY);
    if (fd < 0)
        return error_set(err, errno, "open /proc/%s", path);

    size_t length = strlen(text);
    ssize_t n = write(fd, text, length);
    if (n != (ssize_t)length)
        return error_set(err, n < 0 ? errno : EIO, "write \"%.64s\" to /proc/%s", text, path);
    return 0;
}

/* proc(5): "pid (comm) S ppid ...": comm may hold anything, so fields are counted from the last parenthesis.
 */
int process_start_time(pid_t pid, uint64_t *ticks, char *state)
{
    enum { STATE = 3, START_TIME = 22 };
    char path[32], text[1024];

    snprintf(path, sizeof(path), "%d/stat", pid);
    _cleanup_(fd_closep) int fd = procfs_open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0) {
        if (errno == ENOENT)
            errno = ESRCH;
        return -1;
    }
    text[n] = '\0';

    const char *p = strrchr(text, ')');
    if (p && p[1] == ' ' && state)
        *state = p[2];
    for (int field = STATE - 1; p && field < START_TIME; field++)
        if ((p = strchr(p, ' ')))
            p++;
    if (!p) {
        errno = ESRCH;
        return -1;
    }
    *ticks = strtoull(p, NULL, 10);
    return 0;
}
