/* Images by what people write, users by the image's files, and what an image's configuration becomes. */
#include "images/find.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "images/bundle.h"
#include "images/snapshot.h"

static struct arena a;
static struct store s;
static struct error err;
static char top[] = "/tmp/hull-find-XXXXXX";

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

TestSuite(find, .init = open_store, .fini = close_store);

static const char *digest(const char *digits)
{
    char *d = arena_printf(&a, "sha256:%064d", 0);

    for (size_t i = 0; digits[i]; i++)
        d[7 + i] = digits[i];
    return d;
}

/* An image of no layers: its manifest's and its configuration's digests begin so. */
static void put_image(const char *name, const char *manifest, const char *config)
{
    const char *text = "{\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"]},\"rootfs\":{\"diff_ids\":[]}}";
    const char *m =
        arena_printf(&a, "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[]}",
                     digest(config), strlen(text));
    struct store_image image = {.name = name, .manifest = digest(manifest)};
    struct session session;

    cr_assert_eq(session_begin(&s, &session, &err), 0, "%s", err.message);
    cr_assert_eq(session_put_blob(&session, digest(config), text, strlen(text), &err), 0);
    cr_assert_eq(session_put_blob(&session, digest(manifest), m, strlen(m), &err), 0);
    cr_assert_eq(session_put_stack(&session, digest(config), &(struct string_list){0}, &err), 0);
    cr_assert_eq(store_name_set(&s, &image, &err), 0, "%s", err.message);
    session_end(&session);
}

static const char *find(const char *text)
{
    struct found_image image;
    int found = image_find(&s, text, &image, &err);

    return found == 1 ? image.name ? image.name : image.manifest : found == 0 ? "none" : "error";
}

Test(find, names_in_their_order)
{
    put_image("docker.io/library/x:latest", "a1", "c1");
    put_image("localhost/x:latest", "a2", "c2");
    put_image("q.example/team/x:latest", "a3", "c3");
    put_image("q.example/team/y:2", "a4", "c4");

    cr_expect_str_eq(find("x"), "docker.io/library/x:latest");
    cr_expect_str_eq(find("docker.io/x"), "docker.io/library/x:latest");
    cr_expect_str_eq(find("localhost/x"), "localhost/x:latest");
    cr_expect_str_eq(find("team/x"), "q.example/team/x:latest");
    cr_expect_str_eq(find("y:2"), "q.example/team/y:2");
    cr_expect_str_eq(find("y"), "none");
    cr_expect_str_eq(find("am/y:2"), "none", "only whole components");
    put_image("p.example/y:2", "a5", "c5");
    cr_expect_str_eq(find("y:2"), "error");
    cr_expect(strstr(err.message, "p.example/y:2, q.example/team/y:2"), "%s", err.message);
    cr_expect_str_eq(find("NO GOOD"), "error");
}

Test(find, ids_and_digests)
{
    put_image("a.b/x:1", "ab12", "cd12");
    put_image("a.b/y:1", "ab13", "cd1234");
    put_image(NULL, "ee", "ff0000");

    cr_expect_str_eq(find(digest("ab12")), "a.b/x:1");
    cr_expect_str_eq(find(digest("ee")), digest("ee"));
    cr_expect_str_eq(find(digest("cd12")), "a.b/x:1");
    cr_expect_str_eq(find(digest("cd12") + 7), "a.b/x:1");
    cr_expect_str_eq(find("cd1234"), "a.b/y:1");
    cr_expect_str_eq(find("sha256:cd1234"), "a.b/y:1");
    cr_expect_str_eq(find("cd12"), "error", "two begin so");
    cr_expect_str_eq(find("cd1"), "none", "too short for an id");
    cr_expect_str_eq(find("ff00"), digest("ee"));
    cr_expect_str_eq(find(arena_printf(&a, "a.b/x@%s", digest("ab12"))), "a.b/x:1");
    cr_expect_str_eq(find(arena_printf(&a, "x@%s", digest("ab12"))), "a.b/x:1");
    cr_expect_str_eq(find(arena_printf(&a, "a.b/z@%s", digest("ab12"))), "none");
}

Test(find, a_damaged_image_is_named)
{
    struct found_image image;

    put_image("a.b/x:1", "a1", "c1");
    cr_assert_eq(unlinkat(s.dir, arena_printf(&a, "stacks/%s", digest("c1") + 7), 0), 0);
    cr_expect_eq(image_find(&s, "a.b/x:1", &image, &err), -1);
    cr_expect(strstr(err.message, "image a.b/x:1 is not whole"), "%s", err.message);
}

