/*
 * The root as a container sees it, and hostile roots: symbolic links at mount targets, /dev and /proc that
 * are not what they seem, wrong device nodes. Each test is a container in a mount namespace of its own;
 * without root they are skipped.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "container.h"

#define PROC "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}"
#define DEV                                                                                                  \
    "{\"destination\":\"/"                                                                                   \
    "dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"mode=755\"]}"
#define SYS                                                                                                  \
    "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"ro\"]}"
#define PTS                                                                                                  \
    "{\"destination\":\"/dev/"                                                                               \
    "pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"newinstance\",\"gid=5\"]}"
#define SHM "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"mode=1777\"]}"
#define USER_NS                                                                                              \
    "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"network\"},{" \
    "\"type\":\"user\"},"                                                                                    \
    "{\"type\":\"cgroup\"}"
#define USER_MAPS                                                                                            \
    ",\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"                               \
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]"

TestSuite(rootfs, .init = container_needs_root);

static void good(const struct test_container *c)
{
    const char *said = container_try(c);
    cr_assert_null(said, "%s", said);
    cr_assert(outside_untouched(), "something outside the root was touched");
}

static void bad(const struct test_container *c, const char *part)
{
    const char *said = container_try(c);
    cr_assert_not_null(said);
    cr_assert_not_null(strstr(said, part), "said: %s", said);
    cr_assert(outside_untouched(), "something outside the root was touched");
}

static bool usual_inside(void)
{
    return is_fs("/proc", PROC_SUPER_MAGIC) && is_fs("/dev", TMPFS_MAGIC) && is_fs("/sys", SYSFS_MAGIC) &&
           is_fs("/dev/pts", DEVPTS_SUPER_MAGIC) && is_node("/dev/null", 1, 3) &&
           is_node("/dev/urandom", 1, 9) && is_link_to("/dev/ptmx", "pts/ptmx") &&
           is_link_to("/dev/fd", "/proc/self/fd") && mount_has("/sys", "ro") &&
           access("/tmp/outside", F_OK) < 0 && getpid() == 1 && text_is("/proc/self/comm", "") == false;
}

Test(rootfs, usual)
{
    good(&(struct test_container){.mounts = PROC "," DEV "," SYS "," PTS "," SHM, .inside = usual_inside});
}

Test(rootfs, no_pivot)
{
    good(&(struct test_container){
        .mounts = PROC "," DEV "," SYS "," PTS, .no_pivot = true, .inside = usual_inside});
}

static bool user_inside(void)
{
    return usual_inside() && mount_has("/dev/null", "rw") && access("/dev/null", W_OK) == 0;
}

static void owned_by_user(void)
{
    cr_assert_eq(chown(".", 100000, 100000), 0);
}

Test(rootfs, user_namespace)
{
    good(&(struct test_container){.mounts = PROC "," DEV "," SYS "," PTS "," SHM,
                                  .namespaces = USER_NS,
                                  .linux_more = USER_MAPS,
                                  .prepare = owned_by_user,
                                  .inside = user_inside});
}

static void make_secret(void)
{
    owned_by_user();
    cr_assert_eq(mkdir("/tmp/closed", 0700), 0);
    make_file("/tmp/closed/data", "data");
}

static bool see_secret(void)
{
    return text_is("/etc/data", "data") && mount_has("/etc/data", "ro");
}

Test(rootfs, user_namespace_source_below_closed_directory)
{
    good(&(struct test_container){.mounts =
                                      DEV ",{\"destination\":\"/etc/data\",\"type\":\"bind\",\"source\":\"/"
                                          "tmp/closed/data\",\"options\":[\"bind\","
                                          "\"ro\"]}",
                                  .namespaces = USER_NS,
                                  .linux_more = USER_MAPS,
                                  .prepare = make_secret,
                                  .inside = see_secret});
}

/* --- hostile roots --- */

static void dev_is_link(void)
{
    make_link("/tmp/outside/dev", "dev");
}

