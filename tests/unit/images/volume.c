/* Volumes and id maps of containers: what is written down, what goes and when. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy_tree.h"
#include "base/file.h"
#include "images/idmaps.h"
#include "images/owners.h"
#include "images/volume.h"
#include "namespaces/namespaces.h"

static struct arena a;
static struct store s;
static struct error err;
static char top[] = "/tmp/hull-volume-XXXXXX";

static void open_store(void)
{
    cr_assert(mkdtemp(top));
    cr_assert_eq(store_open(&a, arena_printf(&a, "%s/store", top), false, &s, &err), 0, "%s", err.message);
}

static void close_store(void)
{
    store_close(&s);
    cr_expect_eq(file_remove_tree(AT_FDCWD, top, &err), 0);
}

TestSuite(volume, .init = open_store, .fini = close_store);

static struct snapshot container(const char *id)
{
    struct snapshot c = {.id = id, .exit = -1, .path = id};
    const char *path = arena_printf(&a, "containers/%s", id);

    cr_assert_eq(mkdirat(s.dir, path, 0700), 0);
    c.dir = openat(s.dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(c.dir, 0);
    cr_assert_eq(mkdirat(c.dir, "upper", 0755), 0);
    cr_assert_eq(mkdirat(c.dir, "work", 0700), 0);
    return c;
}

static void put(int dir, const char *name, const char *text)
{
    cr_assert_eq(file_replace(dir, name, 0644, text, strlen(text), &err), 0, "%s", err.message);
}

static int drop(const char *name, enum volume_removal which)
{
    const struct string_list names = {.v = (char *[]){(char *)name, NULL}, .n = 1};

    error_clear(&err);
    return volume_remove(&s, &names, which, NULL, &err);
}

static bool is_there(const char *name)
{
    struct volume v;

    return volume_read(&s, name, &v, &err) == 0;
}

Test(volume, names)
{
    static const char *const good[] = {"a", "A0", "a_b.c-d"}, *const bad[] = {"",    ".",   "..",
                                                                              "a/b", "_a",  "-a",
                                                                              "a b", "a\n", "\xc3\xa4"};
    char longest[257];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        cr_expect_eq(volume_name_validate(good[i], &err), 0, "%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_expect_eq(volume_name_validate(bad[i], &err), -1, "%s", bad[i]);
    memset(longest, 'a', sizeof(longest));
    longest[256] = '\0';
    cr_expect_eq(volume_name_validate(longest, &err), -1);
    longest[255] = '\0';
    cr_expect_eq(volume_name_validate(longest, &err), 0);
}

Test(volume, is_made_once_and_keeps_what_it_was_made_with)
{
    struct volume first = {.name = "v", .labels = {.v = (char *[]){(char *)"a=1"}, .n = 1}};
    struct volume second = {.name = "v", .anonymous = true};

    cr_assert_eq(volume_create(&s, &first, &err), 1, "%s", err.message);
    cr_assert_eq(volume_create(&s, &second, &err), 0, "%s", err.message);
    cr_expect(!second.anonymous);
    cr_expect_eq(second.labels.n, 1);
    cr_expect_str_eq(second.labels.v[0], "a=1");
    cr_expect_str_eq(second.path, arena_printf(&a, "%s/store/volumes/v/_data", top));
    cr_expect(!second.used);
}

Test(volume, what_is_half_made_is_none_and_goes)
{
    struct string_list names;
    struct volume v = {.name = "half"};

    cr_assert_eq(mkdirat(s.dir, "volumes", 0700), 0);
    cr_assert_eq(mkdirat(s.dir, "volumes/half", 0700), 0);
    cr_assert_eq(mkdirat(s.dir, "volumes/other", 0700), 0);
    cr_expect_eq(volume_names(&s, &names, &err), 0);
    cr_expect_eq(names.n, 0);
    cr_expect_eq(volume_create(&s, &v, &err), 1, "%s", err.message);
    cr_expect_eq(volume_remove(&s, NULL, VOLUME_ANONYMOUS, NULL, &err), 0, "%s", err.message);
    cr_expect(is_there("half"));
    cr_expect_lt(faccessat(s.dir, "volumes/other", F_OK, 0), 0);
}

Test(volume, goes_when_nobody_uses_it)
{
    struct snapshot c = container("user");
    struct volume named = {.name = "named"}, own = {.name = "own", .anonymous = true};
    struct string_list users;

    cr_assert_eq(volume_take(&s, &c, &named, &err), 0, "%s", err.message);
    cr_assert_eq(volume_take(&s, &c, &own, &err), 0, "%s", err.message);
    cr_expect_eq(volume_users(&s, "own", &users, &err), 0);
    cr_assert_eq(users.n, 1);
    cr_expect_str_eq(users.v[0], "user");
    cr_expect_eq(drop("named", VOLUME_NAMED), -1);
    cr_expect_eq(err.exit_code, 2);
    cr_expect_eq(drop("own", VOLUME_ANONYMOUS), 0);
    cr_expect(is_there("own"));
    cr_assert_eq(snapshot_remove(&s, "user", &err), 0);
    cr_expect_eq(drop("named", VOLUME_ANONYMOUS), 0);
    cr_expect(is_there("named"));
    cr_expect_eq(drop("own", VOLUME_ANONYMOUS), 0);
    cr_expect(!is_there("own"));
    cr_expect_eq(drop("own", VOLUME_ANONYMOUS), 0, "that it is gone already is no error");
    cr_expect_eq(drop("own", VOLUME_NAMED), -1);
    cr_expect_eq(drop("named", VOLUME_NAMED), 0, "%s", err.message);
    close(c.dir);
}

Test(volume, is_filled_once_from_below_the_root_alone)
{
    struct volume v = {.name = "v"};
    int root = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_assert_eq(mkdirat(root, "image", 0755), 0);
    cr_assert_eq(symlinkat("/image", root, "link"), 0);
    int image = openat(root, "image", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(image, "file", "content");
    cr_assert_eq(volume_create(&s, &v, &err), 1, "%s", err.message);
    int dir = volume_open(&s, "v", &err);
    cr_assert_eq(mkdirat(dir, "tmp", 0700), 0, "of one that was killed");
    const struct volume_fill fill = {.dir = dir, .destination = "/link"};
    cr_expect_eq(volume_fill(&fill, root, &err), 0, "%s", err.message);
    cr_expect_eq(faccessat(dir, "_data/file", F_OK, 0), 0);
    cr_expect_lt(faccessat(dir, "tmp", F_OK, 0), 0);
    cr_expect_eq(unlinkat(dir, "_data/file", 0), 0);
    cr_expect_eq(volume_fill(&fill, root, &err), 0, "%s", err.message);
    cr_expect_lt(faccessat(dir, "_data/file", F_OK, 0), 0, "it was used before");
    close(dir);
    close(image);
    close(root);
}

/* --- ids ----------------------------------------------------------------------------------------------------------- */

