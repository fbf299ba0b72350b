/*
 * See extract.h. Whatever is made is made anew, by O_EXCL, mkdir(2) or their kin, after what was there is unlinked; a
 * descriptor is checked to be of what was made before it gets an owner and a mode. What is a mount point cannot be unlinked:
 * its content is written over in place, and its attributes stay, as those of directories that are there already do.
 */
/* #syscalls: openat mkdirat mknodat symlinkat linkat unlinkat newfstatat fchownat pwrite64 ftruncate utimensat */
#include "images/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "images/unpack_private.h"
#include "namespaces/namespaces.h"

struct directory {
    const char *path; /* below the place */
    struct timespec mtime;
    struct directory *next;
};

struct extractor {
    struct archive *archive;
    struct archive_entry *first;
    struct source *from;
    struct error of_source;
    struct arena arena;
    const struct extract_options *o;
    int tree;                      /* what the entries' paths are below */
    struct directory *directories; /* that were made; the deepest first */
    unsigned left_out;
    bool broken; /* the archive, not the extracting */
};

/* --- the archive --------------------------------------------------------------------------------------------------- */

static la_ssize_t feed(struct archive *archive, void *context, const void **data)
{
    struct extractor *x = context;
    ssize_t n = x->from->read(x->from, data, &x->of_source);

    if (n < 0)
        archive_set_error(archive, EIO, "%s", x->of_source.message);
    return n;
}

static int broken(struct extractor *x, const char *what, struct error *err)
{
    const char *text = archive_error_string(x->archive);

    x->broken = true;
    return error_set(err, 0, "%s cannot be read: %s", what, text ? text : "it is damaged");
}

/* 1: an entry; 0: the end. */
static int next(struct extractor *x, struct archive_entry **entry, struct error *err)
{
    int rc = archive_read_next_header(x->archive, entry);

    if (rc == ARCHIVE_EOF)
        return 0;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return broken(x, "the archive", err);
    if (!archive_entry_pathname(*entry))
        return error_set(err, 0, "the archive has an entry without a name");
    return 1;
}

int extract_begin(struct source *from, struct extractor **out, enum extract_kind *kind, struct error *err)
{
    struct extractor *x = *out = calloc(1, sizeof(*x));

    if (!x)
        return error_set(err, ENOMEM, "extract");
    x->from = from;
    x->archive = archive_read_new();
    if (!x->archive || archive_read_support_format_tar(x->archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(x->archive) != ARCHIVE_OK ||
        archive_read_support_filter_none(x->archive) != ARCHIVE_OK)
        return error_set(err, 0, "set libarchive up");
    if (archive_read_open(x->archive, x, NULL, feed, NULL) != ARCHIVE_OK)
        return broken(x, "the archive", err);
    int rc = next(x, &x->first, err);
    if (rc <= 0)
        x->first = NULL;
    if (rc < 0)
        return -1;
    *kind = !rc                                            ? EXTRACT_NOTHING
            : archive_entry_filetype(x->first) == AE_IFDIR ? EXTRACT_DIRECTORY
                                                           : EXTRACT_OTHER;
    return 0;
}

bool extract_is_cut_off(const struct extractor *x)
{
    return x && x->broken && !x->of_source.message[0];
}

void extract_end(struct extractor *x)
{
    if (!x)
        return;
    archive_read_free(x->archive);
    arena_free(&x->arena);
    free(x);
}

/* --- owners and modes ---------------------------------------------------------------------------------------------- */

static int map(const struct id_maps *maps, int64_t id, uint32_t *host, struct error *err)
{
    *host = (uint32_t)id;
    if (id < 0 || id >= UINT32_MAX || (maps && maps->n && !idmap_to_host(maps, (uint32_t)id, host)))
        return error_set(err, 0, "its owner, id %lld, is none that the container has", (long long)id);
    return 0;
}

static void drop_capabilities(struct archive_entry *entry, struct arena *a)
{
    struct kept {
        const char *name;
        const void *value;
        size_t size;
        struct kept *next;
    } *kept = NULL;
    const char *name;
    const void *value;
    size_t size;

    if (archive_entry_xattr_reset(entry) == 0)
        return;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
        if (name && strncmp(name, "user.", 5) == 0) {
            struct kept *k = arena_new(a, struct kept);
            char *copy = arena_alloc(a, size + 1);

            memcpy(copy, value, size);
            *k = (struct kept){arena_strdup(a, name), copy, size, kept};
            kept = k;
        }
    archive_entry_xattr_clear(entry);
    for (; kept; kept = kept->next)
        archive_entry_xattr_add_entry(entry, kept->name, kept->value, kept->size);
}

/* The entry is to say what the file gets. */
static int settle(struct extractor *x, struct archive_entry *entry, struct error *err)
{
    const struct extract_options *o = x->o;
    uint32_t uid, gid;

    if (map(o->uids, o->keep_owners ? archive_entry_uid(entry) : o->uid, &uid, err) < 0 ||
        map(o->gids, o->keep_owners ? archive_entry_gid(entry) : o->gid, &gid, err) < 0)
        return -1;
    archive_entry_set_uid(entry, uid);
    archive_entry_set_gid(entry, gid);
    if (!o->defused)
        return 0;
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 01777);
    drop_capabilities(entry, &x->arena);
    return 0;
}

