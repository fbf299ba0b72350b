/*
 * What a machine tells its kernel about processors, interrupts and devices: as ACPI tables, which distribution
 * kernels read, and as an MP table, for kernels built without ACPI (those get devices by boot_command_line()).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/vmm/memory.h"

/** Tables for @n_vcpus, @n_virtio devices in layout.h's places, and a serial port if there is one. *@rsdp is for boot.h. */
int acpi_write(const struct guest_memory *m, unsigned n_vcpus, unsigned n_virtio, bool serial, uint64_t *rsdp,
               struct error *err);

/** @n_vcpus: the room holds 37. */
int mptable_write(const struct guest_memory *m, unsigned n_vcpus, struct error *err);
