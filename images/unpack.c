/*
 * The loop over an archive's entries; see unpack.h. Each type of entry has a function that makes it; each makes it with
 * O_EXCL and friends in a parent directory that was resolved inside the tree (unpack_path.c), and never opens what was
 * there before. Directories get their times in the end, as each file made in one changes its.
 *
 * What comes twice: the later entry wins, a directory stays one and gets the later attributes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "images/unpack_private.h"

int unpack_remember_time(struct unpack *u, const char *path, struct timespec mtime, struct error *err)
{
    const uint64_t max = u->options->max_directories ? u->options->max_directories : UNPACK_MAX_DIRECTORIES;
    struct unpack_directory *d;

    if (++u->n_directories > max)
        return error_set(err, 0, "more than %llu directories, Hull's limit for one layer",
                         (unsigned long long)max);
    d = arena_new(&u->arena, struct unpack_directory);
    *d = (struct unpack_directory){.path = arena_strdup(&u->arena, path), .mtime = mtime};
    *u->end_of_directories = d;
    u->end_of_directories = &d->next;
    return 0;
}

static int make_root(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    if (archive_entry_filetype(e->archive) != AE_IFDIR)
        return error_set(err, 0, "the root is not a directory");
    if (unpack_attributes(e, u->tree, err) < 0 || unpack_remember_time(u, "", unpack_mtime(e), err) < 0)
        return -1;
    u->result->root_given = true;
    return 0;
}

static int make_directory(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    int there = unpack_make_room(u, e, true, err);
    struct stat st;

    if (there < 0)
        return -1;
    /* A whiteout was there: what is below it stays hidden. */
    bool opaque = there == 0 && fstatat(e->parent, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (opaque && unlinkat(e->parent, e->name, 0) < 0)
        return error_set(err, errno, "replace a whiteout");
    if (there == 0 && mkdirat(e->parent, e->name, 0700) < 0)
        return error_set(err, errno, "make the directory");
    _cleanup_(fd_closep) int fd = openat(e->parent, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open the directory");
    if (opaque && unpack_set_opaque(u, fd, err) < 0)
        return -1;
    if (there && u->guesses && fstat(fd, &st) == 0)
        unpack_described(u, &st);
    return unpack_attributes(e, fd, err) < 0 ? -1 : unpack_remember_time(u, e->path, unpack_mtime(e), err);
}

static int make_symlink(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    const char *target = archive_entry_symlink(e->archive);

    if (!target || !*target)
        return error_set(err, 0, "a symbolic link to nothing");
    if (unpack_make_room(u, e, false, err) < 0)
        return -1;
    if (symlinkat(target, e->parent, e->name) < 0)
        return error_set(err, errno, "make the symbolic link");
    return unpack_attributes(e, -1, err);
}

static int make_node(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    mode_t type = archive_entry_filetype(e->archive);
    dev_t device = 0;

    if (type == AE_IFCHR || type == AE_IFBLK) {
        device = makedev(archive_entry_rdevmajor(e->archive), archive_entry_rdevminor(e->archive));
        if (u->options->user_namespace) {
            u->devices_left_out++;
            return 0;
        }
        if (type == AE_IFCHR && device == 0)
            return error_set(err, 0,
                             "a character device 0:0, which overlayfs takes for a file that was removed");
    }
    if (unpack_make_room(u, e, false, err) < 0)
        return -1;
    if (mknodat(e->parent, e->name, type | 0600, device) < 0)
        return error_set(err, errno, "make the device or fifo");
    return unpack_attributes(e, -1, err);
}

static const struct {
    mode_t type;
    int (*make)(struct unpack *u, const struct unpack_entry *e, struct error *err);
} makers[] = {
    {AE_IFREG, unpack_regular}, {AE_IFDIR, make_directory}, {AE_IFLNK, make_symlink},
    {AE_IFCHR, make_node},      {AE_IFBLK, make_node},      {AE_IFIFO, make_node},
};

/* --- whiteouts ----------------------------------------------------------------------------------------------------- */

/* overlayfs does not look at the mark on a layer's root: each name there is hidden by itself. */
static int hide_root_of(struct unpack *u, int below, struct error *err)
{
    int fd = openat(below, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;

    while (dir && (d = readdir(dir))) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (mknodat(u->tree, d->d_name, S_IFCHR, 0) < 0 && errno != EEXIST)
            return error_set(err, errno, "make a whiteout of %s", d->d_name);
        struct stat st;
        if (fstatat(u->tree, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            continue;
        _cleanup_(fd_closep) int own =
            openat(u->tree, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (own < 0 || unpack_set_opaque(u, own, err) < 0)
            return error_set(err, errno, "mark %s opaque", d->d_name);
    }
    return dir ? 0 : error_set(err, errno, "read the root of a layer below");
}

static int hide_root(struct unpack *u, struct error *err)
{
    if (unpack_need_below(u, err) < 0)
        return -1;
    for (size_t i = 1; i < u->stack.n; i++)
        if (hide_root_of(u, u->stack.trees[i], err) < 0)
            return -1;
    return 0;
}

static int mark_opaque(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    if (e->parent == u->tree && hide_root(u, err) < 0)
        return -1;
    _cleanup_(fd_closep) int fd = openat(e->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? error_set(err, errno, "open the directory") : unpack_set_opaque(u, fd, err);
}

static int whiteout_refused(const struct unpack *u, struct error *err)
{
    struct statfs fs;
    int code = errno;
    bool overlay = code == EPERM && fstatfs(u->tree, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;

    return error_set(err, code, "make the whiteout%s",
                     overlay
                         ? " on overlayfs, which cannot hold layers (have the store on another file system: "
                           "--store, HULL_STORE, or a volume)"
                         : "");
}

/* It hides what is in layers below, never what this one has: a directory of ours only becomes opaque. */
static int make_whiteout(struct unpack *u, const struct unpack_entry *e, const char *name, struct error *err)
{
    struct stat st;

    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, 0, "a whiteout of \"%s\"", name);
    if (mknodat(e->parent, name, S_IFCHR, 0) == 0)
        return 0;
    if (errno != EEXIST || fstatat(e->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return whiteout_refused(u, err);
    if (!S_ISDIR(st.st_mode))
        return 0;
    _cleanup_(fd_closep) int fd = openat(e->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "open the directory") : unpack_set_opaque(u, fd, err);
}

static int whiteout(struct unpack *u, const struct unpack_entry *e, struct error *err)
{
    if (u->guesses && unpack_need_below(u, err) < 0)
        return -1;
    if (strcmp(e->name, WHITEOUT_OPAQUE) == 0)
        return mark_opaque(u, e, err);
    if (strncmp(e->name, WHITEOUT_PREFIX WHITEOUT_PREFIX, 2 * strlen(WHITEOUT_PREFIX)) == 0)
        return 0; /* aufs's own housekeeping (layer.md: reserved) */
    return make_whiteout(u, e, e->name + strlen(WHITEOUT_PREFIX), err);
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

static int make_entry(struct unpack *u, struct unpack_entry *e, struct error *err)
{
    int located = unpack_locate(u, e, err);

    if (located <= 0)
        return located;
    if (!*e->path)
        return make_root(u, e, err);
    if (strncmp(e->name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return whiteout(u, e, err);
    if (archive_entry_hardlink(e->archive))
        return unpack_hardlink(u, e, err);
    for (size_t i = 0; i < ARRAY_SIZE(makers); i++)
        if (archive_entry_filetype(e->archive) == makers[i].type)
            return makers[i].make(u, e, err);
    return error_set(err, 0, "of a type that no layer can have (%#o)", archive_entry_filetype(e->archive));
}

const char *unpack_archive_error(const struct unpack *u)
{
    const char *text = archive_error_string(u->archive);

    return text ? text : "it is damaged";
}

static int entries(struct unpack *u, struct error *err)
{
    const uint64_t max = u->options->max_entries ? u->options->max_entries : UNPACK_MAX_ENTRIES;
    struct archive_entry *archive;
    int rc;

    while ((rc = archive_read_next_header(u->archive, &archive)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
        struct unpack_entry e = {.archive = archive};
        const char *name = archive_entry_pathname(archive);

        if (!name)
            return error_set(err, 0, "the archive's entry %llu has no name that can be read",
                             (unsigned long long)u->result->entries + 1);
        if (++u->result->entries > max)
            return error_set(err, 0, "the archive has more than %llu entries, Hull's limit for one layer",
                             (unsigned long long)max);
        if (make_entry(u, &e, err) < 0)
            return error_wrap(err, "the archive's entry \"%.300s\"", name);
    }
    if (rc != ARCHIVE_EOF)
        return error_set(err, 0, "the archive cannot be read: %s", unpack_archive_error(u));
    return 0;
}

/* What replaced a directory meanwhile has its own time. */
static int set_directory_times(struct unpack *u, struct error *err)
{
    for (const struct unpack_directory *d = u->directories; d; d = d->next) {
        const struct timespec times[2] = {d->mtime, d->mtime};
        _cleanup_(fd_closep) int fd =
            path_open(u->tree, *d->path ? d->path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

        if (fd >= 0 && futimens(fd, times) < 0)
            return error_set(err, errno, "set the time of %s", d->path);
    }
    return 0;
}

/* --- the archive --------------------------------------------------------------------------------------------------- */

struct feed {
    struct source *from;
    struct skeleton_writer *skeleton;
    struct error *err; /* its own: libarchive only passes failure on */
};

static la_ssize_t feed_read(struct archive *archive, void *context, const void **data)
{
    struct feed *feed = context;
    ssize_t n = -1;

    if (!feed->skeleton || skeleton_settle(feed->skeleton, feed->err) == 0)
        n = feed->from->read(feed->from, data, feed->err);
    if (n >= 0 && feed->skeleton)
        skeleton_block(feed->skeleton, *data, (size_t)n);
    if (n < 0 && archive)
        archive_set_error(archive, EIO, "%s", feed->err->message);
    return n;
}

/* A layer's digest is of all its bytes, also of what follows the archive's end. */
static int drain(struct feed *feed)
{
    const void *data;
    ssize_t n;

    do {
        n = feed_read(NULL, feed, &data);
    } while (n > 0);
    return n < 0 ? -1 : 0;
}

static int open_archive(struct unpack *u, struct feed *feed, struct error *err)
{
    u->archive = archive_read_new();
    if (!u->archive || archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(u->archive) != ARCHIVE_OK ||
        archive_read_support_filter_none(u->archive) != ARCHIVE_OK)
        return error_set(err, 0, "set libarchive up");
    if (archive_read_open(u->archive, feed, NULL, feed_read, NULL) != ARCHIVE_OK)
        return error_set(err, 0, "this is no tar archive: %s", unpack_archive_error(u));
    return 0;
}

/* Names in a message are the archive's: control characters (of C1 in UTF-8 as well) could drive a terminal. */
static void make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
            *c = '?';
}

static void clean_up(struct unpack *u)
{
    unpack_forget_parent(u);
    for (size_t i = 1; i < u->stack.n; i++)
        close(u->stack.trees[i]);
    archive_read_free(u->archive);
    skeleton_abandon(u->skeleton);
    arena_free(&u->arena);
}

static int apply(struct unpack *u, struct feed *feed, struct error *err)
{
    if (open_archive(u, feed, err) < 0 || entries(u, err) < 0 ||
        (u->guesses && unpack_need_below(u, err) < 0) || set_directory_times(u, err) < 0)
        return -1;
    if (fstat(u->tree, &u->result->root) < 0)
        return error_set(err, errno, "look at the layer's root");
    if (drain(feed) < 0)
        return -1;
    return u->skeleton ? skeleton_end(&u->skeleton, err) : 0;
}

int unpack_layer(struct source *from, int tree, const struct unpack_options *o, struct unpack_result *result,
                 struct error *err)
{
    struct unpack u = {
        .options = o, .result = result, .tree = tree, .parent = -1, .stack = {.trees = {tree}, .n = 1}};
    struct error of_feed = {0};

    *result = (struct unpack_result){0};
    u.end_of_directories = &u.directories;
    u.end_of_guesses = &u.guesses;
    if (o->keep_skeleton && skeleton_begin(o->skeleton, &u.skeleton, err) < 0)
        return -1;
    struct feed feed = {.from = from, .skeleton = u.skeleton, .err = &of_feed};
    int rc = apply(&u, &feed, err);
    if (rc < 0 && of_feed.message[0])
        *err = of_feed;
    if (rc < 0)
        make_printable(err->message);
    if (rc == 0 && u.devices_left_out)
        log_warning("%u device nodes left out: they cannot be made in a user namespace", u.devices_left_out);
    clean_up(&u);
    return rc;
}
