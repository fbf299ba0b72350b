#include "fake.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"

void fake_file(const struct cgroup_dir *d, const char *name, const char *text)
{
    _cleanup_(fd_closep) int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    cr_assert_geq(fd, 0, "%s", name);
    cr_assert_eq(fd_write_all(fd, text, strlen(text)), 0);
}

struct cgroup_dir fake_dir(bool v2, uint32_t controllers, const char *const *files)
{
    char *path = strdup("/tmp/hull-unit-cgroup.XXXXXX");
    struct cgroup_dir d = {.v2 = v2, .controllers = controllers, .mount = "", .path = mkdtemp(path)};

    cr_assert_not_null(d.path);
    d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (; *files; files += 2)
        fake_file(&d, files[0], files[1]);
    return d;
}

struct cgroup fake_cgroup(struct arena *a, struct cgroup_dir *dirs, size_t n)
{
    return (struct cgroup){.arena = a, .manager = CGROUP_CGROUPFS, .dirs = dirs, .n_dirs = n, .helper = -1};
}

void fake_remove(struct cgroup_dir *d)
{
    fd_closep(&d->fd);
    cr_assert_eq(file_remove_tree(AT_FDCWD, d->path, NULL), 0);
    free((void *)(uintptr_t)d->path);
}
