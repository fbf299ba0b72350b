/* Id arithmetic, namespaces by path, and a user namespace made for its maps. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "namespaces/namespaces.h"

Test(idmap, arithmetic)
{
    struct id_map v[] = {{0, 1000, 1}, {1, 100000, 65535}, {4000000000u, 4000000000u, 294967295u}};
    const struct id_maps maps = {.v = v, .n = 3}, none = {0};
    uint32_t host;

    cr_assert(idmap_to_host(&maps, 0, &host) && host == 1000);
    cr_assert(idmap_to_host(&maps, 1, &host) && host == 100000);
    cr_assert(idmap_to_host(&maps, 65535, &host) && host == 165534);
    cr_assert_not(idmap_to_host(&maps, 65536, &host));
    cr_assert(idmap_to_host(&maps, 4294967294u, &host) && host == 4294967294u);
    cr_assert_not(idmap_to_host(&maps, UINT32_MAX, &host));
    cr_assert(idmap_to_host(&none, 77, &host) && host == 77);

    struct id_map wrap = {0, 4294967290u, 100};
    const struct id_maps wraps = {.v = &wrap, .n = 1};
    cr_assert(idmap_to_host(&wraps, 5, &host) && host == UINT32_MAX);
    cr_assert_not(idmap_to_host(&wraps, 6, &host));
}

Test(idmap, user_namespace_for_maps)
{
    struct id_map m = {0, 1000, 5};
    const struct id_maps maps = {.v = &m, .n = 1};
    struct error err = {0};
    int fd;

    if (geteuid() != 0)
        cr_skip_test("needs root: writes an id map of five ids");
    cr_assert_eq(idmap_make_userns(&maps, &maps, &fd, &err), 0, "%s", err.message);
    struct spec_namespace ns[NS_COUNT] = {0};
    char path[64];
    int fds[NS_COUNT];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ns[NS_USER] = (struct spec_namespace){.present = true, .path = path};
    cr_assert_eq(namespaces_open(ns, fds, &err), 0, "%s", err.message);

    /* in a process of one thread, which criterion's is not */
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(namespaces_join(fds, CLONE_NEWUSER, &err) < 0 || setresuid(3, 3, 3) < 0 ||
              setresuid(5, 5, 5) == 0);
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(namespaces, flags)
{
    struct spec_namespace ns[NS_COUNT] = {0};

    ns[NS_PID].present = ns[NS_MOUNT].present = ns[NS_NETWORK].present = true;
    ns[NS_NETWORK].path = (char *)"/proc/self/ns/net";
    cr_assert_eq(namespaces_new_flags(ns), CLONE_NEWPID | CLONE_NEWNS);
    cr_assert_str_eq(namespace_proc_name(NS_MOUNT), "mnt");
    cr_assert_eq(namespace_clone_flag(NS_USER), CLONE_NEWUSER);
}

static void refused(enum namespace_type type, const char *path, const char *said)
{
    struct spec_namespace ns[NS_COUNT] = {0};
    struct error err = {0};
    int fds[NS_COUNT];

    ns[type] = (struct spec_namespace){.present = true, .path = (char *)path};
    cr_assert_eq(namespaces_open(ns, fds, &err), -1);
    cr_assert_not_null(strstr(err.message, said), "%s", err.message);
}

Test(namespaces, wrong_paths)
{
    refused(NS_NETWORK, "/proc/self/ns/mnt", "/proc/self/ns/mnt is a mount namespace, not a network one");
    refused(NS_PID, "/etc/passwd", "/etc/passwd is not a namespace");
    refused(NS_PID, "/dev/null", "is not a namespace");
    refused(NS_UTS, "/proc/self/ns/none", "No such file");
}

Test(namespaces, offsets)
{
    struct spec_time_offset none = {0};
    struct error err = {0};

    cr_assert_eq(timens_write_offsets(&none, &none, &err), 0);
    if (geteuid() != 0)
        cr_skip_test("needs root: makes a time namespace");
    if (unshare(0x80) < 0)
        cr_skip_test("no time namespaces on this kernel");
    struct spec_time_offset day = {.present = true, .secs = 86400, .nanosecs = 5};
    cr_assert_eq(timens_write_offsets(&day, &day, &err), 0, "%s", err.message);
}
