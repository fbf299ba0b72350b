/*
 * Defaults from the environment hull was started in. Rootless follows runc: a user other than root, or any
 * user namespace (the initial one is recognized by its map of all ids onto themselves).
 */
#include "cli/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "base/number.h"

static bool in_user_namespace(void)
{
    char text[128], *p = text;
    _cleanup_(fd_closep) int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (n < 0)
        return false; /* a kernel without user namespaces has no such file */
    text[n] = '\0';
    /* Three numbers in a row. NOLINTNEXTLINE(misc-redundant-expression) */
    return strtoul(p, &p, 10) != 0 || strtoul(p, &p, 10) != 0 || strtoul(p, &p, 10) != UINT32_MAX;
}

bool environment_is_rootless(void)
{
    return getauxval(AT_EUID) != 0 || in_user_namespace();
}

static int private_directory(const char *path, struct error *err)
{
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "create state directory %s; choose another with --root", path);
    if (lstat(path, &st) < 0)
        return error_set(err, errno, "state directory %s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return error_set(
            err, 0,
            "state directory %s must be a directory that belongs to user %u and nobody else can write to; "
            "remove it, or set XDG_RUNTIME_DIR or --root",
            path, geteuid());
    return 0;
}

int environment_root(struct arena *a, bool rootless, const char **root, struct error *err)
{
    const char *runtime_dir = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");
    uid_t uid = (uid_t)getauxval(AT_EUID);
    /* Root of a user namespace keeps the user's own directory, unless it calls itself root (as runc has it).
     */
    bool as_root = !rootless || (uid == 0 && user && !strcmp(user, "root"));

    if (!as_root && runtime_dir && *runtime_dir == '/') {
        *root = arena_printf(a, "%s/hull", runtime_dir);
        return 0;
    }
    if (uid == 0) {
        *root = "/run/hull";
        return 0;
    }
    *root = arena_printf(a, "/run/user/%u", uid);
    if (access(*root, W_OK | X_OK) == 0) {
        *root = arena_printf(a, "%s/hull", *root);
        return 0;
    }
    *root = arena_printf(a, "/tmp/hull-%u", uid);
    return private_directory(*root, err);
}

int listen_fds(unsigned *n, struct error *err)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t value;

    *n = 0;
    if (!pid || !fds)
        return 0;
    if (number_parse_u64(pid, "environment variable LISTEN_PID", 1, INT32_MAX, &value, err) < 0)
        return -1;
    if (value != (uint64_t)getpid())
        return 0; /* meant for a process before us */
    if (number_parse_u64(fds, "environment variable LISTEN_FDS", 0, 1 << 16, &value, err) < 0)
        return -1;
    *n = (unsigned)value;
    return 0;
}
