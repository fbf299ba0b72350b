/*
 * Unix sockets. A received message is taken whole or not at all: where descriptors or bytes were cut off, all
 * that came are closed, so that a hostile peer can neither leak descriptors into us nor have half a message
 * believed.
 */
#include "base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

union control {
    char space[CMSG_SPACE(SOCKET_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

int socket_send_fds(int sock, const void *data, size_t length, const int *fds, size_t nfds)
{
    if (length == 0 || nfds > SOCKET_MAX_FDS) {
        errno = EINVAL;
        return -1;
    }
    union control control = {0};
    struct iovec iov = {.iov_base = (void *)data, .iov_len = length};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(nfds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(header), fds, nfds * sizeof(int));
    }
    while (iov.iov_len) {
        ssize_t n = sendmsg(sock, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        /* A stream may take less than all; the descriptors went with the first byte. */
        message.msg_control = NULL;
        message.msg_controllen = 0;
        iov.iov_base = (char *)iov.iov_base + n;
        iov.iov_len -= (size_t)n;
    }
    return 0;
}

ssize_t socket_recv_fds(int sock, void *data, size_t length, int *fds, size_t *nfds)
{
    union control control = {0};
    struct iovec iov = {.iov_base = data, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n;
    do
        n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;

    int got[SOCKET_MAX_FDS];
    size_t count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t more = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(got + count, CMSG_DATA(h),
               more * sizeof(int)); /* the kernel filled at most the space it had */
        count += more;
    }
    if (count > *nfds || message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
        while (count)
            close(got[--count]);
        errno = EMSGSIZE;
        return -1;
    }
    if (count)
        memcpy(fds, got, count * sizeof(int));
    *nfds = count;
    return n;
}

int socket_connect(const char *path, int *fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_(fd_closep) int target = -1;

    if (strlen(path) < sizeof(address.sun_path)) {
        strcpy(address.sun_path, path);
    } else {
        target = open(path, O_PATH | O_CLOEXEC);
        if (target < 0)
            return error_set(err, errno, "open socket %s", path);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", target);
    }
    _cleanup_(fd_closep) int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return error_set(err, errno, "make a Unix socket");
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)))
        return error_set(err, errno, "connect to %s", path);
    *fd = steal_fd(&sock);
    return 0;
}
