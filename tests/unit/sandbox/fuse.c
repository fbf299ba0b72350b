/* The file server, request by request: what each operation does on the host, and what the replies say. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/sandbox/fuse_client.h"

#define ROOT FUSE_ROOT_ID

static struct client c;

static void need_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
}

static void open_plain(void)
{
    client_open(&c, (struct fuse_export){.cache = FUSE_CACHE_AUTO}, FUSE_SUBMOUNTS | FUSE_SETXATTR_EXT);
}

static void close_plain(void)
{
    client_close(&c);
}

TestSuite(sandbox_fuse, .init = open_plain, .fini = close_plain);

static struct fuse_entry_out entry(uint64_t parent, const char *name)
{
    struct fuse_entry_out e = {0};
    cr_assert_eq(client_lookup(&c, parent, name, &e), 0, "%s", name);
    return e;
}

static struct fuse_attr attributes(uint64_t node)
{
    struct fuse_getattr_in in = {0};
    cr_assert_eq(client_ask(&c, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0), 0);
    return ((struct fuse_attr_out *)c.body)->attr;
}

Test(sandbox_fuse, init_agrees_on_what_both_know)
{
    cr_assert_eq(client_init(&c, FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC | FUSE_POSIX_LOCKS | 1ULL << 60), 0);
    const struct fuse_init_out *out = (const void *)c.body;
    cr_expect_eq(c.length, sizeof(*out));
    cr_expect(out->major == 7 && out->minor == FUSE_SERVER_MINOR);
    cr_expect_eq(out->flags, FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC | FUSE_INIT_EXT, "no more, no locks: %x",
                 out->flags);
    cr_expect(out->flags2 == 0 && out->max_pages == FUSE_SERVER_MAX_PAGES && out->time_gran == 1);
    cr_expect_eq(out->max_write, FUSE_SERVER_MAX_PAGES * 4096);

    struct fuse_init_in old = {.major = 7, .minor = 30}, next = {.major = 8, .minor = 0};
    cr_expect_eq(client_ask(&c, FUSE_INIT, 0, &old, sizeof(old), NULL, 0), -EPROTO);
    cr_expect_eq(client_ask(&c, FUSE_INIT, 0, &next, sizeof(next), NULL, 0), 0);
    cr_expect_eq(((struct fuse_init_out *)c.body)->major, 7);
    old = (struct fuse_init_in){.major = 7, .minor = 31, .flags = FUSE_ASYNC_READ};
    cr_expect_eq(client_ask(&c, FUSE_INIT, 0, &old, 16, NULL, 0), 0, "the short form of 7.31");
    cr_expect(((struct fuse_init_out *)c.body)->minor == 31 &&
              ((struct fuse_init_out *)c.body)->flags == FUSE_ASYNC_READ);
}

Test(sandbox_fuse, nothing_before_init_and_nothing_left_after_destroy)
{
    struct fuse_entry_out file = entry(ROOT, "file"), again;
    cr_assert_eq(client_ask(&c, FUSE_DESTROY, 0, NULL, 0, NULL, 0), 0);
    cr_expect_eq(client_lookup(&c, ROOT, "file", &again), -EIO);
    cr_assert_eq(client_init(&c, 0), 0);
    struct fuse_getattr_in in = {0};
    cr_expect_eq(client_ask(&c, FUSE_GETATTR, file.nodeid, &in, sizeof(in), NULL, 0), -ESTALE);
    cr_expect_eq(client_lookup(&c, ROOT, "file", &again), 0);
    cr_expect_neq(again.nodeid, file.nodeid);
}

Test(sandbox_fuse, lookups_are_counted)
{
    struct fuse_entry_out a = entry(ROOT, "file"), b = entry(ROOT, "file");
    struct fuse_getattr_in get = {0};
    struct fuse_forget_in one = {1};
    cr_expect_eq(a.nodeid, b.nodeid);
    cr_expect(a.attr.size == 7 && S_ISREG(a.attr.mode) && a.entry_valid == 1);
    cr_expect_eq(client_ask(&c, FUSE_FORGET, a.nodeid, &one, sizeof(one), NULL, 0), 1, "FORGET has no reply");
    cr_expect_eq(client_ask(&c, FUSE_GETATTR, a.nodeid, &get, sizeof(get), NULL, 0), 0);
    client_ask(&c, FUSE_FORGET, a.nodeid, &one, sizeof(one), NULL, 0);
    cr_expect_eq(client_ask(&c, FUSE_GETATTR, a.nodeid, &get, sizeof(get), NULL, 0), -ESTALE);

    a = entry(ROOT, "file");
    b = entry(ROOT, "sub");
    struct fuse_batch_forget_in batch = {.count = 2};
    struct fuse_forget_one both[] = {{a.nodeid, 1}, {b.nodeid, 5}};
    cr_expect_eq(client_ask(&c, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), both, sizeof(both)), 1);
    cr_expect_eq(client_ask(&c, FUSE_GETATTR, a.nodeid, &get, sizeof(get), NULL, 0), -ESTALE);
    cr_expect_eq(client_ask(&c, FUSE_GETATTR, b.nodeid, &get, sizeof(get), NULL, 0), -ESTALE);
    client_ask(&c, FUSE_FORGET, ROOT, &(struct fuse_forget_in){UINT64_MAX}, sizeof(one), NULL, 0);
    cr_expect_eq(attributes(ROOT).nlink > 1, 1, "the root is never forgotten");
}

Test(sandbox_fuse, many_nodes_are_told_apart)
{
    enum { MANY = 3000 };
    static uint64_t ids[MANY];
    struct fuse_create_in in = {.flags = O_WRONLY, .mode = 0600};
    char name[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        cr_assert_eq(client_named(&c, FUSE_CREATE, ROOT, &in, sizeof(in), name), 0);
        ids[i] = ((struct fuse_entry_out *)c.body)->nodeid;
        struct fuse_release_in release = {
            .fh = ((struct fuse_open_out *)(c.body + sizeof(struct fuse_entry_out)))->fh};
        cr_assert_eq(client_ask(&c, FUSE_RELEASE, ids[i], &release, sizeof(release), NULL, 0), 0);
    }
    for (int i = 0; i < MANY; i += 2) { /* two lookups on each of the first half of them */
        snprintf(name, sizeof(name), "f%d", i);
        cr_assert_eq(entry(ROOT, name).nodeid, ids[i]);
    }
    for (int i = 0; i < MANY; i++)
        client_ask(&c, FUSE_FORGET, ids[i], &(struct fuse_forget_in){1}, sizeof(struct fuse_forget_in), NULL,
                   0);
    for (int i = 0; i < MANY; i++) {
        struct fuse_getattr_in get = {0};
        int rc = client_ask(&c, FUSE_GETATTR, ids[i], &get, sizeof(get), NULL, 0);
        cr_assert_eq(rc, i % 2 ? -ESTALE : 0);
    }
}

