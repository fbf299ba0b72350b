/* Whole files, replacement, and removal of trees that do not want to be removed. */
#include "base/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char top[] = "/tmp/hull-file-XXXXXX";
static int dir = -1;
static struct arena arena;
static struct error err;

static void make_link(const char *target, int at, const char *name)
{
    cr_assert_eq(symlinkat(target, at, name), 0, "%s: %m", name);
}

static void set_up(void)
{
    umask(022);
    cr_assert(mkdtemp(top));
    dir = open(top, O_RDONLY | O_DIRECTORY);
}

static void tear_down(void)
{
    cr_expect(file_remove_tree(AT_FDCWD, top, &err) == 0, "%s", err.message);
}

#define FileTest(name) Test(file, name, .init = set_up, .fini = tear_down)

FileTest(what_is_no_file_is_refused_and_does_not_hang)
{
    char *data;
    mknodat(dir, "fifo", S_IFIFO | 0644, 0);
    cr_expect_eq(file_read(dir, "fifo", 100, &arena, &data, NULL, &err), -1);
    cr_expect_str_eq(err.message, "fifo is not a regular file");
    cr_expect_eq(file_read(AT_FDCWD, "/dev/zero", 100, &arena, &data, NULL, &err), -1);
    cr_expect_eq(file_read(dir, ".", 100, &arena, &data, NULL, &err), -1);
    cr_expect_eq(file_read(dir, "missing", 100, &arena, &data, NULL, &err), -1);
    cr_expect_eq(err.code, ENOENT);
}

FileTest(reads_are_whole_and_limited)
{
    static char text[10000];
    memset(text, 'x', sizeof(text));
    size_t sizes[] = {0, 1, 4095, 4096, 4097, 8191, 8192, 10000}, length;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *data;
        cr_assert_eq(file_replace(dir, "f", 0600, text, sizes[i], &err), 0, "%s", err.message);
        cr_assert_eq(file_read(dir, "f", 10000, &arena, &data, &length, &err), 0, "%s", err.message);
        cr_expect_eq(length, sizes[i]);
        cr_expect_eq(strlen(data), sizes[i]);

        int p[2];
        cr_assert_eq(pipe(p), 0);
        cr_assert_eq(fd_write_all(p[1], text, sizes[i]), 0);
        close(p[1]);
        cr_assert_eq(fd_read_all(p[0], 10000, &arena, &data, &length), 0);
        cr_expect_eq(length, sizes[i]);
        cr_expect_eq(strlen(data), sizes[i]);
        close(p[0]);
    }
    char *data;
    cr_expect_eq(file_read(dir, "f", 9999, &arena, &data, NULL, &err), -1);
    cr_expect(strstr(err.message, "larger than 9999"), "%s", err.message);
    cr_assert_eq(file_read(AT_FDCWD, "/proc/self/status", 1 << 20, &arena, &data, &length, &err), 0);
    cr_expect(strncmp(data, "Name:", 5) == 0 && length == strlen(data));
    cr_expect_eq(file_read(AT_FDCWD, "/proc/self/status", 10, &arena, &data, NULL, &err), -1);
}

