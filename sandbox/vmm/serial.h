/*
 * A serial port (16550A) at COM1, for a kernel's messages: what the guest sends goes to a descriptor, line by line. Nothing
 * comes in. Every character costs the guest an exit or two: only for who wants to see the kernel boot.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/vmm/machine.h"

enum { SERIAL_STATE_VERSION = 1, SERIAL_LINE = 256 };

/* Saved and loaded as it is. */
struct serial_state {
    uint32_t version, length;
    uint8_t interrupt_enable, fifo_control, line_control, modem_control, scratch;
    uint8_t divisor[2];
    uint8_t received; /* in loopback */
    bool data_ready, transmitter_empty_pending;
};

struct serial {
    pthread_mutex_t lock;
    struct serial_state state;
    int out, interrupt; /* each write to the second is an edge */
    char line[SERIAL_LINE];
    size_t n;
};

/** Output to @out, which stays the caller's. Everything is released by serial_destroy(), after a failure too. */
int serial_init(struct serial *s, int out, struct error *err);
void serial_destroy(struct serial *s); /* writes what is left of a line */

/** Its ports and its interrupt. */
int serial_attach(struct serial *s, struct machine *m, struct error *err);

/** For struct bus_range. */
void serial_access(void *serial, uint64_t offset, void *data, uint32_t length, bool write);

void serial_save(struct serial *s, struct serial_state *to);
int serial_load(struct serial *s, const struct serial_state *from, struct error *err);