Test(sandbox_fuse, reads_and_writes)
{
    uint64_t fh, node = entry(ROOT, "file").nodeid;
    cr_assert_eq(client_open_node(&c, node, O_RDWR, &fh), 0);
    cr_assert_eq(client_read(&c, node, fh, 2, 100), 0);
    cr_expect(c.length == 5 && memcmp(c.body, "ntent", 5) == 0);
    cr_assert_eq(client_read(&c, node, fh, 7, 100), 0);
    cr_expect_eq(c.length, 0);
    cr_assert_eq(client_write(&c, node, fh, 3, "XYZ", 0), 0);
    cr_expect_eq(((struct fuse_write_out *)c.body)->size, 3);
    cr_expect_str_eq(client_host(&c, "export/file"), "conXYZt");
    cr_assert_eq(client_write(&c, node, fh, 0, "end", O_APPEND), 0);
    cr_expect_str_eq(client_host(&c, "export/file"), "conXYZtend", "O_APPEND goes to the end");
    cr_expect_eq(client_write(&c, node, fh, UINT64_MAX, "x", 0), -EINVAL);
    cr_expect_eq(client_read(&c, node, fh, UINT64_MAX, 1), -EINVAL);

    struct fuse_write_in lie = {.fh = fh, .size = 1000};
    cr_expect_eq(client_ask(&c, FUSE_WRITE, node, &lie, sizeof(lie), "short", 5), -EINVAL,
                 "more than was sent");
    cr_expect_str_eq(client_host(&c, "export/file"), "conXYZtend");
}

Test(sandbox_fuse, a_read_gets_no_more_than_it_has_room_for)
{
    uint64_t fh, node = entry(ROOT, "file").nodeid;
    cr_assert_eq(client_open_node(&c, node, O_RDONLY, &fh), 0);
    struct fuse_read_in in = {.fh = fh, .size = UINT32_MAX};
    client_ask(&c, FUSE_READ, node, &in, sizeof(in), NULL, 0);
    cr_expect_eq(c.length, 7);
    cr_assert_eq(
        client_send(&c, sizeof(struct fuse_in_header) + sizeof(in), sizeof(struct fuse_out_header) + 3), 0);
    cr_expect(c.length == 3 && memcmp(c.body, "con", 3) == 0);
    cr_assert_eq(client_send(&c, sizeof(struct fuse_in_header) + sizeof(in), sizeof(struct fuse_out_header)),
                 0);
    cr_expect_eq(c.length, 0);
    cr_expect_eq(client_send(&c, sizeof(struct fuse_in_header) + sizeof(in), 15), 1, "no room for a header");
}

