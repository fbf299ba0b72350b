/*
 * Open files and directories: handle -> descriptor. A handle's low half is its place in the table, the high half the
 * place's generation, so that one that was closed (or made up) names nothing. Handles from an earlier FUSE_INIT are
 * gone with it.
 */
/* #syscalls(fs): close */
#include <unistd.h>

#include "sandbox/fuse/internal.h"

int fuse_handles_create(struct fuse_server *s)
{
    s->handles.max = s->options.max_descriptors;
    s->handles.v = fuse_reserve(s->handles.max, sizeof(*s->handles.v));
    s->handles.free = UINT32_MAX;
    return s->handles.v ? 0 : -errno;
}

int fuse_handle_add(struct fuse_server *s, int fd, bool directory, uint64_t *id)
{
    struct fuse_handles *t = &s->handles;
    uint32_t number = t->free;

    if (fuse_descriptor_take(s) < 0) { /* as many places as descriptors: one is free */
        close(fd);
        return -ENFILE;
    }
    if (number != UINT32_MAX)
        t->free = t->v[number].next;
    else
        t->v[number = t->used++].generation = 1;
    struct fuse_handle *h = &t->v[number];
    *h = (struct fuse_handle){.fd = fd, .generation = h->generation, .directory = directory};
    *id = number | (uint64_t)h->generation << 32;
    return 0;
}

struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t id, bool directory)
{
    uint32_t number = (uint32_t)id;

    if (number >= s->handles.used)
        return NULL;
    struct fuse_handle *h = &s->handles.v[number];
    return h->fd >= 0 && h->generation == id >> 32 && h->directory == directory ? h : NULL;
}

int fuse_handle_close(struct fuse_server *s, uint64_t id, bool directory)
{
    struct fuse_handle *h = fuse_handle_get(s, id, directory);

    if (!h)
        return -EBADF;
    fuse_descriptor_close(s, h->fd);
    h->fd = -1;
    h->generation++;
    h->next = s->handles.free;
    s->handles.free = (uint32_t)id;
    return 0;
}

void fuse_handles_clear(struct fuse_server *s)
{
    for (uint32_t i = 0; i < s->handles.used; i++) {
        struct fuse_handle *h = &s->handles.v[i];
        if (h->fd >= 0)
            fuse_handle_close(s, i | (uint64_t)h->generation << 32, h->directory);
    }
}

void fuse_handles_destroy(struct fuse_server *s)
{
    if (s->handles.v)
        fuse_handles_clear(s);
    fuse_unreserve(s->handles.v, s->handles.max, sizeof(*s->handles.v));
}
