/* What the files of the FUSE server share. See server.h for what it is, server.c for how a request goes through it. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sandbox/fuse/protocol.h"
#include "sandbox/fuse/server.h"
#include "sandbox/virtio/queue.h"

enum {
    FUSE_NUMBER_SIZE = 12,    /* "1234567890" as a name in /proc/self/fd */
    FUSE_XATTR_MAX = 65536,   /* XATTR_SIZE_MAX, XATTR_LIST_MAX */
    FUSE_COPY_MAX = 64 << 20, /* of one COPY_FILE_RANGE: the others wait meanwhile */
    FUSE_ARGS_SIZE = FUSE_XATTR_MAX + 4096,
    FUSE_ARGS_PADDING = 64, /* zeroes behind what the client sent: the rest of a longer struct, a NUL */
    FUSE_REPLY_SIZE = 128 << 10,
    FUSE_DENTS_SIZE = 32 << 10,
    FUSE_MAX_LOCK_OWNERS = 256, /* pairs of file and owner that hold POSIX locks */
    FUSE_MAX_WAITING = 64,      /* requests that wait for a lock */
    FUSE_LATER = INT_MIN,       /* an operation's result: FUSE_SERVER_LATER */
};

/* An inode that the client knows. Its number in the table is the low half of its node id, the generation of that
 * place the high half: an id that was forgotten names nothing. The root is number 1. */
struct fuse_node {
    uint64_t device, inode, mount; /* identity: the descriptor keeps the inode from being reused */
    uint64_t lookups;              /* how often the client was given it, less what it forgot */
    int fd;                        /* O_PATH; -1: a free place */
    uint32_t generation;
    uint32_t next; /* number of the next one in the bucket, or of the next free place */
    uint32_t type; /* S_IFMT */
    uint64_t seen; /* what the file was like at its last open: the client may keep what it cached since */
};

struct fuse_nodes {
    struct fuse_node *v; /* [1, used); reserved address space, a page costs memory once it is used */
    uint32_t *buckets;   /* linear hashing: as many as there are nodes, so that few nodes touch few pages */
    uint32_t used, max, n, free, n_buckets;
};

/* An open file or directory; its handle is number and generation as above. */
struct fuse_handle {
    int fd; /* -1: free */
    uint32_t generation, next;
    bool directory;
    uint64_t position; /* directories: where the descriptor stands (a cookie of its file system) */
};

struct fuse_handles {
    struct fuse_handle *v;
    uint32_t used, max, free;
};

/* Who has POSIX locks on what. Each has a file description of its own, as a lock belongs to one (F_OFD_SETLK). */
struct fuse_lock_owner {
    uint64_t nodeid, owner;
    uint64_t handle; /* by which it last came */
    int fd;          /* -1: free */
};

struct fuse_waiting {
    uint64_t unique;
    bool used, interrupted;
};

struct fuse_ids {
    uid_t uid;
    gid_t gid;
};

struct fuse_server {
    struct fuse_export options;
    int proc_fds;    /* procfs's self/fd, checked to be that */
    int proc_fdinfo; /* self/fdinfo, for kernels whose statx(2) tells no mounts */
    uint32_t
        descriptors; /* that nodes, handles and lock owners hold together; at most options.max_descriptors */
    struct fuse_ids own;    /* the thread's, between requests */
    bool confined;          /* a thread is ready to serve */
    bool fixed_caps;        /* capabilities stay when the ids change (SECBIT_NO_SETUID_FIXUP) */
    mode_t mask;            /* the thread's umask */
    bool started;           /* FUSE_INIT has been answered */
    uint64_t features;      /* FUSE_* of INIT, agreed on */
    uint64_t cache_seconds; /* for names and attributes */
    uint64_t progress;
    struct fuse_nodes nodes;
    uint32_t tell_at; /* more nodes than this: many_fd is told */
    bool told;        /* it has been, and they have not become fewer since */
    struct fuse_handles handles;
    struct fuse_lock_owner owners[FUSE_MAX_LOCK_OWNERS];
    struct fuse_waiting waiting[FUSE_MAX_WAITING];
    struct iovec iov[VIRTQUEUE_MAX_CHAIN];
    _Alignas(8) unsigned char args[FUSE_ARGS_SIZE + FUSE_ARGS_PADDING];
    _Alignas(8) unsigned char reply[FUSE_REPLY_SIZE];
    _Alignas(8) unsigned char dents[FUSE_DENTS_SIZE];
};

/* One request, decoded: what is not in `in` and `out` has been copied and cannot change any more. */
struct fuse_request {
    struct fuse_in_header h;
    struct fuse_node *node; /* h.nodeid's; NULL where the operation has none */
    const void *args;       /* the operation's struct; in s->args, NUL-padded */
    const char *names[2];
    const void *data;   /* what follows the struct and the names */
    size_t data_length; /* for WRITE and BATCH_FORGET it is still in `in`, from data_offset on */
    size_t data_offset;
    const struct iovec *in, *out;
    size_t n_in, n_out;
    size_t room;   /* for the reply's body */
    bool in_place; /* the body is in `out` already */
};