Test(sandbox_fuse, an_unchanged_file_keeps_its_cache)
{
    struct fuse_open_in in = {.flags = O_RDWR};
    uint64_t node = entry(ROOT, "file").nodeid;
    const struct fuse_open_out *out = (const void *)(c.out + sizeof(struct fuse_out_header));
    cr_assert_eq(client_ask(&c, FUSE_OPEN, node, &in, sizeof(in), NULL, 0), 0);
    cr_expect_eq(out->open_flags, 0);
    cr_assert_eq(client_ask(&c, FUSE_OPEN, node, &in, sizeof(in), NULL, 0), 0);
    cr_expect_eq(out->open_flags, FOPEN_KEEP_CACHE);
    cr_assert_eq(client_write(&c, node, out->fh, 7, "more", 0), 0);
    cr_assert_eq(client_ask(&c, FUSE_OPEN, node, &in, sizeof(in), NULL, 0), 0);
    cr_expect_eq(out->open_flags, 0, "it has another size");
}

Test(sandbox_fuse, makes_files_as_the_clients_user)
{
    need_root();
    struct fuse_create_in create = {.flags = O_WRONLY, .mode = 0666, .umask = 027};
    struct fuse_mkdir_in dir = {.mode = 0777, .umask = 02};
    struct fuse_mknod_in fifo = {.mode = S_IFIFO | 0644};
    struct stat st;
    c.uid = 1234;
    c.gid = 4321;
    cr_assert_eq(client_named(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "mine"), 0);
    cr_assert_eq(client_named(&c, FUSE_MKDIR, ROOT, &dir, sizeof(dir), "dir"), 0);
    cr_assert_eq(client_named(&c, FUSE_MKNOD, ROOT, &fifo, sizeof(fifo), "fifo"), 0);
    cr_assert_eq(client_ask(&c, FUSE_SYMLINK, ROOT, NULL, 0, "sym\0target", 11), 0);
    cr_assert(fstatat(c.outside, "export/mine", &st, 0) == 0);
    cr_expect(st.st_uid == 1234 && st.st_gid == 4321 && (st.st_mode & 07777) == 0640);
    cr_assert(fstatat(c.outside, "export/dir", &st, 0) == 0);
    cr_expect(st.st_uid == 1234 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0775);
    cr_assert(fstatat(c.outside, "export/fifo", &st, 0) == 0);
    cr_expect(st.st_uid == 1234 && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0644);
    cr_assert(fstatat(c.outside, "export/sym", &st, AT_SYMLINK_NOFOLLOW) == 0);
    cr_expect(st.st_uid == 1234 && S_ISLNK(st.st_mode));
    c.uid = c.gid = 0;
    cr_assert_eq(client_named(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "roots"), 0);
    cr_assert(fstatat(c.outside, "export/roots", &st, 0) == 0);
    cr_expect(st.st_uid == 0 && st.st_gid == 0, "nothing of the last request's user is left");
}

Test(sandbox_fuse, create_opens_what_is_there_unless_told_not_to)
{
    struct fuse_create_in in = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    cr_assert_eq(client_named(&c, FUSE_CREATE, ROOT, &in, sizeof(in), "file"), 0);
    cr_expect_eq(((struct fuse_entry_out *)c.body)->attr.size, 7);
    in.flags |= O_EXCL;
    cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &in, sizeof(in), "file"), -EEXIST);
    in.flags = O_RDWR | O_CREAT;
    cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &in, sizeof(in), "link"), -ELOOP,
                 "not through a symlink");
    cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &in, sizeof(in), "sub"), -EISDIR);
    cr_expect_str_eq(client_host(&c, "secret"), "secret");
}

Test(sandbox_fuse, temporary_files)
{
    struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
    int rc = client_ask(&c, FUSE_TMPFILE, ROOT, &in, sizeof(in), NULL, 0);
    if (rc == -EOPNOTSUPP)
        cr_skip_test("no O_TMPFILE in /tmp");
    cr_assert_eq(rc, 0);
    struct fuse_entry_out e = *(struct fuse_entry_out *)c.body;
    cr_expect_eq(e.attr.nlink, 0);
    struct fuse_link_in link = {.oldnodeid = e.nodeid};
    cr_assert_eq(client_named(&c, FUSE_LINK, ROOT, &link, sizeof(link), "named"), 0);
    cr_expect_eq(entry(ROOT, "named").nodeid, e.nodeid);
}

