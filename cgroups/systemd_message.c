/* Framing, and D-Bus signatures, for hull and its helper alike: see systemd_private.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "cgroups/systemd_private.h"

static int send_all(int sock, const void *data, size_t length)
{
    const char *p = data;

    while (length > 0) {
        ssize_t n = send(sock, p, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

int systemd_send(int sock, const char *text, size_t length)
{
    uint32_t size = (uint32_t)length;

    if (length > SYSTEMD_MESSAGE_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    return send_all(sock, &size, sizeof(size)) < 0 ? -1 : send_all(sock, text, length);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1, 0 at the end, -1 with errno. */
static int receive_all(int sock, void *data, size_t length, int64_t deadline)
{
    char *p = data;

    while (length > 0) {
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();
        int ready = poll(&(struct pollfd){.fd = sock, .events = POLLIN}, 1,
                         deadline < 0 ? -1 : (int)(left < 0 ? 0 : left));
        ssize_t n;

        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready <= 0 && errno != EINTR)
            return -1;
        if (ready < 0)
            continue;
        n = recv(sock, p, length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ECONNRESET)
            return -1;
        if (n <= 0)
            return 0;
        p += n;
        length -= (size_t)n;
    }
    return 1;
}

int systemd_receive(int sock, struct arena *a, int timeout_ms, char **text, size_t *length)
{
    int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    uint32_t size;
    int r = receive_all(sock, &size, sizeof(size), deadline);

    if (r <= 0)
        return r;
    if (size > SYSTEMD_MESSAGE_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    *text = arena_alloc(a, (size_t)size + 1);
    *length = size;
    return receive_all(sock, *text, size, deadline);
}

static size_t first_type(const char *s, unsigned depth)
{
    size_t n = 1, inner;

    if (*s == '\0' || depth > 8)
        return 0;
    if (strchr("bynqiuxtdsog", *s))
        return 1;
    if (*s == 'a') {
        inner = first_type(s + 1, depth + 1);
        return inner ? inner + 1 : 0;
    }
    if (*s != '(' || s[1] == ')')
        return 0;
    while (s[n] != ')') {
        inner = first_type(s + n, depth + 1);
        if (inner == 0)
            return 0;
        n += inner;
    }
    return n + 1;
}

size_t signature_first(const char *s)
{
    return first_type(s, 0);
}

bool signature_range(char type, int64_t *min, uint64_t *max)
{
    static const struct {
        char type;
        int64_t min;
        uint64_t max;
    } ranges[] = {
        {'y', 0, UINT8_MAX},  {'n', INT16_MIN, INT16_MAX}, {'q', 0, UINT16_MAX}, {'i', INT32_MIN, INT32_MAX},
        {'u', 0, UINT32_MAX}, {'x', INT64_MIN, INT64_MAX}, {'t', 0, UINT64_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        if (ranges[i].type != type)
            continue;
        *min = ranges[i].min;
        *max = ranges[i].max;
        return true;
    }
    return false;
}
