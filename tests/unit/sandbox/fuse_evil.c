/* A client that tries to get out, to get at what it was not given, or to confuse the server (CVE-2020-35517, CVE-2020-10717,
 * CVE-2016-9602, CVE-2017-7493). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/sandbox/fuse_client.h"

#define ROOT FUSE_ROOT_ID

static struct client c;

static void open_plain(void)
{
    client_open(&c, (struct fuse_export){0}, FUSE_SETXATTR_EXT);
}

static void close_plain(void)
{
    cr_expect_str_eq(client_host(&c, "secret"), "secret");
    client_close(&c);
}

TestSuite(sandbox_fuse_evil, .init = open_plain, .fini = close_plain);

static uint64_t node(const char *name)
{
    struct fuse_entry_out e = {0};
    cr_assert_eq(client_lookup(&c, ROOT, name, &e), 0);
    return e.nodeid;
}

Test(sandbox_fuse_evil, names_that_lead_elsewhere)
{
    static const char *const names[] = {"..",    ".",           "",     "/",      "../secret",
                                        "sub/x", "/etc/passwd", "sub/", "./file", "..//"};
    struct fuse_create_in create = {.flags = O_RDWR, .mode = 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_mknod_in nod = {.mode = S_IFREG | 0600};
    struct fuse_link_in link = {.oldnodeid = node("file")};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *n = names[i];
        char two[64], other[64];
        size_t length = strlen(n) + 1;
        memcpy(two, n, length);
        memcpy(two + length, "x", 2);
        memcpy(other, "file", 5);
        memcpy(other + 5, n, length);
        cr_expect_eq(client_named(&c, FUSE_LOOKUP, ROOT, NULL, 0, n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &create, sizeof(create), n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_MKDIR, ROOT, &dir, sizeof(dir), n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_MKNOD, ROOT, &nod, sizeof(nod), n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_UNLINK, ROOT, NULL, 0, n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_RMDIR, ROOT, NULL, 0, n), -EINVAL, "%s", n);
        cr_expect_eq(client_named(&c, FUSE_LINK, ROOT, &link, sizeof(link), n), -EINVAL, "%s", n);
        cr_expect_eq(client_ask(&c, FUSE_SYMLINK, ROOT, NULL, 0, two, length + 2), -EINVAL, "%s", n);
        struct fuse_rename_in to = {.newdir = ROOT};
        cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), two, length + 2), -EINVAL, "%s", n);
        cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), other, length + 5), -EINVAL, "%s", n);
    }
    cr_expect_str_eq(client_host(&c, "export/file"), "content");
}

Test(sandbox_fuse_evil, names_without_an_end)
{
    char name[300];
    memset(name, 'n', sizeof(name));
    cr_expect_eq(client_ask(&c, FUSE_LOOKUP, ROOT, NULL, 0, name, sizeof(name)), -EINVAL);
    cr_expect_eq(client_ask(&c, FUSE_LOOKUP, ROOT, NULL, 0, NULL, 0), -EINVAL);
    name[256] = '\0';
    cr_expect_eq(client_ask(&c, FUSE_LOOKUP, ROOT, NULL, 0, name, sizeof(name)), -ENAMETOOLONG);
    struct fuse_rename_in to = {.newdir = ROOT};
    cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "file", 5), -EINVAL,
                 "only one of two names");
    cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "file\0x", 6), -EINVAL,
                 "the second without an end");
}

Test(sandbox_fuse_evil, symlinks_are_never_followed)
{
    uint64_t fh, link = node("link");
    struct fuse_open_in in = {0};
    struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_setxattr_in xattr = {.size = 1};
    struct stat st;
    cr_expect_eq(client_open_node(&c, link, O_RDONLY, &fh), -ELOOP);
    cr_expect_eq(client_open_node(&c, link, O_RDWR | O_TRUNC, &fh), -ELOOP);
    cr_expect_eq(client_ask(&c, FUSE_OPENDIR, link, &in, sizeof(in), NULL, 0), -ENOTDIR);
    cr_expect_eq(client_named(&c, FUSE_LOOKUP, link, NULL, 0, "x"), -ENOTDIR);
    cr_expect_lt(client_ask(&c, FUSE_SETATTR, link, &set, sizeof(set), NULL, 0), 0);
    cr_expect_lt(client_ask(&c, FUSE_SETXATTR, link, &xattr, sizeof(xattr), "user.a\0x", 8), 0);
    cr_assert(fstatat(c.outside, "secret", &st, 0) == 0);
    cr_expect_eq(st.st_mode & 07777, 0644);
    /* One that the host swaps in between lookup and open is not the node. */
    uint64_t file = node("file");
    cr_assert(renameat(c.outside, "export/link", c.outside, "export/file") == 0);
    cr_assert_eq(client_open_node(&c, file, O_RDONLY, &fh), 0);
    cr_assert_eq(client_read(&c, file, fh, 0, 100), 0);
    cr_expect(c.length == 7 && memcmp(c.body, "content", 7) == 0);
}

