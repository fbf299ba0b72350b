/*
 * -v, --mount, --tmpfs and --device, in the forms of podman and docker, as mounts and devices of config.json. Which mount
 * options there are is the runtime's knowledge (namespaces/mount_options.h); here only those that are not the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "base/size.h"
#include "cli/run_image.h"

enum { DEVICES_MAX = 1024 };

void image_run_add_mount(struct bundle *b, const char *destination, const char *type, const char *source,
                         const struct string_list *options)
{
    size_t size = sizeof(*b->mounts);

    b->mounts = arena_grow(b->arena, b->mounts, b->n_mounts * size, (b->n_mounts + 1) * size);
    b->mounts[b->n_mounts++] = (struct spec_mount){.destination = (char *)destination,
                                                   .type = (char *)type,
                                                   .source = (char *)source,
                                                   .options = *options};
}

static int check_destination(const char *what, const char *text, const char *destination, struct error *err)
{
    if (destination && destination[0] == '/' && !path_has_dotdot(destination))
        return 0;
    return error_set(err, 0, "%s %s: the path in the container must be absolute, without \"..\"", what, text);
}

/* Words of podman's that ask for a label or nothing; the rest is passed on. */
static int add_option(struct arena *a, struct string_list *options, const char *what, const char *text,
                      const char *word, struct error *err)
{
    static const char *const ignored[] = {"", "bind", "rbind", "rw", "private", "rprivate"};

    if ((strcmp(word, "z") == 0 || strcmp(word, "Z") == 0)) {
        if (access("/sys/fs/selinux/enforce", F_OK) == 0)
            return error_set(err, 0, "%s %s: option %s: hull does not change labels of files: use chcon",
                             what, text, word);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        if (strcmp(word, ignored[i]) == 0)
            return 0;
    string_list_add(a, options, word);
    return 0;
}

static bool says_propagation(const struct string_list *options)
{
    for (size_t i = 0; i < options->n; i++)
        if (strstr(options->v[i], "shared") || strstr(options->v[i], "slave") ||
            strstr(options->v[i], "private"))
            return true;
    return false;
}

static int add_bind(struct bundle *b, const char *what, const char *text, const char *source,
                    const char *destination, struct string_list *options, struct error *err)
{
    struct string_list all = {0};

    if (source[0] != '/' && source[0] != '.')
        return error_set(
            err, 0,
            "%s %s: \"%s\" is no path: give the absolute path of a file or directory (volumes by "
            "name are not available)",
            what, text, source);
    source = realpath(source, NULL);
    if (!source)
        return error_set(err, errno, "%s %s", what, text);
    string_list_add(b->arena, &all, "rbind");
    if (!says_propagation(options))
        string_list_add(b->arena, &all, "rprivate");
    for (size_t i = 0; i < options->n; i++)
        string_list_add(b->arena, &all, options->v[i]);
    image_run_add_mount(b, destination, "bind", arena_strdup(b->arena, source), &all);
    _cleanup_(freep) char *owned = (char *)source;
    (void)owned;
    return 0;
}

/* HOST:CONTAINER[:OPTION,...] */
static int add_volume(struct bundle *b, const char *text, struct error *err)
{
    char *rest = arena_strdup(b->arena, text), *source = strsep(&rest, ":"),
         *destination = strsep(&rest, ":");
    struct string_list options = {0};
    char *word;

    if (!destination || (rest && strchr(rest, ':')))
        return error_set(err, 0, "--volume must be HOST:CONTAINER[:OPTION,...], got \"%s\"", text);
    if (check_destination("--volume", text, destination, err) < 0)
        return -1;
    while ((word = strsep(&rest, ",")))
        if (add_option(b->arena, &options, "--volume", text, word, err) < 0)
            return -1;
    return add_bind(b, "--volume", text, source, destination, &options, err);
}

/* CONTAINER[:OPTION,...] */
static int add_tmpfs(struct bundle *b, const char *text, struct error *err)
{
    char *rest = arena_strdup(b->arena, text), *destination = strsep(&rest, ":"), *word;
    struct string_list options = {0};

    if (check_destination("--tmpfs", text, destination, err) < 0)
        return -1;
    string_list_add(b->arena, &options, "nosuid");
    string_list_add(b->arena, &options, "nodev");
    string_list_add(b->arena, &options, "noexec");
    while ((word = strsep(&rest, ",")))
        if (*word && strcmp(word, "rw") != 0)
            string_list_add(b->arena, &options, word);
    image_run_add_mount(b, destination, "tmpfs", "tmpfs", &options);
    return 0;
}

/* --- --mount ------------------------------------------------------------------------------------------------------- */

struct mount_words {
    const char *type, *source, *destination;
    struct string_list options;
};

static bool is_one_of(const char *key, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(key, *names) == 0)
            return true;
    return false;
}

