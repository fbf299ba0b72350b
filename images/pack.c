/*
 * The walk; see pack.h. A level for each directory that is open, its names sorted; each read of the source gives the headers
 * of an entry or a piece of a file's content. What a name is was found by descriptor: nothing is followed.
 *
 * A tree that is in use may change meanwhile: what went away between its directory's reading and its own turn is left out, a
 * file that became shorter is an error, what was added to one is left out.
 */
/* #syscalls: openat fstat fstatfs getdents64 read readlinkat */
#include "images/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "images/pack_private.h"
#include "images/stack.h"

enum { CONTENT_BLOCK = 256 << 10, BUCKETS = 4096, OVERFLOW_ID = 65534 /* nobody */ };

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

struct level {
    int fd;
    struct arena arena;
    const char **names;
    size_t n, next, path_length;
};

/* The first name of a file that has several. */
struct linked {
    dev_t dev;
    ino_t ino;
    const char *path;
    struct linked *next;
};

struct packer {
    int tree;
    const struct pack_copy *copy; /* NULL: a layer */
    bool root, ended;
    struct level levels[PACK_MAX_DEPTH];
    size_t depth;
    char path[PATH_MAX]; /* of the entry at hand; levels have its beginning */
    struct pack_bytes headers;
    size_t given;   /* of them */
    int content;    /* the file at hand, or -1 */
    uint64_t left;  /* of it */
    size_t padding; /* after it */
    struct arena arena;
    struct linked *linked[BUCKETS];
    char buffer[CONTENT_BLOCK + TAR_BLOCK];
};

/* --- levels -------------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_names(struct level *l, struct error *err)
{
    int again = openat(l->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = again < 0 ? NULL : fdopendir(again);
    const struct dirent *d;
    size_t max = 0;

    while (dir && (errno = 0, d = readdir(dir))) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (l->n == max) {
            size_t more = max ? 2 * max : 64;
            l->names = arena_grow(&l->arena, l->names, max * sizeof(*l->names), more * sizeof(*l->names));
            max = more;
        }
        l->names[l->n++] = arena_strdup(&l->arena, d->d_name);
    }
    if (!dir || errno)
        return error_set(err, errno, "read the directory");
    if (l->n)
        qsort(l->names, l->n, sizeof(*l->names), by_name);
    return 0;
}

/* Takes @fd. The entry's path, with its "/", is the level's. */
static int push(struct packer *p, int fd, struct error *err)
{
    if (p->depth == PACK_MAX_DEPTH) {
        close(fd);
        return error_set(err, 0, "more than %d directories in each other", PACK_MAX_DEPTH);
    }
    struct level *l = &p->levels[p->depth++];
    *l = (struct level){.fd = fd, .path_length = strlen(p->path)};
    return read_names(l, err);
}

static void pop(struct packer *p)
{
    struct level *l = &p->levels[--p->depth];

    fd_closep(&l->fd);
    arena_free(&l->arena);
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

static int add_marker(struct packer *p, const char *path, struct error *err)
{
    const struct pack_entry marker = {.path = path, .type = '0', .fd = -1, .st.st_mode = 0600};

    return pack_header(&p->headers, &marker, err);
}

static int add_whiteout(struct packer *p, size_t length, const char *name, struct error *err)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof(path), "%.*s.wh.%s", (int)length, p->path, name) >= sizeof(path))
        return error_set(err, ENAMETOOLONG, "a whiteout");
    return add_marker(p, path, err);
}

