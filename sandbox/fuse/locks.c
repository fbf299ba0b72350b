/*
 * Locks on the host, for exports that several clients share. flock(2) belongs to the handle's descriptor. POSIX locks
 * belong to one of the client's processes and a file: each such pair has a file description of its own, on which the
 * locks are open-file-description locks (fcntl(2)); closing it is giving all of them up.
 *
 * Nothing waits here: a lock that is to be waited for and cannot be had is FUSE_LATER, and its request comes again until
 * it is granted or interrupted. Who waits is in a table of fixed size.
 */
/* #syscalls(fs): fcntl flock */
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "sandbox/fuse/internal.h"

void fuse_locks_create(struct fuse_server *s)
{
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS; i++)
        s->owners[i].fd = -1;
}

static void close_owner(struct fuse_server *s, struct fuse_lock_owner *o)
{
    fuse_descriptor_close(s, o->fd);
    o->fd = -1;
    s->progress++;
}

void fuse_locks_clear(struct fuse_server *s)
{
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS; i++)
        if (s->owners[i].fd >= 0)
            close_owner(s, &s->owners[i]);
    memset(s->waiting, 0, sizeof(s->waiting));
}

void fuse_locks_drop(struct fuse_server *s, uint64_t nodeid, const uint64_t *owner)
{
    if (!s->options.shared_locks)
        return;
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS; i++) {
        struct fuse_lock_owner *o = &s->owners[i];
        if (o->fd >= 0 && o->nodeid == nodeid && (!owner || o->owner == *owner))
            close_owner(s, o);
    }
}

/* A process's locks went with FLUSH before. What is left are a description's (F_OFD_SETLK in the client), of whose end
 * clients say nothing else. */
void fuse_locks_drop_handle(struct fuse_server *s, uint64_t handle)
{
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS && s->options.shared_locks; i++)
        if (s->owners[i].fd >= 0 && s->owners[i].handle == handle)
            close_owner(s, &s->owners[i]);
}

static struct fuse_lock_owner *find_owner(struct fuse_server *s, uint64_t nodeid, uint64_t owner)
{
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS; i++)
        if (s->owners[i].fd >= 0 && s->owners[i].nodeid == nodeid && s->owners[i].owner == owner)
            return &s->owners[i];
    return NULL;
}

static int add_owner(struct fuse_server *s, const struct fuse_request *r, uint64_t owner,
                     struct fuse_lock_owner **out)
{
    for (int i = 0; i < FUSE_MAX_LOCK_OWNERS; i++) {
        struct fuse_lock_owner *o = &s->owners[i];
        if (o->fd >= 0)
            continue;
        int fd = s->options.read_only ? -EROFS : fuse_node_open(s, r->node, O_RDWR);
        if (fd < 0) /* read locks are possible all the same */
            fd = fuse_node_open(s, r->node, O_RDONLY);
        if (fd < 0)
            return fd;
        if (fuse_descriptor_take(s) < 0) {
            close(fd);
            return -ENOLCK;
        }
        *o = (struct fuse_lock_owner){.nodeid = r->h.nodeid, .owner = owner, .fd = fd};
        *out = o;
        return 0;
    }
    return -ENOLCK;
}

static int to_flock(const struct fuse_file_lock *lk, struct flock *f)
{
    if (lk->start > lk->end || lk->end > INT64_MAX)
        return -EINVAL;
    if (lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK)
        return -EINVAL;
    *f = (struct flock){
        .l_type = (short)lk->type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)lk->start,
        .l_len = lk->end == INT64_MAX ? 0 : (off_t)(lk->end - lk->start + 1),
    };
    return 0;
}

int fuse_op_getlk(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_lk_in *in = r->args;
    struct fuse_lk_out *out = (void *)s->reply;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);
    const struct fuse_lock_owner *o = find_owner(s, r->h.nodeid, in->owner);
    struct flock f;

    if (!s->options.shared_locks)
        return -ENOSYS;
    if (!h)
        return -EBADF;
    int rc = to_flock(&in->lk, &f);
    if (rc < 0)
        return rc;
    /* Who has no locks asks by a description that has none either. */
    if (fcntl(o ? o->fd : h->fd, F_OFD_GETLK, &f) < 0)
        return -errno;
    *out = (struct fuse_lk_out){.lk = {.type = (uint32_t)f.l_type}};
    if (f.l_type != F_UNLCK) {
        out->lk.start = (uint64_t)f.l_start;
        out->lk.end = f.l_len == 0 ? INT64_MAX : (uint64_t)(f.l_start + f.l_len - 1);
    }
    return sizeof(*out);
}

static int set_flock(const struct fuse_handle *h, uint32_t type)
{
    int operation = type == F_UNLCK ? LOCK_UN : type == F_RDLCK ? LOCK_SH : LOCK_EX;

    return flock(h->fd, operation | LOCK_NB) < 0 ? -errno : 0;
}

static int set_posix(struct fuse_server *s, const struct fuse_request *r)
{
    const struct fuse_lk_in *in = r->args;
    struct fuse_lock_owner *o = find_owner(s, r->h.nodeid, in->owner);
    struct flock f;
    int rc = to_flock(&in->lk, &f);

    if (rc < 0)
        return rc;
    if (!o && f.l_type == F_UNLCK)
        return 0;
    bool added = !o;
    if (added && (rc = add_owner(s, r, in->owner, &o)) < 0)
        return rc;
    o->handle = in->fh;
    if (fcntl(o->fd, F_OFD_SETLK, &f) < 0) {
        rc = errno == EACCES ? -EAGAIN : -errno;
        if (added)
            close_owner(s, o);
    }
    return rc;
}

static struct fuse_waiting *find_waiting(struct fuse_server *s, uint64_t unique)
{
    for (int i = 0; i < FUSE_MAX_WAITING; i++)
        if (s->waiting[i].used && s->waiting[i].unique == unique)
            return &s->waiting[i];
    return NULL;
}

/* The lock could not be had. */
static int wait_for_lock(struct fuse_server *s, uint64_t unique, struct fuse_waiting *w)
{
    for (int i = 0; i < FUSE_MAX_WAITING && !w; i++)
        if (!s->waiting[i].used)
            w = &s->waiting[i];
    if (!w)
        return -ENOLCK;
    if (w->used && w->interrupted) {
        w->used = false;
        return -EINTR;
    }
    *w = (struct fuse_waiting){.unique = unique, .used = true};
    return FUSE_LATER;
}

int fuse_op_setlk(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_lk_in *in = r->args;
    const struct fuse_handle *h = fuse_handle_get(s, in->fh, false);
    struct fuse_waiting *w = find_waiting(s, r->h.unique);
    uint64_t progress = s->progress;

    if (!s->options.shared_locks)
        return -ENOSYS;
    int rc = !h ? -EBADF : in->lk_flags & FUSE_LK_FLOCK ? set_flock(h, in->lk.type) : set_posix(s, r);
    /* Taking an owner in and out again for a try is no progress, or the others would try for ever. */
    s->progress = progress + (rc == 0);
    if (rc == -EAGAIN && r->h.opcode == FUSE_SETLKW)
        return wait_for_lock(s, r->h.unique, w);
    if (w)
        w->used = false;
    return rc;
}

int fuse_op_interrupt(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_interrupt_in *in = r->args;
    struct fuse_waiting *w = find_waiting(s, in->unique);

    if (w) {
        w->interrupted = true;
        s->progress++;
    }
    return 0;
}
