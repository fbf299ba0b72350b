/*
 * How a guest ends itself: ACPI's sleep control (power-off) and reset registers, and the keyboard controller's reset line,
 * which is what `reboot=k` uses. A kernel without ACPI can only reset: its power-off halts for good, which nobody sees.
 */
#pragma once

#include "sandbox/vmm/machine.h"

/* Offsets from LAYOUT_PORT_SLEEP, and what is written there (acpi.c tells the guest). */
enum {
    POWER_SLEEP_CONTROL,
    POWER_SLEEP_STATUS,
    POWER_RESET,
    POWER_PORTS,

    POWER_SLEEP_OFF = 5, /* the sleep type of S5 */
    POWER_RESET_VALUE = 1,
};

/** Put the registers on @m's bus of ports. */
int power_attach(struct machine *m, struct error *err);