Test(sandbox_fuse_evil, made_up_nodes_and_handles)
{
    static const uint64_t ids[] = {0,          2,          77,         1ULL << 32, 1 | 1ULL << 32,
                                   UINT32_MAX, UINT64_MAX, 1ULL << 63, 0x100000001};
    struct fuse_getattr_in get = {0};
    struct fuse_open_in in = {.flags = O_RDONLY};
    uint64_t file = node("file"), fh;
    cr_assert_eq(client_open_node(&c, file, O_RDONLY, &fh), 0);
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        uint64_t id = ids[i];
        struct fuse_rename_in to = {.newdir = id};
        struct fuse_link_in link = {.oldnodeid = id};
        struct fuse_forget_in forget = {UINT64_MAX};
        struct fuse_release_in release = {.fh = id};
        if (id != file) {
            cr_expect_eq(client_ask(&c, FUSE_GETATTR, id, &get, sizeof(get), NULL, 0), -ESTALE, "%lx", id);
            cr_expect_eq(client_ask(&c, FUSE_OPEN, id, &in, sizeof(in), NULL, 0), -ESTALE, "%lx", id);
            cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "file\0x", 7), -ESTALE, "%lx",
                         id);
            cr_expect_eq(client_named(&c, FUSE_LINK, ROOT, &link, sizeof(link), "y"), -ESTALE, "%lx", id);
            cr_expect_eq(client_ask(&c, FUSE_FORGET, id, &forget, sizeof(forget), NULL, 0), 1);
        }
        if (id != fh) {
            cr_expect_eq(client_read(&c, file, id, 0, 10), -EBADF, "%lx", id);
            cr_expect_eq(client_write(&c, file, id, 0, "x", 0), -EBADF, "%lx", id);
            cr_expect_eq(client_ask(&c, FUSE_RELEASE, file, &release, sizeof(release), NULL, 0), -EBADF,
                         "%lx", id);
        }
    }
    struct fuse_read_in dir = {.fh = fh, .size = 4096};
    cr_expect_eq(client_ask(&c, FUSE_READDIR, ROOT, &dir, sizeof(dir), NULL, 0), -EBADF,
                 "a file is no directory");
    struct fuse_release_in release = {.fh = fh};
    cr_expect_eq(client_ask(&c, FUSE_RELEASE, file, &release, sizeof(release), NULL, 0), 0);
    cr_expect_eq(client_ask(&c, FUSE_RELEASE, file, &release, sizeof(release), NULL, 0), -EBADF,
                 "closed twice");
    cr_expect_eq(client_read(&c, file, fh, 0, 10), -EBADF, "used after");
}

Test(sandbox_fuse_evil, special_files_are_not_opened_and_devices_not_made)
{
    struct fuse_mknod_in nod = {.mode = S_IFCHR | 0666, .rdev = 0x103};
    uint64_t fh;
    cr_expect_eq(client_named(&c, FUSE_MKNOD, ROOT, &nod, sizeof(nod), "null"), -EPERM);
    nod.mode = S_IFBLK | 0666;
    cr_expect_eq(client_named(&c, FUSE_MKNOD, ROOT, &nod, sizeof(nod), "disk"), -EPERM);
    nod.mode = S_IFLNK | 0666;
    cr_expect_eq(client_named(&c, FUSE_MKNOD, ROOT, &nod, sizeof(nod), "l"), -EINVAL);
    nod.mode = 0666;
    cr_expect_eq(client_named(&c, FUSE_MKNOD, ROOT, &nod, sizeof(nod), "none"), -EINVAL);
    cr_assert_eq(mkfifoat(c.outside, "export/fifo", 0666), 0);
    alarm(10); /* opening it would wait for a writer */
    cr_expect_eq(client_open_node(&c, node("fifo"), O_RDONLY, &fh), -ENXIO);
    struct fuse_create_in create = {.flags = O_RDONLY, .mode = 0600};
    cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "fifo"), -ENXIO);
    struct fuse_setattr_in set = {.valid = FATTR_SIZE};
    cr_expect_eq(client_ask(&c, FUSE_SETATTR, node("fifo"), &set, sizeof(set), NULL, 0), -EINVAL);
}

