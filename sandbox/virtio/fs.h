/*
 * virtio-fs (virtio 1.2, section 5.11): FUSE requests in two queues, high priority and one of requests, served by
 * sandbox/fuse over one directory tree of the host. No DAX window, no notification queue.
 */
#pragma once

#include "sandbox/fuse/server.h"
#include "sandbox/virtio/loop.h"

enum { FS_TAG_SIZE = 36, FS_QUEUES = 2, FS_QUEUE_SIZE = 256, FS_MAX_WAITING = 64 };

/* A request that waits for a lock: popped, not yet pushed. */
struct fs_waiting {
    bool used;
    unsigned queue;
    struct virtqueue_chain chain;
};

struct virtio_fs {
    struct virtio_device device;
    struct fuse_server *server;
    char tag[FS_TAG_SIZE]; /* padded with NULs, not ended by one */
    bool forget;           /* the driver has reset the device: so has the server to be, in its own thread */
    int timer;             /* readable when it is time to ask again for what waits */
    unsigned n_waiting;
    uint64_t progress;          /* the server's, when the waiting were last tried */
    struct fs_waiting *waiting; /* FS_MAX_WAITING of them; untouched pages until there is one */
};

/** Share @e under the name @tag (at most 36 bytes of UTF-8). What @e holds may be closed afterwards. */
int fs_init(struct virtio_fs *f, const struct fuse_export *e, const char *tag, struct error *err);
void fs_destroy(struct virtio_fs *f);

/** Its transport is @t: serve it in @l, which is for nothing else, as a disk may keep it waiting. */
int fs_serve_in(struct virtio_fs *f, struct loop *l, struct virtio_mmio *t, struct error *err);

/** The loop's thread calls this before it runs: see fuse_thread_confine(). */
int fs_confine_thread(struct virtio_fs *f, struct error *err);
