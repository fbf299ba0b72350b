/*
 * The creation protocol's wire: fixed head, text only for errors (see sync.h for who says what).
 * Both ends are the same binary, but after the container's code could have influenced init the packet is
 * still checked: length at least the head, type in range, text terminated here.
 */
#include "base/sync.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/signals.h"
#include "base/socket.h"

enum { HEAD = offsetof(struct sync_message, text) };

int sync_pair(int pair[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, errno, "socketpair");
    return 0;
}

int sync_send(int sock, enum sync_type type, int value, struct error *err)
{
    struct sync_message m = {.type = type, .value = value};

    if (write(sock, &m, HEAD) != HEAD)
        return error_set(err, errno, "tell the other half of hull");
    return 0;
}

int sync_send_fd(int sock, enum sync_type type, int fd, struct error *err)
{
    struct sync_message m = {.type = type};

    if (socket_send_fds(sock, &m, HEAD, &fd, 1) < 0)
        return error_set(err, errno, "pass a descriptor to the other half of hull");
    return 0;
}

int sync_send_error(int sock, const struct error *e)
{
    struct sync_message m = {.type = SYNC_ERROR, .code = e->code, .exit_code = e->exit_code};
    size_t length = strlen(e->message);

    memcpy(m.text, e->message, length + 1);
    return write(sock, &m, HEAD + length + 1) < 0 ? -1 : 0;
}

int sync_wait_continue(int sock, struct error *err)
{
    struct sync_message m;
    ssize_t n;

    do {
        n = read(sock, &m, sizeof(m));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set(err, errno, "wait for hull");
    if (n < HEAD || m.type != SYNC_CONTINUE)
        return error_set(err, 0, "hull went away");
    return 0;
}

int sync_check_signals(int signal_fd, struct error *err)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    switch (info.ssi_signo) {
    case SIGINT:
    case SIGTERM:
    case SIGHUP:
    case SIGQUIT:
        error_set(err, 0, "interrupted by %s", signal_name((int)info.ssi_signo));
        if (err)
            err->exit_code = 128 + (int)info.ssi_signo;
        return -1;
    default:
        return 0;
    }
}

static int wait_readable(int sock, int signal_fd, struct error *err)
{
    struct pollfd fds[] = {{.fd = sock, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return error_set(err, errno, "poll");
        if (fds[0].revents)
            return 0;
        if (fds[1].revents && sync_check_signals(signal_fd, err) < 0)
            return -1;
    }
}

int sync_receive(int sock, int signal_fd, struct sync_message *m, int *fd, struct error *err)
{
    int received = -1;
    size_t nfds = 1;
    ssize_t n;

    *fd = -1;
    if (wait_readable(sock, signal_fd, err) < 0)
        return -1;
    do {
        nfds = 1;
        n = socket_recv_fds(sock, m, sizeof(*m), &received, &nfds);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != ECONNRESET)
        return error_set(err, errno, "hear from the container's init");
    if (n <= 0)
        return 0;
    if (nfds == 1)
        *fd = received;
    if (n < HEAD || m->type < SYNC_CONTINUE || m->type > SYNC_ERROR)
        return error_set(err, 0, "the container's init sent a broken message");
    if (m->type == SYNC_ERROR) {
        ((char *)m)[n < (ssize_t)sizeof(*m) ? n : (ssize_t)sizeof(*m) - 1] = '\0';
        if (err) {
            *err = (struct error){.code = m->code, .exit_code = m->exit_code};
            memcpy(err->message, m->text, sizeof(err->message));
            err->message[sizeof(err->message) - 1] = '\0';
        }
        return -1;
    }
    return (int)m->type;
}
