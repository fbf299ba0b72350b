/* virtio-console: what a guest says comes out, whoever reads or does not. */
#include "sandbox/virtio/console.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

#include "tests/unit/sandbox/driver.h"

enum { RX, TX, BLOCK = 16 << 10 };

static struct driver d;
static struct console c;
static int out[2];

static void open_console(void)
{
    struct error err = {0};
    cr_assert_eq(pipe(out), 0);
    cr_assert_eq(console_init(&c, out[1], &err), 0, "%s", err.message);
    driver_open(&d, &c.device);
    cr_assert_eq(console_serve_in(&c, &d.loop, &d.mmio, &err), 0, "%s", err.message);
    cr_assert_eq(console_start(&c, NULL, &err), 0, "%s", err.message);
    driver_start(&d, DRIVER_FEATURES, 16);
}

static void close_console(void)
{
    console_destroy(&c);
    driver_close(&d);
    close(out[0]);
}

TestSuite(sandbox_console, .init = open_console, .fini = close_console, .timeout = 20);

/* In two buffers; the guest has them back at once. */
static void say(const char *text, size_t length)
{
    struct vring_used_elem e;
    uint32_t half = (uint32_t)length / 2;
    struct driver_buffer b[] = {{DRIVER_DATA, half, false},
                                {DRIVER_DATA + half, (uint32_t)length - half, false}};
    memcpy(driver_at(&d, DRIVER_DATA), text, length);
    driver_offer(&d.queues[TX], b, 2);
    driver_kick(&d, TX);
    driver_run(&d, 0);
    cr_assert(driver_used(&d.queues[TX], &e));
    cr_assert_eq(e.len, 0);
}

Test(sandbox_console, what_is_said_comes_out)
{
    char text[32] = "";
    say("Linux version", 13);
    cr_assert_eq(poll(&(struct pollfd){.fd = out[0], .events = POLLIN}, 1, 2000), 1);
    cr_expect_eq(read(out[0], text, sizeof(text)), 13);
    cr_expect_str_eq(text, "Linux version");
    cr_expect_eq(driver_read(&d, 0x100), 0, "no size of a window");
}

/* Kata 7903: a console that nobody reads. */
/* How many bytes the notices in the output say were lost. */
static uint64_t told(const char *text, size_t length)
{
    static const char notice[] = "\n[hull-vmm: ";
    uint64_t sum = 0;

    for (const char *p = text, *end = text + length;
         (p = memmem(p, (size_t)(end - p), notice, strlen(notice)));) {
        p += strlen(notice);
        sum += strtoull(p, NULL, 10);
    }
    return sum;
}

Test(sandbox_console, a_slow_reader_loses_and_is_told)
{
    static char block[BLOCK], text[1 << 20];
    size_t got = 0, came = 0;
    memset(block, '~', sizeof(block)); /* no notice has that */
    for (int i = 0; i < 20; i++)
        say(block, sizeof(block));
    while (!console_drained(&c)) {
        ssize_t n = read(out[0], text + got, sizeof(text) - got);
        cr_assert_gt(n, 0);
        got += (size_t)n;
    }
    say("the end", 7);
    while (!memmem(text, got, "the end", 7)) {
        ssize_t n = read(out[0], text + got, sizeof(text) - got);
        cr_assert_gt(n, 0);
        got += (size_t)n;
    }
    for (size_t i = 0; i < got; i++)
        came += text[i] == '~';
    cr_expect_gt(told(text, got), 0);
    cr_expect_eq(came + told(text, got), 20 * BLOCK, "what is not lost is there");
}

Test(sandbox_console, nobody_reads_any_more)
{
    close(out[0]);
    for (int i = 0; i < 200; i++)
        say("Linux version", 13);
    cr_expect_eq(poll(NULL, 0, 50), 0);
    say("Linux version", 13);
    cr_expect(console_drained(&c));
    out[0] = -1;
}