Test(sandbox_fuse_evil, lengths_that_lie)
{
    struct fuse_in_header *h = (void *)c.in;
    static const uint32_t lengths[] = {0, 1, 39, 41, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        *h = (struct fuse_in_header){.len = lengths[i], .opcode = FUSE_GETATTR, .nodeid = ROOT, .unique = 5};
        int rc = client_send(&c, sizeof(*h), 4096);
        cr_expect_eq(rc, 1, "%u", lengths[i]);
    }
    for (size_t sent = 0; sent < sizeof(*h); sent++)
        cr_expect_eq(client_send(&c, sent, 4096), 1);
    *h = (struct fuse_in_header){.len = sizeof(*h), .opcode = FUSE_GETATTR, .nodeid = ROOT, .unique = 5};
    cr_expect_eq(client_send(&c, sizeof(*h), 4096), -EINVAL, "no struct");
    *h = (struct fuse_in_header){.len = 1 << 20, .opcode = FUSE_LOOKUP, .nodeid = ROOT, .unique = 5};
    cr_expect_eq(client_send(&c, 1 << 20, 4096), -EINVAL, "more than any name");
    struct fuse_batch_forget_in batch = {.count = UINT32_MAX};
    cr_expect_eq(client_ask(&c, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), "short", 5), 1);
    struct fuse_setxattr_in xattr = {.size = UINT32_MAX};
    cr_expect_eq(client_ask(&c, FUSE_SETXATTR, ROOT, &xattr, sizeof(xattr), "user.a\0x", 8), -EINVAL);
}

/* Every operation, with every length up to its struct's and beyond, without room, and of nonsense: it answers or not,
 * and stays within its buffers (client_send looks; so does ASan). */
Test(sandbox_fuse_evil, every_operation_with_too_little)
{
    struct fuse_in_header *h = (void *)c.in;
    for (uint32_t opcode = 0; opcode < 64; opcode++) {
        if (opcode == FUSE_DESTROY || opcode == FUSE_INIT)
            continue;
        for (uint32_t length = 0; length < 200; length += length < 16 ? 1 : 7) {
            for (size_t room = 16; room <= 4096; room = room * 3 + 1) {
                memset(c.in, (int)(opcode * 31 + length) & 0xff, 512);
                *h = (struct fuse_in_header){
                    .len = sizeof(*h) + length, .opcode = opcode, .nodeid = ROOT, .unique = 9};
                int rc = client_send(&c, h->len, room);
                cr_assert(rc <= 0 || rc == 1, "operation %u", opcode);
            }
        }
    }
    cr_expect_str_eq(client_host(&c, "export/file"), "content");
}

Test(sandbox_fuse_evil, unknown_operations)
{
    static const uint32_t opcodes[] = {
        0, 7, 19, FUSE_ACCESS, FUSE_BMAP, FUSE_IOCTL, FUSE_POLL, FUSE_SETUPMAPPING, 53, 4096, UINT32_MAX};
    char args[64] = "";
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++)
        cr_expect_eq(client_ask(&c, opcodes[i], ROOT, args, sizeof(args), NULL, 0), -ENOSYS, "%u",
                     opcodes[i]);
}

Test(sandbox_fuse_evil, a_directory_handle_anywhere)
{
    uint64_t fh;
    cr_assert_eq(client_open_node(&c, ROOT, O_DIRECTORY, &fh), 0);
    for (int i = 0; i < 64; i++) {
        struct fuse_read_in in = {.fh = fh, .offset = 1ULL << i, .size = i * 1000003};
        int rc = client_ask(&c, i % 2 ? FUSE_READDIRPLUS : FUSE_READDIR, ROOT, &in, sizeof(in), NULL, 0);
        cr_expect(rc == 0 || rc == -EINVAL || rc == -EOVERFLOW, "%d: %d", i, rc);
    }
    cr_expect_eq(client_open_node(&c, node("file"), O_DIRECTORY, &fh), -ENOTDIR);
}
