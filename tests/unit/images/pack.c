/* What is packed unpacks to the same again, and packs to the same bytes; skeletons outlive what may happen to a tree. */
#include "images/pack.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "images/skeleton.h"
#include "images/stack.h"
#include "tests/unit/images/archive.h"

TestSuite(pack, .init = make_layers, .fini = remove_layers);

static struct tar t;

static const struct timespec whole[2] = {{.tv_sec = 1}, {.tv_sec = 1}}; /* needs no extended header */

static int drain(struct source *s, struct tar *out)
{
    const void *data;
    ssize_t n;

    while ((n = s->read(s, &data, &err)) > 0)
        tar_bytes(out, data, (size_t)n);
    return (int)n;
}

static int pack_tree(int tree, bool root, struct tar *out)
{
    struct pack_source p;
    int rc = pack_source_init(&p, tree, root, &err);

    if (rc == 0)
        rc = drain(&p.source, out);
    pack_source_destroy(&p);
    return rc;
}

static void fill_in(void)
{
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
    char name[151];

    memset(name, 'n', 150);
    name[150] = '\0';
    TAR(&t, .name = "./", .type = '5', .mode = 0711, .uid = 3, .mtime = 12345);
    TAR(&t, .name = "z", .mode = 04755, .uid = 1, .gid = 2, .mtime = 77, .content = "last, but first here");
    tar_record(&t, 'x', "SCHILY.xattr.security.capability", capability, sizeof(capability));
    TAR(&t, .name = "ping", .content = "p");
    TAR(&t, .name = "a", .type = '1', .link = "z");
    tar_record(&t, 'x', "mtime", "-1.25", 0);
    TAR(&t, .name = "old", .content = "o");
    tar_record(&t, 'x', "mtime", "5.000000001", 0);
    TAR(&t, .name = "d", .type = '5', .mode = 01777);
    TAR(&t, .name = "d/.wh..wh..opq");
    TAR(&t, .name = "d/.wh.gone");
    tar_record(&t, 'x', "linkpath", name, 0);
    TAR(&t, .name = "d/l", .type = '2', .link = "x");
    tar_record(&t, 'x', "path", name, 0);
    TAR(&t, .name = "x", .content = "n");
    tar_record(&t, 'x', "uid", "3000000000", 0);
    TAR(&t, .name = "far", .mode = 0400);
    TAR(&t, .name = "c", .type = '3', .major = 1, .minor = 3, .mode = 0666);
    TAR(&t, .name = "p", .type = '6', .mode = 0600);
    must_unpack_at(0, &t);
}

/* By inode, whatever else: the same in both. */
static void expect_same(const char *path)
{
    struct stat a = stat_at(layers[0], path), b = stat_at(layers[1], path);

    cr_expect_eq(a.st_mode, b.st_mode, "%s", path);
    cr_expect(a.st_uid == b.st_uid && a.st_gid == b.st_gid, "%s", path);
    cr_expect(S_ISDIR(a.st_mode) || a.st_size == b.st_size, "%s", path);
    cr_expect(a.st_rdev == b.st_rdev && a.st_nlink == b.st_nlink, "%s", path);
    cr_expect(a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec,
              "%s: %ld.%09ld, not %ld.%09ld", path, b.st_mtim.tv_sec, b.st_mtim.tv_nsec, a.st_mtim.tv_sec,
              a.st_mtim.tv_nsec);
}

