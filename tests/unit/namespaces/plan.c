/* What rootfs_plan() refuses by words alone, and the plan of a usual container. */
#include <criterion/criterion.h>
#include <string.h>

#include "namespaces/rootfs_private.h"

static struct rootfs *plan(struct arena *a, struct spec_mount *mounts, size_t n, struct error *err)
{
    static char root[] = "rootfs";
    const struct rootfs_options options = {.bundle = "/bundle", .new_mount_namespace = true};
    struct spec *spec = arena_new(a, struct spec);
    struct rootfs *r = NULL;

    spec->root_path = root;
    spec->mounts = mounts;
    spec->n_mounts = n;
    return rootfs_plan(a, spec, &options, &r, err) == 0 ? r : NULL;
}

static struct spec_mount mount_of(const char *dest, const char *type, const char *source, char **options,
                                  size_t n)
{
    return (struct spec_mount){.destination = (char *)dest,
                               .type = (char *)type,
                               .source = (char *)source,
                               .options = {.v = options, .n = n}};
}

static void refused(const char *dest, const char *type, const char *part)
{
    struct arena a = {0};
    struct error err = {0};
    struct spec_mount m = mount_of(dest, type, "src", NULL, 0);

    cr_assert_null(plan(&a, &m, 1, &err), "%s", dest);
    cr_assert_not_null(strstr(err.message, part), "%s", err.message);
    cr_assert_eq(strncmp(err.message, "mounts[0] (", 11), 0, "%s", err.message);
}

Test(rootfs_plan, clean_paths)
{
    static const char *const cases[][2] = {
        {"/", "/"},
        {"", "/"},
        {"a", "/a"},
        {"//a///b/", "/a/b"},
        {"/a/./b/.", "/a/b"},
        {"/a/../b", "/b"},
        {"/../../x", "/x"},
        {"/a/b/../../..", "/"},
        {"/..a/b..", "/..a/b.."},
        {"/a/...", "/a/..."},
    };
    struct arena a = {0};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_assert_str_eq(path_clean(&a, cases[i][0]), cases[i][1]);
}

Test(rootfs_plan, proc_is_special)
{
    refused("/proc", "tmpfs", "only a mount of type proc");
    refused("/proc/sys", "tmpfs", "cannot be mounted because it is inside /proc");
    refused("/x/../proc/self/attr", "bind", "cannot be mounted because it is inside /proc");
    refused("//proc//1", "bind", "inside /proc");

    struct arena a = {0};
    struct error err = {0};
    struct spec_mount m[] = {mount_of("/proc", "proc", "proc", NULL, 0),
                             mount_of("/proc/meminfo", "bind", "/m", NULL, 0),
                             mount_of("/proc/sys/kernel/ns_last_pid", "bind", "/m", NULL, 0),
                             mount_of("/process", "tmpfs", "t", NULL, 0)};
    cr_assert_not_null(plan(&a, m, ARRAY_SIZE(m), &err), "%s", err.message);
}

Test(rootfs_plan, refusals)
{
    refused("/", "proc", "proc cannot be the container's root");
    refused("/a/..", "sysfs", "sysfs cannot be the container's root");
    refused("/a", NULL, "type: missing");
}

Test(rootfs_plan, idmap_needs_a_bind_and_maps)
{
    struct arena a = {0};
    struct error err = {0};
    char *words[] = {(char *)"idmap", NULL};
    struct spec_mount m = mount_of("/a", "tmpfs", "t", words, 1);

    cr_assert_null(plan(&a, &m, 1, &err));
    cr_assert_not_null(strstr(err.message, "bind mounts only"));
    m = mount_of("/a", "bind", "/t", words, 1);
    cr_assert_null(plan(&a, &m, 1, &err));
    cr_assert_not_null(strstr(err.message, "there is none"));
}

Test(rootfs_plan, sources_and_kinds)
{
    struct arena a = {0};
    struct error err = {0};
    char *rbind[] = {(char *)"rbind", (char *)"ro", NULL}, *rro[] = {(char *)"rro", NULL};
    struct spec_mount m[] = {mount_of("/a", NULL, "data", rbind, 2), mount_of("/t", "tmpfs", "t", rro, 1),
                             mount_of("/dev/", "bind", "/dev", NULL, 0)};
    struct rootfs *r = plan(&a, m, ARRAY_SIZE(m), &err);

    cr_assert_not_null(r, "%s", err.message);
    cr_assert_str_eq(r->path, "/bundle/rootfs");
    cr_assert_str_eq(r->steps[0].source, "/bundle/data");
    cr_assert_eq(r->steps[0].kind, STEP_BIND);
    cr_assert_eq(r->steps[1].o.set, 1); /* MS_RDONLY: one new mount */
    cr_assert_eq(r->steps[1].o.rset, 0);
    cr_assert_not(r->setup_dev, "the host's /dev gets no nodes");
}

Test(rootfs_plan, listed_devices_replace_default_ones)
{
    struct arena a = {0};
    struct error err = {0};
    struct spec_device devices[] = {{.path = (char *)"/dev/./null",
                                     .type = 'c',
                                     .major = 1,
                                     .minor = 3,
                                     .has_file_mode = true,
                                     .file_mode = 0600,
                                     .has_uid = true,
                                     .uid = 7},
                                    {.path = (char *)"/dev/net/tun", .type = 'c', .major = 10, .minor = 200}};
    struct spec spec = {.root_path = (char *)"/r", .linux_ = {.devices = devices, .n_devices = 2}};
    const struct rootfs_options options = {.bundle = "/b", .new_mount_namespace = true};
    struct rootfs *r;

    cr_assert_eq(rootfs_plan(&a, &spec, &options, &r, &err), 0, "%s", err.message);
    cr_assert_eq(r->n_devices, 7); /* six by default, null is one of them, and tun */
    cr_assert_str_eq(r->devices[0].path, "/dev/null");
    cr_assert_eq(r->devices[0].mode & 07777, 0600);
    cr_assert_eq(r->devices[0].uid, 7);
    cr_assert_eq(r->devices[1].mode & 07777, 0666);
}
