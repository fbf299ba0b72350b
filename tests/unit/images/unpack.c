/* Layers that are as they should be: each kind of entry, and what overlayfs is to see of it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "images/stack.h"
#include "tests/unit/images/archive.h"

TestSuite(unpack, .init = make_layers, .fini = remove_layers);

#define TREE  (layers[0])
#define BELOW (layers[1])

static struct tar t;

static bool is_whiteout(int dir, const char *path)
{
    struct stat st;

    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && stat_is_whiteout(&st);
}

static bool is_opaque(int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY);
    bool opaque = fd >= 0 && directory_is_opaque(fd);

    close(fd);
    return opaque;
}

Test(unpack, types_owners_modes)
{
    TAR(&t, .name = "./", .type = '5', .mode = 01770, .uid = 7, .gid = 8, .mtime = 1000);
    TAR(&t, .name = "d/", .type = '5', .mode = 03751, .uid = 1, .gid = 2, .mtime = 1500000000);
    TAR(&t, .name = "d/f", .mode = 06711, .uid = 3, .gid = 4, .mtime = 1234567890, .content = "hello");
    TAR(&t, .name = "d/l", .type = '2', .link = "../anything", .uid = 5, .gid = 6, .mtime = 5);
    TAR(&t, .name = "c", .type = '3', .major = 1, .minor = 3, .mode = 0666, .mtime = 9);
    TAR(&t, .name = "b", .type = '4', .major = 7, .minor = 300, .mode = 0660, .gid = 6);
    TAR(&t, .name = "p", .type = '6', .mode = 0622);
    TAR(&t, .name = "h", .type = '1', .link = "d/f");
    TAR(&t, .name = "empty", .mode = 0);
    must_unpack(&t);
    struct stat st = stat_at(TREE, "d");
    cr_expect(S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 03751 && st.st_uid == 1 && st.st_gid == 2);
    cr_expect_eq(st.st_mtim.tv_sec, 1500000000);
    st = stat_at(TREE, "d/f");
    cr_expect_eq(st.st_mode, S_IFREG | 06711);
    cr_expect(st.st_uid == 3 && st.st_gid == 4 && st.st_mtim.tv_sec == 1234567890 && st.st_nlink == 2);
    cr_expect_str_eq(content_at(TREE, "h"), "hello");
    st = stat_at(TREE, "d/l");
    cr_expect(S_ISLNK(st.st_mode) && st.st_uid == 5 && st.st_mtim.tv_sec == 5);
    st = stat_at(TREE, "c");
    cr_expect(st.st_mode == (S_IFCHR | 0666) && st.st_rdev == makedev(1, 3) && st.st_mtim.tv_sec == 9);
    st = stat_at(TREE, "b");
    cr_expect(st.st_mode == (S_IFBLK | 0660) && st.st_rdev == makedev(7, 300) && st.st_gid == 6);
    cr_expect_eq(stat_at(TREE, "p").st_mode, S_IFIFO | 0622);
    cr_expect(result.root_given && result.root.st_mode == (S_IFDIR | 01770) && result.root.st_uid == 7);
    cr_expect_eq(result.root.st_mtim.tv_sec, 1000);
    cr_expect(!result.depends && result.entries == 9 && result.bytes == 5);
}

Test(unpack, times)
{
    tar_record(&t, 'x', "mtime", "1234567890.123456789", 0);
    TAR(&t, .name = "f");
    tar_record(&t, 'x', "mtime", "-100", 0);
    TAR(&t, .name = "old");
    must_unpack(&t);
    cr_expect_eq(stat_at(TREE, "f").st_mtim.tv_sec, 1234567890);
    cr_expect_eq(stat_at(TREE, "f").st_mtim.tv_nsec, 123456789);
    cr_expect_eq(stat_at(TREE, "old").st_mtim.tv_sec, -100);
}

Test(unpack, attributes)
{
    /* cap_net_raw=ep */
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
    unsigned char value[64];

    tar_record(&t, 'x', "SCHILY.xattr.security.capability", capability, sizeof(capability));
    TAR(&t, .name = "ping", .mode = 0755, .uid = 1, .content = "x");
    tar_record(&t, 'x', "SCHILY.xattr.user.a", "value", 0);
    TAR(&t, .name = "d", .type = '5');
    tar_record(&t, 'x', "SCHILY.xattr.trusted.l", "link's", 0);
    TAR(&t, .name = "l", .type = '2', .link = "nowhere");
    must_unpack(&t);
    int fd = openat(TREE, "ping", O_RDONLY);
    cr_expect_eq(fgetxattr(fd, "security.capability", value, sizeof(value)), 20);
    cr_expect_arr_eq(value, capability, 20);
    close(fd);
    fd = openat(TREE, "d", O_RDONLY);
    cr_expect_eq(fgetxattr(fd, "user.a", value, sizeof(value)), 5);
    close(fd);
    char path[64];
    snprintf(path, sizeof(path), "%s/0/l", scratch);
    cr_expect_eq(lgetxattr(path, "trusted.l", value, sizeof(value)), 6);
}

