/* The serial port's registers, as a driver tries them. */
#include "sandbox/vmm/serial.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct serial s;
static int out;
static struct error err;

static void begin(void)
{
    out = memfd_create("out", MFD_CLOEXEC);
    cr_assert(out >= 0 && serial_init(&s, out, &err) == 0);
}

static void put(uint64_t reg, uint8_t value)
{
    serial_access(&s, reg, &value, 1, true);
}

static uint8_t get(uint64_t reg)
{
    uint8_t value = 0xaa;
    serial_access(&s, reg, &value, 1, false);
    return value;
}

static uint64_t edges(void)
{
    uint64_t n = 0;
    return read(s.interrupt, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static const char *output(void)
{
    static char text[1024];
    ssize_t n = pread(out, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

TestSuite(sandbox_serial, .init = begin);

Test(sandbox_serial, lines_and_long_lines)
{
    put(0, 'a');
    cr_expect_str_eq(output(), "");
    put(0, '\n');
    cr_expect_str_eq(output(), "a\n");
    for (unsigned i = 0; i < SERIAL_LINE + 1; i++)
        put(0, 'b');
    cr_expect_eq(strlen(output()), 2 + SERIAL_LINE, "a line without end is not kept");
    serial_destroy(&s);
    cr_expect_eq(strlen(output()), 2 + SERIAL_LINE + 1);
    cr_expect_eq(edges(), 0);
}

Test(sandbox_serial, it_looks_like_a_16550a)
{
    put(7, 0x5a);
    cr_expect_eq(get(7), 0x5a, "scratch");
    put(2, 1);
    cr_expect_eq(get(2), 0xc1, "FIFOs, nothing pending");
    put(2, 0);
    cr_expect_eq(get(2), 1);
    put(1, 0xff);
    cr_expect_eq(get(1), 0xf);
    put(3, 0x83);
    put(0, 1);
    put(1, 2);
    cr_expect(get(0) == 1 && get(1) == 2, "the divisor");
    put(3, 3);
    cr_expect_eq(get(1), 0xf, "is not what is below it");
    cr_expect_str_eq(output(), "");
    cr_expect_eq(get(5), 0x60, "always ready");
    cr_expect_eq(get(6), 0xb0);
    put(4, 0x10 | 0xa);
    cr_expect_eq(get(6), 0x90, "loopback: RTS is CTS, OUT2 is DCD");
    put(0, 'x');
    cr_expect_eq(get(5), 0x61);
    cr_expect_eq(get(0), 'x');
    cr_expect_eq(get(5), 0x60);
    cr_expect_eq(s.n, 0, "what is looped back is not sent");
}

Test(sandbox_serial, the_transmitter_s_interrupt)
{
    put(0, 'x');
    cr_expect_eq(edges(), 0, "not enabled");
    put(1, 2);
    cr_expect_eq(edges(), 1, "it is empty");
    cr_expect_eq(get(2), 2);
    cr_expect_eq(get(2), 1, "reading has acknowledged it");
    put(0, 'y');
    cr_expect_eq(edges(), 1);
    cr_expect_eq(get(2), 2);
    put(1, 2);
    cr_expect_eq(edges(), 0, "it was enabled already");
    put(1, 0);
    put(1, 2);
    cr_expect_eq(edges(), 1);
    put(1, 0);
    cr_expect_eq(get(2), 1);
}

Test(sandbox_serial, wide_accesses_are_nobody_s)
{
    uint32_t wide = 0;
    serial_access(&s, 0, &wide, 4, true);
    cr_expect_eq(s.n, 0);
    serial_access(&s, 0, &wide, 4, false);
    cr_expect_eq(wide, UINT32_MAX);
}

Test(sandbox_serial, state)
{
    struct serial_state state;

    put(1, 2);
    put(7, 77);
    put(0, 'z');
    get(2); /* the driver has taken the interrupt, and waits for the next */
    serial_save(&s, &state);
    cr_expect_str_eq(output(), "z", "nothing stays behind");
    serial_destroy(&s);
    begin();
    cr_assert_eq(serial_load(&s, &state, &err), 0, "%s", err.message);
    cr_expect_eq(get(7), 77);
    cr_expect_eq(edges(), 1, "it cannot be stuck");
    state.version++;
    cr_expect_eq(serial_load(&s, &state, &err), -1);
    state.version--;
    state.length++;
    cr_expect_eq(serial_load(&s, &state, &err), -1);
}
