/*
 * Registers without state: a write of the right value ends the machine, all others are nothing.
 *
 * Sleep control (ACPI 6.5, 4.8.3.7): bits 2 to 4 the sleep type, bit 5 "now". Keyboard controller: command 0xfe at port 0x64
 * pulses the processor's reset line. Its status reads 0 ("ready, nothing there") instead of an empty bus's 0xff, which
 * would have Linux wait for it to become ready; port 0x61 between them has its timer 2 done, for who waits for a PIT.
 */
#include "sandbox/vmm/power.h"

#include <string.h>

#include "sandbox/vmm/layout.h"

enum {
    KEYBOARD_PORTS = 5,
    PORT_B = 0x61 - LAYOUT_PORT_KEYBOARD,
    COMMAND = 0x64 - LAYOUT_PORT_KEYBOARD,
    COMMAND_RESET = 0xfe,
    PORT_B_TIMER_2 = 0x20,
};

static void keyboard(void *handler, uint64_t offset, void *data, uint32_t length, bool write)
{
    uint8_t *byte = data;

    if (write) {
        if (offset == COMMAND && byte[0] == COMMAND_RESET)
            machine_end(handler, MACHINE_RESET, "the guest asked for a reset");
        return;
    }
    memset(data, 0, length);
    if (offset == PORT_B)
        byte[0] = PORT_B_TIMER_2;
}

static void sleeping(void *handler, uint64_t offset, void *data, uint32_t length, bool write)
{
    enum { TYPE_SHIFT = 2, TYPE_MASK = 7, ENABLE = 1 << 5 };
    uint8_t *byte = data;

    if (!write) {
        memset(data, 0, length);
        return;
    }
    if (offset == POWER_SLEEP_CONTROL && byte[0] & ENABLE &&
        (byte[0] >> TYPE_SHIFT & TYPE_MASK) == POWER_SLEEP_OFF)
        machine_end(handler, MACHINE_POWER_OFF, "the guest powered off");
    else if (offset == POWER_RESET && byte[0] == POWER_RESET_VALUE)
        machine_end(handler, MACHINE_RESET, "the guest asked for a reset");
}

int power_attach(struct machine *m, struct error *err)
{
    const struct bus_range ranges[] = {{LAYOUT_PORT_KEYBOARD, KEYBOARD_PORTS, keyboard, m},
                                       {LAYOUT_PORT_SLEEP, POWER_PORTS, sleeping, m}};

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (bus_add(&m->ports, &ranges[i], err))
            return -1;
    return 0;
}
