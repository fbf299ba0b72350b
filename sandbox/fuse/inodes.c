/*
 * The inodes that the client knows: node id -> O_PATH descriptor, and identity -> node id.
 *
 * Identity is device, inode and mount: the same file seen through two mounts is two nodes, as one of them may be
 * read-only. While a node is here its descriptor holds the inode, so that the host cannot give its number away.
 * A node lives as long as the client has lookups on it; nothing here ends it earlier, because a client that has been
 * told of a node may come back to it at any time. So the number of descriptors is the limit: beyond it, ENFILE. And as
 * each keeps some 1.6 KB of the host's memory (inode, directory entry, open file), a client that has many of them is asked,
 * by whom many_fd belongs to, to forget what it does not use.
 *
 * The hash table grows by one bucket a node (linear hashing): no request pays for moving them all.
 */
/* #syscalls(fs): openat read write close */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

enum { ROOT = 1, FDINFO_SIZE = 512 };

void *fuse_reserve(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, bytes, MADV_NOHUGEPAGE); /* most is never used: a huge page would be 2 MiB for nothing */
    return p;
}

void fuse_unreserve(void *memory, size_t count, size_t size)
{
    if (memory)
        munmap(memory, count * size);
}

int fuse_descriptor_take(struct fuse_server *s)
{
    if (s->descriptors >= s->options.max_descriptors)
        return -ENFILE;
    s->descriptors++;
    return 0;
}

void fuse_descriptor_close(struct fuse_server *s, int fd)
{
    close(fd);
    s->descriptors--;
}

const char *fuse_fd_name(int fd, char name[FUSE_NUMBER_SIZE])
{
    size_t at = FUSE_NUMBER_SIZE - 1;

    name[at] = '\0';
    do {
        name[--at] = (char)('0' + fd % 10);
    } while ((fd /= 10) > 0);
    return &name[at];
}

static uint64_t node_id(const struct fuse_server *s, uint32_t number)
{
    return number | (uint64_t)s->nodes.v[number].generation << 32;
}

struct fuse_node *fuse_node_get(struct fuse_server *s, uint64_t id)
{
    uint32_t number = (uint32_t)id;

    if (number == 0 || number >= s->nodes.used)
        return NULL;
    struct fuse_node *n = &s->nodes.v[number];
    return n->fd >= 0 && n->generation == id >> 32 ? n : NULL;
}

static uint32_t bucket_of(const struct fuse_nodes *t, const struct fuse_node *n)
{
    uint64_t h = (n->inode ^ n->device << 40 ^ n->mount << 20) * 0x9e3779b97f4a7c15ULL;
    uint32_t high = (uint32_t)(h >> 32), mask = 1;

    while (mask < t->n_buckets)
        mask <<= 1;
    high &= mask - 1;
    return high < t->n_buckets ? high : high & ((mask >> 1) - 1);
}

static bool same(const struct fuse_node *a, const struct fuse_node *b)
{
    return a->inode == b->inode && a->device == b->device && a->mount == b->mount;
}

/* The number of the node like @wanted, or 0. */
static uint32_t find(const struct fuse_nodes *t, const struct fuse_node *wanted)
{
    uint32_t i = t->buckets[bucket_of(t, wanted)];

    while (i != 0 && !same(&t->v[i], wanted))
        i = t->v[i].next;
    return i;
}

static void insert(struct fuse_nodes *t, uint32_t number)
{
    uint32_t *bucket = &t->buckets[bucket_of(t, &t->v[number])];

    t->v[number].next = *bucket;
    *bucket = number;
}

/* One bucket more: those who belong there come out of the one that it was split from. */
static void grow(struct fuse_nodes *t)
{
    uint32_t half = 1;

    while (half * 2 <= t->n_buckets)
        half *= 2;
    uint32_t old = t->n_buckets - half, i = t->buckets[old];
    t->buckets[old] = 0;
    t->n_buckets++;
    while (i != 0) {
        uint32_t next = t->v[i].next;
        insert(t, i);
        i = next;
    }
}

static void remove_from_table(struct fuse_nodes *t, uint32_t number)
{
    uint32_t *at = &t->buckets[bucket_of(t, &t->v[number])];

    while (*at != number)
        at = &t->v[*at].next;
    *at = t->v[number].next;
}

