/* What overlayfs would show of trees that lie over each other. */
#include "images/stack.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/images/archive.h"

static struct stack s;

/* 0 is the top. */
static void lay(void)
{
    struct tar t = {0};

    make_layers();
    TAR(&t, .name = "base/deep/f", .content = "2");
    TAR(&t, .name = "base/hidden", .content = "2");
    TAR(&t, .name = "opaque/below", .content = "2");
    TAR(&t, .name = "was-dir/f", .content = "2");
    TAR(&t, .name = "link", .type = '2', .link = "base/deep");
    TAR(&t, .name = "out", .type = '2', .link = "../../../base");
    TAR(&t, .name = "circle", .type = '2', .link = "circle");
    must_unpack_at(2, &t);
    TAR(&t, .name = "base/.wh.hidden");
    TAR(&t, .name = "opaque/.wh..wh..opq");
    TAR(&t, .name = "opaque/new", .content = "1");
    TAR(&t, .name = "was-dir", .content = "1");
    must_unpack_at(1, &t);
    TAR(&t, .name = "base/deep/top", .content = "0");
    TAR(&t, .name = "was-dir", .type = '5');
    must_unpack_at(0, &t);
    s.n = 0;
    for (size_t i = 0; i < 3; i++)
        s.trees[s.n++] = layers[i];
}

TestSuite(stack, .init = lay, .fini = remove_layers);

Test(stack, lookup)
{
    static const struct {
        const char *path;
        bool follow;
        int rc;      /* of the lookup */
        mode_t type; /* 0: nothing is there */
        size_t tree; /* that has it */
        const char *at;
    } samples[] = {
        {"", true, 0, S_IFDIR, 0, ""},
        {"base/deep", true, 0, S_IFDIR, 0, "base/deep"},
        {"base/deep/f", true, 0, S_IFREG, 2, "base/deep/f"},
        {"/base//./deep/top", true, 0, S_IFREG, 0, "base/deep/top"},
        {"base/hidden", true, 0, 0, 0, "base/hidden"},
        {"opaque/below", true, 0, 0, 0, "opaque/below"},
        {"opaque/new", true, 0, S_IFREG, 1, "opaque/new"},
        {"was-dir", true, 0, S_IFDIR, 0, "was-dir"},
        {"was-dir/f", true, 0, 0, 0, "was-dir/f"},
        {"link", false, 0, S_IFLNK, 2, "link"},
        {"link", true, 0, S_IFDIR, 0, "base/deep"},
        {"link/top", false, 0, S_IFREG, 0, "base/deep/top"},
        {"link/../hidden", true, 0, 0, 0, "base/hidden"},
        {"out/deep/f", true, 0, S_IFREG, 2, "base/deep/f"},
        {"../../base", true, 0, S_IFDIR, 0, "base"},
        {"circle", false, 0, S_IFLNK, 2, "circle"},
        {"circle", true, -1, 0, 0, NULL},
        {"nothing/at/all", true, -1, 0, 0, NULL},
        {"opaque/new/x", true, -1, 0, 0, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct stack_entry e;
        int rc = stack_lookup(&s, samples[i].path, samples[i].follow, &e, &err);
        cr_expect_eq(rc, samples[i].rc, "%s: %s", samples[i].path, err.message);
        if (rc < 0 || samples[i].rc < 0)
            continue;
        cr_expect_eq(e.st.st_mode & S_IFMT, samples[i].type, "%s", samples[i].path);
        cr_expect_str_eq(e.path, samples[i].at);
        if (samples[i].type)
            cr_expect_eq(e.tree, samples[i].tree, "%s: in %zu", samples[i].path, e.tree);
    }
}

Test(stack, open)
{
    struct stack_entry e;
    char content[2] = "";

    cr_assert_eq(stack_lookup(&s, "link/f", true, &e, &err), 0);
    int fd = stack_open(&s, &e, O_RDONLY);
    cr_assert_eq(read(fd, content, 1), 1);
    cr_expect_str_eq(content, "2");
    close(fd);
}

/* A tree's own links lead nowhere but into the trees. */
Test(stack, links_stay_inside)
{
    struct stack_entry e;

    cr_assert_eq(symlinkat("/etc", layers[0], "etc-link"), 0);
    cr_assert_eq(stack_lookup(&s, "etc-link", true, &e, &err), 0, "%s", err.message);
    cr_expect_eq(e.st.st_mode, 0);
    cr_expect_lt(stack_lookup(&s, "etc-link/passwd", true, &e, &err), 0);
}
