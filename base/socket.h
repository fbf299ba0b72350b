/* Unix sockets: pass descriptors, and connect below a path that may be longer than sun_path. */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum { SOCKET_MAX_FDS = 8 };

/** Send @length bytes (at least 1) and @nfds descriptors as one message. -1 with errno. */
int socket_send_fds(int sock, const void *data, size_t length, const int *fds, size_t nfds);

/** Receive one message; descriptors are close-on-exec. *nfds: capacity in, number received out.
 *  Returns bytes received (0: the peer is gone), -1 with errno. */
ssize_t socket_recv_fds(int sock, void *data, size_t length, int *fds, size_t *nfds);

/** Connect a stream socket to @path (any length: goes through /proc/self/fd). */
int socket_connect(const char *path, int *fd, struct error *err);
