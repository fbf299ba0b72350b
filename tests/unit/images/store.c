/* The store: what is seen when, and what a sweep leaves. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "images/manifest.h"
#include "images/sweep.h"

static struct arena a;
static struct store s;
static struct error err;
static char top[] = "/tmp/hull-store-XXXXXX";

static void open_store(void)
{
    cr_assert(mkdtemp(top));
    cr_assert_eq(store_open(&a, arena_printf(&a, "%s/a/b", top), false, &s, &err), 0, "%s", err.message);
}

static void close_store(void)
{
    store_close(&s);
    cr_expect_eq(file_remove_tree(AT_FDCWD, top, &err), 0);
}

TestSuite(store, .init = open_store, .fini = close_store);

/* A digest that need not fit its content: the store trusts the caller. */
static const char *digest(char c)
{
    char *d = arena_printf(&a, "sha256:%064d", 0);
    d[7] = c;
    return d;
}

static void put_layer(struct session *session, const char *key)
{
    cr_assert_eq(mkdirat(session->dir, "new", 0700), 0);
    cr_assert_eq(mkdirat(session->dir, "new/tree", 0755), 0);
    int dir = openat(session->dir, "new", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(file_replace(dir, "layer.json", 0600, "{\"bytes\":1000}", 14, &err), 0);
    close(dir);
    cr_assert_eq(session_commit_layer(session, "new", key, &err), 0, "%s", err.message);
}

/* An image of one layer: 'm'anifest, 'c'onfiguration, layer. */
static void put_image(const char *name, char m, char c, char layer, const char *layer_key)
{
    struct session session;
    const char *config = arena_printf(&a, "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", digest(layer));
    const char *manifest =
        arena_printf(&a,
                     "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":1},\"layers\":"
                     "[{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"digest\":\"%s\",\"size\":1}]}",
                     digest(c), digest('9'));
    struct store_image image = {.name = name, .manifest = digest(m)};

    cr_assert_eq(session_begin(&s, &session, &err), 0, "%s", err.message);
    cr_assert_eq(session_put_blob(&session, digest(c), config, strlen(config), &err), 0, "%s", err.message);
    cr_assert_eq(session_put_blob(&session, digest(m), manifest, strlen(manifest), &err), 0);
    const char *key = layer_key ? layer_key : digest_hex(digest(layer));
    put_layer(&session, key);
    struct string_list keys = {.v = (char *[]){(char *)key, NULL}, .n = 1};
    cr_assert_eq(session_put_stack(&session, digest(c), &keys, &err), 0, "%s", err.message);
    cr_assert_eq(store_name_set(&s, &image, &err), 0, "%s", err.message);
    session_end(&session);
}

static struct sweep_result sweep(bool dangling, bool all)
{
    struct sweep_result r;
    cr_assert_eq(store_sweep(&s, dangling, all, &r, &err), 0, "%s", err.message);
    return r;
}

Test(store, a_name_moves_and_leaves_a_dangling_image)
{
    struct store_image image, *images;
    size_t n;

    put_image("docker.io/library/x:latest", 'a', 'c', '1', NULL);
    put_image("docker.io/library/x:latest", 'b', 'd', '2', NULL);
    cr_assert_eq(store_name_get(&s, "docker.io/library/x:latest", &image, &err), 1);
    cr_expect_str_eq(image.manifest, digest('b'));
    cr_expect_eq(store_name_get(&s, "docker.io/library/y:latest", &image, &err), 0);
    cr_assert_eq(store_names(&s, &images, &n, &err), 0);
    cr_assert_eq(n, 2);
    cr_expect_str_eq(images[0].name, "docker.io/library/x:latest");
    cr_expect(!images[1].name);
    cr_expect_str_eq(images[1].manifest, digest('a'));

    struct sweep_result r = sweep(false, false);
    cr_expect(r.layers == 0 && r.blobs == 0 && r.images == 0 && r.sessions == 0);
    r = sweep(true, false);
    cr_expect(r.layers == 1 && r.blobs == 2 && r.images == 1, "%zu %zu %zu", r.layers, r.blobs, r.images);
    cr_expect(r.bytes >= 1000);
    cr_expect(store_layer_exists(&s, digest_hex(digest('2'))));
    cr_expect(!store_layer_exists(&s, digest_hex(digest('1'))));
}

Test(store, a_dangling_image_that_gets_a_name_is_listed_once)
{
    struct store_image *images;
    size_t n;

    put_image("a.b/x:1", 'a', 'c', '1', NULL);
    put_image("a.b/x:1", 'b', 'd', '2', NULL);
    struct store_image again = {.name = "a.b/old:1", .manifest = digest('a')};
    cr_assert_eq(store_name_set(&s, &again, &err), 0);
    cr_assert_eq(store_names(&s, &images, &n, &err), 0);
    cr_expect_eq(n, 2);
}

