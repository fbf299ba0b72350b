/*
 * See container.h. The container is one forked child in new namespaces; what goes wrong in it comes back as
 * text in a shared page. The test's directory is on a tmpfs in a mount namespace of the test process, so
 * nothing is left behind whatever happens.
 */
#include "container.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/procfs.h"
#include "base/syscalls.h"
#include "namespaces/namespaces.h"
#include "namespaces/rootfs.h"

#define TOP "/tmp"

static char *page; /* shared with the child: its error */
enum { PAGE = 4096 };

const char *container_top(void)
{
    return TOP;
}

void container_needs_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root: makes mount namespaces");
    if (unshare(CLONE_NEWNS) < 0)
        cr_skip_test("mount namespaces may not be made here: %s", strerror(errno));
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    cr_assert_eq(mount("tmpfs", TOP, "tmpfs", 0, "mode=755"), 0);
    cr_assert_eq(mkdir(TOP "/rootfs", 0755), 0);
    cr_assert_eq(mkdir(TOP "/outside", 0755), 0);
    cr_assert_eq(mkdir(TOP "/outside/dev", 0755), 0);
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(page, MAP_FAILED);
}

static void must(bool good, const char *what, const char *path)
{
    if (good)
        return;
    fprintf(stderr, "%s %s: %m\n", what, path);
    _exit(99);
}

void make_dir(const char *path)
{
    must(mkdir(path, 0755) == 0 || errno == EEXIST, "mkdir", path);
}

void make_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write", path);
    close(fd);
}

void make_link(const char *target, const char *path)
{
    must(symlink(target, path) == 0, "symlink", path);
}

bool text_is(const char *path, const char *text)
{
    char got[256];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got));
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

bool is_dir(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool is_link_to(const char *path, const char *target)
{
    char got[256];
    ssize_t n = readlink(path, got, sizeof(got));
    return n == (ssize_t)strlen(target) && memcmp(got, target, (size_t)n) == 0;
}

bool is_fs(const char *path, unsigned long magic)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == magic;
}

bool is_node(const char *path, unsigned major_number, unsigned minor_number)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(major_number, minor_number);
}

const char *mount_flags(const char *path)
{
    static char flags[256];
    char line[4096], point[1024], found[256];
    FILE *f = fdopen(procfs_open("self/mountinfo", O_RDONLY), "r");

    flags[0] = '\0';
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*s %*s %*s %1023s %255s", point, found) == 2 && strcmp(point, path) == 0)
            strcpy(flags, found);
    if (f)
        fclose(f);
    return flags;
}

bool mount_has(const char *path, const char *flag)
{
    const char *flags = mount_flags(path);
    size_t n = strlen(flag);

    for (const char *p = flags; (p = strstr(p, flag)); p += n)
        if ((p == flags || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

bool outside_untouched(void)
{
    struct stat st, dev;
    /* two links each: no directory below but dev; and nothing in dev */
    return stat(TOP "/outside", &st) == 0 && stat(TOP "/outside/dev", &dev) == 0 &&
           st.st_size == dev.st_size + 20;
}

static int child(const struct test_container *c, struct rootfs *r, bool user, int go)
{
    struct error err = {0};
    char byte;

    if (read(go, &byte, 1) != 1)
        return 1;
    if (user && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        error_set(&err, errno, "become root of the user namespace");
    else if (rootfs_mount(r, &err) == 0 && rootfs_pivot(r, &err) == 0 && rootfs_finish(r, -1, &err) == 0) {
        if (!c->inside || c->inside())
            return 0;
        error_set(&err, 0, "inside");
    }
    snprintf(page, PAGE, "%s", err.message);
    return 1;
}

static const char *run(const struct test_container *c, struct rootfs *r, const struct spec *spec,
                       struct error *err)
{
    int flags = namespaces_new_flags(spec->linux_.namespaces), go[2], status;

    cr_assert_eq(pipe(go), 0);
    struct clone3_args args = {.flags = (uint64_t)flags, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);
    cr_assert(pid >= 0, "clone3: %m");
    if (pid == 0) {
        close(go[1]);
        _exit(child(c, r, flags & CLONE_NEWUSER, go[0]));
    }
    int mapped = flags & CLONE_NEWUSER
                     ? idmap_write(pid, &spec->linux_.uid_mappings, &spec->linux_.gid_mappings, err)
                     : 0;
    if (mapped == 0)
        cr_assert_eq(write(go[1], "", 1), 1);
    close(go[1]);
    close(go[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (mapped < 0)
        return err->message;
    if (WIFSIGNALED(status))
        return "killed by a signal";
    return WEXITSTATUS(status) ? (page[0] ? page : "exit status") : NULL;
}

static void prepare_in_root(void (*prepare)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        umask(0);
        if (chdir(TOP "/rootfs") < 0)
            _exit(99);
        prepare();
        _exit(0);
    }
    cr_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

const char *container_try(const struct test_container *c)
{
    static struct error err;
    static char text[16384];
    struct arena arena = {0};
    struct spec *spec;
    struct rootfs *r;

    page[0] = '\0';
    if (c->prepare)
        prepare_in_root(c->prepare);
    int n = snprintf(text, sizeof(text),
                     "{\"ociVersion\":\"1.0.2\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"x\"],"
                     "\"cwd\":\"/\"},"
                     "\"root\":{\"path\":\"rootfs\"%s},\"mounts\":[%s],\"linux\":{\"namespaces\":[%s]%s}}",
                     c->root_more ? c->root_more : "", c->mounts ? c->mounts : "",
                     c->namespaces ? c->namespaces
                                   : "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":"
                                     "\"uts\"},{\"type\":\"network\"},"
                                     "{\"type\":\"cgroup\"}",
                     c->linux_more ? c->linux_more : "");
    if (spec_parse(&arena, text, (size_t)n, "config.json", &spec, &err) < 0)
        return err.message;
    const struct spec_namespace *ns = spec->linux_.namespaces;
    const struct rootfs_options options = {
        .bundle = TOP,
        .no_pivot = c->no_pivot,
        .user_namespace = ns[NS_USER].present,
        .new_mount_namespace = ns[NS_MOUNT].present,
        .new_cgroup_namespace = ns[NS_CGROUP].present,
        .new_network_namespace = ns[NS_NETWORK].present,
    };
    if (rootfs_plan(&arena, spec, &options, &r, &err) < 0 || rootfs_open(r, &err) < 0)
        return err.message;
    return run(c, r, spec, &err);
}
