/*
 * Paths in a hostile root. Every case runs twice, with openat2 and with the walk that stands in for it, and
 * has to end the same. The root is root/ in a fresh directory; what must never be reached is outside/, beside
 * it.
 */
#include "base/path.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/path_private.h"

static char top[] = "/tmp/hull-path-XXXXXX";
static int root = -1, outside = -1;

static void write_at(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_EXCL, 0644);
    cr_assert(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
    close(fd);
}

static void make_link(const char *target, int at, const char *name)
{
    cr_assert_eq(symlinkat(target, at, name), 0, "%s: %m", name);
}

static void set_up(void)
{
    umask(022);
    cr_assert(mkdtemp(top));
    int dir = open(top, O_PATH);
    cr_assert_eq(mkdirat(dir, "root", 0755), 0);
    cr_assert_eq(mkdirat(dir, "outside", 0755), 0);
    root = openat(dir, "root", O_PATH | O_DIRECTORY);
    outside = openat(dir, "outside", O_PATH | O_DIRECTORY);
    write_at(outside, "secret", "outside");
    mkdirat(root, "a", 0755);
    mkdirat(root, "a/b", 0755);
    mkdirat(root, "tmp", 0755);
    mkdirat(root, "outside", 0755);
    write_at(root, "outside/secret", "inside");
    write_at(root, "a/file", "inside");
    close(dir);
}

static void tear_down(void)
{
    struct stat st;
    cr_expect_eq(fstatat(outside, "escaped", &st, AT_SYMLINK_NOFOLLOW), -1, "something was made outside");
    cr_expect(file_remove_tree(AT_FDCWD, top, NULL) == 0);
}