Test(store, what_a_container_uses_stays)
{
    put_image("a.b/x:1", 'a', 'c', '1', NULL);
    cr_assert_eq(mkdirat(s.dir, "containers/web", 0700), 0);
    const char *uses = arena_printf(&a, "%s\n%s\n%s\n", digest_hex(digest('a')), digest_hex(digest('c')),
                                    digest_hex(digest('1')));
    int dir = openat(s.dir, "containers/web", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(file_replace(dir, "uses", 0600, uses, strlen(uses), &err), 0);
    close(dir);
    struct sweep_result r = sweep(true, true);
    cr_expect(r.images == 0 && r.layers == 0 && r.blobs == 0);
    cr_assert_eq(store_name_remove(&s, "a.b/x:1", &err), 0);
    r = sweep(true, true);
    cr_expect(r.layers == 0 && r.blobs == 0);
    cr_assert_eq(file_remove_tree(s.dir, "containers/web", &err), 0);
    r = sweep(true, true);
    cr_expect(r.layers == 1 && r.blobs == 2, "%zu %zu", r.layers, r.blobs);
}

Test(store, what_a_living_session_uses_stays_and_a_dead_ones_goes)
{
    struct session session;
    int ready[2], go[2];
    char byte;

    cr_assert(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store own; /* a lock of one's own */
        close(go[1]);
        store_close(&s);
        if (store_open(&a, arena_printf(&a, "%s/a/b", top), false, &own, &err) < 0 ||
            session_begin(&own, &session, &err) < 0 ||
            session_use(&session, digest_hex(digest('1')), &err) < 0)
            _exit(1);
        put_layer(&session, digest_hex(digest('1')));
        mkdirat(session.dir, "half", 0700);
        _exit(write(ready[1], "x", 1) == 1 && read(go[0], &byte, 1) == 0 ? 0
                                                                         : 1); /* like one that was killed */
    }
    close(go[0]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    struct sweep_result r = sweep(true, true);
    cr_expect(r.layers == 0 && r.sessions == 0, "%zu %zu", r.layers, r.sessions);
    close(go[1]);
    int status;
    waitpid(pid, &status, 0);
    cr_assert_eq(status, 0);
    r = sweep(true, true);
    cr_expect(r.layers == 1 && r.sessions == 1, "%zu %zu", r.layers, r.sessions);
    struct stat st;
    cr_expect(fstatat(s.dir, "tmp", &st, 0) == 0 && st.st_nlink == 2, "nothing left in tmp");
}

Test(store, a_layer_under_its_chains_key)
{
    const char *key = digest_hex(digest('7'));
    struct string_list keys;

    put_image("a.b/x:1", 'a', 'c', '1', key);
    cr_assert_eq(store_stack(&s, digest('c'), &keys, &err), 0);
    cr_assert(keys.n == 1 && strcmp(keys.v[0], key) == 0);
    cr_expect_eq(sweep(true, false).layers, 0);
    cr_expect_eq(sweep(true, true).layers, 1);
    cr_expect_eq(store_stack(&s, digest('c'), &keys, &err), -1);
    cr_expect_eq(err.code, ENOENT);
}

Test(store, a_layer_committed_twice)
{
    struct session session;

    put_image("a.b/x:1", 'a', 'c', '1', NULL);
    cr_assert_eq(session_begin(&s, &session, &err), 0);
    put_layer(&session, digest_hex(digest('1')));
    session_end(&session);
    struct stat st;
    cr_expect(fstatat(s.dir, "tmp", &st, 0) == 0 && st.st_nlink == 2);
}

Test(store, a_damaged_name_is_an_error_that_names_it)
{
    struct store_image image;
    int names = openat(s.dir, "names", O_RDONLY | O_DIRECTORY);

    cr_assert_eq(file_replace(names, "a.b+x:1", 0600, "{\"manifest\":\"../../x\"}", 22, &err), 0);
    close(names);
    cr_expect_eq(store_name_get(&s, "a.b/x:1", &image, &err), -1);
    cr_expect(strstr(err.message, "a.b+x:1"), "%s", err.message);
}

Test(store, a_damaged_image_keeps_its_name_and_its_sweep_goes_on)
{
    put_image("a.b/x:1", 'a', 'c', '1', NULL);
    put_image("a.b/y:1", 'b', 'd', '2', NULL);
    cr_assert_eq(unlinkat(s.dir, arena_printf(&a, "blobs/sha256/%s", digest_hex(digest('a'))), 0), 0);
    struct sweep_result r = sweep(true, false);
    struct store_image image;
    cr_expect_eq(r.layers, 1);
    cr_expect_eq(store_name_get(&s, "a.b/x:1", &image, &err), 1);
    cr_expect(store_layer_exists(&s, digest_hex(digest('2'))));
}

Test(store, one_unpacks_others_wait)
{
    struct session session;
    int lock, status, pipes[2];
    char byte;

    cr_assert_eq(pipe(pipes), 0);
    cr_assert_eq(session_begin(&s, &session, &err), 0);
    cr_assert_eq(session_lock_layer(&session, "k", &lock, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(lock);
        int mine;
        _exit(session_lock_layer(&session, "k", &mine, &err) == 0 && read(pipes[0], &byte, 1) == 1 ? 0 : 1);
    }
    usleep(50000);
    cr_expect_eq(waitpid(pid, &status, WNOHANG), 0, "it waits");
    cr_assert_eq(write(pipes[1], "x", 1), 1);
    close(lock);
    cr_expect_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
    session_end(&session);
}