Test(rootfs, dev_symlink_is_an_error)
{
    bad(&(struct test_container){.prepare = dev_is_link}, "/dev of the container is not a directory");
}

static void dev_is_link_inside(void)
{
    make_dir("elsewhere");
    make_link("elsewhere", "dev");
}

Test(rootfs, dev_symlink_inside_the_root_is_an_error_too)
{
    bad(&(struct test_container){.mounts = DEV, .prepare = dev_is_link_inside},
        "/dev of the container is not a directory");
}

static void proc_is_link(void)
{
    make_dir("x");
    make_link("x", "proc");
}

Test(rootfs, proc_symlink_is_an_error)
{
    bad(&(struct test_container){.mounts = PROC, .prepare = proc_is_link},
        "must be mounted on ordinary directory");
}

static void sys_is_file(void)
{
    make_file("sys", "");
}

Test(rootfs, sys_file_is_an_error)
{
    bad(&(struct test_container){.mounts = SYS, .prepare = sys_is_file}, "mounts[0] (/sys)");
}

static void links_out(void)
{
    make_link("../../../tmp/outside", "data");
    make_dir("etc");
    make_link("/tmp/outside/new", "etc/new");
}

static bool stayed_inside(void)
{
    return is_fs("/tmp/outside", TMPFS_MAGIC) && is_dir("/tmp/outside/new") &&
           mount_has("/tmp/outside", "nosuid");
}

Test(rootfs, targets_follow_links_inside_only)
{
    good(&(struct test_container){
        .mounts =
            DEV ",{\"destination\":\"/data\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"nosuid\"]},"
                "{\"destination\":\"/etc/../etc/new\",\"type\":\"tmpfs\",\"source\":\"t\"}",
        .prepare = links_out,
        .inside = stayed_inside});
}

static void link_into_proc(void)
{
    make_link("proc/sys", "volume");
    make_link("/", "all");
}

Test(rootfs, link_into_proc_is_refused)
{
    bad(&(struct test_container){.mounts = PROC
                                 "," DEV ",{\"destination\":\"/volume\",\"type\":\"tmpfs\",\"source\":\"t\"}",
                                 .prepare = link_into_proc},
        "inside /proc");
}

Test(rootfs, link_to_the_root_is_refused)
{
    bad(&(struct test_container){.mounts =
                                     DEV ",{\"destination\":\"/all\",\"type\":\"tmpfs\",\"source\":\"t\"}",
                                 .prepare = link_into_proc},
        "to the root itself");
}

static void wrong_null(void)
{
    make_dir("dev");
    make_file("dev/null", "not a device");
}

Test(rootfs, wrong_object_in_place_of_a_device)
{
    bad(&(struct test_container){.prepare = wrong_null},
        "/dev/null exists in the container and is not device c 1:3");
}

static void null_is_link(void)
{
    make_dir("dev");
    make_link("/tmp/outside/x", "dev/null");
}

Test(rootfs, device_symlink_is_not_followed)
{
    bad(&(struct test_container){.prepare = null_is_link}, "/dev/null exists");
}

static void masks_are_links(void)
{
    make_dir("secret");
    make_file("secret/key", "key");
    make_link("secret", "alias");
    make_link("../../tmp/outside", "far");
    make_file("file", "text");
    make_dir("other");
    make_dir("other/sub");
}

static bool masked(void)
{
    struct stat a, b;
    return access("/secret/key", F_OK) < 0 && is_node("/file", 1, 3) && access("/other/sub", F_OK) < 0 &&
           mount_has("/other", "ro") && stat("/other", &a) == 0 && stat("/secret", &b) == 0 &&
           a.st_dev == b.st_dev;
}

Test(rootfs, masks_follow_links_inside_and_share_one_tmpfs)
{
    good(&(struct test_container){
        .mounts = DEV,
        .linux_more =
            ",\"maskedPaths\":[\"/alias\",\"/far\",\"/file\",\"/other\",\"/missing\",\"/file/below\"]",
        .prepare = masks_are_links,
        .inside = masked});
}