/* Operations return the length of the reply's body in s->reply, or a negative errno. */
typedef int fuse_operation_fn(struct fuse_server *s, struct fuse_request *r);
fuse_operation_fn fuse_op_init, fuse_op_destroy, fuse_op_forget, fuse_op_batch_forget, fuse_op_statfs,
    fuse_op_syncfs, fuse_op_interrupt;
fuse_operation_fn fuse_op_lookup, fuse_op_symlink, fuse_op_mknod, fuse_op_mkdir, fuse_op_unlink,
    fuse_op_rmdir, fuse_op_rename, fuse_op_rename2, fuse_op_link;
fuse_operation_fn fuse_op_getattr, fuse_op_setattr, fuse_op_statx, fuse_op_readlink;
fuse_operation_fn fuse_op_open, fuse_op_create, fuse_op_tmpfile, fuse_op_release, fuse_op_flush,
    fuse_op_fsync;
fuse_operation_fn fuse_op_read, fuse_op_write, fuse_op_fallocate, fuse_op_lseek, fuse_op_copy_file_range;
fuse_operation_fn fuse_op_opendir, fuse_op_readdir, fuse_op_releasedir, fuse_op_fsyncdir;
fuse_operation_fn fuse_op_setxattr, fuse_op_getxattr, fuse_op_listxattr, fuse_op_removexattr;
fuse_operation_fn fuse_op_getlk, fuse_op_setlk;

/* inodes.c */
/** What is reserved for @count things of @size, zeroed and not yet backed by memory. NULL with errno. */
void *fuse_reserve(size_t count, size_t size);
void fuse_unreserve(void *memory, size_t count, size_t size);
/** One descriptor more, as options.max_descriptors allows: 0 or -ENFILE. */
int fuse_descriptor_take(struct fuse_server *s);
void fuse_descriptor_close(struct fuse_server *s, int fd);
int fuse_nodes_create(struct fuse_server *s);
void fuse_nodes_clear(struct fuse_server *s); /* all but the root */
void fuse_nodes_destroy(struct fuse_server *s);
struct fuse_node *fuse_node_get(struct fuse_server *s, uint64_t id); /* NULL: no such */
/** So many that nobody should be given one without having asked for it. */
bool fuse_nodes_are_many(const struct fuse_server *s);
/** Give the client @name below @parent: one lookup more. @inode: what it probably is, 0: no idea. 0, or a negative
 * errno. */
int fuse_node_lookup(struct fuse_server *s, const struct fuse_node *parent, const char *name, uint64_t inode,
                     struct fuse_entry_out *out);
/** The same for an O_PATH descriptor, which is taken over in any case. */
int fuse_node_adopt(struct fuse_server *s, const struct fuse_node *parent, int fd,
                    struct fuse_entry_out *out);
/** The same for the file that @fd has open. */
int fuse_node_adopt_open(struct fuse_server *s, const struct fuse_node *parent, int fd,
                         struct fuse_entry_out *out);
void fuse_node_forget(struct fuse_server *s, uint64_t id, uint64_t lookups);
/** Open the node's file anew. Only regular files and directories are ever opened. The descriptor, or a negative
 * errno. */
int fuse_node_open(struct fuse_server *s, const struct fuse_node *node, int flags);
/** The descriptor's name in self/fd, below s->proc_fds (where the thread's working directory is, too). */
const char *fuse_fd_name(int fd, char name[FUSE_NUMBER_SIZE]);

/* handles.c */
int fuse_handles_create(struct fuse_server *s);
void fuse_handles_clear(struct fuse_server *s);
void fuse_handles_destroy(struct fuse_server *s);
/** Takes @fd over in any case. 0 and *@id, or a negative errno. */
int fuse_handle_add(struct fuse_server *s, int fd, bool directory, uint64_t *id);
struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t id, bool directory); /* NULL: none such */
int fuse_handle_close(struct fuse_server *s, uint64_t id, bool directory);

/* attributes.c */
/** 0, or a negative errno. */
int fuse_statx(int fd, const char *name, struct statx *stx);
void fuse_attr_from(const struct statx *stx, struct fuse_attr *attr);
/** What writing does to a file's set-id bits when the writer has no CAP_FSETID. @fd is open. */
int fuse_kill_suidgid(int fd);

/* ids.c */
/** Make files as the client's user does, with its umask, keeping our capabilities. 0, or a negative errno. */
int fuse_ids_enter(struct fuse_server *s, const struct fuse_in_header *h, uint32_t mask);
void fuse_ids_leave(struct fuse_server *s, const struct fuse_in_header *h);

/* locks.c */
void fuse_locks_create(struct fuse_server *s);
void fuse_locks_clear(struct fuse_server *s);
/** Of @owner, or of everyone. */
void fuse_locks_drop(struct fuse_server *s, uint64_t nodeid, const uint64_t *owner);
void fuse_locks_drop_handle(struct fuse_server *s, uint64_t handle);