/* File systems that show the kernel's state: what is in them is not for copying. */
static bool is_pseudo(int fd)
{
    static const unsigned long magics[] = {PROC_SUPER_MAGIC,    SYSFS_MAGIC,        CGROUP_SUPER_MAGIC,
                                           CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, SECURITYFS_MAGIC,
                                           DEBUGFS_MAGIC,       TRACEFS_MAGIC,      BPF_FS_MAGIC,
                                           MQUEUE_MAGIC,        EFIVARFS_MAGIC,     SELINUX_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
        if ((unsigned long)fs.f_type == magics[i])
            return true;
    return false;
}

/* Its header, and its names for the walk. e->fd is O_PATH. */
static int add_directory(struct packer *p, struct pack_entry *e, struct error *err)
{
    size_t length = strlen(p->path);
    _cleanup_(fd_closep) int fd = openat(e->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, errno, "open it");
    e->fd = fd;
    e->type = '5';
    if (length + 1 >= sizeof(p->path))
        return error_set(err, ENAMETOOLONG, "it");
    if (!length || p->path[length - 1] != '/')
        strcpy(p->path + length, "/");
    if (pack_header(&p->headers, e, err) < 0 ||
        (!p->copy && directory_is_opaque(fd) && add_whiteout(p, strlen(p->path), ".wh..opq", err) < 0))
        return -1;
    return p->copy && is_pseudo(fd) ? 0 : push(p, steal_fd(&fd), err);
}

/* The name it had before, if it had one; else this is remembered. */
static const char *other_name(struct packer *p, const struct stat *st)
{
    struct linked **bucket = &p->linked[st->st_ino % BUCKETS];

    for (const struct linked *l = *bucket; l; l = l->next)
        if (l->ino == st->st_ino && l->dev == st->st_dev)
            return l->path;
    struct linked *l = arena_new(&p->arena, struct linked);
    *l = (struct linked){
        .dev = st->st_dev, .ino = st->st_ino, .path = arena_strdup(&p->arena, p->path), .next = *bucket};
    *bucket = l;
    return NULL;
}

/* Opened by way of /proc: it is the very file that was looked at, no device that took its place. */
static int add_regular(struct packer *p, struct pack_entry *e, struct error *err)
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", e->fd);
    _cleanup_(fd_closep) int fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open it");
    e->fd = fd;
    e->type = '0';
    if (pack_header(&p->headers, e, err) < 0)
        return -1;
    p->left = (uint64_t)e->st.st_size;
    p->padding = (TAR_BLOCK - p->left % TAR_BLOCK) % TAR_BLOCK;
    p->content = steal_fd(&fd);
    return 0;
}

static const struct {
    mode_t type;
    char flag;
} others[] = {{S_IFLNK, '2'}, {S_IFCHR, '3'}, {S_IFBLK, '4'}, {S_IFIFO, '6'}};

static int add_other(struct packer *p, struct pack_entry *e, struct error *err)
{
    char target[PATH_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if ((e->st.st_mode & S_IFMT) == others[i].type)
            e->type = others[i].flag;
    if (!e->type)
        return 0; /* a socket: nothing without the process that listens */
    if (S_ISLNK(e->st.st_mode)) {
        ssize_t n = readlinkat(e->fd, "", target, sizeof(target) - 1);
        if (n < 0)
            return error_set(err, errno, "read the link");
        target[n] = '\0';
        e->link = target;
    }
    return pack_header(&p->headers, e, err);
}

/* What a name means in a layer. 1: it was dealt with; 0: it is a file like any other. */
static int add_special(struct packer *p, const struct stat *st, const char *name, struct error *err)
{
    if (p->copy)
        return 0;
    if (stat_is_whiteout(st))
        return add_whiteout(p, strlen(p->path) - strlen(name), name, err) < 0 ? -1 : 1;
    if (strncmp(name, ".wh.", 4) == 0)
        return error_set(err, 0, "a name that begins with \".wh.\" cannot be in a layer");
    return 0;
}

static uint32_t from_host(const struct id_maps *maps, uint32_t id)
{
    for (size_t i = 0; maps && i < maps->n; i++)
        if (id >= maps->v[i].host_id && id - maps->v[i].host_id < maps->v[i].size)
            return maps->v[i].container_id + (id - maps->v[i].host_id);
    return maps && maps->n ? OVERFLOW_ID : id;
}

/* @fd: O_PATH. The path is p->path. */
static int add_entry(struct packer *p, int fd, const char *name, struct error *err)
{
    struct pack_entry e = {.path = p->path, .fd = fd};

    if (fstat(fd, &e.st) < 0)
        return error_set(err, errno, "look at it");
    int special = add_special(p, &e.st, name, err);
    if (special)
        return special < 0 ? -1 : 0;
    if (p->copy) {
        e.st.st_uid = from_host(p->copy->uids, e.st.st_uid);
        e.st.st_gid = from_host(p->copy->gids, e.st.st_gid);
    }
    if (S_ISDIR(e.st.st_mode))
        return add_directory(p, &e, err);
    if (e.st.st_nlink > 1 && !S_ISSOCK(e.st.st_mode)) {
        e.link = other_name(p, &e.st);
        e.type = '1';
        if (e.link)
            return pack_header(&p->headers, &e, err);
        e.type = 0;
    }
    return S_ISREG(e.st.st_mode) ? add_regular(p, &e, err) : add_other(p, &e, err);
}

static int add_name(struct packer *p, int parent, const char *name, struct error *err)
{
    _cleanup_(fd_closep) int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "look at it");
    return add_entry(p, fd, name, err);
}

