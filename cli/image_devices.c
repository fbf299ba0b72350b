/* --device and --privileged of `run --image`, in the forms of podman and docker, as devices of config.json. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cli/run_image.h"

enum { DEVICES_MAX = 1024 };

static void add_node(struct bundle *b, const char *path, const struct stat *st, const char *access)
{
    if (b->n_devices == DEVICES_MAX)
        return;
    b->devices[b->n_devices] = (struct spec_device){.path = (char *)path,
                                                    .type = S_ISBLK(st->st_mode) ? 'b' : 'c',
                                                    .major = major(st->st_rdev),
                                                    .minor = minor(st->st_rdev),
                                                    .file_mode = st->st_mode & 0777,
                                                    .uid = st->st_uid,
                                                    .gid = st->st_gid};
    ((const char **)b->device_access)[b->n_devices++] = access;
}

/* HOST[:CONTAINER][:rwm] */
static int add_device(struct bundle *b, const char *text, struct error *err)
{
    char *rest = arena_strdup(b->arena, text), *host = strsep(&rest, ":");
    const char *inside = host, *access = "rwm", *word;
    struct stat st;

    if ((word = strsep(&rest, ":")) && *word == '/') {
        inside = word;
        word = strsep(&rest, ":");
    }
    if (word)
        access = word;
    if (rest || !*access || strspn(access, "rwm") != strlen(access))
        return error_set(err, 0, "--device must be HOST[:CONTAINER][:rwm], got \"%s\"", text);
    if (image_run_check_destination("--device", text, inside, err) < 0)
        return -1;
    if (stat(host, &st) < 0)
        return error_set(err, errno, "--device %s", text);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, 0, "--device %s: %s is no device", text, host);
    add_node(b, inside, &st, access);
    return 0;
}

/* What the container has anyway, or makes for itself. */
static bool is_own_device(const char *name)
{
    static const char *const own[] = {"null", "zero",    "full", "tty",    "random", "urandom",
                                      "ptmx", "console", "pts",  "mqueue", "shm"};

    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

/* --privileged: the devices of /dev and of the directories in it. */
static void add_all_devices(struct bundle *b, const char *path, int depth)
{
    _cleanup_(closedirp) DIR *dir = opendir(path);
    struct dirent *e;

    while (dir && (e = readdir(dir))) {
        const char *name = arena_printf(b->arena, "%s/%s", path, e->d_name);
        struct stat st;

        if (e->d_name[0] == '.' || (depth == 0 && is_own_device(e->d_name)) ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
            add_node(b, name, &st, "rwm");
        else if (S_ISDIR(st.st_mode) && depth < 2)
            add_all_devices(b, name, depth + 1);
    }
}

int image_run_devices(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    if (!o->devices.n && !o->privileged)
        return 0;
    b->devices = arena_new_n(b->arena, DEVICES_MAX, struct spec_device);
    b->device_access = arena_new_n(b->arena, DEVICES_MAX, const char *);
    for (size_t i = 0; i < o->devices.n; i++)
        if (add_device(b, o->devices.v[i], err) < 0)
            return -1;
    if (o->privileged && !b->user_namespace)
        add_all_devices(b, "/dev", 0);
    return 0;
}
