/*
 * virtio-rng (virtio 1.2, section 5.4): entropy for the guest, from the host's getrandom(2).
 */
#pragma once

#include "sandbox/virtio/loop.h"

enum { RNG_MAX_REQUEST = 64 << 10, RNG_BURST = 256 << 10, RNG_BYTES_A_SECOND = 1 << 20 };

struct rng {
    struct virtio_device device;
    int timer;           /* readable when there is allowance again */
    int64_t allowance;   /* bytes; a request may take it below 0 */
    uint64_t counted_ns; /* CLOCK_MONOTONIC up to which allowance has been given */
};

int rng_init(struct rng *r, struct error *err);
void rng_destroy(struct rng *r);

/** Its transport is @t: serve it in @l. */
int rng_serve_in(struct rng *r, struct loop *l, struct virtio_mmio *t, struct error *err);