/* --- the stream ---------------------------------------------------------------------------------------------------- */

static int start(struct packer *p, struct error *err)
{
    if (p->root) {
        strcpy(p->path, "./");
        if (add_entry(p, p->tree, "", err) < 0)
            return -1;
        p->path[0] = '\0';
        p->levels[0].path_length = 0;
        return 0;
    }
    int fd = openat(p->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "open the tree") : push(p, fd, err);
}

static int start_copy(struct packer *p, struct error *err)
{
    const struct pack_copy *c = p->copy;
    bool content = !*c->name;

    if (is_pseudo(c->fd))
        return error_set(err, 0, "it shows the kernel's state, and is no file to copy");
    if ((size_t)snprintf(p->path, sizeof(p->path), "%s", content ? "./" : c->name) >= sizeof(p->path))
        return error_set(err, ENAMETOOLONG, "%.64s...", c->name);
    return add_entry(p, c->fd, "", err);
}

/* The next entry's headers, or the archive's end. */
static int advance(struct packer *p, struct error *err)
{
    static const char end[2 * TAR_BLOCK];

    p->headers.length = p->given = 0;
    while (p->depth && p->headers.length == 0) {
        struct level *l = &p->levels[p->depth - 1];
        if (l->next == l->n) {
            pop(p);
            continue;
        }
        const char *name = l->names[l->next++];
        if (l->path_length + strlen(name) >= sizeof(p->path))
            return error_set(err, ENAMETOOLONG, "%.*s%s", (int)l->path_length, p->path, name);
        strcpy(p->path + l->path_length, name);
        if (add_name(p, l->fd, name, err) < 0)
            return error_wrap(err, "pack %s", p->path);
    }
    if (p->headers.length)
        return 0;
    p->ended = true;
    return pack_bytes_add(&p->headers, end, sizeof(end), err);
}

static ssize_t give_content(struct packer *p, const void **data, struct error *err)
{
    size_t want = p->left < CONTENT_BLOCK ? (size_t)p->left : CONTENT_BLOCK;
    ssize_t n = want ? read(p->content, p->buffer, want) : 0;

    if (n < 0 || (n == 0 && want))
        return error_set(err, n ? errno : 0, "pack %s%s", p->path, n ? "" : ": it was cut off meanwhile");
    p->left -= (uint64_t)n;
    *data = p->buffer;
    if (p->left)
        return n;
    fd_closep(&p->content);
    p->content = -1;
    memset(p->buffer + n, 0, p->padding);
    return n + (ssize_t)p->padding;
}

static ssize_t pack_read(struct source *s, const void **data, struct error *err)
{
    struct packer *p = ((struct pack_source *)s)->state;

    for (;;) {
        if (p->given < p->headers.length) {
            size_t n = p->headers.length - p->given;
            *data = p->headers.data + p->given;
            p->given = p->headers.length;
            return (ssize_t)n;
        }
        if (p->content >= 0) {
            ssize_t n = give_content(p, data, err);
            if (n)
                return n;
            continue;
        }
        if (p->ended)
            return 0;
        if (advance(p, err) < 0)
            return -1;
    }
}

static int begin(struct pack_source *s, int (*how)(struct packer *p, struct error *err), struct error *err)
{
    s->state->content = -1;
    if (how(s->state, err) == 0)
        return 0;
    error_wrap(err, "pack");
    pack_source_destroy(s);
    return -1;
}

int pack_source_init(struct pack_source *s, int tree, bool root, struct error *err)
{
    *s = (struct pack_source){.source.read = pack_read, .state = calloc(1, sizeof(*s->state))};
    if (!s->state)
        return error_set(err, ENOMEM, "pack");
    s->state->tree = tree;
    s->state->root = root;
    return begin(s, start, err);
}

int pack_copy_init(struct pack_source *s, const struct pack_copy *c, struct error *err)
{
    *s = (struct pack_source){.source.read = pack_read, .state = calloc(1, sizeof(*s->state))};
    if (!s->state)
        return error_set(err, ENOMEM, "pack");
    s->state->copy = c;
    return begin(s, start_copy, err);
}

void pack_source_destroy(struct pack_source *s)
{
    struct packer *p = s->state;

    if (!p)
        return;
    while (p->depth)
        pop(p);
    fd_closep(&p->content);
    free(p->headers.data);
    arena_free(&p->arena);
    free(p);
    s->state = NULL;
}