Test(sandbox_fuse, names_are_changed)
{
    uint64_t sub = entry(ROOT, "sub").nodeid, file = entry(ROOT, "file").nodeid;
    struct fuse_rename_in to = {.newdir = sub};
    struct fuse_rename2_in flags = {.newdir = sub, .flags = 1 /* RENAME_NOREPLACE */};
    struct fuse_link_in link = {.oldnodeid = file};
    cr_assert_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "file\0moved", 11), 0);
    cr_expect_str_eq(client_host(&c, "export/sub/moved"), "content");
    cr_assert_eq(client_named(&c, FUSE_LINK, ROOT, &link, sizeof(link), "second"), 0);
    cr_expect(((struct fuse_entry_out *)c.body)->nodeid == file && attributes(file).nlink == 2);
    cr_expect_eq(client_ask(&c, FUSE_RENAME2, ROOT, &flags, sizeof(flags), "second\0moved", 13), -EEXIST);
    flags.flags = 4; /* RENAME_WHITEOUT would make a device */
    cr_expect_eq(client_ask(&c, FUSE_RENAME2, ROOT, &flags, sizeof(flags), "second\0new", 11), -EINVAL);
    cr_expect_eq(client_named(&c, FUSE_RMDIR, ROOT, NULL, 0, "sub"), -ENOTEMPTY);
    cr_expect_eq(client_named(&c, FUSE_UNLINK, sub, NULL, 0, "moved"), 0);
    cr_expect_eq(client_named(&c, FUSE_RMDIR, ROOT, NULL, 0, "sub"), 0);
    cr_expect_eq(attributes(file).nlink, 1);
    to.newdir = file;
    cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "second\0x", 9), -ENOTDIR);
    cr_expect_eq(client_named(&c, FUSE_LOOKUP, file, NULL, 0, "x"), -ENOTDIR);
}

Test(sandbox_fuse, attributes_are_set)
{
    need_root();
    uint64_t node = entry(ROOT, "file").nodeid;
    struct fuse_setattr_in in = {
        .valid = FATTR_MODE | FATTR_UID | FATTR_SIZE | FATTR_MTIME,
        .mode = 0604,
        .uid = 77,
        .size = 3,
        .mtime = 1000000000,
        .mtimensec = 5,
    };
    cr_assert_eq(client_ask(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0);
    struct fuse_attr a = ((struct fuse_attr_out *)c.body)->attr;
    cr_expect(a.mode == (S_IFREG | 0604) && a.uid == 77 && a.gid == 0 && a.size == 3);
    cr_expect(a.mtime == 1000000000 && a.mtimensec == 5);
    cr_expect_str_eq(client_host(&c, "export/file"), "con");

    in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 06755};
    cr_assert_eq(client_ask(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0);
    in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 1};
    cr_assert_eq(client_ask(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), 0);
    cr_expect_eq(attributes(node).mode & 07777, 0755);

    uint64_t link = entry(ROOT, "link").nodeid;
    in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_SIZE, .uid = 5, .size = 0};
    cr_expect_eq(client_ask(&c, FUSE_SETATTR, link, &in, sizeof(in), NULL, 0), -EINVAL,
                 "a symlink has no size to set");
    cr_expect_eq(attributes(link).uid, 5, "and an owner of its own");
    in.size = UINT64_MAX;
    cr_expect_eq(client_ask(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0), -EFBIG);
    cr_expect_str_eq(client_host(&c, "secret"), "secret");
}

Test(sandbox_fuse, statx_tells_birth)
{
    struct fuse_statx_in in = {.sx_mask = STATX_BASIC_STATS | STATX_BTIME};
    cr_assert_eq(client_ask(&c, FUSE_STATX, entry(ROOT, "file").nodeid, &in, sizeof(in), NULL, 0), 0);
    const struct fuse_statx_out *out = (const void *)c.body;
    cr_expect(c.length == sizeof(*out) && out->stat.size == 7 &&
              (out->stat.mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
}

Test(sandbox_fuse, directories_are_read_piece_by_piece)
{
    enum { MANY = 300 };
    bool seen[MANY] = {0};
    char name[32];
    uint64_t fh, offset = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "export/sub/entry%d", i);
        cr_assert_eq(mkdirat(c.outside, name, 0700), 0);
    }
    uint64_t sub = entry(ROOT, "sub").nodeid;
    cr_assert_eq(client_open_node(&c, sub, O_DIRECTORY, &fh), 0);
    for (int found = 0, total = 0;; total += found) {
        struct fuse_read_in in = {.fh = fh, .offset = offset, .size = 1000};
        cr_assert_eq(client_ask(&c, FUSE_READDIRPLUS, sub, &in, sizeof(in), NULL, 0), 0);
        cr_assert_leq(c.length, 1000);
        found = 0;
        for (size_t at = 0; at < c.length; found++) {
            const struct fuse_direntplus *e = (const void *)(c.body + at);
            snprintf(name, sizeof(name), "%.*s", (int)e->dirent.namelen, e->dirent.name);
            if (name[0] == 'e') {
                int i = atoi(name + 5);
                cr_assert(i >= 0 && i < MANY && !seen[i]);
                seen[i] = true;
                cr_assert(e->entry_out.nodeid != 0 && e->entry_out.attr.ino == e->dirent.ino);
            } else {
                cr_assert_eq(e->entry_out.nodeid, 0, ". and .. are no lookups");
            }
            offset = e->dirent.off;
            at += FUSE_DIRENTPLUS_SIZE(e);
        }
        if (found == 0) {
            cr_expect_eq(total, MANY + 2);
            break;
        }
    }
    struct fuse_read_in small = {.fh = fh, .size = 10};
    cr_expect_eq(client_ask(&c, FUSE_READDIR, sub, &small, sizeof(small), NULL, 0), -EINVAL);
}

