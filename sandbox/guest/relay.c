/* A stream's copy loop, one step at a time; see relay.h. */
#include "sandbox/guest/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { END_KEY = 4 }; /* ^D, every terminal's default */

/* #syscalls: fcntl */
static int make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int relay_begin(struct relay *r, int from, int to, enum relay_end end_kind, struct error *err)
{
    *r = (struct relay){.from = from, .to = to, .end_kind = end_kind};
    if (make_nonblocking(from) < 0 || make_nonblocking(to) < 0)
        return error_set(err, errno, "make a stream non-blocking");
    return 0;
}

void relay_poll(const struct relay *r, struct pollfd fds[2])
{
    bool full = r->end == sizeof(r->data), empty = r->start == r->end;

    fds[0] = (struct pollfd){.fd = full ? -1 : r->from, .events = POLLIN};
    /* also without events: a sink that is gone is reported */
    fds[1] = (struct pollfd){.fd = r->to, .events = empty ? 0 : POLLOUT};
}

static bool again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* True when something moved. #syscalls: read close */
static bool take(struct relay *r)
{
    ssize_t n;

    if (r->from < 0 || r->end == sizeof(r->data))
        return false;
    n = read(r->from, r->data + r->end, sizeof(r->data) - r->end);
    if (n > 0)
        r->end += (size_t)n;
    else if (n == 0 || !again() || (errno == EAGAIN && r->last)) /* a terminal ends with EIO */
        fd_closep(&r->from);
    return n > 0;
}

static void abandon(struct relay *r)
{
    fd_closep(&r->from);
    fd_closep(&r->to);
    r->start = r->end = 0;
}

/* #syscalls: write close */
static bool give(struct relay *r)
{
    ssize_t n;

    if (r->to < 0 || r->start == r->end)
        return false;
    n = write(r->to, r->data + r->start, r->end - r->start);
    if (n < 0 && !again())
        abandon(r);
    if (n > 0)
        r->start += (size_t)n;
    if (r->start == r->end)
        r->start = r->end = 0;
    return n > 0;
}

/* The source has ended and the buffer is empty. */
static void pass_end(struct relay *r)
{
    if (r->end_kind == RELAY_END_KEY) {
        r->end_kind = RELAY_CLOSE;
        r->data[r->end++] = END_KEY;
        give(r);
    }
    if (r->start == r->end)
        fd_closep(&r->to);
}

void relay_step(struct relay *r, const struct pollfd fds[2])
{
    bool moved;

    if (r->to >= 0 && fds[1].revents & (POLLERR | POLLHUP | POLLNVAL))
        abandon(r);
    do {
        moved = (fds[0].revents || r->last) && take(r);
        moved |= give(r);
    } while (r->last && moved);
    if (r->from < 0 && r->to >= 0 && r->start == r->end)
        pass_end(r);
}
