/* A small container for the tests: rootfs_plan() to rootfs_finish() in new namespaces, then a look around
 * inside. */
#pragma once

#include <stdbool.h>

/* What a test's container is made of. Strings are pieces of config.json. */
struct test_container {
    const char *mounts;     /* elements of "mounts" */
    const char *linux_more; /* further members of "linux", each with a comma in front */
    const char *root_more;  /* further members of "root", each with a comma in front */
    const char *namespaces; /* NULL: mount, pid, ipc, uts, network, cgroup */
    bool no_pivot;
    void (*prepare)(void); /* in the root, before the plan is carried out */
    bool (*inside)(void);  /* in the container, after rootfs_finish(); its false fails the test */
};

/** NULL when all went well, else the error's text ("inside" when that is what failed). Static storage. */
const char *container_try(const struct test_container *c);

/** Skips the test (criterion) when this process may not make mount namespaces. */
void container_needs_root(void);

/** Paths of the test, on the host: top/rootfs is the container's root, top/outside what must never be
 * touched. */
const char *container_top(void);

/* For `prepare` and `inside`: paths relative to the working directory, which is the root. They abort on
 * failure. */
void make_dir(const char *path);
void make_file(const char *path, const char *text);
void make_link(const char *target, const char *path);
bool text_is(const char *path, const char *text);
bool is_dir(const char *path);
bool is_link_to(const char *path, const char *target);
bool is_fs(const char *path, unsigned long magic);
bool is_node(const char *path, unsigned major, unsigned minor);
/** Field 6 of mountinfo ("ro,nosuid,relatime") of the top mount at @path; "" when there is none. */
const char *mount_flags(const char *path);
bool mount_has(const char *path, const char *flag);
bool outside_untouched(void);