Test(sandbox_fuse, the_root_does_not_tell_what_is_above)
{
    uint64_t fh;
    struct stat above;
    cr_assert(fstatat(c.outside, "", &above, AT_EMPTY_PATH) == 0);
    cr_assert_eq(client_open_node(&c, ROOT, O_DIRECTORY, &fh), 0);
    struct fuse_read_in in = {.fh = fh, .size = 8192};
    cr_assert_eq(client_ask(&c, FUSE_READDIR, ROOT, &in, sizeof(in), NULL, 0), 0);
    int entries = 0;
    for (size_t at = 0; at < c.length; entries++) {
        const struct fuse_dirent *e = (const void *)(c.body + at);
        cr_expect_neq(e->ino, above.st_ino);
        at += FUSE_DIRENT_SIZE(e);
    }
    cr_expect_eq(entries, 5);
}

Test(sandbox_fuse, extended_attributes)
{
    uint64_t node = entry(ROOT, "file").nodeid;
    struct fuse_setxattr_in set = {.size = 5};
    struct fuse_getxattr_in get = {0};
    int rc = client_ask(&c, FUSE_SETXATTR, node, &set, sizeof(set), "user.name\0value", 15);
    if (rc == -EOPNOTSUPP)
        cr_skip_test("no user.* attributes in /tmp");
    cr_assert_eq(rc, 0);
    cr_assert_eq(client_named(&c, FUSE_GETXATTR, node, &get, sizeof(get), "user.name"), 0);
    cr_expect_eq(((struct fuse_getxattr_out *)c.body)->size, 5);
    get.size = 100;
    cr_assert_eq(client_named(&c, FUSE_GETXATTR, node, &get, sizeof(get), "user.name"), 0);
    cr_expect(c.length == 5 && memcmp(c.body, "value", 5) == 0);
    cr_assert_eq(client_ask(&c, FUSE_LISTXATTR, node, &get, sizeof(get), NULL, 0), 0);
    cr_expect(c.length == 10 && memcmp(c.body, "user.name", 10) == 0);
    get.size = 2;
    cr_expect_eq(client_named(&c, FUSE_GETXATTR, node, &get, sizeof(get), "user.name"), -ERANGE);
    /* As virtio-fs gives it: room for so many bytes and no more. */
    size_t request = ((struct fuse_in_header *)c.in)->len;
    cr_expect_eq(client_send(&c, request, sizeof(struct fuse_out_header) + 2), -ERANGE);
    cr_expect_eq(client_send(&c, request, sizeof(struct fuse_out_header)), -EINVAL);
    get.size = 5;
    cr_expect_eq(client_named(&c, FUSE_GETXATTR, node, &get, sizeof(get), "user.name"), 0);
    cr_expect_eq(client_send(&c, request, sizeof(struct fuse_out_header) + 5), 0);
    cr_expect(c.length == 5 && memcmp(c.body, "value", 5) == 0);
    cr_expect_eq(client_named(&c, FUSE_REMOVEXATTR, node, NULL, 0, "user.name"), 0);
    cr_expect_eq(client_named(&c, FUSE_REMOVEXATTR, node, NULL, 0, "user.name"), -ENODATA);
    set.size = 6;
    cr_expect_eq(client_ask(&c, FUSE_SETXATTR, node, &set, sizeof(set), "user.name\0value", 15), -EINVAL);
    cr_expect_eq(client_ask(&c, FUSE_SETXATTR, node, &set, sizeof(set), "user.name", 9), -EINVAL, "no NUL");
}

