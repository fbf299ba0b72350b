#include "tests/unit/sandbox/fuse_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

void (*client_hook)(const char *tree);

static void put(int at, const char *name, const char *text)
{
    int fd = openat(at, name, O_CREAT | O_WRONLY, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

void client_open_quietly(struct client *c, struct fuse_export e)
{
    struct error err = {0};

    *c = (struct client){.tree = "/tmp/hull-fuse-XXXXXX"};
    cr_assert(mkdtemp(c->tree) && chmod(c->tree, 0755) == 0);
    c->outside = open(c->tree, O_PATH | O_CLOEXEC);
    cr_assert(mkdirat(c->outside, "export", 0755) == 0 && mkdirat(c->outside, "export/sub", 0755) == 0);
    put(c->outside, "secret", "secret");
    put(c->outside, "export/file", "content");
    cr_assert_eq(symlinkat("../secret", c->outside, "export/link"), 0);
    if (client_hook) { /* perhaps into another mount namespace */
        client_hook(c->tree);
        close(c->outside);
        c->outside = open(c->tree, O_PATH | O_CLOEXEC);
    }
    c->in = calloc(1, CLIENT_BUFFER);
    c->out = calloc(1, CLIENT_BUFFER);
    cr_assert(c->in && c->out);
    e.root = openat(c->outside, "export", O_PATH | O_CLOEXEC);
    e.proc = open("/proc", O_PATH | O_CLOEXEC);
    c->server = fuse_server_create(&e, &err);
    cr_assert(c->server, "%s", err.message);
    close(e.root);
    close(e.proc);
    cr_assert_eq(fuse_thread_confine(c->server, &err), 0, "%s", err.message);
}

int client_init(struct client *c, uint64_t features)
{
    struct fuse_init_in in = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_SERVER_MINOR,
        .max_readahead = 1 << 17,
        .flags = (uint32_t)features | FUSE_INIT_EXT,
        .flags2 = (uint32_t)(features >> 32),
    };

    return client_ask(c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0);
}

void client_open(struct client *c, struct fuse_export e, uint64_t features)
{
    client_open_quietly(c, e);
    cr_assert_eq(client_init(c, features), 0);
}

void client_close(struct client *c)
{
    struct error err;
    fuse_server_destroy(c->server);
    cr_expect_eq(file_remove_tree(AT_FDCWD, c->tree, &err), 0, "%s", err.message);
    close(c->outside);
    free(c->in);
    free(c->out);
}

/* In pieces whose seams fall inside headers and structs. */
static size_t pieces(struct iovec *v, unsigned char *at, size_t length, size_t first)
{
    size_t n = 0;

    for (size_t part = first; length > 0; part = part * 7 + 5) {
        if (part > length || n == 7)
            part = length;
        v[n++] = (struct iovec){at, part};
        at += part;
        length -= part;
    }
    return n;
}

int client_send(struct client *c, size_t length, size_t room)
{
    struct iovec in[8], out[8];
    size_t n_in = pieces(in, c->in, length, 13), n_out = pieces(out, c->out, room, 9);
    const struct fuse_out_header *h = (const void *)c->out;
    uint64_t unique = ((const struct fuse_in_header *)c->in)->unique;

    memset(c->out, 0xee, room + 64 < CLIENT_BUFFER ? room + 64 : CLIENT_BUFFER);
    ssize_t n = fuse_server_handle(c->server, in, n_in, out, n_out, length, room);
    if (n == FUSE_SERVER_LATER)
        return 2;
    cr_assert(n == 0 || ((size_t)n >= sizeof(*h) && (size_t)n <= room));
    for (size_t i = room; i < room + 64 && i < CLIENT_BUFFER; i++)
        cr_assert_eq(c->out[i], 0xee, "a reply beyond its room");
    if (n == 0)
        return 1;
    cr_assert(h->len == n && h->error <= 0 && h->error > -4096 && h->unique == unique);
    c->body = c->out + sizeof(*h);
    c->length = (size_t)n - sizeof(*h);
    return h->error;
}

int client_ask(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t args_length,
               const void *more, size_t more_length)
{
    struct fuse_in_header *h = (void *)c->in;

    *h = (struct fuse_in_header){
        .len = (uint32_t)(sizeof(*h) + args_length + more_length),
        .opcode = opcode,
        .unique = ++c->unique,
        .nodeid = node,
        .uid = c->uid,
        .gid = c->gid,
        .pid = 7,
    };
    cr_assert(h->len < CLIENT_BUFFER);
    if (args_length)
        memcpy(c->in + sizeof(*h), args, args_length);
    if (more_length)
        memcpy(c->in + sizeof(*h) + args_length, more, more_length);
    return client_send(c, h->len, CLIENT_BUFFER - 64);
}

int client_named(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t args_length,
                 const char *name)
{
    return client_ask(c, opcode, node, args, args_length, name, strlen(name) + 1);
}

int client_lookup(struct client *c, uint64_t parent, const char *name, struct fuse_entry_out *out)
{
    int rc = client_named(c, FUSE_LOOKUP, parent, NULL, 0, name);
    if (rc == 0)
        memcpy(out, c->body, sizeof(*out));
    return rc;
}

int client_open_node(struct client *c, uint64_t node, uint32_t flags, uint64_t *handle)
{
    struct fuse_open_in in = {.flags = flags};
    int rc = client_ask(c, flags & O_DIRECTORY ? FUSE_OPENDIR : FUSE_OPEN, node, &in, sizeof(in), NULL, 0);
    if (rc == 0)
        *handle = ((struct fuse_open_out *)c->body)->fh;
    return rc;
}

int client_read(struct client *c, uint64_t node, uint64_t handle, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};
    return client_ask(c, FUSE_READ, node, &in, sizeof(in), NULL, 0);
}

int client_write(struct client *c, uint64_t node, uint64_t handle, uint64_t offset, const char *text,
                 uint32_t flags)
{
    struct fuse_write_in in = {
        .fh = handle, .offset = offset, .size = (uint32_t)strlen(text), .flags = flags};
    return client_ask(c, FUSE_WRITE, node, &in, sizeof(in), text, strlen(text));
}

const char *client_host(struct client *c, const char *path)
{
    static char text[256];
    int fd = openat(c->outside, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return n < 0 ? NULL : text;
}
