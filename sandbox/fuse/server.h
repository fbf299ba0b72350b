/*
 * A FUSE server (protocol 7.31 to 7.38, <linux/fuse.h>) over one directory tree of the host: the work behind a virtio-fs
 * device, usable without one. The client is hostile: it can do to the tree what the export allows, and nothing else.
 *
 * One server is one export, one client and one thread. It never waits for the client or for a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"

/** How long the client may believe what it has seen. */
enum fuse_cache {
    FUSE_CACHE_AUTO, /* others change the tree too: a second for names and attributes, data until the next open */
    FUSE_CACHE_ALWAYS, /* nobody else does (a container's own root) */
    FUSE_CACHE_NEVER,  /* ask each time for names and attributes; data stays only while they are the same */
};

struct fuse_export {
    int root;       /* a directory, O_PATH will do; stays the caller's and may be closed */
    int proc;       /* the root of a procfs of this process's pid namespace; O_PATH will do, may be closed */
    bool read_only; /* EROFS to whatever would change something */
    bool cross_mounts; /* other mounts below the root are part of the export; else EXDEV */
    bool
        shared_locks; /* locks are taken on the host, for exports of several clients; else the client keeps its own */
    bool writeback; /* the client may hold writes back; only when nobody else writes */
    enum fuse_cache cache;
    uint32_t max_descriptors; /* 0: what RLIMIT_NOFILE allows, less a reserve */
    /* A client that knows more files than this (0: any number) should forget some, as each keeps memory of the host's:
     * then many_fd, an eventfd, gets 1, and FUSE_SERVER_MANY_MORE whenever they have become still more by an eighth. */
    uint32_t many_nodes;
    int many_fd;
};

struct fuse_server;

enum {
    FUSE_SERVER_MAX_PAGES = 240, /* of one READ or WRITE: with headers less than VIRTQUEUE_MAX_CHAIN */
    FUSE_SERVER_LATER = -1,
    FUSE_SERVER_RETRY_MS = 50,
    FUSE_SERVER_MANY_MORE = 256,
};

/** Not to be made before a fork: it works through the calling process's own self/fd. NULL with @err set. */
struct fuse_server *fuse_server_create(const struct fuse_export *e, struct error *err);
void fuse_server_destroy(struct fuse_server *s);

/** The client is gone: let go of all its nodes, files and locks. It may come again with FUSE_INIT. */
void fuse_server_reset(struct fuse_server *s);

/**
 * Serve one request of @in_bytes in @in; the reply goes to @out, where @out_bytes are. READ and WRITE move data
 * straight between these and the file. Returns the bytes written (0 for what has no reply), or FUSE_SERVER_LATER: the
 * request waits for a lock. Then hand it in again, unchanged, when fuse_server_progress() has changed or
 * FUSE_SERVER_RETRY_MS have passed; FUSE_INTERRUPT makes that end with EINTR.
 */
ssize_t fuse_server_handle(struct fuse_server *s, const struct iovec *in, size_t n_in,
                           const struct iovec *out, size_t n_out, uint64_t in_bytes, uint64_t out_bytes);

/** Changes whenever a waiting request may have got what it waits for. */
uint64_t fuse_server_progress(const struct fuse_server *s);

/**
 * Make the calling thread the one that serves @s; before its first request. The thread gets a working directory and a
 * file creation mask of its own, SIGXFSZ is ignored (the process's limit of file size is the client's EFBIG, not our
 * end), and of the capabilities it has only CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETUID, SETGID and SETFCAP stay.
 * Without SETUID and SETGID only the process's own user can make files; the others get EPERM.
 */
int fuse_thread_confine(struct fuse_server *s, struct error *err);
