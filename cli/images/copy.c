/*
 * copy-out and copy-in: the two ends of `hull cp` (cli/cp.c), each a process. The first packs a file or directory as a tar
 * stream on standard output, the second unpacks one from standard input, by docker's rules:
 *
 *     DESTINATION is ...        a file comes                a directory comes
 *     a directory               into it, by its own name    into it, by its own name, or (SOURCE/.) its content
 *     a file                    in its place                an error
 *     nothing, in a directory   by that name                by that name, or its content
 *     nothing, with "/" behind  an error                    as without
 *
 * PATH is TEXT in messages. --root is a container's root directory, or the host's files are meant. Paths in a container are resolved below its root
 * (base/path.h): its links lead nowhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/images/command.h"
#include "images/extract.h"
#include "images/pack.h"

enum { FAILED_QUIETLY = 3 /* the other end has failed, and says why */, LINKS_MAX = 40 };

struct copy_options {
    int root; /* 0: the host */
    const char *name;
    struct id_maps uids, gids;
    bool archive, follow, overwrite;
    bool stream; /* somebody else's archive */
    const char *text;
};

static int parse_fd(const struct option_use *use, void *field, struct error *err)
{
    return sscanf(use->text, "%d", (int *)field) == 1 ? 0 : error_set(err, 0, "%s: no descriptor", use->what);
}

/* CONTAINER:HOST:SIZE,... */
static int parse_maps(const struct option_use *use, void *field, struct error *err)
{
    struct id_maps *maps = field;
    char *rest = arena_strdup(use->arena, use->text), *word;

    maps->v = arena_new_n(use->arena, strlen(rest) / 2 + 1, struct id_map);
    while ((word = strsep(&rest, ","))) {
        unsigned container, host, size;

        if (sscanf(word, "%u:%u:%u", &container, &host, &size) != 3)
            return error_set(err, 0, "%s: \"%s\" is no map", use->what, word);
        maps->v[maps->n++] = (struct id_map){.container_id = container, .host_id = host, .size = size};
    }
    return 0;
}

static const struct option_row rows[] = {
    OPTION(struct copy_options, "root", 0, "FD", root, parse_fd, "the container's root directory"),
    OPTION(struct copy_options, "name", 0, "NAME", name, option_string, "of what is copied"),
    OPTION(struct copy_options, "uids", 0, "MAPS", uids, parse_maps, "the container's ids"),
    OPTION(struct copy_options, "gids", 0, "MAPS", gids, parse_maps, "the container's ids"),
    OPTION(struct copy_options, "archive", 'a', NULL, archive, option_flag, "keep owners"),
    OPTION(struct copy_options, "follow-link", 'L', NULL, follow, option_flag, "follow links"),
    OPTION(struct copy_options, "overwrite", 0, NULL, overwrite, option_flag, "replace directories"),
    OPTION(struct copy_options, "stream", 0, NULL, stream, option_flag, "the archive is the caller's"),
    {0},
};

static int open_at(const struct copy_options *o, const char *path, int flags)
{
    return o->root ? path_open(o->root, path, flags, 0) : open(path, flags | O_CLOEXEC);
}

static bool ends_with_slash(const char *path)
{
    size_t n = strlen(path);

    return n > 0 && path[n - 1] == '/';
}

