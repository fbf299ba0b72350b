/* The transport's registers and its status machine, the loop's turns, and rng as the simplest device behind them. */
#include "sandbox/virtio/mmio.h"

#include <criterion/criterion.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>

#include "sandbox/virtio/rng.h"
#include "tests/unit/sandbox/driver.h"

enum { OK = 1 | 2 | 4 | 8, NEEDS_RESET = 0x40 };

static struct driver d;
static struct rng rng;

static void open_rng(void)
{
    struct error err = {0};
    cr_assert_eq(rng_init(&rng, &err), 0, "%s", err.message);
    driver_open(&d, &rng.device);
    cr_assert_eq(rng_serve_in(&rng, &d.loop, &d.mmio, &err), 0, "%s", err.message);
}

static void close_rng(void)
{
    driver_close(&d);
    rng_destroy(&rng);
}

TestSuite(sandbox_virtio, .init = open_rng, .fini = close_rng);

Test(sandbox_virtio, says_what_it_is)
{
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_VERSION), 2);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_DEVICE_ID), 4);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 64);
    driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0, "there is no queue 1");
    driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_DEVICE_FEATURES), 1, "VERSION_1");
    driver_write(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    uint16_t half = 7;
    virtio_mmio_access(&d.mmio, 0, &half, 2, false);
    cr_expect_eq(half, 0, "registers are accessed in words");
    uint64_t config = 7;
    virtio_mmio_access(&d.mmio, VIRTIO_MMIO_SIZE - 8, &config, 8, false);
    cr_expect_eq(config, 0, "it has no configuration");
}

Test(sandbox_virtio, features_that_were_not_offered_are_refused)
{
    static const uint64_t bad[] = {0, 1ULL << 28, DRIVER_FEATURES | 1, DRIVER_FEATURES | 1ULL << 63};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        driver_write(&d, VIRTIO_MMIO_STATUS, 0);
        driver_write(&d, VIRTIO_MMIO_STATUS, 3);
        for (uint32_t half = 0; half < 2; half++) {
            driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
            driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(bad[i] >> (32 * half)));
        }
        driver_write(&d, VIRTIO_MMIO_STATUS, OK);
        cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), 3, "case %zu", i);
        cr_expect(!rng.device.active);
    }
}

/* Nothing that was agreed on can be changed afterwards (CVE-2026-5747). */
Test(sandbox_virtio, what_is_latched_stays)
{
    static const uint32_t registers[] = {VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_DESC_LOW,
                                         VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                                         VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_READY,
                                         VIRTIO_MMIO_DRIVER_FEATURES};
    driver_start(&d, DRIVER_FEATURES, 16);
    struct virtqueue before = rng.device.queues[0];
    uint64_t features = rng.device.features;
    driver_write(&d, VIRTIO_MMIO_QUEUE_SEL, 0);
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
        for (uint32_t value = 0; value < 3; value++)
            driver_write(&d, registers[i], value * 32);
    cr_expect_arr_eq(&before, &rng.device.queues[0], sizeof(before));
    cr_expect_eq(rng.device.features, features);
    driver_write(&d, VIRTIO_MMIO_STATUS, 1);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), OK, "a bit stays until the reset");
    driver_write(&d, VIRTIO_MMIO_STATUS, 0);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), 0);
    cr_expect(!rng.device.active && !rng.device.queues[0].ready && rng.device.queues[0].desc == 0);
}

Test(sandbox_virtio, a_ready_queue_is_latched_before_the_device_is)
{
    driver_write(&d, VIRTIO_MMIO_STATUS, 3);
    driver_set_queue(&d, 0, 16);
    cr_expect_eq(rng.device.queues[0].size, 0, "not before FEATURES_OK");
    driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver_write(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    driver_write(&d, VIRTIO_MMIO_STATUS, 1 | 2 | 8);
    driver_set_queue(&d, 0, 128);
    driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_QUEUE_READY), 0, "greater than the greatest");
    driver_set_queue(&d, 0, 16);
    driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 1);
    driver_write(&d, VIRTIO_MMIO_QUEUE_NUM, 32);
    cr_expect_eq(rng.device.queues[0].size, 16);
    driver_write(&d, VIRTIO_MMIO_QUEUE_READY, 0);
    driver_write(&d, VIRTIO_MMIO_QUEUE_NUM, 32);
    cr_expect_eq(rng.device.queues[0].size, 32);
}

static size_t zeroes(const unsigned char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += p[i] == 0;
    return count;
}