FileTest(replacement_leaves_nothing_behind_and_follows_nothing)
{
    struct stat st;
    cr_assert_eq(file_replace(dir, "victim", 0644, "old", 3, &err), 0);
    make_link("victim", dir, "name");
    cr_assert_eq(file_replace(dir, "name", 0600, "new", 3, &err), 0);
    cr_expect(fstatat(dir, "name", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
              (st.st_mode & 0777) == 0600);
    char *data;
    cr_assert_eq(file_read(dir, "victim", 9, &arena, &data, NULL, &err), 0);
    cr_expect_str_eq(data, "old");

    /* a temporary name that somebody has taken */
    make_link("victim", dir, arena_printf(&arena, ".name.%d-0", getpid()));
    cr_assert_eq(file_replace(dir, "name", 0600, "again", 5, &err), 0);
    cr_assert_eq(file_read(dir, "victim", 9, &arena, &data, NULL, &err), 0);
    cr_expect_str_eq(data, "old");
    unlinkat(dir, arena_printf(&arena, ".name.%d-0", getpid()), 0);

    mkdirat(dir, "sub", 0755);
    cr_expect_eq(file_replace(dir, "sub", 0600, "x", 1, &err), -1, "a directory cannot be replaced");
    cr_expect_eq(file_replace(dir, "missing/x", 0600, "x", 1, &err), -1);
    cr_assert_eq(file_replace(AT_FDCWD, arena_printf(&arena, "%s/sub/pid", top), 0644, "12", 2, &err), 0);
    int n = 0;
    DIR *d = fdopendir(dup(dir));
    while (readdir(d))
        n++;
    closedir(d);
    cr_expect_eq(n, 5, ". .. victim name sub, and no temporary: %d", n);
}

FileTest(writes_need_the_file)
{
    cr_expect_eq(file_write(dir, "missing", "x", 1, &err), -1);
    cr_expect_eq(err.code, ENOENT);
    cr_expect_eq(file_write(AT_FDCWD, "/dev/full", "x", 1, &err), -1);
    cr_expect_eq(err.code, ENOSPC);
    cr_expect_eq(file_write(AT_FDCWD, "/dev/null", "x", 1, &err), 0);
}

FileTest(trees_deeper_than_descriptors_are_removed)
{
    int at = dup(dir);
    for (int i = 0; i < 3000; i++) {
        cr_assert_eq(mkdirat(at, "d", 0755), 0);
        cr_assert_eq(mknodat(at, "f", S_IFREG | 0644, 0), 0);
        int next = openat(at, "d", O_PATH);
        cr_assert(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    mkdirat(dir, "d/.hull-remove-0", 0755); /* the name that would be taken */
    mkdirat(dir, "d/.hull-remove-0/x", 0755);
    cr_expect_eq(file_remove_tree(dir, "d", &err), 0, "%s", err.message);
    cr_expect_eq(faccessat(dir, "d", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

FileTest(removal_does_not_follow_links)
{
    mkdirat(dir, "keep", 0755);
    mknodat(dir, "keep/f", S_IFREG | 0644, 0);
    mkdirat(dir, "tree", 0755);
    make_link("../keep", dir, "tree/link");
    make_link("tree", dir, "link");
    mknodat(dir, "tree/fifo", S_IFIFO | 0644, 0);
    cr_expect_eq(file_remove_tree(dir, "tree", &err), 0, "%s", err.message);
    cr_expect_eq(faccessat(dir, "keep/f", F_OK, 0), 0);
    mkdirat(dir, "tree", 0755);
    mkdirat(dir, "tree/x", 0755);
    cr_expect_eq(file_remove_tree(dir, "link", &err), 0, "a link as the tree itself: %s", err.message);
    cr_expect_eq(faccessat(dir, "tree/x", F_OK, 0), 0);
    cr_expect_eq(file_remove_tree(dir, "missing", &err), 0);
    mknodat(dir, "file", S_IFREG | 0644, 0);
    cr_expect_eq(file_remove_tree(dir, "file", &err), 0);
}

FileTest(removal_stops_at_mounts)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS))
        cr_skip_test("needs a mount namespace");
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdirat(dir, "keep", 0755);
    mknodat(dir, "keep/f", S_IFREG | 0644, 0);
    mkdirat(dir, "tree", 0755);
    mkdirat(dir, "tree/mnt", 0755);
    const char *target = arena_printf(&arena, "%s/tree/mnt", top);
    cr_assert_eq(mount(arena_printf(&arena, "%s/keep", top), target, NULL, MS_BIND, NULL), 0, "%m");
    cr_expect_eq(file_remove_tree(dir, "tree", &err), -1, "the same file system, but another mount");
    cr_expect_eq(faccessat(dir, "keep/f", F_OK, 0), 0, "the bind mount's source was emptied");
    umount2(target, MNT_DETACH);
}

FileTest(mkdir_parents)
{
    char *path = arena_printf(&arena, "%s/a/b//c/", top);
    cr_expect_eq(file_mkdir_parents(path, 0700, &err), 0, "%s", err.message);
    cr_expect_eq(file_mkdir_parents(path, 0700, &err), 0, "%s", err.message);
    cr_expect_eq(faccessat(dir, "a/b/c", F_OK, 0), 0);
    mknodat(dir, "file", S_IFREG | 0644, 0);
    cr_expect_eq(file_mkdir_parents(arena_printf(&arena, "%s/file", top), 0700, &err), -1);
    cr_expect_eq(err.code, ENOTDIR);
    cr_expect_eq(file_mkdir_parents(arena_printf(&arena, "%s/file/x/y", top), 0700, &err), -1);
}