/* Each test body runs with openat2 (0) and without (1). */
#define BOTH_WAYS(name)                                                                                      \
    static void name(void);                                                                                  \
    Test(path, name##_openat2, .init = set_up, .fini = tear_down)                                            \
    {                                                                                                        \
        name();                                                                                              \
    }                                                                                                        \
    Test(path, name##_walk, .init = set_up, .fini = tear_down)                                               \
    {                                                                                                        \
        path_pretend_no_openat2(true);                                                                       \
        name();                                                                                              \
    }                                                                                                        \
    static void name(void)

static const char *content(int fd)
{
    static char text[64];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return strerrorname_np(errno);
    text[n] = '\0';
    return text;
}

static const char *open_result(const char *path, int flags)
{
    int fd = path_open(root, path, flags, 0);
    if (fd < 0)
        return strerrorname_np(errno);
    close(fd);
    return "ok";
}

static const char *nofollow_result(const char *path, int flags)
{
    int fd = path_open_nofollow(root, path, flags, 0);
    if (fd < 0)
        return strerrorname_np(errno);
    close(fd);
    return "ok";
}

BOTH_WAYS(links_and_dotdot_stay_inside)
{
    char absolute[PATH_MAX];
    snprintf(absolute, sizeof(absolute), "%s/outside", top);
    make_link("/outside", root, "abs");
    make_link("../../../../outside", root, "a/b/up");
    make_link(absolute, root, "host");
    make_link("abs/secret", root, "two");
    make_link("/", root, "slash");

    static const char *const inside[] = {
        "abs/secret",
        "/abs/secret",
        "a/b/up/secret",
        "two",
        "../outside/secret",
        "../../../abs/secret",
        "/../outside/secret",
        "a/../../outside/secret",
        "slash/slash/outside/secret",
        "a/b/../../abs/secret",
        "./a/./b//..///../outside/secret",
        "a/b/up/../outside/secret",
    };
    for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
        cr_expect_str_eq(content(path_open(root, inside[i], O_RDONLY, 0)), "inside", "%s", inside[i]);
    cr_expect_str_eq(open_result("host/secret", O_RDONLY), "ENOENT");

    struct stat here, there;
    int fd = path_open(root, "..", O_PATH, 0);
    cr_assert(fd >= 0 && fstat(fd, &there) == 0 && fstat(root, &here) == 0);
    cr_expect_eq(here.st_ino, there.st_ino, "the root's parent is the root");
    close(fd);
}

BOTH_WAYS(errors_are_the_kernels)
{
    make_link("loop2", root, "loop1");
    make_link("loop1", root, "loop2");
    make_link("file", root, "a/link");
    make_link("missing", root, "a/dangling");
    make_link("b", root, "a/dir");
    char name[NAME_MAX + 2] = "", path[PATH_MAX + 2] = "";
    memset(name, 'n', NAME_MAX + 1);
    memset(path, '/', PATH_MAX);

    const struct {
        const char *path;
        int flags;
        const char *result;
    } cases[] = {
        {"", O_RDONLY, "ENOENT"},
        {"missing", O_RDONLY, "ENOENT"},
        {"missing/x", O_RDONLY, "ENOENT"},
        {"missing/../a", O_PATH, "ENOENT"},
        {"a/file/x", O_RDONLY, "ENOTDIR"},
        {"a/file/", O_RDONLY, "ENOTDIR"},
        {"a/file/..", O_PATH, "ENOTDIR"},
        {"a/file/.", O_PATH, "ENOTDIR"},
        {"a/file", O_RDONLY | O_DIRECTORY, "ENOTDIR"},
        {"a/link", O_RDONLY | O_DIRECTORY, "ENOTDIR"},
        {"loop1", O_RDONLY, "ELOOP"},
        {"loop1", O_PATH, "ELOOP"},
        {"loop1/x", O_RDONLY, "ELOOP"},
        {"loop1", O_PATH | O_NOFOLLOW, "ok"},
        {"a/link", O_RDONLY, "ok"},
        {"a/link", O_RDONLY | O_NOFOLLOW, "ELOOP"},
        {"a/link", O_PATH | O_NOFOLLOW | O_DIRECTORY, "ENOTDIR"},
        {"a/dangling", O_RDONLY, "ENOENT"},
        {"a/dangling", O_PATH, "ENOENT"},
        {"a/dangling", O_PATH | O_NOFOLLOW, "ok"},
        {"a/dir", O_RDONLY | O_DIRECTORY, "ok"},
        {"a/dir/", O_RDONLY | O_NOFOLLOW, "ok"},
        {"a/dir/..", O_PATH, "ok"},
        {"a", O_WRONLY, "EISDIR"},
        {"/", O_RDONLY, "ok"},
        {"///", O_RDONLY | O_DIRECTORY, "ok"},
        {".", O_PATH, "ok"},
        {name, O_RDONLY, "ENAMETOOLONG"},
        {path, O_RDONLY, "ENAMETOOLONG"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_str_eq(open_result(cases[i].path, cases[i].flags), cases[i].result, "\"%.20s\" %x: %s",
                         cases[i].path, cases[i].flags, open_result(cases[i].path, cases[i].flags));
}

BOTH_WAYS(forty_links_are_the_limit)
{
    char name[8], target[8];
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof(name), "l%d", i);
        snprintf(target, sizeof(target), "l%d", i - 1);
        make_link(i == 1 ? "a/file" : target, root, name);
    }
    cr_expect_str_eq(content(path_open(root, "l40", O_RDONLY, 0)), "inside");
    cr_expect_str_eq(open_result("l41", O_RDONLY), "ELOOP");
}

BOTH_WAYS(nofollow_refuses_every_link)
{
    make_link("a", root, "link");
    make_link("missing", root, "dangling");
    cr_expect_str_eq(nofollow_result("link", O_RDONLY), "ELOOP");
    cr_expect_str_eq(nofollow_result("link", O_PATH), "ELOOP");
    cr_expect_str_eq(nofollow_result("link", O_PATH | O_NOFOLLOW), "ELOOP");
    cr_expect_str_eq(nofollow_result("link/file", O_RDONLY), "ELOOP");
    cr_expect_str_eq(nofollow_result("dangling", O_PATH), "ELOOP");
    cr_expect_str_eq(nofollow_result("a/file", O_RDONLY), "ok");
    cr_expect_str_eq(nofollow_result("/a/../a/b/..", O_PATH), "ok");
    cr_expect_str_eq(nofollow_result("../a", O_PATH), "ok");
}

BOTH_WAYS(creation_stays_inside)
{
    make_link("/tmp/made", root, "dangling");
    make_link("../../outside/escaped", root, "a/escape");
    int fd = path_open(root, "dangling", O_CREAT | O_WRONLY, 0640);
    struct stat st;
    cr_assert(fd >= 0, "%m");
    close(fd);
    cr_expect(fstatat(root, "tmp/made", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
    fd = path_open(root, "a/escape", O_CREAT | O_WRONLY, 0644);
    cr_assert(fd >= 0, "%m");
    close(fd);
    cr_expect_eq(fstatat(root, "outside/escaped", &st, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect_str_eq(open_result("dangling", O_CREAT | O_EXCL | O_WRONLY), "EEXIST");
    cr_expect_str_eq(open_result("a", O_CREAT | O_WRONLY), "EISDIR");
    cr_expect_str_eq(open_result(".", O_CREAT | O_WRONLY), "EISDIR");
    fd = path_open(root, "a", O_RDONLY, 0);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

BOTH_WAYS(magic_links_are_refused)
{
    int proc = open("/proc", O_PATH), fd;
    fd = path_open(proc, "self/exe", O_PATH, 0);
    cr_expect(fd < 0 && errno == ELOOP, "exe: %m");
    fd = path_open(proc, "self/cwd", O_PATH | O_DIRECTORY, 0);
    cr_expect(fd < 0 && errno == ELOOP, "cwd: %m");
    fd = path_open(proc, "self/root/etc", O_PATH, 0);
    cr_expect(fd < 0 && errno == ELOOP, "root: %m");
    fd = path_open(proc, "self/ns/mnt", O_PATH, 0);
    cr_expect(fd < 0 && errno == ELOOP, "ns: %m");
    fd = path_open(proc, "mounts", O_RDONLY, 0);
    cr_expect(fd >= 0, "an ordinary link of procfs: %m");
    close(fd);
    close(proc);
}

static void expect_directory(const char *path, mode_t mode)
{
    struct stat st;
    cr_expect(fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode), "%s", path);
    cr_expect_eq(st.st_mode & 07777, mode, "%s is %o", path, st.st_mode);
}

BOTH_WAYS(mkdirs_makes_what_is_missing_inside)
{
    struct error err;
    int fd = -1;
    struct stat st;
    make_link("/var/run/deep", root, "a/dangling");
    make_link("../../../x", root, "var-link");
    make_link("self", root, "self");
    make_link("../../outside/escaped", root, "escape");

    static const struct {
        const char *path, *made;
    } good[] = {{"new/one/two", "new/one/two"},
                {"/a/b/c/", "a/b/c"},
                {"a/dangling/more", "var/run/deep/more"},
                {"var-link/y", "x/y"},
                {"../../p/../q", "q"},
                {"escape", "outside/escaped"},
                {"/", "."},
                {"./a//./b", "a/b"}};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        cr_assert_eq(path_mkdirs(root, good[i].path, 0755, &fd, &err), 0, "%s: %s", good[i].path,
                     err.message);
        cr_expect_eq(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
        struct stat got;
        expect_directory(good[i].made, 0755);
        cr_expect(fstat(fd, &got) == 0 && fstatat(root, good[i].made, &st, 0) == 0 && got.st_ino == st.st_ino,
                  "%s is another directory", good[i].path);
        close(fd);
    }
    cr_expect_eq(path_mkdirs(root, "self/x", 0755, &fd, &err), -1);
    cr_expect_eq(err.code, ELOOP);
    cr_expect_eq(path_mkdirs(root, "a/file/x", 0755, &fd, &err), -1);
    cr_expect_eq(err.code, ENOTDIR);
    cr_expect_str_eq(err.message, "make directory a/file/x: Not a directory");
    cr_expect_eq(path_mkdirs(root, "a/file", 0755, &fd, &err), -1);
    cr_expect_eq(path_mkdirs(root, "", 0755, &fd, &err), -1);
}

BOTH_WAYS(mkfile_makes_only_what_is_missing)
{
    struct error err;
    int fd = -1;
    struct stat st;
    make_link("/etc/real", root, "a/link");
    make_link("../outside/escaped", root, "escape");
    mknodat(root, "fifo", S_IFIFO | 0644, 0);

    cr_assert_eq(path_mkfile(root, "/etc/conf/file", 0600, &fd, &err), 0, "%s", err.message);
    cr_expect(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && (st.st_mode & 07777) == 0600);
    close(fd);
    expect_directory("etc/conf", 0755);
    cr_assert_eq(path_mkfile(root, "a/link", 0644, &fd, &err), 0, "%s", err.message);
    close(fd);
    cr_expect(fstatat(root, "etc/real", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
    cr_assert_eq(path_mkfile(root, "escape", 0644, &fd, &err), 0, "%s", err.message);
    close(fd);
    cr_expect_eq(fstatat(root, "outside/escaped", &st, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert_eq(path_mkfile(root, "a/file", 0, &fd, &err), 0);
    cr_expect(fstat(fd, &st) == 0 && st.st_size == 6, "what is there is left alone");
    close(fd);
    cr_assert_eq(path_mkfile(root, "fifo", 0644, &fd, &err), 0, "opening a fifo must not hang");
    cr_expect(fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode));
    close(fd);
    cr_expect_eq(path_mkfile(root, "a/b", 0644, &fd, &err), -1);
    cr_expect_eq(err.code, EISDIR);
    cr_expect_eq(path_mkfile(root, "/", 0644, &fd, &err), -1);
}

BOTH_WAYS(open_parent)
{
    struct error err;
    const char *name;
    int fd = -1;
    struct stat st;
    make_link("/outside", root, "dev");
    cr_assert_eq(path_open_parent(root, "/dev/null", 0755, &fd, &name, &err), 0, "%s", err.message);
    cr_expect_str_eq(name, "null");
    cr_expect_eq(mknodat(fd, name, S_IFREG | 0644, 0), 0);
    cr_expect_eq(fstatat(root, "outside/null", &st, 0), 0);
    close(fd);
    cr_assert_eq(path_open_parent(root, "/x/y/z", 0755, &fd, &name, &err), 0);
    expect_directory("x/y", 0755);
    close(fd);
    cr_assert_eq(path_open_parent(root, "plain", 0755, &fd, &name, &err), 0);
    cr_expect_str_eq(name, "plain");
    close(fd);
    static const char *const bad[] = {"", "/", "a/", "a/..", "..", ".", "a/.", "a/b/"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_eq(path_open_parent(root, bad[i], 0755, &fd, &name, &err), -1, "took \"%s\"", bad[i]);
}

/* CVE-2021-30465 and kin: somebody swaps a directory for a link while we walk. */
static atomic_bool stop;

static void *swap(void *arg)
{
    (void)arg;
    while (!stop)
        syscall(SYS_renameat2, root, "swap", root, "other", 2 /* RENAME_EXCHANGE */);
    return NULL;
}

BOTH_WAYS(a_racing_swap_never_leads_outside)
{
    pthread_t thread;
    char target[PATH_MAX];
    struct error err;
    snprintf(target, sizeof(target), "%s/outside", top);
    mkdirat(root, "swap", 0755);
    make_link(target, root, "other");
    cr_assert_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        int fd = path_open(root, "swap/secret", O_RDONLY, 0);
        cr_assert(fd < 0, "the host's file was opened");
        fd = -1;
        path_mkfile(root, i % 2 ? "swap/escaped" : "swap/../swap/x/../escaped", 0644, &fd, &err);
        fd_closep(&fd);
        fd = -1;
        path_mkdirs(root, "swap/dir/escaped", 0755, &fd, &err);
        fd_closep(&fd);
    }
    stop = true;
    pthread_join(thread, NULL);
    struct stat st;
    cr_expect_eq(fstatat(outside, "dir", &st, AT_SYMLINK_NOFOLLOW), -1, "a directory was made outside");
}

static void *move_out(void *arg)
{
    (void)arg;
    while (!stop) {
        renameat(root, "a/b", outside, "b");
        renameat(outside, "b", root, "a/b");
    }
    return NULL;
}

BOTH_WAYS(a_directory_moved_out_does_not_take_dotdot_with_it)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, move_out, NULL), 0);
    for (int i = 0; i < 5000; i++) {
        int fd = path_open(root, "a/b/../../secret", O_RDONLY, 0);
        cr_assert(fd < 0, "\"..\" led outside");
        fd = path_open(root, "a/b/../secret", O_RDONLY, 0);
        cr_assert(fd < 0, "\"..\" led outside");
    }
    stop = true;
    pthread_join(thread, NULL);
}

Test(path, long_walks_end, .init = set_up, .fini = tear_down)
{
    char text[PATH_MAX] = "";
    path_pretend_no_openat2(true);
    for (size_t i = 0; i + 10 < sizeof(text); i += 5)
        memcpy(text + i, "a/../", 5);
    for (int i = 0; i < 39; i++) {
        char name[8], with_next[PATH_MAX];
        snprintf(name, sizeof(name), "z%d", i);
        snprintf(with_next, sizeof(with_next), "%sz%d", text, i + 1);
        make_link(with_next, root, name);
    }
    mkdirat(root, "z39", 0755);
    cr_expect_str_eq(open_result("z0", O_PATH), "ok");
}

Test(path, many_components_need_few_descriptors, .init = set_up, .fini = tear_down)
{
    char text[PATH_MAX];
    int fd;
    path_pretend_no_openat2(true);
    for (size_t i = 0; i < 4000; i += 2)
        memcpy(text + i, "d/", 2);
    text[4000] = '\0';
    cr_expect_eq(path_mkdirs(root, text, 0755, &fd, NULL), 0, "2000 levels: %m");
    close(fd);
    cr_expect_str_eq(open_result(text, O_PATH), "ok");
}

Test(path, strings)
{
    static struct arena a;
    cr_expect_str_eq(path_absolute(&a, "/x/y"), "/x/y");
    cr_expect_str_eq(path_absolute(&a, "/.//./x/./.y///z/."), "/x/.y/z");
    cr_expect_str_eq(path_absolute(&a, "/x/../y/"), "/x/../y");
    cr_expect_str_eq(path_absolute(&a, "//."), "/");
    cr_assert_eq(chdir("/tmp"), 0);
    cr_expect_str_eq(path_absolute(&a, "x"), "/tmp/x");
    cr_expect_str_eq(path_absolute(&a, "."), "/tmp");
    cr_expect_str_eq(path_absolute(&a, "./../x"), "/tmp/../x");
    cr_assert_eq(chdir("/"), 0);
    cr_expect_str_eq(path_absolute(&a, "x"), "/x");

    static const char *const with[] = {"..", "../a", "a/..", "a/../b", "/..", "a//..", "/a/b/../../.."};
    static const char *const without[] = {"", "/", "a", "...", "a..", "..a", "a/..b/c", ".", "a/./b"};
    for (size_t i = 0; i < ARRAY_SIZE(with); i++)
        cr_expect(path_has_dotdot(with[i]), "%s", with[i]);
    for (size_t i = 0; i < ARRAY_SIZE(without); i++)
        cr_expect_not(path_has_dotdot(without[i]), "%s", without[i]);
}