static bool read_only(void)
{
    return open("/secret/key", O_WRONLY) < 0 && open("/file", O_WRONLY) < 0 &&
           open("/x", O_CREAT | O_WRONLY, 0600) < 0 && text_is("/secret/key", "key") &&
           mount_has("/", "ro") && open("/dev/x", O_CREAT | O_WRONLY, 0600) >= 0;
}

Test(rootfs, readonly_root_and_paths)
{
    good(&(struct test_container){.mounts = DEV,
                                  .root_more = ",\"readonly\":true",
                                  .linux_more = ",\"readonlyPaths\":[\"/alias\",\"/file\",\"/missing\"]",
                                  .prepare = masks_are_links,
                                  .inside = read_only});
}

/* --- mounts --- */

static void make_tree(void)
{
    cr_assert_eq(mkdir("/tmp/src", 0755), 0);
    cr_assert_eq(mkdir("/tmp/src/sub", 0755), 0);
    cr_assert_eq(mount("tmpfs", "/tmp/src/sub", "tmpfs", 0, NULL), 0);
    make_file("/tmp/src/file", "file");
}

static bool tree_flags(void)
{
    return mount_has("/a", "ro") && mount_has("/a/sub", "rw") && mount_has("/b", "ro") &&
           mount_has("/b/sub", "ro") && mount_has("/b/sub", "nosuid") && !is_fs("/c/sub", 0) &&
           strcmp(mount_flags("/c/sub"), "") == 0 && text_is("/d/e/f", "file") && mount_has("/a", "noatime");
}

Test(rootfs, binds)
{
    good(&(struct test_container){
        .mounts = DEV
        ",{\"destination\":\"/a\",\"source\":\"/tmp/"
        "src\",\"options\":[\"rbind\",\"ro\",\"rprivate\",\"noatime\"]},"
        "{\"destination\":\"/b\",\"source\":\"src\",\"options\":[\"rbind\",\"rro\",\"rnosuid\",\"rslave\"]},"
        "{\"destination\":\"/c\",\"source\":\"/tmp/src\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/d/e/f\",\"type\":\"bind\",\"source\":\"/tmp/src/file\"}",
        .prepare = make_tree,
        .inside = tree_flags});
}

Test(rootfs, missing_source)
{
    bad(
        &(struct test_container){
            .mounts = DEV ",{\"destination\":\"/data\",\"source\":\"/srv/no\",\"options\":[\"rbind\"]}"},
        "mounts[1] (/data): bind source /srv/no: No such file or directory");
}

Test(rootfs, unknown_file_system)
{
    bad(&(struct test_container){.mounts = "{\"destination\":\"/data\",\"type\":\"nofs\",\"source\":\"x\"}"},
        "this kernel knows no file system of type nofs");
}

static bool remounted(void)
{
    return mount_has("/t", "ro") && mount_has("/t", "nodev");
}

Test(rootfs, bind_remount_and_tmpfs_that_ends_read_only)
{
    good(&(struct test_container){
        .mounts =
            DEV ",{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"ro\"]},"
                "{\"destination\":\"/t/below\",\"type\":\"tmpfs\",\"source\":\"t\"},"
                "{\"destination\":\"/t\",\"source\":\"t\",\"options\":[\"bind\",\"remount\",\"nodev\"]}",
        .inside = remounted});
}

static void make_content(void)
{
    make_dir("var");
    cr_assert_eq(chmod("var", 01770), 0);
    make_dir("var/d");
    make_file("var/d/f", "content");
    cr_assert_eq(chown("var/d/f", 12, 34), 0);
    cr_assert_eq(chmod("var/d/f", 04755), 0);
    cr_assert_eq(setxattr("var/d/f", "trusted.x", "v", 1, 0), 0);
    make_link("/tmp/outside", "var/l");
}

