/* The checked /proc, with openat2 and without. Mount tests run in a private mount namespace. */
#include "base/procfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/path_private.h"

static void private_mounts(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        cr_skip_test("needs a mount namespace");
}

#define BOTH_WAYS(name)                                                                                      \
    static void name(void);                                                                                  \
    Test(procfs, name##_openat2)                                                                             \
    {                                                                                                        \
        name();                                                                                              \
    }                                                                                                        \
    Test(procfs, name##_walk)                                                                                \
    {                                                                                                        \
        procfs_pretend_no_openat2(true);                                                                     \
        name();                                                                                              \
    }                                                                                                        \
    static void name(void)

BOTH_WAYS(a_file_mounted_over_another_is_refused)
{
    private_mounts();
    cr_assert_eq(mount("/dev/null", "/proc/self/attr", NULL, MS_BIND, NULL),
                 -1); /* a file over a directory */
    cr_assert_eq(mount("/proc/self/oom_score_adj", "/proc/self/comm", NULL, MS_BIND, NULL), 0, "%m");
    int fd = procfs_open("self/comm", O_RDONLY);
    cr_expect(fd < 0 && errno == EXDEV, "procfs over procfs (CVE-2025-52881): %m");
    cr_assert_eq(mount("tmpfs", "/proc/self/task", "tmpfs", 0, NULL), 0);
    fd = procfs_open("self/task", O_PATH);
    cr_expect(fd < 0 && errno == EXDEV, "%m");
    fd = procfs_open("thread-self/comm", O_RDONLY);
    cr_expect(fd < 0, "through a tmpfs");
}

Test(procfs, a_tmpfs_at_proc_is_refused)
{
    private_mounts();
    cr_assert_eq(mount("tmpfs", "/proc", "tmpfs", 0, NULL), 0);
    cr_expect(procfs_fd() < 0 && errno == ENODEV);
    cr_expect(procfs_open("self/status", O_RDONLY) < 0);
    struct error err;
    cr_expect_eq(procfs_write("self/oom_score_adj", "0", &err), -1);
    umount2("/proc", MNT_DETACH);
    cr_expect(procfs_fd() >= 0);
}

Test(procfs, a_subdirectory_of_proc_at_proc_is_refused)
{
    private_mounts();
    cr_assert_eq(mount("/proc/sys", "/proc", NULL, MS_BIND, NULL), 0);
    cr_expect(procfs_fd() < 0 && errno == ENODEV);
}

BOTH_WAYS(leaving_is_refused)
{
    static const char *const bad[] = {"../etc/passwd",  "self/root/etc/passwd", "self/cwd", "self/exe",
                                      "self/../../etc", "/proc/self/status",    "self/fd/0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int fd = procfs_open(bad[i], O_RDONLY);
        cr_expect(fd < 0, "opened %s", bad[i]);
    }
}

BOTH_WAYS(files_are_read_and_written)
{
    char text[64] = "";
    struct error err;
    int fd = procfs_open("self/comm", O_RDONLY);
    cr_assert(fd >= 0, "%m");
    cr_expect(read(fd, text, sizeof(text)) > 0);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    cr_expect_eq(procfs_write("self/comm", "renamed", &err), 0, "%s", err.message);
    prctl(PR_GET_NAME, text);
    fd = procfs_open("thread-self/status", O_RDONLY);
    cr_expect(fd >= 0, "%m");
    close(fd);
    fd = procfs_open("self", O_PATH | O_DIRECTORY);
    cr_expect(fd >= 0, "%m");
    close(fd);
    fd = procfs_open("sys/kernel/ostype", O_RDONLY);
    cr_expect(fd >= 0, "%m");
    close(fd);
    cr_expect_eq(procfs_write("self/oom_score_adj", "xyz", &err), -1);
    cr_expect_eq(err.code, EINVAL);
    cr_expect(strstr(err.message, "/proc/self/oom_score_adj"), "%s", err.message);
    cr_expect_eq(procfs_write("self/missing", "xyz", &err), -1);
    cr_expect_eq(err.code, ENOENT);
}

Test(procfs, the_descriptor_is_kept_and_forgotten)
{
    int fd = procfs_fd();
    cr_expect_eq(procfs_fd(), fd);
    procfs_reset();
    cr_expect_eq(fcntl(fd, F_GETFD), -1);
    cr_expect(procfs_fd() >= 0);
}

Test(procfs, mount_ids_tell_mounts_apart)
{
    uint64_t a, b, c;
    int root = open("/", O_PATH), proc = open("/proc", O_PATH), etc = open("/etc", O_PATH);
    cr_assert(fd_mount_id(root, &a) == 0 && fd_mount_id(proc, &b) == 0 && fd_mount_id(etc, &c) == 0);
    cr_expect_neq(a, b);
    cr_expect_eq(a, c);
    cr_expect_eq(fd_mount_id(-1, &a), -1);
}

Test(procfs, start_time_and_state)
{
    uint64_t mine, child_time;
    char state = 0;
    prctl(PR_SET_NAME, ") Z 1 (x) 9 9"); /* a name made to confuse */
    cr_assert_eq(process_start_time(getpid(), &mine, &state), 0, "%m");
    cr_expect_eq(state, 'R');
    cr_expect_gt(mine, 0);

    usleep(30000);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    cr_assert_eq(process_start_time(child, &child_time, &state), 0);
    cr_expect_eq(state, 'Z');
    cr_expect_gt(child_time, mine);
    waitpid(child, NULL, 0);
    errno = 0;
    cr_expect(process_start_time(child, &child_time, NULL) == -1 && errno == ESRCH);
    cr_expect(process_start_time(-1, &child_time, NULL) == -1);
}
