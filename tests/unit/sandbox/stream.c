/* The ring between a device and a thread: nobody sleeps through what the other has done. */
#include "sandbox/virtio/stream.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

enum { SIZE = 64, TOTAL = 3 << 20, WAIT_MS = 5000 };

static int fds[2], notify;
static struct stream s;

static void open_stream(void)
{
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    notify = eventfd(0, EFD_CLOEXEC);
}

TestSuite(sandbox_stream, .init = open_stream, .timeout = 60);

static void start(enum stream_direction direction, int fd)
{
    struct error err = {0};
    cr_assert_eq(stream_init(&s, direction, fd, SIZE, notify, &err), 0, "%s", err.message);
    cr_assert_eq(stream_start(&s, NULL, &err), 0, "%s", err.message);
}

static void *write_all(void *fd)
{
    static const char block[4096];
    for (size_t done = 0; done < TOTAL; done += sizeof(block))
        if (write(*(int *)fd, block, sizeof(block)) != sizeof(block))
            return NULL;
    close(*(int *)fd);
    return NULL;
}

/* The ring is full most of the time. */
Test(sandbox_stream, input_goes_on_whenever_there_is_room)
{
    char piece[SIZE];
    pthread_t writer;
    size_t got = 0;
    start(STREAM_INPUT, fds[0]);
    cr_assert_eq(pthread_create(&writer, NULL, write_all, &fds[1]), 0);
    stream_begin(&s);
    while (!stream_ended(&s) || stream_available(&s) > 0) {
        eventfd_t n;
        uint32_t length = stream_take(&s, &(struct iovec){piece, sizeof(piece)}, 1, 0, 1 + got % 47);
        got += length;
        if (length > 0 || stream_ended(&s))
            continue;
        cr_assert_eq(poll(&(struct pollfd){.fd = notify, .events = POLLIN}, 1, WAIT_MS), 1,
                     "it sleeps after %zu", got);
        cr_assert_eq(eventfd_read(notify, &n), 0);
    }
    cr_expect_eq(got, TOTAL);
    pthread_join(writer, NULL);
    stream_destroy(&s);
}

Test(sandbox_stream, output_goes_on_whenever_there_is_something)
{
    char piece[SIZE] = "";
    size_t put = 0, got = 0;
    start(STREAM_OUTPUT, fds[1]);
    while (got < TOTAL) {
        if (put < TOTAL)
            put += stream_put(&s, &(struct iovec){piece, sizeof(piece)}, 1, 0,
                              (uint32_t)(put % 47 < TOTAL - put ? 1 + put % 47 : TOTAL - put));
        if (put == got) /* there was no room yet */
            continue;
        cr_assert_eq(poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, WAIT_MS), 1,
                     "it sleeps after %zu", got);
        ssize_t n = read(fds[0], piece, sizeof(piece));
        cr_assert_gt(n, 0);
        got += (size_t)n;
    }
    stream_finish(&s);
    cr_expect_eq(read(fds[0], piece, 1), 0, "closed");
    stream_destroy(&s);
}

/* Also one that has been told nothing yet, or sleeps in poll(2). */
Test(sandbox_stream, input_that_nobody_wants_any_more_is_closed)
{
    start(STREAM_INPUT, fds[0]);
    stream_begin(&s);
    cr_expect_eq(poll(NULL, 0, 20), 0);
    stream_finish(&s);
    struct pollfd p = {.fd = fds[1], .events = 0};
    cr_expect_eq(poll(&p, 1, WAIT_MS), 1);
    cr_expect(p.revents & POLLERR);
    stream_destroy(&s);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    start(STREAM_INPUT, fds[0]);
    stream_destroy(&s);
    p.fd = fds[1];
    cr_expect_eq(poll(&p, 1, 0), 1);
}
