/* virtio-fs: FUSE requests through real rings, from the transport to a file of the host's. */
#include "sandbox/virtio/fs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/sandbox/driver.h"

enum { HIPRIO, REQUESTS, IN = DRIVER_DATA, OUT = DRIVER_DATA + 0x10000, DATA = DRIVER_DATA + 0x20000 };

static struct driver d;
static struct virtio_fs fs;
static char tree[64] = "/tmp/hull-virtiofs-XXXXXX";
static uint64_t unique;

static void open_fs(void)
{
    struct error err = {0};
    struct fuse_export e = {.shared_locks = true, .proc = open("/proc", O_PATH | O_CLOEXEC)};
    cr_assert(mkdtemp(tree));
    e.root = open(tree, O_PATH | O_CLOEXEC);
    int file = openat(e.root, "file", O_CREAT | O_WRONLY, 0644);
    cr_assert(file >= 0 && write(file, "content", 7) == 7);
    close(file);
    cr_assert_eq(fs_init(&fs, &e, "hull", &err), 0, "%s", err.message);
    close(e.root);
    close(e.proc);
    driver_open(&d, &fs.device);
    cr_assert_eq(fs_serve_in(&fs, &d.loop, &d.mmio, &err), 0, "%s", err.message);
    cr_assert_eq(fs_confine_thread(&fs, &err), 0, "%s", err.message);
}

static void close_fs(void)
{
    struct error err;
    driver_close(&d);
    fs_destroy(&fs);
    cr_expect_eq(file_remove_tree(AT_FDCWD, tree, &err), 0, "%s", err.message);
}

TestSuite(sandbox_virtio_fs, .init = open_fs, .fini = close_fs);

/* The request's header and @args in one buffer, @more in a second, a reply of up to @room in two. */
static void offer(unsigned queue, uint32_t opcode, uint64_t node, const void *args, size_t length,
                  const char *more, uint32_t more_length, uint32_t room)
{
    struct fuse_in_header h = {
        .len = (uint32_t)(sizeof(h) + length) + more_length,
        .opcode = opcode,
        .unique = ++unique,
        .nodeid = node,
    };
    memcpy(driver_at(&d, IN), &h, sizeof(h));
    if (length)
        memcpy((char *)driver_at(&d, IN) + sizeof(h), args, length);
    if (more_length)
        memcpy(driver_at(&d, DATA), more, more_length);
    struct driver_buffer b[4];
    size_t n = 0;
    b[n++] = (struct driver_buffer){IN, (uint32_t)(sizeof(h) + length), false};
    if (more_length)
        b[n++] = (struct driver_buffer){DATA, more_length, false};
    if (room)
        b[n++] = (struct driver_buffer){OUT, 16, true};
    if (room > 16)
        b[n++] = (struct driver_buffer){OUT + 16, room - 16, true};
    driver_offer(&d.queues[queue], b, n);
    driver_kick(&d, queue);
    driver_run(&d, 0);
}

/* The reply's error; 1: none yet, or one without bytes. */
static int answered(unsigned queue)
{
    struct vring_used_elem e;
    const struct fuse_out_header *h = driver_at(&d, OUT);
    if (!driver_used(&d.queues[queue], &e) || e.len == 0)
        return 1;
    cr_assert(h->len == e.len && h->unique == unique, "%u %u %lu %lu", h->len, e.len, h->unique, unique);
    return h->error;
}

static void *body(void)
{
    return (char *)driver_at(&d, OUT) + sizeof(struct fuse_out_header);
}

static void start(void)
{
    struct fuse_init_in init = {.major = 7, .minor = 38, .flags = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS};
    driver_start(&d, DRIVER_FEATURES, 64);
    offer(REQUESTS, FUSE_INIT, 0, &init, sizeof(init), NULL, 0, 4096);
    cr_assert_eq(answered(REQUESTS), 0);
}

static uint64_t lookup(void)
{
    offer(REQUESTS, FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "file", 5, 4096);
    cr_assert_eq(answered(REQUESTS), 0);
    return ((struct fuse_entry_out *)body())->nodeid;
}

static uint64_t open_node(uint64_t node)
{
    struct fuse_open_in in = {.flags = O_RDWR};
    offer(REQUESTS, FUSE_OPEN, node, &in, sizeof(in), NULL, 0, 4096);
    cr_assert_eq(answered(REQUESTS), 0);
    return ((struct fuse_open_out *)body())->fh;
}

Test(sandbox_virtio_fs, says_what_it_is)
{
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_DEVICE_ID), 26);
    uint32_t first = driver_read(&d, VIRTIO_MMIO_CONFIG),
             queues = driver_read(&d, VIRTIO_MMIO_CONFIG + FS_TAG_SIZE);
    cr_expect(memcmp(&first, "hull", 4) == 0 && queues == 1);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_CONFIG + 4), 0, "padded with NULs");
    struct virtio_fs other;
    struct error err;
    cr_expect_eq(fs_init(&other, &(struct fuse_export){0}, "a tag of thirty-seven characters, no?", &err),
                 -1);
}