Test(sandbox_virtio, rng_fills_what_it_is_given)
{
    static const uint64_t features[] = {1ULL << 32, DRIVER_FEATURES};
    struct driver_buffer b[] = {{DRIVER_DATA, 500, true}, {DRIVER_DATA + 1000, 500, true}};
    struct vring_used_elem e = {0};
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        driver_start(&d, features[i], 16);
        driver_interrupts(&d);
        memset(driver_at(&d, DRIVER_DATA), 0, 4096);
        driver_offer(&d.queues[0], b, 2);
        driver_kick(&d, 0);
        driver_run(&d, 0);
        cr_expect(driver_used(&d.queues[0], &e) && e.len == 1000);
        cr_expect_lt(zeroes(driver_at(&d, DRIVER_DATA), 500), 50);
        cr_expect_lt(zeroes(driver_at(&d, DRIVER_DATA + 1000), 500), 50);
        cr_expect_eq(zeroes(driver_at(&d, DRIVER_DATA + 500), 500), 500);
        cr_expect_eq(driver_interrupts(&d), 1);
        cr_expect_eq(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
        driver_write(&d, VIRTIO_MMIO_INTERRUPT_ACK, 1);
        cr_expect_eq(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    }
}

/* How much host time a guest gets for its requests is the host's to say (Firecracker 5762). */
Test(sandbox_virtio, rng_has_an_allowance)
{
    struct driver_buffer b = {DRIVER_DATA, 1 << 20, true};
    struct vring_used_elem e;
    uint64_t given = 0;
    driver_start(&d, DRIVER_FEATURES, 16);
    for (int i = 0; i < 16; i++)
        driver_offer(&d.queues[0], &b, 1);
    driver_kick(&d, 0);
    driver_run(&d, 0);
    for (; driver_used(&d.queues[0], &e); given += e.len)
        cr_expect_leq(e.len, RNG_MAX_REQUEST);
    cr_expect(given >= RNG_BURST && given <= RNG_BURST + 2 * RNG_MAX_REQUEST, "%llu",
              (unsigned long long)given);
    for (int i = 0; i < 20 && !driver_used(&d.queues[0], &e); i++)
        driver_run(&d, 50);
    cr_expect_gt(e.len, 0, "the timer brings the rest");
}

Test(sandbox_virtio, a_broken_ring_asks_for_a_reset)
{
    struct driver_buffer bad = {MEMORY_MIN, 8, true}, good = {DRIVER_DATA, 8, true};
    struct vring_used_elem e;
    driver_start(&d, DRIVER_FEATURES, 16);
    driver_offer(&d.queues[0], &bad, 1);
    driver_kick(&d, 0);
    driver_run(&d, 0);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), OK | NEEDS_RESET);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_INTERRUPT_STATUS) & 2, 2);
    driver_kick(&d, 0);
    driver_run(&d, 0);
    driver_write(&d, VIRTIO_MMIO_STATUS, OK);
    cr_expect(!rng.device.active);

    driver_start(&d, DRIVER_FEATURES, 16);
    driver_offer(&d.queues[0], &good, 1);
    driver_kick(&d, 0);
    driver_run(&d, 0);
    cr_expect(driver_used(&d.queues[0], &e) && e.len == 8, "and works again after it");
}

static void *kick_and_serve(void *stop)
{
    struct error err;
    while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE))
        if (loop_turn(&d.loop, 1, &err) != 1)
            return &d;
    return NULL;
}

/* Resets while another thread serves (CVE-2026-45782's class). */
Test(sandbox_virtio, reset_storm)
{
    struct driver_buffer b = {DRIVER_DATA, 64, true};
    bool stop = false;
    pthread_t thread;
    void *failed;
    cr_assert_eq(pthread_create(&thread, NULL, kick_and_serve, &stop), 0);
    for (int i = 0; i < 2000; i++) {
        driver_start(&d, DRIVER_FEATURES, (uint16_t)(1 << i % 5));
        driver_offer(&d.queues[0], &b, 1);
        driver_kick(&d, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, &failed);
    cr_expect_null(failed);
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), OK);
}

Test(sandbox_virtio, saved_and_loaded)
{
    struct driver_buffer b = {DRIVER_DATA, 64, true};
    struct vring_used_elem e;
    struct virtio_mmio_state s;
    struct error err = {0};
    driver_start(&d, DRIVER_FEATURES, 16);
    driver_offer(&d.queues[0], &b, 1);
    virtio_mmio_save(&d.mmio, &s);
    driver_write(&d, VIRTIO_MMIO_STATUS, 0);
    cr_expect_eq(virtio_mmio_load(&d.mmio, &s, &err), 0, "%s", err.message);
    driver_run(&d, 0);
    cr_expect(driver_used(&d.queues[0], &e) && e.len == 64, "loading kicks the queues");
    cr_expect_eq(driver_read(&d, VIRTIO_MMIO_STATUS), OK);
}

Test(sandbox_virtio, a_saved_state_is_checked)
{
    struct virtio_mmio_state good, s;
    struct error err;
    driver_start(&d, DRIVER_FEATURES, 16);
    virtio_mmio_save(&d.mmio, &good);
#define BAD(change)                                                                                          \
    s = good;                                                                                                \
    s.change;                                                                                                \
    cr_expect_eq(virtio_mmio_load(&d.mmio, &s, &err), -1, #change)
    BAD(version = 2);
    BAD(device_id = 5);
    BAD(status = OK | 0x10);
    BAD(status = 4);
    BAD(driver_features = 0);
    BAD(driver_features |= 1);
    BAD(queues[0].size = 15);
    BAD(queues[0].max_size = 1024);
    BAD(queues[0].used = MEMORY_MIN);
    BAD(queues[1].ready = true);
#undef BAD
    cr_expect_eq(virtio_mmio_load(&d.mmio, &good, &err), 0);
}

static int served;

static void count(void *context, uint32_t events)
{
    (void)context, (void)events;
    served++;
}

Test(sandbox_virtio, a_loop_stops_and_is_bounded)
{
    struct loop l;
    struct error err = {0};
    cr_assert_eq(loop_init(&l, &err), 0);
    struct loop_source s = {.fd = d.mmio.kick[0], .events = EPOLLIN, .ready = count};
    int handle = loop_add(&l, &s, &err);
    cr_assert_geq(handle, 0, "%s", err.message);
    cr_expect_eq(loop_turn(&l, 0, &err), 1);
    driver_kick(&d, 0);
    cr_expect_eq(loop_turn(&l, 1000, &err), 1);
    cr_expect_eq(loop_turn(&l, 0, &err), 1);
    cr_expect_eq(served, 1, "told once");
    loop_remove(&l, handle);
    driver_kick(&d, 0);
    cr_expect_eq(loop_turn(&l, 0, &err), 1);
    cr_expect_eq(served, 1);
    loop_stop(&l);
    cr_expect_eq(loop_run(&l, &err), 0);
    cr_expect_eq(loop_run(&l, &err), 0, "for good");
    loop_destroy(&l);
}