Test(volume, id_maps_are_read_as_they_were_written)
{
    struct snapshot c = container("mapped");
    struct id_map uids[] = {{0, 0, 1}, {1, 100000, 5}}, gids[] = {{0, 0, 10}};
    const struct idmaps maps = {.uids = {uids, 2}, .gids = {gids, 1}};
    struct idmaps read;

    cr_assert_eq(idmaps_read(&a, &c, &read, &err), 0);
    cr_expect_eq(read.uids.n, 0);
    if (getuid() != 0)
        cr_skip_test("gives files away");
    cr_assert_eq(idmaps_set(&s, &c, &maps, &err), 0, "%s", err.message);
    cr_assert_eq(idmaps_read(&a, &c, &read, &err), 0, "%s", err.message);
    cr_expect_eq(read.uids.n, 2);
    cr_expect_eq(read.gids.n, 1);
    cr_expect_eq(read.uids.v[1].container_id, 1);
    cr_expect_eq(read.uids.v[1].host_id, 100000);
    cr_expect_eq(read.uids.v[1].size, 5);
    close(c.dir);
}

Test(volume, id_maps_that_are_none_are_an_error)
{
    static const char *const bad[] = {
        "uid 0 1\n",    "uid 0 1 2 3\n", "xid 0 1 2\n",          "uid -1 0 1\n",   "uid 0 1 2x\n",
        "uid  0 1 2\n", "uid\n",         "uid 4294967296 0 1\n", "gid 0 1 2\nx\n", "uid 0 +1 1\n"};
    struct snapshot c = container("bad");
    struct idmaps read;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        put(c.dir, "idmap", bad[i]);
        error_clear(&err);
        cr_expect_eq(idmaps_read(&a, &c, &read, &err), -1, "%s", bad[i]);
    }
    close(c.dir);
}

