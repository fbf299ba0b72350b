/*
 * The FUSE server of sandbox/fuse behind the host's own /dev/fuse, so that its semantics are tested by a real client
 * without any virtual machine: requests are read from the device, handed to the server and answered. Runs until the
 * mount point is unmounted. Needs root.
 *
 *     fuse-host [-r] [-l] [-w] [-m] [-c auto|always|never] DIRECTORY MOUNTPOINT
 *
 * -r read only, -l locks on the host, -w write-back cache, -m mounts below DIRECTORY too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "sandbox/fuse/server.h"

enum { BUFFER_SIZE = (1 << 20) + 4096, MAX_WAITING = 64, LONGEST_WAITING = 4096 };

static struct waiting {
    size_t length;
    unsigned char request[LONGEST_WAITING];
} waiting[MAX_WAITING];

static unsigned char request[BUFFER_SIZE], reply[BUFFER_SIZE];

/* False: it has to be asked again. */
static bool answer(struct fuse_server *s, int device, void *data, size_t length)
{
    struct iovec in = {data, length}, out = {reply, sizeof(reply)};
    ssize_t n = fuse_server_handle(s, &in, 1, &out, 1, length, sizeof(reply));

    if (n == FUSE_SERVER_LATER)
        return false;
    /* ENOENT: it was interrupted, and nobody wants the answer any more. */
    if (n > 0 && write(device, reply, (size_t)n) < 0 && errno != ENOENT)
        fprintf(stderr, "fuse-host: answer of %zd bytes: %s\n", n, strerror(errno));
    return true;
}

static void keep(const void *data, size_t length)
{
    for (int i = 0; i < MAX_WAITING && length <= LONGEST_WAITING; i++)
        if (waiting[i].length == 0) {
            memcpy(waiting[i].request, data, length);
            waiting[i].length = length;
            return;
        }
    fprintf(stderr, "fuse-host: a request that cannot wait\n");
    exit(1);
}

static int pump(struct fuse_server *s, int device)
{
    for (;;) {
        struct pollfd p = {.fd = device, .events = POLLIN};
        bool any = false;
        for (int i = 0; i < MAX_WAITING; i++) {
            if (waiting[i].length != 0 && answer(s, device, waiting[i].request, waiting[i].length))
                waiting[i].length = 0;
            any |= waiting[i].length != 0;
        }
        if (poll(&p, 1, any ? FUSE_SERVER_RETRY_MS : -1) <= 0)
            continue;
        ssize_t n = read(device, request, sizeof(request));
        if (n < 0 && errno == ENODEV)
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOENT)
            return -1;
        if (n > 0 && !answer(s, device, request, (size_t)n))
            keep(request, (size_t)n);
    }
}

static int parse(int argc, char **argv, struct fuse_export *e)
{
    for (int c; (c = getopt(argc, argv, "rlwmc:")) != -1;) {
        if (c == 'r')
            e->read_only = true;
        else if (c == 'l')
            e->shared_locks = true;
        else if (c == 'w')
            e->writeback = true;
        else if (c == 'm')
            e->cross_mounts = true;
        else if (c == 'c')
            e->cache = optarg[1] == 'l' ? FUSE_CACHE_ALWAYS
                       : *optarg == 'n' ? FUSE_CACHE_NEVER
                                        : FUSE_CACHE_AUTO;
        else
            return -1;
    }
    return optind + 2 == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct fuse_export e = {.cache = FUSE_CACHE_AUTO};
    struct error err;
    char options[128];

    if (parse(argc, argv, &e) < 0) {
        fprintf(stderr, "usage: fuse-host [-rlwm] [-c auto|always|never] DIRECTORY MOUNTPOINT\n");
        return 2;
    }
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    e.root = open(argv[optind], O_PATH | O_DIRECTORY | O_CLOEXEC);
    e.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (device < 0 || e.root < 0 || e.proc < 0) {
        perror("fuse-host");
        return 1;
    }
    snprintf(options, sizeof(options),
             "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
    struct fuse_server *s = fuse_server_create(&e, &err);
    if (s && mount("hull", argv[optind + 1], "fuse", 0, options) < 0) {
        perror("fuse-host: mount");
        return 1;
    }
    if (!s || fuse_thread_confine(s, &err) < 0) {
        fprintf(stderr, "fuse-host: %s\n", err.message);
        return 1;
    }
    int rc = pump(s, device);
    if (rc < 0)
        perror("fuse-host");
    fuse_server_destroy(s);
    return rc < 0;
}