Test(sandbox_fuse, the_rest_of_a_file)
{
    uint64_t fh, node = entry(ROOT, "file").nodeid;
    cr_assert_eq(client_open_node(&c, node, O_RDWR, &fh), 0);
    struct fuse_fallocate_in allocate = {.fh = fh, .length = 10000};
    int rc = client_ask(&c, FUSE_FALLOCATE, node, &allocate, sizeof(allocate), NULL, 0);
    cr_expect(rc == -EOPNOTSUPP || (rc == 0 && attributes(node).size == 10000));
    struct fuse_lseek_in seek = {.fh = fh, .whence = SEEK_HOLE};
    cr_expect_eq(client_ask(&c, FUSE_LSEEK, node, &seek, sizeof(seek), NULL, 0), 0);
    seek.whence = SEEK_SET;
    cr_expect_eq(client_ask(&c, FUSE_LSEEK, node, &seek, sizeof(seek), NULL, 0), -EINVAL);
    struct fuse_copy_file_range_in copy = {.fh_in = fh, .fh_out = fh, .off_out = 20000, .len = 4};
    cr_assert_eq(client_ask(&c, FUSE_COPY_FILE_RANGE, node, &copy, sizeof(copy), NULL, 0), 0);
    cr_expect(((struct fuse_write_out *)c.body)->size == 4 && attributes(node).size == 20004);
    struct fuse_fsync_in sync = {.fh = fh};
    cr_expect_eq(client_ask(&c, FUSE_FSYNC, node, &sync, sizeof(sync), NULL, 0), 0);
    cr_expect_eq(client_ask(&c, FUSE_STATFS, node, NULL, 0, NULL, 0), 0);
    cr_expect_gt(((struct fuse_statfs_out *)c.body)->st.bsize, 0);
    struct fuse_syncfs_in all = {0};
    cr_expect_eq(client_ask(&c, FUSE_SYNCFS, ROOT, &all, sizeof(all), NULL, 0), 0);
    cr_expect_eq(client_ask(&c, FUSE_READLINK, entry(ROOT, "link").nodeid, NULL, 0, NULL, 0), 0);
    cr_expect(c.length == 9 && memcmp(c.body, "../secret", 9) == 0);
}

TestSuite(sandbox_fuse_exports);