/* --- copies -------------------------------------------------------------------------------------------------------- */

Test(volume, copies_keep_links_modes_and_times)
{
    struct stat st, other;
    int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 5}};

    cr_assert_eq(mkdirat(dir, "from", 0755), 0);
    cr_assert_eq(mkdirat(dir, "to", 0755), 0);
    cr_assert_eq(mkdirat(dir, "from/d", 0751), 0);
    int from = openat(dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to = openat(dir, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(from, "file", "content");
    cr_assert_eq(fchmodat(from, "file", 04741, 0), 0);
    cr_assert_eq(utimensat(from, "file", times, 0), 0);
    cr_assert_eq(linkat(from, "file", from, "d/again", 0), 0);
    cr_assert_eq(symlinkat("/etc/passwd", from, "d/link"), 0);
    cr_assert_eq(mknodat(from, "fifo", S_IFIFO | 0640, 0), 0);
    cr_assert_eq(copy_tree(from, to, &err), 0, "%s", err.message);
    cr_assert_eq(fstatat(to, "file", &st, 0), 0);
    cr_assert_eq(fstatat(to, "d/again", &other, 0), 0);
    cr_expect_eq(st.st_ino, other.st_ino);
    cr_expect_eq(st.st_mode & 07777, 04741);
    cr_expect_eq(st.st_mtim.tv_sec, 2000);
    cr_assert_eq(fstatat(to, "d/link", &st, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISLNK(st.st_mode));
    cr_assert_eq(fstatat(to, "fifo", &st, 0), 0);
    cr_expect(S_ISFIFO(st.st_mode));
    cr_assert_eq(fstatat(to, "d", &st, 0), 0);
    cr_expect_eq(st.st_mode & 07777, 0751);
    close(from);
    close(to);
    close(dir);
}

/* --- a user who keeps his id ---------------------------------------------------------------------------------------- */

Test(volume, ids_that_are_kept_fit_the_ranges)
{
    struct id_map v[] = {{0, 1000, 1}, {1, 100000, 600}, {601, 200000, 1000}};
    const struct id_maps all = {v, 3};
    static const uint32_t own[] = {0, 1, 599, 600, 601, 1000, 1600};

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        const struct owners o = {own[i], own[i]};
        const struct copy_owners back = owners_undo(&o);
        struct id_maps out;

        cr_assert_eq(owners_maps(&a, "user", &all, own[i], &out, &err), 0, "%s", err.message);
        for (uint32_t disk = 0; disk <= 1600; disk++) {
            uint32_t unpacked, container, inside = back.uid(back.argument, disk);

            cr_assert(idmap_to_host(&all, disk, &unpacked));
            cr_assert(idmap_to_host(&out, inside, &container), "%u of %u", inside, own[i]);
            cr_assert_eq(unpacked, container, "%u is %u inside", disk, inside);
        }
    }
    struct id_maps out;
    cr_expect_eq(owners_maps(&a, "user", &all, 1601, &out, &err), -1);
}
