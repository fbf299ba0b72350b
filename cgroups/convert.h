/*
 * The specification speaks cgroup v1; these say the same in the numbers of v2 (and of systemd, which are v2's).
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/**
 * cpu.shares 2..262144 -> cpu.weight 1..10000. The kernel's default of one is the default of the other (1024 ->
 * 100), and the ends meet: on logarithmic scales a parabola through these three points.
 */
uint64_t convert_shares(uint64_t shares);

/** blkio.weight 10..1000 -> io.weight 1..10000, linear. */
uint64_t convert_io_weight(uint64_t weight);

/**
 * memory.swap of the specification is memory and swap together; memory.swap.max is swap alone. @limit is the memory
 * limit that it goes with, -1: none. Both -1: *out is -1. Errors where the two don't fit.
 */
int convert_swap(int64_t swap, int64_t limit, int64_t *out, struct error *err);

/* What is written for a value, in the arena. */
const char *text_plain(struct arena *a, int64_t value);  /* "-1" */
const char *text_or_max(struct arena *a, int64_t value); /* -1: "max" */
const char *text_of_pids(struct arena *a,
                         int64_t value); /* not above 0, or more than the kernel has: "max" */
const char *text_of_shares(struct arena *a, int64_t value); /* cpu.weight */
const char *text_of_weight(struct arena *a, int64_t value); /* io.weight */
const char *text_inverted(struct arena *a, int64_t value);  /* 0: "1", else "0" */
