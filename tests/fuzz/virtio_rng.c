/* libFuzzer target for the transport's registers, with rng behind them. */
#include "sandbox/virtio/rng.h"
#include "tests/fuzz/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a snapshot of this moment is like, changed a little: refused, or as good as the one before. */
static void save_and_load(struct fuzz_guest *g)
{
    static struct virtio_mmio_state s;
    struct error err;

    virtio_mmio_save(&g->mmio, &s);
    uint32_t words = fuzz_take(g, 1) % 4;
    for (; words > 0; words--) { /* numbers, not the truth values: those are 0 or 1 to the compiler */
        uint32_t which = fuzz_take(g, 1), value = fuzz_take(g, 4);
        uint32_t *numbers[] = {&s.version, &s.device_id, &s.status, &s.queue_sel};
        uint16_t *halves[] = {&s.queues[0].size, &s.queues[0].max_size, &s.queues[0].next_avail};
        uint64_t *addresses[] = {&s.queues[0].desc, &s.queues[0].avail, &s.queues[0].used,
                                 &s.driver_features};
        *numbers[which % 4] ^= which & 32 ? value : 0;
        *halves[which % 3] ^= which & 64 ? (uint16_t)value : 0;
        *addresses[which % 4] ^= which & 128 ? value : 0;
    }
    (void)virtio_mmio_load(&g->mmio, &s, &err);
    g->was_active = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_guest guest;
    static struct rng rng;
    struct error err;

    if (!guest.memory.n) {
        fuzz_check(rng_init(&rng, &err) == 0);
        fuzz_guest_open(&guest, &rng.device);
    }
    rng.allowance = RNG_BURST;
    guest.mmio.complaints = 1000; /* none is written */
    fuzz_guest_run(&guest, data, size, save_and_load);
    return 0;
}