Test(sandbox_fuse_exports, read_only_is_read_only_here)
{
    client_open(&c, (struct fuse_export){.read_only = true}, 0);
    uint64_t fh, node = entry(ROOT, "file").nodeid;
    struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_create_in create = {.flags = O_RDWR, .mode = 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_link_in link = {.oldnodeid = node};
    struct fuse_setxattr_in xattr = {.size = 1};
    cr_expect_eq(client_open_node(&c, node, O_RDWR, &fh), -EROFS);
    cr_expect_eq(client_open_node(&c, node, O_RDONLY | O_TRUNC, &fh), -EROFS);
    cr_expect_eq(client_open_node(&c, node, O_RDONLY, &fh), 0);
    cr_expect_eq(client_write(&c, node, fh, 0, "x", 0), -EROFS);
    cr_expect_eq(client_ask(&c, FUSE_SETATTR, node, &set, sizeof(set), NULL, 0), -EROFS);
    cr_expect_eq(client_named(&c, FUSE_CREATE, ROOT, &create, sizeof(create), "new"), -EROFS);
    cr_expect_eq(client_ask(&c, FUSE_TMPFILE, ROOT, &create, sizeof(create), NULL, 0), -EROFS);
    cr_expect_eq(client_named(&c, FUSE_MKDIR, ROOT, &dir, sizeof(dir), "new"), -EROFS);
    cr_expect_eq(client_named(&c, FUSE_LINK, ROOT, &link, sizeof(link), "new"), -EROFS);
    cr_expect_eq(client_named(&c, FUSE_UNLINK, ROOT, NULL, 0, "file"), -EROFS);
    cr_expect_eq(client_named(&c, FUSE_RMDIR, ROOT, NULL, 0, "sub"), -EROFS);
    cr_expect_eq(client_ask(&c, FUSE_SYMLINK, ROOT, NULL, 0, "a\0b", 4), -EROFS);
    cr_expect_eq(client_ask(&c, FUSE_SETXATTR, node, &xattr, 8, "user.a\0x", 8), -EROFS);
    cr_expect_eq(client_read(&c, node, fh, 0, 10), 0);
    client_close(&c);
}

Test(sandbox_fuse_exports, always_believes_what_is_not_there_too)
{
    struct fuse_entry_out e;
    client_open(&c, (struct fuse_export){.cache = FUSE_CACHE_ALWAYS}, 0);
    cr_expect_eq(client_lookup(&c, ROOT, "missing", &e), 0);
    cr_expect(e.nodeid == 0 && e.entry_valid > 3600);
    cr_expect(client_lookup(&c, ROOT, "file", &e) == 0 && e.nodeid != 0 && e.attr_valid > 3600);
    client_close(&c);
}

Test(sandbox_fuse_exports, descriptors_have_a_limit)
{
    struct fuse_entry_out e;
    uint64_t fh;
    client_open(&c, (struct fuse_export){.max_descriptors = 3}, 0);
    uint64_t node = entry(ROOT, "file").nodeid; /* the root is the first */
    cr_assert_eq(client_open_node(&c, node, O_RDONLY, &fh), 0);
    cr_expect_eq(client_lookup(&c, ROOT, "sub", &e), -ENFILE);
    cr_expect_eq(client_open_node(&c, node, O_RDONLY, &fh), -ENFILE);
    cr_expect_eq(client_lookup(&c, ROOT, "file", &e), 0, "known already");
    struct fuse_release_in release = {.fh = fh};
    cr_assert_eq(client_ask(&c, FUSE_RELEASE, node, &release, sizeof(release), NULL, 0), 0);
    cr_expect_eq(client_lookup(&c, ROOT, "sub", &e), 0);
    client_close(&c);
}

static uint64_t told(int many)
{
    eventfd_t n;

    return eventfd_read(many, &n) == 0 ? n : 0;
}

static uint64_t make_directory(int number)
{
    struct fuse_mkdir_in in = {.mode = 0700};
    char name[32];

    snprintf(name, sizeof(name), "d%d", number);
    cr_assert_eq(client_named(&c, FUSE_MKDIR, ROOT, &in, sizeof(in), name), 0);
    return ((struct fuse_entry_out *)c.body)->nodeid;
}

/* 64 may be known: told at the 65th, then with an eighth more, and once they have become fewer from the start. */
Test(sandbox_fuse_exports, who_knows_very_many_files_is_told_of)
{
    enum { MANY = 64, LAST = 75 };
    static const struct fuse_forget_in once = {1};
    uint64_t ids[LAST + 1], fh;
    int many = eventfd(0, EFD_NONBLOCK);

    client_open(&c, (struct fuse_export){.many_nodes = MANY, .many_fd = many}, 0);
    for (int i = 2; i <= LAST; i++) { /* the root is the first */
        ids[i] = make_directory(i);
        cr_expect_eq(told(many), i == 65 ? 1 : i == 74 ? FUSE_SERVER_MANY_MORE : 0, "%d", i);
    }
    struct fuse_read_in in = {.size = 1000};
    cr_assert_eq(client_open_node(&c, ROOT, O_DIRECTORY, &fh), 0);
    in.fh = fh;
    cr_assert_eq(client_ask(&c, FUSE_READDIRPLUS, ROOT, &in, sizeof(in), NULL, 0), 0);
    for (size_t at = 0; at < c.length;) {
        const struct fuse_direntplus *e = (const void *)(c.body + at);
        cr_expect_eq(e->entry_out.nodeid, 0, "reading a directory gives no more of them");
        at += FUSE_DIRENTPLUS_SIZE(e);
    }
    for (int i = LAST; i > 50; i--)
        client_ask(&c, FUSE_FORGET, ids[i], &once, sizeof(once), NULL, 0);
    for (int i = 101; i <= 116; i++) {
        make_directory(i);
        cr_expect_eq(told(many), i == 115 ? 1 : 0, "%d", i);
    }
    client_close(&c);
    close(many);
}

static char mounted[100];
static sem_t done;
static pthread_t unmounter;

/* Starts before the test's thread gives its capabilities away. */
static void *unmount(void *unused)
{
    sem_wait(&done);
    umount2(mounted, MNT_DETACH);
    return unused;
}

static void mount_on_sub(const char *tree)
{
    snprintf(mounted, sizeof(mounted), "%s/export/sub", tree);
    cr_assert(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    cr_assert_eq(mount(mounted, mounted, NULL, MS_BIND, NULL), 0);
    cr_assert(sem_init(&done, 0, 0) == 0 && pthread_create(&unmounter, NULL, unmount, NULL) == 0);
}

static void close_mounted(void)
{
    sem_post(&done);
    pthread_join(unmounter, NULL);
    client_close(&c);
}

Test(sandbox_fuse_exports, a_mount_below_is_told_as_one)
{
    struct fuse_entry_out e;
    need_root();
    client_hook = mount_on_sub;
    client_open(&c, (struct fuse_export){.cross_mounts = true}, FUSE_SUBMOUNTS);
    cr_assert_eq(client_lookup(&c, ROOT, "sub", &e), 0);
    cr_expect_eq(e.attr.flags, FUSE_ATTR_SUBMOUNT, "a bind mount of the same file system, even");
    cr_assert_eq(client_lookup(&c, ROOT, "file", &e), 0);
    cr_expect_eq(e.attr.flags, 0);
    uint64_t sub = entry(ROOT, "sub").nodeid;
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_link_in link = {.oldnodeid = e.nodeid};
    cr_assert_eq(client_named(&c, FUSE_MKDIR, sub, &dir, sizeof(dir), "inside"), 0);
    cr_expect_eq(((struct fuse_entry_out *)c.body)->attr.flags, 0, "the same mount as its parent");
    cr_expect_eq(client_named(&c, FUSE_LINK, sub, &link, sizeof(link), "file"), -EXDEV);
    struct fuse_rename_in to = {.newdir = sub};
    cr_expect_eq(client_ask(&c, FUSE_RENAME, ROOT, &to, sizeof(to), "file\0file", 10), -EXDEV);
    close_mounted();
}

Test(sandbox_fuse_exports, a_mount_below_is_no_part_unless_asked_for)
{
    struct fuse_entry_out e;
    need_root();
    client_hook = mount_on_sub;
    client_open(&c, (struct fuse_export){0}, FUSE_SUBMOUNTS);
    cr_expect_eq(client_lookup(&c, ROOT, "sub", &e), -EXDEV);
    cr_expect_eq(client_lookup(&c, ROOT, "file", &e), 0);
    close_mounted();
}

static int lock(uint64_t node, uint64_t fh, uint64_t owner, uint32_t opcode, uint32_t type, uint32_t flags)
{
    struct fuse_lk_in in = {
        .fh = fh, .owner = owner, .lk = {.end = INT64_MAX, .type = type}, .lk_flags = flags};
    return client_ask(&c, opcode, node, &in, sizeof(in), NULL, 0);
}

Test(sandbox_fuse_exports, shared_locks_are_the_hosts)
{
    uint64_t a, b, node;
    client_open(&c, (struct fuse_export){.shared_locks = true}, FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS);
    node = entry(ROOT, "file").nodeid;
    int host = openat(c.outside, "export/file", O_RDWR | O_CLOEXEC);
    cr_assert(host >= 0 && client_open_node(&c, node, O_RDWR, &a) == 0 &&
              client_open_node(&c, node, O_RDWR, &b) == 0);
    cr_expect_eq(lock(node, a, 1, FUSE_SETLK, F_WRLCK, 0), 0);
    cr_expect_eq(lock(node, b, 2, FUSE_SETLK, F_RDLCK, 0), -EAGAIN);
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    cr_expect_eq(fcntl(host, F_OFD_SETLK, &f), -1, "the host sees it");
    cr_expect_eq(lock(node, b, 2, FUSE_GETLK, F_WRLCK, 0), 0);
    cr_expect_eq(((struct fuse_lk_out *)c.body)->lk.type, F_WRLCK);

    cr_expect_eq(lock(node, b, 2, FUSE_SETLKW, F_WRLCK, 0), 2, "waits");
    size_t length = ((struct fuse_in_header *)c.in)->len;
    cr_expect_eq(client_send(&c, length, 4096), 2, "still");
    static unsigned char kept[256];
    memcpy(kept, c.in, length);
    uint64_t before = fuse_server_progress(c.server);
    struct fuse_flush_in flush = {.fh = a, .lock_owner = 1};
    cr_expect_eq(client_ask(&c, FUSE_FLUSH, node, &flush, sizeof(flush), NULL, 0), 0);
    cr_expect_neq(fuse_server_progress(c.server), before);
    memcpy(c.in, kept, length);
    cr_expect_eq(client_send(&c, length, 4096), 0, "has it");

    cr_expect_eq(lock(node, a, 1, FUSE_SETLKW, F_WRLCK, 0), 2);
    struct fuse_interrupt_in interrupt = {.unique = c.unique};
    length = ((struct fuse_in_header *)c.in)->len;
    memcpy(kept, c.in, length);
    cr_expect_eq(client_ask(&c, FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt), NULL, 0), 1);
    memcpy(c.in, kept, length);
    cr_expect_eq(client_send(&c, length, 4096), -EINTR);

    cr_expect_eq(lock(node, a, 1, FUSE_SETLK, F_WRLCK, FUSE_LK_FLOCK), 0);
    cr_expect_eq(lock(node, b, 1, FUSE_SETLK, F_RDLCK, FUSE_LK_FLOCK), -EAGAIN);
    cr_expect(flock(host, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    fuse_server_reset(c.server);
    cr_expect(flock(host, LOCK_SH | LOCK_NB) == 0 && fcntl(host, F_OFD_SETLK, &f) == 0, "a reset frees all");
    close(host);
    client_close(&c);
}
