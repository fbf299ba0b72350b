/*
 * A kernel into a fresh machine's memory: vmlinux (ELF) or bzImage, its initramfs, its command line, and what the 64-bit boot
 * protocol wants besides (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; zero-page.rst): the zero page with
 * the memory map, page tables that map the first GiB onto itself, a GDT. Tables about processors and devices are acpi.h's.
 *
 * Kernel and initramfs come as descriptors and may be hostile: nothing in them is believed before it is checked
 * against the file's size and the guest's memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/vmm/memory.h"

/* Selectors of the GDT, as the protocol has them. */
enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_GDT_SIZE = 32 };

enum { BOOT_MAX_COMMAND_LINE = 2047, BOOT_MAX_RELEASE = 64 };

struct boot {
    int kernel, initrd;       /* -1: no initramfs */
    const char *command_line; /* see boot_command_line() */
    uint64_t rsdp;            /* acpi_write()'s */
};

struct boot_entry { /* for vcpu_enter() */
    uint64_t rip, rsi;
};

/** Put everything in place. @m is all zeroes. */
int boot_load(const struct guest_memory *m, const struct boot *b, struct boot_entry *entry,
              struct error *err);

/** The kernel's arguments that every sandbox has: a quick, quiet boot, an end by reset instead of a hang, and the
 * @n_devices virtio-mmio devices for kernels that have no ACPI. @console: kernel messages on ttyS0. @more is put at
 * the end; it is the operator's, never an image's. -1: longer than BOOT_MAX_COMMAND_LINE. */
int boot_command_line(char out[BOOT_MAX_COMMAND_LINE + 1], unsigned n_devices, bool console, const char *more,
                      struct error *err);

/** The release (`uname -r`) of the bzImage @fd: a file name's characters only. -1: it is no bzImage, or does not say. */
int bzimage_release(int fd, char *out, size_t size);