/* Where kernels before 5.8 say it. 0 is no mount's number. */
static uint64_t mount_of(const struct fuse_server *s, int fd)
{
    char text[FDINFO_SIZE], name[FUSE_NUMBER_SIZE];
    uint64_t id = 0;
    int info = openat(s->proc_fdinfo, fuse_fd_name(fd, name), O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return 0;
    ssize_t n = read(info, text, sizeof(text) - 1);
    close(info);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, "mnt_id:");
    return at && sscanf(at, "mnt_id:%" SCNu64, &id) == 1 ? id : 0;
}

/* Who @stx is. False: it does not tell the mount. */
static bool identify(const struct statx *stx, struct fuse_node *n)
{
    *n = (struct fuse_node){
        .device = (uint64_t)stx->stx_dev_major << 32 | stx->stx_dev_minor,
        .inode = stx->stx_ino,
        .mount = stx->stx_mnt_id,
        .fd = -1,
        .type = stx->stx_mode & S_IFMT,
    };
    return (stx->stx_mask & STATX_MNT_ID) != 0;
}

static void tell_of_many(struct fuse_server *s)
{
    /* Not to be had is only a counter at its end, which is readable as well. */
    (void)eventfd_write(s->options.many_fd, s->told ? FUSE_SERVER_MANY_MORE : 1);
    s->told = true;
    s->tell_at = s->nodes.n + s->nodes.n / 8; /* those in use stay, however often it is asked */
}

static void reset_many(struct fuse_server *s)
{
    s->told = false;
    s->tell_at = s->options.many_nodes ? s->options.many_nodes : UINT32_MAX;
}

bool fuse_nodes_are_many(const struct fuse_server *s)
{
    return s->options.many_nodes && s->nodes.n >= s->options.many_nodes;
}

/* A place for @n, whose descriptor becomes the table's. Its number, or 0: there is none. */
static uint32_t add(struct fuse_server *s, const struct fuse_node *n)
{
    struct fuse_nodes *t = &s->nodes;
    uint32_t number = t->free;

    if (fuse_descriptor_take(s) < 0)
        return 0;
    if (number != 0) {
        t->free = t->v[number].next;
    } else {
        number = t->used++;
        t->v[number].generation = 0;
    }
    uint32_t generation = t->v[number].generation;
    t->v[number] = *n;
    t->v[number].generation = generation;
    insert(t, number);
    if (++t->n > t->n_buckets)
        grow(t);
    if (t->n > s->tell_at)
        tell_of_many(s);
    return number;
}

static void give(struct fuse_server *s, const struct fuse_node *parent, uint32_t number,
                 const struct statx *stx, struct fuse_entry_out *out)
{
    struct fuse_node *n = &s->nodes.v[number];

    n->lookups++;
    *out = (struct fuse_entry_out){
        .nodeid = node_id(s, number),
        .entry_valid = s->cache_seconds,
        .attr_valid = s->cache_seconds,
    };
    fuse_attr_from(stx, &out->attr);
    if (n->type == S_IFDIR && n->mount != parent->mount && s->features & FUSE_SUBMOUNTS)
        out->attr.flags |= FUSE_ATTR_SUBMOUNT;
}

int fuse_node_adopt(struct fuse_server *s, const struct fuse_node *parent, int fd, struct fuse_entry_out *out)
{
    struct fuse_node node = {0};
    struct statx stx;
    int rc = fuse_statx(fd, "", &stx);

    if (rc == 0 && !identify(&stx, &node) && (node.mount = mount_of(s, fd)) == 0)
        rc = -EIO;
    if (rc == 0 && node.mount != parent->mount && !s->options.cross_mounts)
        rc = -EXDEV;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    uint32_t number = find(&s->nodes, &node);
    if (number != 0) {
        close(fd);
    } else {
        node.fd = fd;
        if ((number = add(s, &node)) == 0) {
            close(fd);
            return -ENFILE;
        }
    }
    give(s, parent, number, &stx, out);
    return 0;
}

int fuse_node_adopt_open(struct fuse_server *s, const struct fuse_node *parent, int fd,
                         struct fuse_entry_out *out)
{
    char name[FUSE_NUMBER_SIZE];
    int path = openat(s->proc_fds, fuse_fd_name(fd, name), O_PATH | O_CLOEXEC);

    return path < 0 ? -errno : fuse_node_adopt(s, parent, path, out);
}