Test(find, a_container_of_the_store)
{
    struct found_image image;
    struct snapshot c, again;
    struct snapshot_exit e;
    struct stat st;

    put_image("a.b/x:1", "a1", "c1");
    cr_assert_eq(image_find(&s, "a.b/x:1", &image, &err), 1, "%s", err.message);
    cr_assert_eq(snapshot_create(&s, "web", &image, &c, &err), 0, "%s", err.message);
    cr_expect_eq(snapshot_create(&s, "web", &image, &again, &err), -1);
    cr_expect_eq(err.code, EEXIST);
    cr_expect(fstatat(c.dir, "upper", &st, 0) == 0 && (st.st_mode & 07777) == 0755);

    cr_assert_eq(snapshot_open(&s, "web", &again, &err), 0);
    cr_assert_eq(snapshot_exit_read(&again, &e, &err), 0);
    cr_expect(e.alive && !e.known);
    cr_assert_eq(snapshot_exit_write(&c, 42, &err), 0);
    cr_assert_eq(snapshot_exit_read(&again, &e, &err), 0);
    cr_expect(e.alive && e.known && e.status == 42 && e.finished > 0);
    snapshot_close(&c);
    cr_assert_eq(snapshot_exit_read(&again, &e, &err), 0);
    cr_expect(!e.alive && e.known);
    snapshot_close(&again);

    cr_expect_eq(snapshot_remove(&s, "web", &err), 0);
    cr_expect_eq(snapshot_open(&s, "web", &again, &err), -1);
    cr_expect_eq(err.code, ENOENT);
}

/* --- users --------------------------------------------------------------------------------------------------------- */

static void put_file(int root, const char *path, const char *text)
{
    mkdirat(root, "etc", 0755);
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0);
    close(fd);
}

static struct stack make_root(const char *passwd, const char *group)
{
    const char *path = arena_printf(&a, "%s/root", top);
    cr_assert_eq(mkdir(path, 0755), 0);
    struct stack root = {.trees = {open(path, O_RDONLY | O_DIRECTORY)}, .n = 1};

    put_file(root.trees[0], "etc/passwd", passwd);
    put_file(root.trees[0], "etc/group", group);
    return root;
}

