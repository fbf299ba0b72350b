/*
 * virtio-console (virtio 1.2, section 5.3), output only: what the kernel says early, by hvc0, goes to a descriptor.
 *
 * The guest waits busily for each of its writes, so it is never made to wait for a reader: what does not fit into
 * CONSOLE_BUFFER because the reader is slow is lost, and a line in the output says how much was.
 */
#pragma once

#include "sandbox/virtio/loop.h"
#include "sandbox/virtio/stream.h"

enum { CONSOLE_BUFFER = 64 << 10 };

struct console {
    struct virtio_device device;
    struct stream out;
    uint64_t lost; /* bytes, that nobody was told of yet */
};

/** @fd becomes the console's. */
int console_init(struct console *c, int fd, struct error *err);
void console_destroy(struct console *c);

int console_serve_in(struct console *c, struct loop *l, struct virtio_mmio *t, struct error *err);

/** Make the thread of the descriptor; it calls @confine (unless NULL) first. */
int console_start(struct console *c, void (*confine)(void), struct error *err);

/** All that was kept is written, or cannot be. */
bool console_drained(const struct console *c);