/* Without opening it: works for nodes that the client has already. The number, or 0. */
static uint32_t find_by_name(const struct fuse_server *s, const struct fuse_node *parent, const char *name,
                             struct statx *stx, int *rc)
{
    struct fuse_node node;

    *rc = fuse_statx(parent->fd, name, stx);
    return *rc == 0 && identify(stx, &node) ? find(&s->nodes, &node) : 0;
}

int fuse_node_lookup(struct fuse_server *s, const struct fuse_node *parent, const char *name, uint64_t inode,
                     struct fuse_entry_out *out)
{
    struct fuse_node likely = {.device = parent->device, .inode = inode, .mount = parent->mount};
    struct statx stx;
    int rc = 0;

    /* A client that believes its cache asks for what it does not know: open at once. Others ask again and again. */
    if (inode != 0 ? find(&s->nodes, &likely) != 0 : s->options.cache != FUSE_CACHE_ALWAYS) {
        uint32_t number = find_by_name(s, parent, name, &stx, &rc);
        if (rc < 0)
            return rc;
        if (number != 0) {
            give(s, parent, number, &stx, out);
            return 0;
        }
    }
    int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE ? -ENFILE : -errno;
    return fuse_node_adopt(s, parent, fd, out);
}

static void drop(struct fuse_server *s, uint32_t number)
{
    struct fuse_nodes *t = &s->nodes;
    struct fuse_node *n = &t->v[number];

    remove_from_table(t, number);
    fuse_descriptor_close(s, n->fd);
    n->fd = -1;
    n->generation++;
    n->next = t->free;
    t->free = number;
    t->n--;
    if (s->told && t->n < s->options.many_nodes / 8 * 7)
        reset_many(s);
}

void fuse_node_forget(struct fuse_server *s, uint64_t id, uint64_t lookups)
{
    struct fuse_node *n = fuse_node_get(s, id);

    if (!n || n == &s->nodes.v[ROOT])
        return;
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    if (n->lookups == 0) {
        fuse_locks_drop(s, id, NULL);
        drop(s, (uint32_t)id);
    }
}

int fuse_node_open(struct fuse_server *s, const struct fuse_node *node, int flags)
{
    char name[FUSE_NUMBER_SIZE];

    /* Opening a device or a fifo does something; a symlink and a socket cannot be. */
    if (node->type != S_IFREG && node->type != S_IFDIR)
        return node->type == S_IFLNK ? -ELOOP : -EACCES;
    int fd = openat(s->proc_fds, fuse_fd_name(node->fd, name), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == EMFILE ? -ENFILE : -errno;
    return fd;
}

int fuse_nodes_create(struct fuse_server *s)
{
    struct fuse_nodes *t = &s->nodes;
    struct fuse_node node;
    struct statx stx;

    t->max = s->options.max_descriptors;
    t->v = fuse_reserve((size_t)t->max + ROOT + 1, sizeof(*t->v));
    t->buckets = fuse_reserve((size_t)t->max + ROOT + 1, sizeof(*t->buckets));
    if (!t->v || !t->buckets)
        return -errno;
    t->used = ROOT;
    t->n_buckets = 1;
    reset_many(s);
    int rc = fuse_statx(s->options.root, "", &stx);
    if (rc < 0)
        return rc;
    bool told = identify(&stx, &node);
    if (node.type != S_IFDIR)
        return -ENOTDIR;
    if ((node.fd = fcntl(s->options.root, F_DUPFD_CLOEXEC, 0)) < 0)
        return -errno;
    if ((!told && (node.mount = mount_of(s, node.fd)) == 0) || add(s, &node) != ROOT) {
        close(node.fd);
        return -EIO;
    }
    return 0;
}

void fuse_nodes_clear(struct fuse_server *s)
{
    for (uint32_t i = ROOT + 1; i < s->nodes.used; i++)
        if (s->nodes.v[i].fd >= 0)
            drop(s, i);
}

void fuse_nodes_destroy(struct fuse_server *s)
{
    struct fuse_nodes *t = &s->nodes;

    if (t->v && t->used > ROOT) {
        fuse_nodes_clear(s);
        drop(s, ROOT);
    }
    fuse_unreserve(t->v, (size_t)t->max + ROOT + 1, sizeof(*t->v));
    fuse_unreserve(t->buckets, (size_t)t->max + ROOT + 1, sizeof(*t->buckets));
}