static bool copied(void)
{
    struct stat st, top;
    char v;
    return is_fs("/var", TMPFS_MAGIC) && text_is("/var/d/f", "content") && stat("/var/d/f", &st) == 0 &&
           st.st_uid == 12 && st.st_gid == 34 && (st.st_mode & 07777) == 04755 &&
           is_link_to("/var/l", "/tmp/outside") && stat("/var", &top) == 0 &&
           (top.st_mode & 07777) == 01770 && getxattr("/var/d/f", "trusted.x", &v, 1) == 1;
}

Test(rootfs, tmpcopyup)
{
    good(&(struct test_container){
        .mounts = DEV ",{\"destination\":\"/"
                      "var\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"tmpcopyup\",\"nodev\"]}",
        .prepare = make_content,
        .inside = copied});
}

static bool ids_mapped(void)
{
    struct stat st;
    return stat("/mapped/file", &st) == 0 && st.st_uid == 1000 && st.st_gid == 2000;
}

Test(rootfs, idmapped_bind)
{
    const struct test_container c = {
        .mounts = DEV ",{\"destination\":\"/mapped\",\"source\":\"/tmp/src\",\"options\":[\"bind\"],"
                      "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}],"
                      "\"gidMappings\":[{\"containerID\":0,\"hostID\":2000,\"size\":10}]}",
        .prepare = make_tree,
        .inside = ids_mapped};
    const char *said = container_try(&c);
    if (said && strstr(said, "map the ids of"))
        cr_skip_test("no idmapped tmpfs on this kernel: %s", said);
    cr_assert_null(said, "%s", said);
}

static bool cgroup_inside(void)
{
    bool v2 = is_fs("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC);
    return mount_has("/sys/fs/cgroup", "ro") && (v2 || is_fs("/sys/fs/cgroup", TMPFS_MAGIC)) &&
           (v2 || mkdir("/sys/fs/cgroup/x", 0755) < 0);
}

#define CGROUP                                                                                               \
    "{\"destination\":\"/sys/fs/"                                                                            \
    "cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\",\"nosuid\"]}"

Test(rootfs, cgroup_with_namespace)
{
    good(&(struct test_container){.mounts = DEV "," SYS "," CGROUP, .inside = cgroup_inside});
}

Test(rootfs, cgroup_without_namespace)
{
    good(&(struct test_container){.mounts = DEV "," SYS "," CGROUP,
                                  .namespaces =
                                      "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"network\"}",
                                  .inside = cgroup_inside});
}

static bool propagation_is_shared(void)
{
    char line[4096], point[64];
    FILE *f = fopen("/proc/self/mountinfo", "r");
    bool found = false;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*s %*s %*s %63s", point) == 1 && strcmp(point, "/") == 0)
            found |= strstr(line, " shared:") != NULL;
    return found;
}

Test(rootfs, propagation_of_the_root)
{
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
    for (int i = 0; i < 4; i++) {
        static const char *const words[] = {"shared", "rshared", "slave", "unbindable"};
        char more[64];
        snprintf(more, sizeof(more), ",\"rootfsPropagation\":\"%s\"", words[i]);
        const char *said = container_try(&(struct test_container){
            .mounts = PROC "," DEV, .linux_more = more, .inside = i < 2 ? propagation_is_shared : NULL});
        cr_assert_null(said, "%s: %s", words[i], said);
        cr_assert_str_empty(mount_flags("/tmp/rootfs"), "%s: a mount came out", words[i]);
        cr_assert_str_empty(mount_flags("/tmp/rootfs/proc"), "%s: a mount came out", words[i]);
    }
}

static bool only_chroot(void)
{
    return access("/here", F_OK) == 0 && access("/tmp/outside", F_OK) < 0;
}

static void put_here(void)
{
    make_file("here", "");
}

Test(rootfs, without_mount_namespace)
{
    const struct test_container c = {
        .namespaces = "{\"type\":\"pid\"}", .prepare = put_here, .inside = only_chroot};
    good(&c);
    bad(&(struct test_container){.mounts = PROC, .namespaces = "{\"type\":\"pid\"}"}, "mount");
}