Test(find, users)
{
    struct stack root =
        make_root("root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/srv:/bin/sh\nbig:x:4294967296:1::/:\n"
                  "12:x:99:98::/n:\nrel:x:5:5::home:\n",
                  "root:x:0:\nweb:x:34:\nextra:x:50:web,other\nmore:x:51:other,web\nbad:x:-1:web\n");
    static const struct {
        const char *text;
        int result;
        uint32_t uid, gid;
        size_t groups;
        const char *home;
    } cases[] = {
        {NULL, 0, 0, 0, 0, "/root"},  {"", 0, 0, 0, 0, "/root"},        {"web", 0, 33, 34, 2, "/srv"},
        {"33", 0, 33, 34, 2, "/srv"}, {"web:50", 0, 33, 50, 0, "/srv"}, {"web:extra", 0, 33, 50, 0, "/srv"},
        {"7", 0, 7, 0, 0, "/"},       {"7:8", 0, 7, 8, 0, "/"},         {"12", 0, 99, 98, 0, "/n"},
        {"rel", 0, 5, 5, 0, "/"},     {"nobody", -1, 0, 0, 0, NULL},    {"web:none", -1, 0, 0, 0, NULL},
        {"big", -1, 0, 0, 0, NULL},   {"-1", -1, 0, 0, 0, NULL},        {"4294967295", -1, 0, 0, 0, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct image_user u;

        cr_assert_eq(image_user_find(&a, &root, cases[i].text, &u, &err), cases[i].result, "%s",
                     cases[i].text ? cases[i].text : "NULL");
        if (cases[i].result < 0)
            continue;
        cr_expect(u.uid == cases[i].uid && u.gid == cases[i].gid, "%s: %u %u", cases[i].text, u.uid, u.gid);
        cr_expect_eq(u.n_groups, cases[i].groups, "%s", cases[i].text);
        cr_expect_str_eq(u.home, cases[i].home);
    }
    close(root.trees[0]);
}

/* --- bundles ------------------------------------------------------------------------------------------------------- */

static struct spec *write_and_read(const struct bundle *b)
{
    struct spec *spec;
    char *text;
    size_t length;

    cr_assert_eq(bundle_write(b, &text, &length, &err), 0, "%s", err.message);
    cr_assert_eq(spec_parse(&a, text, length, "config.json", &spec, &err), 0, "%s", err.message);
    return spec;
}

static const char *annotation(const struct spec *spec, const char *key)
{
    for (size_t i = 0; i < spec->n_annotations; i++)
        if (strcmp(spec->annotations[i].key, key) == 0)
            return spec->annotations[i].value;
    return NULL;
}

static struct bundle plain(const struct image_config *config)
{
    return (struct bundle){.arena = &a,
                           .id = "id",
                           .root = "root",
                           .hostname = "host",
                           .image = config,
                           .user = {.home = "/"},
                           .capabilities = bundle_default_capabilities};
}

Test(find, bundle_defaults_are_valid_and_podmans)
{
    static char *sh[] = {(char *)"sh", NULL};
    struct image_config config = {.cmd = {sh, 1}};
    struct bundle b = plain(&config);
    struct spec *spec = write_and_read(&b);

    cr_expect_eq(spec->process.capabilities.effective, bundle_default_capabilities);
    cr_expect_eq(spec->n_mounts, 7);
    cr_expect_eq(spec->linux_.masked_paths.n, 11);
    cr_expect_eq(spec->linux_.readonly_paths.n, 6);
    cr_expect_eq(spec->linux_.seccomp.default_errno_ret, ENOSYS);
    cr_expect_gt(spec->linux_.seccomp.n_rules, 10);
    cr_expect_str_eq(spec->process.cwd, "/");
    cr_expect(spec->linux_.namespaces[NS_NETWORK].present);
    b.seccomp = "";
    cr_expect(!write_and_read(&b)->linux_.seccomp.present);
    b.privileged = true;
    b.network = NETWORK_HOST;
    spec = write_and_read(&b);
    cr_expect_eq(spec->linux_.masked_paths.n, 0);
    cr_expect(!spec->linux_.namespaces[NS_NETWORK].present);
}

Test(find, bundle_annotations_and_capabilities_of_users)
{
    static char *sh[] = {(char *)"sh", NULL};
    struct spec_annotation labels[] = {{(char *)"org.opencontainers.image.os", (char *)"label"},
                                       {(char *)"org.hull.isolation", (char *)"vm"},
                                       {(char *)"run.oci.handler", (char *)"evil"},
                                       {(char *)"mine", (char *)"image's"}};
    struct spec_annotation own[] = {{(char *)"mine", (char *)"caller's"}};
    struct image_key ports[] = {{(char *)"80/tcp"}, {(char *)"53/udp"}};
    struct image_config config = {.platform = {.os = (char *)"linux"},
                                  .entrypoint = {sh, 1},
                                  .labels = labels,
                                  .n_labels = ARRAY_SIZE(labels),
                                  .exposed_ports = ports,
                                  .n_exposed_ports = 2};
    struct bundle b = plain(&config);

    b.annotations = own;
    b.n_annotations = 1;
    b.user.uid = 5;
    b.asked_capabilities = 1ULL << CAP_KILL;
    struct spec *spec = write_and_read(&b);
    cr_expect_str_eq(annotation(spec, "mine"), "caller's");
    cr_expect_str_eq(annotation(spec, "org.opencontainers.image.os"), "label");
    cr_expect_str_eq(annotation(spec, "org.opencontainers.image.exposedPorts"), "80/tcp,53/udp");
    cr_expect(!annotation(spec, "org.hull.isolation"));
    cr_expect(!annotation(spec, "run.oci.handler"));
    cr_expect_eq(spec->process.capabilities.ambient, 1ULL << CAP_KILL);
    cr_expect_eq(spec->process.capabilities.effective, 1ULL << CAP_KILL);
    cr_expect_eq(spec->process.capabilities.bounding, bundle_default_capabilities);
}

Test(find, bundle_without_a_command)
{
    struct image_config config = {0};
    struct bundle b = plain(&config);
    char *text;
    size_t length;

    cr_expect_eq(bundle_write(&b, &text, &length, &err), -1);
    cr_expect(strstr(err.message, "nothing to run"), "%s", err.message);
}