/* --- places -------------------------------------------------------------------------------------------------------- */

static int open_directory(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_empty(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = again < 0 ? NULL : fdopendir(again);
    const struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            return false;
    return dir;
}

/* Make room for @name, or take the directory that is there: 1. In place: 2. */
static int make_room(const struct extractor *x, int parent, const char *name, bool directory,
                     struct error *err)
{
    struct stat st;

    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "look at what is there");
    if (directory && S_ISDIR(st.st_mode))
        return 1;
    if (!x->o->overwrite && (directory || S_ISDIR(st.st_mode)))
        return error_set(err, 0,
                         directory ? "a file is there, which no directory replaces without --overwrite"
                                   : "a directory is there, which no file replaces without --overwrite");
    if (S_ISDIR(st.st_mode))
        return file_remove_tree(parent, name, err);
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    return errno == EBUSY && S_ISREG(st.st_mode) ? 2 : error_set(err, errno, "replace what is there");
}

/* A directory that was just made, and not what somebody put in its place: that would have something in it. */
static int make_directory(struct extractor *x, int parent, const char *name, int *fd, struct error *err)
{
    struct stat st;
    int room = make_room(x, parent, name, true, err);

    if (room < 0)
        return -1;
    if (room == 0 && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "make the directory");
    *fd = open_directory(parent, name);
    if (*fd < 0 || fstat(*fd, &st) < 0)
        return error_set(err, errno, "open the directory");
    return room == 0 && st.st_uid == geteuid() && (st.st_mode & 0777) == 0700 && is_empty(*fd);
}

static void remember(struct extractor *x, const char *path, struct timespec mtime)
{
    struct directory *d = arena_new(&x->arena, struct directory);

    *d = (struct directory){.path = arena_strdup(&x->arena, path), .mtime = mtime, .next = x->directories};
    x->directories = d;
}

