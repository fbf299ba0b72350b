/*
 * A FUSE client that says whatever a test wants it to, to a server over a temporary tree:
 *
 *     TREE/secret      outside of what is exported
 *     TREE/export      the root; holds "file" (text "content"), "sub/", "link" (-> ../secret)
 */
#pragma once

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/fuse/protocol.h"
#include "sandbox/fuse/server.h"

enum { CLIENT_BUFFER = 2 << 20 };

struct client {
    struct fuse_server *server;
    char tree[64];
    int outside;         /* TREE, O_PATH */
    uint32_t uid, gid;   /* of the next requests */
    uint64_t unique;     /* of the last request */
    unsigned char *body; /* of the last reply */
    size_t length;       /* its bytes */
    unsigned char *in, *out;
};

/** Called (if set) when the tree is there and the thread still has all its capabilities. */
extern void (*client_hook)(const char *tree);

/** The tree, a server over it, and FUSE_INIT with @features. What @e says of root and proc is filled in. */
void client_open(struct client *c, struct fuse_export e, uint64_t features);
/** Only the tree and the server. */
void client_open_quietly(struct client *c, struct fuse_export e);
void client_close(struct client *c);

/** One request: the operation's struct, then other bytes. The reply's error (0 or a negative errno), or 1: none came. */
int client_ask(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t args_length,
               const void *more, size_t more_length);
/** Bytes as they are. */
int client_send(struct client *c, size_t length, size_t room);
int client_init(struct client *c, uint64_t features);

/** Of the common ones. An error or 0. */
int client_lookup(struct client *c, uint64_t parent, const char *name, struct fuse_entry_out *out);
int client_open_node(struct client *c, uint64_t node, uint32_t flags, uint64_t *handle);
int client_named(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t args_length,
                 const char *name);
int client_read(struct client *c, uint64_t node, uint64_t handle, uint64_t offset, uint32_t size);
int client_write(struct client *c, uint64_t node, uint64_t handle, uint64_t offset, const char *text,
                 uint32_t flags);

/** On the host, below TREE: what is in the file, or NULL. */
const char *client_host(struct client *c, const char *path);
