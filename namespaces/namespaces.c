/*
 * The eight namespaces: one table of names and flags; opening and joining by path.
 *
 * Joining keeps one rule: a namespace is joined with the rights that its owner gives. Those owned by the
 * namespace we are in come first, while the rights over them last; what refuses (EPERM) belongs to the user
 * namespace that is joined next and is tried again inside it. The mount namespace is last in each pass,
 * because it changes where paths lead.
 */
#include "namespaces/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/procfs.h"
#include "base/syscalls.h"

static const struct {
    const char *proc, *word; /* file in /proc/PID/ns; how messages call it */
    int flag;
} types[NS_COUNT] = {
    [NS_USER] = {"user", "a user", CLONE_NEWUSER},     [NS_CGROUP] = {"cgroup", "a cgroup", CLONE_NEWCGROUP},
    [NS_IPC] = {"ipc", "an ipc", CLONE_NEWIPC},        [NS_UTS] = {"uts", "a uts", CLONE_NEWUTS},
    [NS_NETWORK] = {"net", "a network", CLONE_NEWNET}, [NS_PID] = {"pid", "a pid", CLONE_NEWPID},
    [NS_TIME] = {"time", "a time", CLONE_NEWTIME},     [NS_MOUNT] = {"mnt", "a mount", CLONE_NEWNS},
};

int namespace_clone_flag(enum namespace_type type)
{
    return types[type].flag;
}

const char *namespace_proc_name(enum namespace_type type)
{
    return types[type].proc;
}

int namespaces_new_flags(const struct spec_namespace ns[NS_COUNT])
{
    int flags = 0;

    for (int t = 0; t < NS_COUNT; t++)
        if (ns[t].present && !ns[t].path)
            flags |= types[t].flag;
    return flags;
}

static const char *word_of_flag(int flag)
{
    for (int t = 0; t < NS_COUNT; t++)
        if (types[t].flag == flag)
            return types[t].word;
    return "an unknown";
}

static int open_one(int type, const char *path, int *out, struct error *err)
{
    /* NONBLOCK and NOCTTY: the path may name a fifo or a terminal by mistake */
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, errno, "linux.namespaces: open %s", path);

    int found = ioctl(fd, NS_GET_NSTYPE);
    if (found < 0)
        return error_set(err, 0,
                         "linux.namespaces: %s is not a namespace; %s one is wanted, like /proc/PID/ns/%s",
                         path, types[type].word, types[type].proc);
    if (found != types[type].flag)
        return error_set(err, 0, "linux.namespaces: %s is %s namespace, not %s one", path,
                         word_of_flag(found), types[type].word);
    *out = steal_fd(&fd);
    return 0;
}

int namespaces_open(const struct spec_namespace ns[NS_COUNT], int fds[NS_COUNT], struct error *err)
{
    for (int t = 0; t < NS_COUNT; t++)
        fds[t] = -1;
    for (int t = 0; t < NS_COUNT; t++) {
        if (!ns[t].present || !ns[t].path || open_one(t, ns[t].path, &fds[t], err) == 0)
            continue;
        for (int u = 0; u < t; u++) {
            fd_closep(&fds[u]);
            fds[u] = -1;
        }
        return -1;
    }
    return 0;
}

/* One pass over all but the user namespace. What the kernel refuses stays in the returned mask when @again is
 * set. */
static int join_pass(const int fds[NS_COUNT], int which, bool again, int *left, struct error *err)
{
    *left = 0;
    for (int t = NS_USER + 1; t < NS_COUNT; t++) {
        if (fds[t] < 0 || !(which & types[t].flag) || setns(fds[t], types[t].flag) == 0)
            continue;
        if (errno != EPERM || !again)
            return error_set(err, errno, "join %s namespace", types[t].word);
        *left |= types[t].flag;
    }
    return 0;
}

int namespaces_join(const int fds[NS_COUNT], int which, struct error *err)
{
    bool user = fds[NS_USER] >= 0 && which & CLONE_NEWUSER;
    int left;

    if (join_pass(fds, which, user, &left, err) < 0)
        return -1;
    if (!user)
        return 0;
    if (setns(fds[NS_USER], CLONE_NEWUSER) < 0)
        return error_set(err, errno, "join a user namespace");
    return left ? join_pass(fds, left, false, &left, err) : 0;
}

int namespace_open_process(pid_t pid, enum namespace_type type)
{
    char path[32];

    /* the last step is a magic link, which procfs_open() rightly refuses to follow */
    snprintf(path, sizeof(path), "%d/ns", pid);
    _cleanup_(fd_closep) int directory = procfs_open(path, O_PATH | O_DIRECTORY);
    return directory < 0 ? -1 : openat(directory, types[type].proc, O_RDONLY | O_CLOEXEC);
}

/* setns(2) to one's own user namespace is an error (EINVAL), so it is left out where it is the same. */
static bool is_own(int fd, enum namespace_type type)
{
    struct stat a, b;
    _cleanup_(fd_closep) int directory = procfs_open("self/ns", O_PATH | O_DIRECTORY);

    return directory >= 0 && fstatat(directory, types[type].proc, &a, 0) == 0 && fstat(fd, &b) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int join_process_files(pid_t pid, int which, struct error *err)
{
    int fds[NS_COUNT], result = 0;

    for (int t = 0; t < NS_COUNT; t++)
        fds[t] = -1;
    for (int t = 0; t < NS_COUNT && result == 0; t++) {
        if (!(which & types[t].flag))
            continue;
        fds[t] = namespace_open_process(pid, t);
        if (fds[t] < 0)
            result = error_set(err, errno, "open /proc/%d/ns/%s", pid, types[t].proc);
        else if (t == NS_USER && is_own(fds[t], t))
            close(steal_fd(&fds[t]));
    }
    if (result == 0)
        result = namespaces_join(fds, which, err);
    for (int t = 0; t < NS_COUNT; t++)
        fd_closep(&fds[t]);
    return result;
}

int namespaces_join_process(int pidfd, pid_t pid, int which, struct error *err)
{
    if (!which)
        return 0;
    if (pidfd >= 0 && setns(pidfd, which) == 0)
        return 0;
    if (pidfd >= 0 && errno == ESRCH)
        return error_set(err, ESRCH, "join the namespaces of process %d", pid);
    /* EINVAL: a kernel before 5.8, or the user namespace is ours already; EPERM: owners differ */
    return join_process_files(pid, which, err);
}

int timens_write_offsets(const struct spec_time_offset *monotonic, const struct spec_time_offset *boottime,
                         struct error *err)
{
    char text[128];
    int n = 0;

    if (monotonic->present)
        n += snprintf(text, sizeof(text), "monotonic %" PRId64 " %" PRIu32 "\n", monotonic->secs,
                      monotonic->nanosecs);
    if (boottime->present)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "boottime %" PRId64 " %" PRIu32 "\n",
                      boottime->secs, boottime->nanosecs);
    if (n == 0)
        return 0;
    if (procfs_write("self/timens_offsets", text, err) < 0)
        return error_wrap(err, "linux.timeOffsets");
    return 0;
}