Test(sandbox_virtio_fs, a_file_is_read_and_written_through_the_rings)
{
    start();
    uint64_t node = lookup(), fh = open_node(node);
    struct fuse_read_in r = {.fh = fh, .size = 4096};
    offer(REQUESTS, FUSE_READ, node, &r, sizeof(r), NULL, 0, 16 + 4096);
    cr_expect(answered(REQUESTS) == 0 && memcmp(body(), "content", 7) == 0);
    struct fuse_write_in w = {.fh = fh, .offset = 7, .size = 5};
    offer(REQUESTS, FUSE_WRITE, node, &w, sizeof(w), " more", 5, 4096);
    cr_expect_eq(answered(REQUESTS), 0);
    offer(REQUESTS, FUSE_READ, node, &r, sizeof(r), NULL, 0, 16 + 4096);
    cr_expect(answered(REQUESTS) == 0 && memcmp(body(), "content more", 12) == 0);
    cr_expect_gt(driver_interrupts(&d), 0);
}

Test(sandbox_virtio_fs, forget_comes_by_the_other_queue_and_has_no_reply)
{
    start();
    uint64_t node = lookup();
    struct fuse_forget_in forget = {1};
    struct vring_used_elem e;
    offer(HIPRIO, FUSE_FORGET, node, &forget, sizeof(forget), NULL, 0, 0);
    cr_expect(driver_used(&d.queues[HIPRIO], &e) && e.len == 0);
    struct fuse_getattr_in get = {0};
    offer(REQUESTS, FUSE_GETATTR, node, &get, sizeof(get), NULL, 0, 4096);
    cr_expect_eq(answered(REQUESTS), -ESTALE);
}

Test(sandbox_virtio_fs, a_lock_that_is_waited_for_holds_up_nobody)
{
    start();
    uint64_t node = lookup(), fh = open_node(node);
    char path[100];
    snprintf(path, sizeof(path), "%s/file", tree);
    int host = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(host >= 0 && flock(host, LOCK_EX) == 0);
    struct fuse_lk_in lock = {.fh = fh, .lk = {.type = F_WRLCK, .end = INT64_MAX}, .lk_flags = FUSE_LK_FLOCK};
    offer(REQUESTS, FUSE_SETLKW, node, &lock, sizeof(lock), NULL, 0, 16);
    cr_expect_eq(answered(REQUESTS), 1, "waits");
    cr_expect_eq(fs.n_waiting, 1);
    flock(host, LOCK_UN);
    driver_run(&d, 4 * FUSE_SERVER_RETRY_MS);
    cr_expect_eq(answered(REQUESTS), 0, "asked again by the timer");
    cr_expect_eq(fs.n_waiting, 0);
    close(host);
}

Test(sandbox_virtio_fs, a_reset_ends_what_waits_and_what_was_known)
{
    start();
    uint64_t node = lookup(), fh = open_node(node);
    char path[100];
    snprintf(path, sizeof(path), "%s/file", tree);
    int host = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(host >= 0 && flock(host, LOCK_EX) == 0);
    struct fuse_lk_in lock = {.fh = fh, .lk = {.type = F_WRLCK, .end = INT64_MAX}, .lk_flags = FUSE_LK_FLOCK};
    offer(REQUESTS, FUSE_SETLKW, node, &lock, sizeof(lock), NULL, 0, 16);
    cr_assert_eq(fs.n_waiting, 1);
    driver_start(&d, DRIVER_FEATURES, 64);
    cr_expect_eq(fs.n_waiting, 0);
    flock(host, LOCK_UN);
    driver_run(&d, 2 * FUSE_SERVER_RETRY_MS);
    cr_expect_eq(answered(REQUESTS), 1, "nothing comes into a new ring from an old one");
    offer(REQUESTS, FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "file", 5, 4096);
    cr_expect_eq(answered(REQUESTS), -EIO, "no FUSE_INIT since");
    start();
    struct fuse_getattr_in get = {0};
    offer(REQUESTS, FUSE_GETATTR, node, &get, sizeof(get), NULL, 0, 4096);
    cr_expect_eq(answered(REQUESTS), -ESTALE);
    close(host);
}

Test(sandbox_virtio_fs, chains_that_are_no_requests)
{
    struct vring_used_elem e;
    start();
    struct driver_buffer in_only = {OUT, 64, true}, out_only = {IN, 64, false}, tiny = {IN, 3, false};
    const struct driver_buffer *const all[] = {&in_only, &out_only, &tiny};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        driver_offer(&d.queues[REQUESTS], all[i], 1);
        driver_kick(&d, REQUESTS);
        driver_run(&d, 0);
        cr_expect(driver_used(&d.queues[REQUESTS], &e) && e.len == 0, "%zu", i);
    }
    (void)lookup(); /* the device still works */
}