static bool is_true(const char *value)
{
    return !value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
}

static int take_word(struct arena *a, struct mount_words *m, const char *text, char *word, struct error *err)
{
    static const char *const sources[] = {"source", "src", NULL};
    static const char *const destinations[] = {"destination", "dst", "target", NULL};
    static const char *const read_only[] = {"ro", "readonly", NULL};
    char *value = strchr(word, '=');

    if (value)
        *value++ = '\0';
    if (is_one_of(word, read_only)) {
        if (is_true(value))
            string_list_add(a, &m->options, "ro");
        return 0;
    }
    if (!value)
        return add_option(a, &m->options, "--mount", text, word, err);
    if (strcmp(word, "type") == 0)
        m->type = value;
    else if (is_one_of(word, sources))
        m->source = value;
    else if (is_one_of(word, destinations))
        m->destination = value;
    else if (strcmp(word, "bind-propagation") == 0)
        string_list_add(a, &m->options, value);
    else if (strcmp(word, "tmpfs-size") == 0)
        string_list_add(a, &m->options, arena_printf(a, "size=%s", value));
    else if (strcmp(word, "tmpfs-mode") == 0)
        string_list_add(a, &m->options, arena_printf(a, "mode=%s", value));
    else
        return error_set(err, 0,
                         "--mount %s: unknown key %s: there are type, source, destination, ro, "
                         "bind-propagation, tmpfs-size, tmpfs-mode",
                         text, word);
    return 0;
}

static int add_mount(struct bundle *b, const char *text, struct error *err)
{
    char *rest = arena_strdup(b->arena, text), *word;
    struct mount_words m = {.type = "bind"};

    while ((word = strsep(&rest, ",")))
        if (take_word(b->arena, &m, text, word, err) < 0)
            return -1;
    if (check_destination("--mount", text, m.destination, err) < 0)
        return -1;
    if (strcmp(m.type, "tmpfs") == 0) {
        image_run_add_mount(b, m.destination, "tmpfs", "tmpfs", &m.options);
        return 0;
    }
    if (strcmp(m.type, "bind") != 0)
        return error_set(err, 0, "--mount %s: type must be bind or tmpfs", text);
    if (!m.source)
        return error_set(err, 0, "--mount %s: a bind mount needs source=PATH", text);
    return add_bind(b, "--mount", text, m.source, m.destination, &m.options, err);
}

int image_run_mounts(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    const struct {
        const struct string_list *list;
        int (*add)(struct bundle *b, const char *text, struct error *err);
    } all[] = {{&o->mounts, add_mount}, {&o->volumes, add_volume}, {&o->tmpfs, add_tmpfs}};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t k = 0; k < all[i].list->n; k++)
            if (all[i].add(b, all[i].list->v[k], err) < 0)
                return -1;
    return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------- */

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
    if (check_destination("--device", text, inside, err) < 0)
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
                                      "ptmx", "console", "pts",  "mqueue", "shm",    NULL};

    return is_one_of(name, own);
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