/* Names in a message are the container's or the archive's: control characters could drive a terminal. */
static int failed(struct error *err)
{
    for (char *c = err->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return -1;
}

/* --- out ----------------------------------------------------------------------------------------------------------- */

static int write_out(struct source *from, struct error *err)
{
    const void *data;
    ssize_t n;

    while ((n = from->read(from, &data, err)) > 0)
        if (fd_write_all(STDOUT_FILENO, data, (size_t)n) < 0)
            return errno == EPIPE ? FAILED_QUIETLY : error_set(err, errno, "write the archive");
    return n < 0 ? -1 : 0;
}

static int copy_out(const struct runtime *rt, void *options, const struct string_list *arguments,
                    struct error *err)
{
    const struct copy_options *o = options;
    const char *path = arguments->v[0], *text = arguments->v[1];
    bool follow = o->follow || ends_with_slash(path) || !o->name;
    _cleanup_(fd_closep) int fd = open_at(o, path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    const struct pack_copy copy = {
        .fd = fd, .name = o->name ? o->name : "", .uids = &o->uids, .gids = &o->gids};
    struct pack_source pack;
    struct stat st;

    (void)rt;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, errno, "%s", text);
    if (!S_ISDIR(st.st_mode) && (ends_with_slash(path) || !o->name))
        return error_set(err, ENOTDIR, "%s", text);
    if (pack_copy_init(&pack, &copy, err) < 0)
        return error_wrap(err, "%s", text);
    int rc = write_out(&pack.source, err);
    pack_source_destroy(&pack);
    if (rc < 0)
        error_wrap(err, "%s", text);
    return rc < 0 ? failed(err) : rc;
}

/* --- in ------------------------------------------------------------------------------------------------------------ */

/* Split @path in two, spare slashes aside. */
static int split(struct arena *a, const char *path, const char **parent, const char **name)
{
    char *copy = arena_strdup(a, path), *slash;
    size_t n = strlen(copy);

    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    slash = strrchr(copy, '/');
    *name = slash ? slash + 1 : copy;
    *parent = !slash ? "." : slash == copy ? "/" : copy;
    if (slash && slash != copy)
        *slash = '\0';
    return strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0 || !**name ? -1 : 0;
}

/* The directory and the name that @path means, where it is, or would be, no directory itself: what its links lead to, as far
 * as they lead. Descriptor and name are safe whatever becomes of the links meanwhile. */
static int resolve(struct arena *a, const struct copy_options *o, const char *path,
                   struct extract_place *place, struct error *err)
{
    const char *at = path, *parent;
    char target[PATH_MAX];

    for (int i = 0; i < LINKS_MAX; i++) {
        if (split(a, at, &parent, &place->name) < 0)
            return error_set(err, ENOENT, "%s", o->text);
        place->dir = open_at(o, parent, O_PATH | O_DIRECTORY);
        if (place->dir < 0)
            return error_set(err, errno, "%s: its directory %s", o->text, parent);
        ssize_t n = readlinkat(place->dir, place->name, target, sizeof(target) - 1);
        if (n < 0)
            return 0;
        target[n] = '\0';
        close(place->dir);
        place->dir = -1;
        at = target[0] == '/' ? arena_strdup(a, target) : arena_printf(a, "%s/%s", parent, target);
    }
    return error_set(err, ELOOP, "%s", o->text);
}

/* The content of a directory, where there is nothing yet. */
static int make_place(const struct copy_options *o, struct extract_place *place, struct error *err)
{
    int made;

    if (mkdirat(place->dir, place->name, 0755) < 0)
        return error_set(err, errno, "make %s", o->text);
    made = openat(place->dir, place->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(place->dir);
    place->dir = made;
    place->name = "";
    return made < 0 ? error_set(err, errno, "%s", o->text) : 0;
}

/* There is nothing at @path (@st NULL), or something that is no directory. */
static int find_file(struct arena *a, const struct copy_options *o, const char *path, const struct stat *st,
                     bool directory, struct extract_place *place, struct error *err)
{
    if (st && directory)
        return error_set(err, ENOTDIR, "%s: a directory cannot be copied to a file", o->text);
    if (st && !S_ISREG(st->st_mode))
        return error_set(err, 0, "%s is neither a file nor a directory", o->text);
    if (!directory && ends_with_slash(path))
        return error_set(err, 0, "%s: there is no such directory", o->text);
    if (resolve(a, o, path, place, err) < 0)
        return -1;
    return *place->from ? 0 : make_place(o, place, err);
}

static int find_place(struct arena *a, const struct copy_options *o, const char *path, bool directory,
                      struct extract_place *place, struct error *err)
{
    _cleanup_(fd_closep) int fd = open_at(o, path, O_PATH);
    struct stat st;

    *place = (struct extract_place){.dir = -1, .name = "", .from = o->name ? o->name : ""};
    if ((fd < 0 && (errno != ENOENT || o->stream)) || (fd >= 0 && fstat(fd, &st) < 0))
        return error_set(err, errno, "%s", o->text);
    if (fd < 0 || !S_ISDIR(st.st_mode))
        return o->stream ? error_set(err, ENOTDIR, "%s: an archive is unpacked into a directory", o->text)
                         : find_file(a, o, path, fd < 0 ? NULL : &st, directory, place, err);
    place->dir = steal_fd(&fd);
    place->name = place->from;
    return 0;
}

/* Whoever writes what follows the archive's end is to succeed. */
static int drain(struct source *from, struct error *err)
{
    const void *data;
    ssize_t n;

    do {
        n = from->read(from, &data, err);
    } while (n > 0);
    return (int)n;
}

static int extract(const struct runtime *rt, const struct copy_options *o, const char *path,
                   struct source *from, struct error *err)
{
    const struct extract_options how = {.overwrite = o->overwrite,
                                        .keep_owners = o->archive,
                                        .uid = o->root ? 0 : geteuid(),
                                        .gid = o->root ? 0 : getegid(),
                                        .uids = &o->uids,
                                        .gids = &o->gids,
                                        .defused = !o->root && !o->archive};
    struct extract_place place = {.dir = -1};
    struct extractor *x = NULL;
    enum extract_kind kind;
    int rc = extract_begin(from, &x, &kind, err);

    if (rc == 0 && kind == EXTRACT_NOTHING && !o->stream)
        rc = FAILED_QUIETLY;
    if (rc == 0 && (rc = find_place(rt->arena, o, path, kind == EXTRACT_DIRECTORY, &place, err)) == 0 &&
        (rc = extract_to(x, &place, &how, err)) < 0)
        error_wrap(err, "%s", o->text);
    if (rc == 0)
        rc = drain(from, err);
    if (rc < 0 && !o->stream && extract_is_cut_off(x))
        rc = FAILED_QUIETLY;
    fd_closep(&place.dir);
    extract_end(x);
    return rc;
}

static int copy_in(const struct runtime *rt, void *options, const struct string_list *arguments,
                   struct error *err)
{
    struct copy_options *o = options;
    struct decompress_source plain = {0};
    struct file_source file = {0};
    int rc = file_source_init(&file, STDIN_FILENO, err);

    o->text = arguments->v[1];

    if (rc == 0)
        rc = decompress_source_init(&plain, &file.source, err);
    if (rc == 0)
        rc = extract(rt, o, arguments->v[0], &plain.source, err);
    decompress_source_destroy(&plain);
    file_source_destroy(&file);
    return rc < 0 ? failed(err) : rc;
}

const struct command copy_out_command = {
    .name = "copy-out",
    .arguments = "PATH TEXT",
    .summary = "of `hull cp`",
    .options = rows,
    .options_size = sizeof(struct copy_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = copy_out,
};

const struct command copy_in_command = {
    .name = "copy-in",
    .arguments = "PATH TEXT",
    .summary = "of `hull cp`",
    .options = rows,
    .options_size = sizeof(struct copy_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = copy_in,
};