Test(unpack, names)
{
    char name[256] = "long/", longer[400];

    memset(name + 5, 'n', 250);
    TAR(&t, .name = "long", .type = '5');
    tar_record(&t, 'x', "path", name, 0);
    TAR(&t, .name = "short");
    memset(name + 5, 'g', 250);
    TAR(&t, .name = "././@LongLink", .type = 'L', .content = name, .size = 256, .gnu = true);
    TAR(&t, .name = "short", .gnu = true);
    memset(longer, 'k', 399);
    longer[399] = '\0';
    TAR(&t, .name = "././@LongLink", .type = 'K', .content = longer, .size = 400, .gnu = true);
    TAR(&t, .name = "link", .type = '2', .link = "short", .gnu = true);
    TAR(&t, .name = "/absolute");
    TAR(&t, .name = ".//a/.//b/");
    tar_record(&t, 'x', "path", "gr\xc3\xbc\xc3\x9f", 0);
    TAR(&t, .name = "x");
    TAR(&t, .name = "latin\xfc");
    tar_record(&t, 'x', "path", "bad\xff\xfe", 0);
    TAR(&t, .name = "x");
    TAR(&t, .name = "utf\xc3\xbc");
    must_unpack(&t);
    memset(name + 5, 'n', 250);
    cr_expect(exists_at(TREE, name));
    memset(name + 5, 'g', 250);
    cr_expect(exists_at(TREE, name));
    cr_expect_eq(stat_at(TREE, "link").st_size, 399);
    static const char *const others[] = {"absolute",  "a/b",         "gr\xc3\xbc\xc3\x9f",
                                         "latin\xfc", "bad\xff\xfe", "utf\xc3\xbc"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        cr_expect(exists_at(TREE, others[i]), "%s", others[i]);
}

Test(unpack, what_comes_twice)
{
    TAR(&t, .name = "f", .content = "first", .mode = 0600);
    TAR(&t, .name = "h", .type = '1', .link = "f");
    TAR(&t, .name = "f", .content = "second");
    TAR(&t, .name = "d", .type = '5', .mode = 0700, .mtime = 1);
    TAR(&t, .name = "d/kept");
    TAR(&t, .name = "d", .type = '5', .mode = 0711, .mtime = 2);
    TAR(&t, .name = "gone");
    TAR(&t, .name = "gone", .type = '5');
    TAR(&t, .name = "gone/x");
    TAR(&t, .name = "l", .type = '2', .link = "d");
    TAR(&t, .name = "l", .content = "not through it");
    TAR(&t, .name = "h", .type = '1', .link = "h");
    must_unpack(&t);
    cr_expect_str_eq(content_at(TREE, "f"), "second");
    cr_expect_str_eq(content_at(TREE, "h"), "first");
    cr_expect_eq(stat_at(TREE, "d").st_mode & 07777, 0711);
    cr_expect_eq(stat_at(TREE, "d").st_mtim.tv_sec, 2);
    cr_expect(exists_at(TREE, "d/kept") && exists_at(TREE, "gone/x"));
    cr_expect(S_ISREG(stat_at(TREE, "l").st_mode));
}

Test(unpack, file_over_directory)
{
    TAR(&t, .name = "d/sub/f", .content = "x");
    TAR(&t, .name = "d", .content = "a file now");
    tar_end(&t);
    cr_assert_eq(unpack_at(0, &t, 512), 0, "%s", err.message);
    cr_expect_str_eq(content_at(TREE, "d"), "a file now");
    cr_expect_not(exists_at(skeletons[0], "skeleton"), "the content of d/sub/f is lost");
}

Test(unpack, whiteouts)
{
    TAR(&t, .name = "a/b/c");
    TAR(&t, .name = "dir/below");
    TAR(&t, .name = "x");
    must_unpack_at(1, &t);
    TAR(&t, .name = ".wh.x");
    TAR(&t, .name = "a/b/.wh.c");
    TAR(&t, .name = "nowhere/at/.wh.all");
    TAR(&t, .name = ".wh.before");
    TAR(&t, .name = "before");
    TAR(&t, .name = "after");
    TAR(&t, .name = ".wh.after");
    TAR(&t, .name = ".wh.dir");
    TAR(&t, .name = "dir/new");
    TAR(&t, .name = ".wh.whole");
    TAR(&t, .name = "whole/", .type = '5');
    TAR(&t, .name = ".wh..wh.plnk/1.2");
    TAR(&t, .name = ".wh..wh.aufs");
    must_unpack(&t);
    cr_expect(is_whiteout(TREE, "x") && is_whiteout(TREE, "a/b/c"));
    cr_expect_not(exists_at(TREE, "nowhere"));
    cr_expect(S_ISREG(stat_at(TREE, "before").st_mode) && S_ISREG(stat_at(TREE, "after").st_mode));
    cr_expect(is_opaque(TREE, "dir") && exists_at(TREE, "dir/new"));
    cr_expect(is_opaque(TREE, "whole") && !is_opaque(TREE, "a/b"));
    cr_expect_not(exists_at(TREE, ".wh..wh.plnk") || exists_at(TREE, ".wh..wh.aufs"));
    cr_expect(result.depends);
}

Test(unpack, opaque)
{
    TAR(&t, .name = "before/below");
    TAR(&t, .name = "after/below");
    must_unpack_at(1, &t);
    TAR(&t, .name = "before", .type = '5');
    TAR(&t, .name = "before/.wh..wh..opq");
    TAR(&t, .name = "before/f");
    TAR(&t, .name = "after/f");
    TAR(&t, .name = "after/.wh..wh..opq");
    must_unpack(&t);
    cr_expect(is_opaque(TREE, "before") && exists_at(TREE, "before/f"));
    cr_expect(is_opaque(TREE, "after") && exists_at(TREE, "after/f"));
}

Test(unpack, opaque_root)
{
    TAR(&t, .name = "d/below");
    TAR(&t, .name = "own/below");
    TAR(&t, .name = "f");
    must_unpack_at(1, &t);
    TAR(&t, .name = "own", .type = '5');
    TAR(&t, .name = ".wh..wh..opq");
    TAR(&t, .name = "d/new");
    must_unpack(&t);
    cr_expect(is_whiteout(TREE, "f") && is_opaque(TREE, "d") && is_opaque(TREE, "own"));
    cr_expect(exists_at(TREE, "d/new"));
}

Test(unpack, implicit_directories)
{
    TAR(&t, .name = "etc", .type = '5', .mode = 0750, .uid = 9, .gid = 10, .mtime = 77);
    TAR(&t, .name = "usr/bin", .type = '5', .mode = 0711);
    TAR(&t, .name = "bin", .type = '2', .link = "usr/bin");
    TAR(&t, .name = "up", .type = '2', .link = "../../../etc");
    must_unpack_at(1, &t);
    umask(077);
    TAR(&t, .name = "etc/new/f");
    TAR(&t, .name = "bin/tool", .content = "t");
    TAR(&t, .name = "up/g", .content = "g");
    TAR(&t, .name = "h", .type = '1', .link = "bin/tool");
    must_unpack(&t);
    struct stat st = stat_at(TREE, "etc");
    cr_expect_eq(st.st_mode & 07777, 0750);
    cr_expect(st.st_uid == 9 && st.st_gid == 10 && st.st_mtim.tv_sec == 77);
    cr_expect_eq(stat_at(TREE, "etc/new").st_mode & 07777, 0755);
    cr_expect(exists_at(TREE, "usr/bin/tool") && !exists_at(TREE, "bin"));
    cr_expect(exists_at(TREE, "etc/g") && !exists_at(TREE, "up"));
    cr_expect_eq(stat_at(TREE, "usr/bin").st_mode & 07777, 0711);
    cr_expect_eq(stat_at(TREE, "h").st_nlink, 2);
    cr_expect(result.depends);
}

/* The same without waiting for the layer below, as far as it goes. */
Test(unpack, guessed_directories)
{
    TAR(&t, .name = "etc", .type = '5', .mode = 0750, .uid = 9, .gid = 10, .mtime = 77);
    TAR(&t, .name = "etc/sub", .type = '5', .mode = 0700, .mtime = 78);
    TAR(&t, .name = "usr", .type = '5', .mode = 0711);
    TAR(&t, .name = "file");
    must_unpack_at(1, &t);
    options.may_guess = true;
    TAR(&t, .name = "etc/sub/f");
    TAR(&t, .name = "etc/new/f");
    TAR(&t, .name = "usr/lib/f");
    TAR(&t, .name = "usr", .type = '5', .mode = 0555, .uid = 3, .mtime = 5);
    TAR(&t, .name = "replaced/f");
    TAR(&t, .name = "replaced", .content = "a file");
    tar_end(&t);
    cr_assert_eq(unpack_at(0, &t, 512), 0, "%s", err.message);
    struct stat st = stat_at(TREE, "etc");
    cr_expect_eq(st.st_mode & 07777, 0750);
    cr_expect(st.st_uid == 9 && st.st_gid == 10 && st.st_mtim.tv_sec == 77);
    st = stat_at(TREE, "etc/sub");
    cr_expect((st.st_mode & 07777) == 0700 && st.st_mtim.tv_sec == 78);
    cr_expect_eq(stat_at(TREE, "etc/new").st_mode & 07777, 0755);
    st = stat_at(TREE, "usr"); /* described after its first file: the later word counts */
    cr_expect((st.st_mode & 07777) == 0555 && st.st_uid == 3 && st.st_mtim.tv_sec == 5);
    cr_expect(S_ISREG(stat_at(TREE, "replaced").st_mode));
    cr_expect(result.depends && !result.guessed_wrong);
}

/* What is below, and what hides it, is seen where it has to be: at whiteouts, hard links, links of this layer's. */
Test(unpack, guesses_are_settled_in_time)
{
    TAR(&t, .name = "d", .type = '5', .mode = 0700);
    TAR(&t, .name = "d/sub/f", .content = "below");
    TAR(&t, .name = "o", .type = '5', .mode = 0700);
    TAR(&t, .name = "o/sub", .type = '5', .mode = 0700);
    must_unpack_at(1, &t);
    options.may_guess = true;
    TAR(&t, .name = "o", .type = '5');
    TAR(&t, .name = "o/.wh..wh..opq");
    TAR(&t, .name = "o/sub/f");
    TAR(&t, .name = "l", .type = '2', .link = "d/sub");
    TAR(&t, .name = "d/other/f");
    TAR(&t, .name = "l/g");
    TAR(&t, .name = "h", .type = '1', .link = "d/sub/f");
    TAR(&t, .name = "d/.wh.sub2");
    must_unpack(&t);
    cr_expect_eq(stat_at(TREE, "d").st_mode & 07777, 0700);
    cr_expect(is_opaque(TREE, "o"));
    cr_expect_eq(stat_at(TREE, "o/sub").st_mode & 07777, 0755, "it is another than the one below");
    cr_expect(exists_at(TREE, "d/sub/g") && is_whiteout(TREE, "d/sub2"));
    cr_expect_str_eq(content_at(TREE, "h"), "below");
}

Test(unpack, wrong_guess)
{
    TAR(&t, .name = "usr/bin", .type = '5', .mode = 0711);
    TAR(&t, .name = "bin", .type = '2', .link = "usr/bin");
    must_unpack_at(1, &t);
    options.may_guess = true;
    TAR(&t, .name = "bin/tool");
    tar_end(&t);
    cr_expect_lt(unpack_at(0, &t, 512), 0);
    cr_expect(result.guessed_wrong, "%s", err.message);
}

Test(unpack, hard_links_to_a_layer_below)
{
    TAR(&t, .name = "usr/bin/f", .mode = 04755, .uid = 1, .gid = 2, .mtime = 3, .content = "below");
    TAR(&t, .name = "bin", .type = '2', .link = "usr/bin");
    must_unpack_at(1, &t);
    TAR(&t, .name = "h", .type = '1', .link = "bin/f");
    TAR(&t, .name = "again", .type = '1', .link = "usr/bin/f");
    must_unpack(&t);
    struct stat st = stat_at(TREE, "usr/bin/f");
    cr_expect(st.st_nlink == 3 && st.st_ino == stat_at(TREE, "h").st_ino);
    cr_expect(st.st_mode == (S_IFREG | 04755) && st.st_uid == 1 && st.st_mtim.tv_sec == 3);
    cr_expect_str_eq(content_at(TREE, "again"), "below");
    cr_expect(result.depends);
}

Test(unpack, hard_links_to_what_is_no_regular_file_of_a_layer_below)
{
    TAR(&t, .name = "d/l", .type = '2', .link = "nowhere", .uid = 4, .mtime = 5);
    TAR(&t, .name = "d/p", .type = '6', .mode = 0622, .uid = 6, .mtime = 7);
    TAR(&t, .name = "d/c", .type = '3', .major = 1, .minor = 3, .mode = 0666);
    must_unpack_at(1, &t);
    TAR(&t, .name = "l", .type = '1', .link = "d/l");
    TAR(&t, .name = "p", .type = '1', .link = "d/p");
    TAR(&t, .name = "c", .type = '1', .link = "d/c");
    must_unpack(&t);
    struct stat l = stat_at(TREE, "l"), p = stat_at(TREE, "p"), c = stat_at(TREE, "c");
    cr_expect(S_ISLNK(l.st_mode) && l.st_nlink == 2 && l.st_uid == 4 && l.st_mtim.tv_sec == 5);
    cr_expect(p.st_mode == (S_IFIFO | 0622) && p.st_nlink == 2 && p.st_uid == 6 && p.st_mtim.tv_sec == 7);
    cr_expect(c.st_mode == (S_IFCHR | 0666) && c.st_nlink == 2 && c.st_rdev == makedev(1, 3));
}

Test(unpack, a_whiteout_below_what_is_no_directory_hides_nothing)
{
    TAR(&t, .name = "f", .content = "below");
    must_unpack_at(1, &t);
    TAR(&t, .name = "f/.wh.x");
    TAR(&t, .name = "f/d/.wh..wh..opq");
    TAR(&t, .name = "g", .content = "own");
    TAR(&t, .name = "g/.wh.x");
    must_unpack(&t);
    cr_expect_not(exists_at(TREE, "f"));
    cr_expect_str_eq(content_at(TREE, "g"), "own");
}

Test(unpack, no_hard_link_to_a_directory_of_a_layer_below)
{
    TAR(&t, .name = "d/f");
    must_unpack_at(1, &t);
    TAR(&t, .name = "d2", .type = '1', .link = "d");
    must_refuse(&t, "is a directory of a layer below");
}

Test(unpack, hard_link_replaces)
{
    TAR(&t, .name = "d/f", .content = "f");
    TAR(&t, .name = "l", .type = '2', .link = "d");
    TAR(&t, .name = "g", .content = "g");
    TAR(&t, .name = "g", .type = '1', .link = "d/f");
    TAR(&t, .name = "l/f", .type = '1', .link = "d/f"); /* itself */
    must_unpack(&t);
    cr_expect_str_eq(content_at(TREE, "g"), "f");
    cr_expect_str_eq(content_at(TREE, "d/f"), "f");
}

Test(unpack, user_namespace)
{
    options.user_namespace = true;
    TAR(&t, .name = "null", .type = '3', .major = 1, .minor = 3);
    TAR(&t, .name = "zilch", .type = '1', .link = "null");
    TAR(&t, .name = "d/f");
    TAR(&t, .name = "d/.wh..wh..opq");
    must_unpack(&t);
    char value;
    cr_expect_not(exists_at(TREE, "zilch"));
    int fd = openat(TREE, "d", O_RDONLY);
    cr_expect_not(exists_at(TREE, "null"));
    cr_expect(fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y');
    close(fd);
}

Test(unpack, what_follows_the_end)
{
    TAR(&t, .name = "f", .content = "f");
    tar_end(&t);
    TAR(&t, .name = "behind");
    tar_bytes(&t, "garbage, not even a block", 25);
    must_unpack(&t);
    cr_expect(exists_at(TREE, "f") && !exists_at(TREE, "behind"));
}

Test(unpack, nothing)
{
    t.data = malloc(1);
    must_unpack(&t);
    cr_expect_eq(result.entries, 0);
}

/* The same whatever the blocks are. */
Test(unpack, blocks_of_any_size)
{
    static const size_t sizes[] = {1, 7, 511, 512, 513, 5000, 65536};
    char *big = calloc(1, 40000);

    for (size_t i = 0; i < 40000; i++)
        big[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        if (i)
            make_layers();
        t = (struct tar){0};
        tar_record(&t, 'x', "mtime", "5.5", 0);
        TAR(&t, .name = "big", .content = big, .size = 40000);
        TAR(&t, .name = "small", .content = "s");
        tar_end(&t);
        cr_assert_eq(unpack_at(0, &t, sizes[i]), 0, "%zu: %s", sizes[i], err.message);
        cr_expect_eq(stat_at(TREE, "big").st_size, 40000);
        cr_expect_eq(memcmp(content_at(TREE, "big"), big, 40000), 0);
        cr_expect_str_eq(content_at(TREE, "small"), "s");
        cr_expect_eq(stat_at(TREE, "big").st_mtim.tv_nsec, 500000000);
        free(t.data);
        if (i + 1 < ARRAY_SIZE(sizes))
            remove_layers();
    }
    free(big);
}