Test(pack, there_and_back)
{
    static const char *const paths[] = {".", "z", "ping", "a", "old", "d", "d/l", "far", "c", "p"};
    struct tar first = {0}, second = {0};
    char value[64], name[151];

    fill_in();
    cr_assert_eq(pack_tree(layers[0], true, &first), 0, "%s", err.message);
    cr_assert_eq(unpack_at(1, &first, 10240), 0, "%s", err.message);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        expect_same(paths[i]);
    memset(name, 'n', 150);
    name[150] = '\0';
    expect_same(name);
    cr_expect_eq(stat_at(layers[1], "a").st_ino, stat_at(layers[1], "z").st_ino);
    struct timespec old = stat_at(layers[1], "old").st_mtim;
    cr_expect(old.tv_sec == -2 && old.tv_nsec == 750000000, "-1.25 came as %ld s and %ld ns", old.tv_sec,
              old.tv_nsec);
    struct stat st = stat_at(layers[1], "d/gone");
    cr_expect(stat_is_whiteout(&st));
    int fd = openat(layers[1], "d", O_RDONLY), ping = openat(layers[1], "ping", O_RDONLY);
    cr_expect(directory_is_opaque(fd));
    cr_expect_eq(fgetxattr(ping, "security.capability", value, sizeof(value)), 20);
    cr_expect_str_eq(content_at(layers[1], "z"), "last, but first here");
    cr_assert_eq(pack_tree(layers[1], true, &second), 0, "%s", err.message);
    cr_expect(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
    close(fd);
    close(ping);
    free(first.data);
    free(second.data);
}

Test(pack, big_files_and_long_attributes)
{
    char *content = malloc(1000000);
    struct tar out = {0};

    for (size_t i = 0; i < 1000000; i++)
        content[i] = (char)(i * 7 >> 3);
    tar_record(&t, 'x', "SCHILY.xattr.user.long", content, 3000);
    TAR(&t, .name = "big", .content = content, .size = 1000000);
    TAR(&t, .name = "bigger", .content = content, .size = 262144);
    must_unpack_at(0, &t);
    cr_assert_eq(pack_tree(layers[0], false, &out), 0, "%s", err.message);
    cr_expect_eq(out.length % 512, 0);
    cr_assert_eq(unpack_at(1, &out, 4096), 0, "%s", err.message);
    int fd = openat(layers[1], "big", O_RDONLY);
    char *back = malloc(1000001);
    cr_expect_eq(read(fd, back, 1000001), 1000000);
    cr_expect_eq(memcmp(back, content, 1000000), 0);
    cr_expect_eq(fgetxattr(fd, "user.long", back, 1000001), 3000);
    cr_expect_eq(memcmp(back, content, 3000), 0);
    expect_same("bigger");
    close(fd);
    free(back);
    free(content);
    free(out.data);
}

Test(pack, what_no_layer_can_hold)
{
    struct tar out = {0};

    close(openat(layers[0], ".wh.x", O_CREAT | O_WRONLY, 0600));
    cr_expect_lt(pack_tree(layers[0], false, &out), 0);
    cr_expect(strstr(err.message, "pack .wh.x: a name that begins with"), "%s", err.message);
    unlinkat(layers[0], ".wh.x", 0);
    int fd = openat(layers[0], "f", O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(fsetxattr(fd, "trusted.overlay.metacopy", "", 0, 0), 0);
    cr_expect_lt(pack_tree(layers[0], false, &out), 0);
    cr_expect(strstr(err.message, "not whole without the layers below"), "%s", err.message);
    cr_assert_eq(fremovexattr(fd, "trusted.overlay.metacopy"), 0);
    cr_assert_eq(futimens(fd, whole), 0);
    close(fd);
    /* A socket is nothing without who listens. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/0/s", scratch);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    out.length = 0;
    cr_expect_eq(pack_tree(layers[0], false, &out), 0, "%s", err.message);
    cr_expect_eq(out.length, 512 + 1024);
    free(out.data);
}

Test(pack, file_that_shrinks)
{
    struct tar out = {0};
    struct pack_source p;
    const void *data;
    int fd = openat(layers[0], "f", O_CREAT | O_WRONLY, 0600);

    cr_assert_eq(ftruncate(fd, 1000), 0);
    cr_assert_eq(futimens(fd, whole), 0);
    cr_assert_eq(pack_source_init(&p, layers[0], false, &err), 0);
    cr_assert_eq(p.source.read(&p.source, &data, &err), 512);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_expect_lt(drain(&p.source, &out), 0);
    cr_expect(strstr(err.message, "pack f: it was cut off meanwhile"), "%s", err.message);
    pack_source_destroy(&p);
    close(fd);
    free(out.data);
}

/* --- skeletons ----------------------------------------------------------------------------------------------------- */

static int remake(struct tar *out)
{
    struct skeleton_source s;
    int rc = skeleton_source_init(&s, skeletons[0], layers[0], &err);

    if (rc == 0)
        rc = drain(&s.source, out);
    skeleton_source_destroy(&s);
    return rc;
}

Test(pack, skeleton_of_an_altered_tree)
{
    struct tar out = {0};

    TAR(&t, .name = "d/f", .content = "some content");
    must_unpack(&t);
    int fd = openat(layers[0], "d/f", O_WRONLY);
    cr_assert_eq(ftruncate(fd, 5), 0);
    close(fd);
    cr_expect_lt(remake(&out), 0);
    cr_expect(strstr(err.message, "the layer's tree was altered: d/f is too short"), "%s", err.message);
    cr_assert_eq(unlinkat(layers[0], "d/f", 0), 0);
    cr_expect_lt(remake(&out), 0);
    cr_expect(strstr(err.message, "d/f is missing"), "%s", err.message);
    cr_assert_eq(mkfifoat(layers[0], "d/f", 0600), 0); /* which would block whoever opens it */
    cr_expect_lt(remake(&out), 0);
    free(out.data);
}

/* Cut off or changed anywhere: an error or other bytes, never worse. */
Test(pack, damaged_skeleton)
{
    char data[4096];
    struct tar out = {0};

    TAR(&t, .name = "f", .content = "some content");
    TAR(&t, .name = "g", .content = "and more of it");
    must_unpack(&t);
    int fd = openat(skeletons[0], "skeleton", O_RDWR);
    ssize_t length = pread(fd, data, sizeof(data), 0);
    cr_assert_gt(length, 0);
    for (ssize_t i = 0; i < length; i++) {
        char changed = (char)(data[i] ^ 0x11);
        cr_assert_eq(pwrite(fd, &changed, 1, i), 1);
        out.length = 0;
        if (remake(&out) < 0)
            cr_expect(err.message[0]);
        cr_assert_eq(pwrite(fd, &data[i], 1, i), 1);
    }
    for (ssize_t i = length; i-- > 4;) {
        cr_assert_eq(ftruncate(fd, i), 0);
        cr_expect_lt(remake(&out), 0);
    }
    cr_assert_eq(unlinkat(skeletons[0], "skeleton", 0), 0);
    cr_expect_lt(remake(&out), 0);
    cr_expect_eq(err.code, ENOENT);
    close(fd);
    free(out.data);
}
