/*
 * libFuzzer target for the FUSE server: the input is a sequence of requests of an evil client, over a small tree that is
 * made anew when it has grown. Beyond "does not crash": every reply is well-formed and fits, nothing outside of the tree
 * changes or is told, and descriptors do not leak.
 *
 * A request: 1 byte operation, 1 byte which of the node ids that were given so far, 1 byte which handle, 1 byte length of
 * the rest, the rest: the operation's struct (its first 8 bytes, a handle in most, are replaced by that handle if the
 * operation's top bit is not set) and names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/fuse/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDS = 16, ROOM = 32 << 10, MAX_REQUESTS = 200, RUNS_A_TREE = 500 };

static struct fuse_server *server;
static char tree[] = "/tmp/hull-fuzz-fuse-XXXXXX";
static uint64_t nodes[IDS], handles[IDS];
static unsigned n_nodes, n_handles;
static const char secret[] = "the secret of the world outside";

static void check(int condition)
{
    if (!condition)
        abort();
}

static void make_tree(void)
{
    struct error err;
    char path[128];

    snprintf(path, sizeof(path), "%s/export", tree);
    check(file_remove_tree(AT_FDCWD, path, &err) == 0);
    check(mkdir(path, 0755) == 0);
    int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = openat(at, "f", O_CREAT | O_WRONLY, 0644);
    check(at >= 0 && write(fd, "content", 7) == 7 && mkdirat(at, "d", 0755) == 0);
    check(symlinkat("../secret", at, "l") == 0 && mkfifoat(at, "p", 0666) == 0);
    close(fd);
    struct fuse_export e = {
        .root = at,
        .proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .shared_locks = true,
        .max_descriptors = 64,
    };
    fuse_server_destroy(server);
    server = fuse_server_create(&e, &err);
    check(server && fuse_thread_confine(server, &err) == 0);
    close(at);
    close(e.proc);
}

static void remove_tree(void)
{
    struct error err;
    (void)file_remove_tree(AT_FDCWD, tree, &err);
}

static void start(void)
{
    char path[128];
    struct rlimit small = {1 << 20, 1 << 20};

    check(mkdtemp(tree) != NULL);
    snprintf(path, sizeof(path), "%s/secret", tree);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, secret, sizeof(secret)) == sizeof(secret));
    close(fd);
    atexit(remove_tree);
    signal(SIGXFSZ, SIG_IGN); /* files of the fuzzer's do not fill the disk */
    check(setrlimit(RLIMIT_FSIZE, &small) == 0);
}

static void check_outside(void)
{
    char path[128], text[sizeof(secret)];
    struct stat st;
    int entries = 0;

    snprintf(path, sizeof(path), "%s/secret", tree);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600);
    check(read(fd, text, sizeof(text)) == sizeof(text) && memcmp(text, secret, sizeof(text)) == 0);
    close(fd);
    DIR *d = opendir(tree);
    while (d && readdir(d))
        entries++;
    check(entries == 4); /* . .. secret export */
    closedir(d);
}

/* By hand, and unseen by the fuzzer: it would learn the secret from memmem's arguments and write it into a file itself. */
__attribute__((no_sanitize("coverage"))) static bool tells_secret(const unsigned char *reply, size_t length)
{
    enum { PART = 12 };
    for (size_t at = 0; at + PART <= length; at++) {
        size_t same = 0;
        while (same < PART && reply[at + same] == (unsigned char)secret[same])
            same++;
        if (same == PART)
            return true;
    }
    return false;
}

static void learn(uint32_t opcode, const unsigned char *body, size_t length)
{
    static const uint8_t entries[] = {FUSE_LOOKUP, FUSE_MKNOD,  FUSE_MKDIR,  FUSE_SYMLINK,
                                      FUSE_LINK,   FUSE_CREATE, FUSE_TMPFILE};
    size_t handle_at = opcode == FUSE_CREATE || opcode == FUSE_TMPFILE ? sizeof(struct fuse_entry_out) : 0;
    bool opens = handle_at || opcode == FUSE_OPEN || opcode == FUSE_OPENDIR;

    for (size_t i = 0; i < sizeof(entries); i++)
        if (entries[i] == opcode && length >= sizeof(struct fuse_entry_out))
            memcpy(&nodes[n_nodes++ % IDS], body, sizeof(uint64_t));
    if (opens && length >= handle_at + sizeof(struct fuse_open_out))
        memcpy(&handles[n_handles++ % IDS], body + handle_at, sizeof(uint64_t));
}

static void ask(uint32_t opcode, uint64_t node, const unsigned char *rest, size_t length)
{
    static _Alignas(8) unsigned char in[ROOM], out[ROOM];
    struct fuse_in_header h = {
        .len = (uint32_t)(sizeof(h) + length),
        .opcode = opcode,
        .unique = length,
        .nodeid = node,
        .uid = geteuid(),
        .gid = getegid(),
    };
    /* Exactly as long as they say, so that ASan sees what is beyond. */
    memcpy(in, &h, sizeof(h));
    memcpy(in + sizeof(h), rest, length);
    unsigned char *exact = malloc(h.len);
    check(exact != NULL);
    memcpy(exact, in, h.len);
    size_t split = length % (h.len + 1), room = length & 1 ? ROOM : 16 + length;
    struct iovec v[2] = {{exact, split}, {exact + split, h.len - split}},
                 o[2] = {{out, 7}, {out + 7, room - 7}};
    ssize_t n = fuse_server_handle(server, v, 2, o, 2, h.len, room);
    check(n == FUSE_SERVER_LATER || n == 0 ||
          (n >= (ssize_t)sizeof(struct fuse_out_header) && (size_t)n <= room));
    if (n > 0) {
        struct fuse_out_header reply;
        memcpy(&reply, out, sizeof(reply));
        check(reply.len == (uint32_t)n && reply.unique == h.unique && reply.error <= 0 &&
              reply.error > -4096);
        check(!tells_secret(out, (size_t)n));
        learn(opcode, out + sizeof(reply), (size_t)n - sizeof(reply));
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fuse_init_in init = {
        .major = 7, .minor = 38, .flags = FUSE_SETXATTR_EXT | FUSE_POSIX_LOCKS};
    static unsigned runs;
    unsigned char rest[256];

    if (!server)
        start();
    if (runs++ % RUNS_A_TREE == 0)
        make_tree();
    memset(handles, 0, sizeof(handles));
    n_nodes = n_handles = 0;
    for (int i = 0; i < IDS; i++)
        nodes[i] = FUSE_ROOT_ID;
    ask(FUSE_INIT, 0, (const void *)&init, sizeof(init));
    for (int i = 0; i < MAX_REQUESTS && size >= 4; i++) {
        uint8_t opcode = data[0] & 0x3f, node = data[1], handle = data[2], length = data[3];
        bool raw = data[0] & 0x80;
        data += 4;
        size -= 4;
        if (length > size)
            length = (uint8_t)size;
        memcpy(rest, data, length);
        data += length;
        size -= length;
        if (!raw && length >= 8)
            memcpy(rest, &handles[handle % IDS], 8);
        if (opcode != FUSE_SYNCFS && opcode != FUSE_FSYNC &&
            opcode != FUSE_FSYNCDIR) /* the host's disk is slow */
            ask(opcode, node & 0x80 ? node : nodes[node % IDS], rest, length);
    }
    check_outside();
    fuse_server_reset(server);
    check(server->descriptors == 1 && server->nodes.n == 1); /* the root */
    return 0;
}