/* The directory of the last component of @path, *@name; the missing ones above it are made if @make. */
static int open_parent(struct extractor *x, const char *path, bool make, const char **name, struct error *err)
{
    _cleanup_(fd_closep) int at = openat(x->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *slash;
    uint32_t uid, gid;

    if (at < 0)
        return error_set(err, errno, "open the directory");
    for (; (slash = strchr(path, '/')); path = slash + 1) {
        char component[NAME_MAX + 1];
        int inner = -1;

        snprintf(component, sizeof(component), "%.*s", (int)(slash - path), path);
        inner = open_directory(at, component);
        if (inner < 0 && errno == ENOENT && make) {
            int made = make_directory(x, at, component, &inner, err);
            if (made < 0 || map(x->o->uids, x->o->uid, &uid, err) < 0 ||
                map(x->o->gids, x->o->gid, &gid, err) < 0)
                return -1;
            if (made > 0 && (fchown(inner, uid, gid) < 0 || fchmod(inner, 0755) < 0))
                return error_set(err, errno, "set the owner of %s", component);
        }
        if (inner < 0)
            return error_set(err, errno == ELOOP ? ENOTDIR : errno, "%s", component);
        close(at);
        at = inner;
    }
    *name = path;
    return steal_fd(&at);
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

static int add_directory(struct extractor *x, const struct unpack_entry *e, struct error *err)
{
    _cleanup_(fd_closep) int fd = -1;
    int made = make_directory(x, e->parent, e->name, &fd, err);

    if (made <= 0)
        return made;
    remember(x, e->path, unpack_mtime(e));
    return unpack_attributes(e, fd, err);
}

static int write_at(int fd, const char *data, size_t length, off_t offset, struct error *err)
{
    while (length) {
        ssize_t n = pwrite(fd, data, length, offset);

        if (n < 0 && errno != EINTR)
            return error_set(err, errno, "write it");
        if (n > 0) {
            data += n;
            offset += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

static int write_content(struct extractor *x, const struct unpack_entry *e, int fd, struct error *err)
{
    const void *data;
    size_t length;
    la_int64_t offset;
    int rc;

    while ((rc = archive_read_data_block(x->archive, &data, &length, &offset)) == ARCHIVE_OK)
        if (write_at(fd, data, length, (off_t)offset, err) < 0)
            return -1;
    if (rc != ARCHIVE_EOF)
        return broken(x, "its content", err);
    return ftruncate(fd, (off_t)archive_entry_size(e->archive)) < 0
               ? error_set(err, errno, "give it its size")
               : 0;
}

static int add_regular(struct extractor *x, const struct unpack_entry *e, struct error *err)
{
    int room = make_room(x, e->parent, e->name, false, err);

    if (room < 0)
        return -1;
    const int flags =
        O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (room == 2 ? O_TRUNC : O_CREAT | O_EXCL);
    _cleanup_(fd_closep) int fd = openat(e->parent, e->name, flags, 0600);
    if (fd < 0)
        return error_set(err, errno, "make the file");
    if (write_content(x, e, fd, err) < 0)
        return -1;
    return room == 2 ? 0 : unpack_attributes(e, fd, err);
}

/* What was just made, by a descriptor: of this type, or it is somebody else's. */
static int own_by_name(const struct unpack_entry *e, mode_t type, struct error *err)
{
    const struct timespec times[2] = {unpack_mtime(e), unpack_mtime(e)};
    _cleanup_(fd_closep) int fd = openat(e->parent, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, errno, "open it again");
    if ((st.st_mode & S_IFMT) != type)
        return error_set(err, 0, "somebody replaces it while it is copied");
    if (fchownat(fd, "", (uid_t)archive_entry_uid(e->archive), (gid_t)archive_entry_gid(e->archive),
                 AT_EMPTY_PATH) < 0)
        return error_set(err, errno, "give it to its owner");
    utimensat(e->parent, e->name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int add_symlink(struct extractor *x, const struct unpack_entry *e, struct error *err)
{
    const char *target = archive_entry_symlink(e->archive);

    if (!target || !*target)
        return error_set(err, 0, "a symbolic link to nothing");
    if (make_room(x, e->parent, e->name, false, err) < 0)
        return -1;
    return symlinkat(target, e->parent, e->name) < 0 ? error_set(err, errno, "make the symbolic link")
                                                     : own_by_name(e, S_IFLNK, err);
}

static int add_node(struct extractor *x, const struct unpack_entry *e, struct error *err)
{
    mode_t type = archive_entry_filetype(e->archive);
    dev_t device = type == AE_IFIFO
                       ? 0
                       : makedev(archive_entry_rdevmajor(e->archive), archive_entry_rdevminor(e->archive));

    if (type != AE_IFIFO && x->o->defused) {
        x->left_out++;
        return 0;
    }
    if (make_room(x, e->parent, e->name, false, err) < 0)
        return -1;
    if (mknodat(e->parent, e->name, type | (archive_entry_perm(e->archive) & 07777), device) == 0)
        return own_by_name(e, type, err);
    if (errno != EPERM || type == AE_IFIFO)
        return error_set(err, errno, "make the device or fifo");
    x->left_out++; /* in a user namespace */
    return 0;
}

/* The path below the place, without the archive's name for what goes there. NULL: it is not below that name. */
static const char *below(const struct extract_place *place, const char *path)
{
    size_t n = strlen(place->from);

    if (n == 0)
        return path;
    if (strncmp(path, place->from, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

static int add_hardlink(struct extractor *x, const struct extract_place *place, const struct unpack_entry *e,
                        struct error *err)
{
    char target[4096];
    const char *path, *name;

    if (unpack_clean_path(archive_entry_hardlink(e->archive), target, err) < 0)
        return -1;
    path = below(place, target);
    if (!path || !*path)
        return error_set(err, 0, "a hard link to \"%.300s\", which is not copied", target);
    _cleanup_(fd_closep) int parent = open_parent(x, path, false, &name, err);
    if (parent < 0)
        return error_wrap(err, "a hard link to %.300s", target);
    if (make_room(x, e->parent, e->name, false, err) < 0)
        return -1;
    return linkat(parent, name, e->parent, e->name, 0) < 0
               ? error_set(err, errno, "a hard link to %.300s", target)
               : 0;
}

static const struct {
    mode_t type;
    int (*add)(struct extractor *x, const struct unpack_entry *e, struct error *err);
} adders[] = {{AE_IFREG, add_regular}, {AE_IFDIR, add_directory}, {AE_IFLNK, add_symlink},
              {AE_IFCHR, add_node},    {AE_IFBLK, add_node},      {AE_IFIFO, add_node}};

static int add_in(struct extractor *x, const struct extract_place *place, struct unpack_entry *e,
                  struct error *err)
{
    if (settle(x, e->archive, err) < 0)
        return -1;
    if (archive_entry_hardlink(e->archive))
        return add_hardlink(x, place, e, err);
    for (size_t i = 0; i < ARRAY_SIZE(adders); i++)
        if (archive_entry_filetype(e->archive) == adders[i].type)
            return adders[i].add(x, e, err);
    return error_set(err, 0, "of a type that cannot be made (%#o)", archive_entry_filetype(e->archive));
}

/* The top is one name in place->dir; all else is below x->tree, which it opened if it is a directory. */
static int add_top(struct extractor *x, const struct extract_place *place, struct unpack_entry *e,
                   struct error *err)
{
    if (!*place->name)
        return archive_entry_filetype(e->archive) == AE_IFDIR ? 0 : error_set(err, 0, "it is no directory");
    e->parent = place->dir;
    e->name = place->name;
    strcpy(e->path, "");
    if (add_in(x, place, e, err) < 0)
        return -1;
    if (archive_entry_filetype(e->archive) != AE_IFDIR)
        return 0;
    fd_closep(&x->tree);
    x->tree = open_directory(place->dir, place->name);
    return x->tree < 0 ? error_set(err, errno, "open the directory") : 0;
}

static int add(struct extractor *x, const struct extract_place *place, struct archive_entry *entry,
               struct error *err)
{
    struct unpack_entry e = {.archive = entry, .parent = -1};
    char path[4096];
    const char *rest;

    if (unpack_clean_path(archive_entry_pathname(entry), path, err) < 0)
        return -1;
    rest = below(place, path);
    if (!rest)
        return error_set(err, 0, "it is not below \"%s\"", place->from);
    if (!*rest)
        return add_top(x, place, &e, err);
    strcpy(e.path, rest);
    _cleanup_(fd_closep) int parent = open_parent(x, e.path, true, &e.name, err);
    e.parent = parent;
    return parent < 0 ? -1 : add_in(x, place, &e, err);
}

/* Those that somebody has replaced meanwhile have their own time. */
static void set_times(struct extractor *x)
{
    struct error ignored;
    const char *name;

    for (const struct directory *d = x->directories; d; d = d->next) {
        const struct timespec times[2] = {d->mtime, d->mtime};
        _cleanup_(fd_closep) int parent = *d->path ? open_parent(x, d->path, false, &name, &ignored) : -1;
        _cleanup_(fd_closep) int fd = *d->path ? parent < 0 ? -1 : open_directory(parent, name)
                                               : openat(x->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
            futimens(fd, times);
    }
}

int extract_to(struct extractor *x, const struct extract_place *place, const struct extract_options *o,
               struct error *err)
{
    struct archive_entry *entry = x->first;
    int rc = entry ? 1 : 0;

    x->o = o;
    x->tree = openat(place->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (x->tree < 0)
        return error_set(err, errno, "open the directory");
    for (; rc > 0; rc = next(x, &entry, err))
        if (add(x, place, entry, err) < 0) {
            rc = error_wrap(err, "%.300s", archive_entry_pathname(entry));
            break;
        }
    if (rc == 0)
        set_times(x);
    if (x->left_out)
        log_warning("%u device nodes are left out", x->left_out);
    fd_closep(&x->tree);
    return rc;
}
