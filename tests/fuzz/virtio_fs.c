/*
 * libFuzzer target for virtio-fs: chains of any shape, in which FUSE requests lie across buffers, into the device and the
 * server behind it. What requests can do to files is tests/fuzz/fuse.c's; this export is read only.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/virtio/fs.h"
#include "tests/fuzz/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 1, MOST = 200 };

static char tree[] = "/tmp/hull-fuzz-virtiofs-XXXXXX";

static void remove_tree(void)
{
    struct error err;
    (void)file_remove_tree(AT_FDCWD, tree, &err);
}

static void open_device(struct virtio_fs *fs)
{
    struct error err;

    fuzz_check(mkdtemp(tree) != NULL && atexit(remove_tree) == 0);
    struct fuse_export e = {
        .root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .read_only = true,
        .max_descriptors = 64,
    };
    int fd = openat(e.root, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    fuzz_check(fd >= 0 && write(fd, tree, sizeof(tree)) == sizeof(tree) && mkdirat(e.root, "d", 0755) == 0);
    close(fd);
    fuzz_check(fs_init(fs, &e, "fuzz", &err) == 0 && fs_confine_thread(fs, &err) == 0);
    close(e.root);
    close(e.proc);
}

/* A request into the guest's memory, where the program's descriptors may find it, or straight into the queue. */
static void put_request(struct fuzz_guest *g)
{
    unsigned char *at = memory_at(&g->memory, FUZZ_DATA, sizeof(struct fuse_in_header) + MOST);
    uint32_t length = fuzz_take(g, 1) % MOST;
    struct fuse_in_header h = {
        .len = (uint32_t)sizeof(h) + length,
        .opcode = fuzz_take(g, 1) % 64,
        .unique = 1,
        .nodeid = fuzz_take(g, 1),
    };

    memcpy(at, &h, sizeof(h));
    for (uint32_t i = 0; i < length; i++)
        at[sizeof(h) + i] = (unsigned char)fuzz_take(g, 1);
    if (h.nodeid & 0x80)
        fuzz_offer(g, REQUESTS, FUZZ_DATA, h.len, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_guest guest;
    static struct virtio_fs fs;

    if (!guest.memory.n) {
        open_device(&fs);
        fuzz_guest_open(&guest, &fs.device);
    }
    guest.mmio.complaints = 1000; /* none is written */
    fuzz_guest_run(&guest, data, size, put_request);
    return 0;
}
