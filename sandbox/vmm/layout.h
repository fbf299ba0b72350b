/*
 * Where things are in a guest's physical address space. Low memory is as a PC's firmware would have left it; the device
 * hole ends at 4 GiB (memory.h).
 *
 *     0x00000500  GDT                       0x00007000  zero page (boot parameters)
 *     0x00009000  page tables               0x00020000  kernel's command line
 *     0x0009fc00  MP table                  0x000e0000  ACPI tables, RSDP first
 *     0x00100000  the kernel, or higher     below 3 GiB  initramfs, at the end of low memory
 *     0xd0000000  virtio-mmio devices       0xfec00000  IOAPIC, 0xfee00000 local APICs: KVM's
 *     0xfffbc000  KVM's identity map and TSS (for Intel's real mode)
 */
#pragma once

#define LAYOUT_GDT          0x500ULL
#define LAYOUT_ZERO_PAGE    0x7000ULL
#define LAYOUT_PAGE_TABLES  0x9000ULL
#define LAYOUT_COMMAND_LINE 0x20000ULL
#define LAYOUT_LOW_END      0x9fc00ULL /* of what the kernel may use below 1 MiB; the MP table follows */
#define LAYOUT_MP_TABLE     LAYOUT_LOW_END
#define LAYOUT_MP_END       0xa0000ULL
#define LAYOUT_ACPI         0xe0000ULL
#define LAYOUT_ACPI_END     0x100000ULL
#define LAYOUT_HIGH_START   0x100000ULL
#define LAYOUT_MAPPED       0x40000000ULL /* the first page tables map so much, one to one */

#define LAYOUT_VIRTIO       0xd0000000ULL /* device i at + i * LAYOUT_VIRTIO_SIZE */
#define LAYOUT_VIRTIO_SIZE  0x1000ULL
#define LAYOUT_IOAPIC       0xfec00000ULL
#define LAYOUT_LOCAL_APIC   0xfee00000ULL
#define LAYOUT_IDENTITY_MAP 0xfffbc000ULL /* one page */
#define LAYOUT_TSS          0xfffbd000ULL /* three pages */

/* Interrupts: global system interrupts of KVM's one IOAPIC. */
enum {
    LAYOUT_GSI_SERIAL = 4,
    LAYOUT_GSI_VIRTIO = 5, /* device i has LAYOUT_GSI_VIRTIO + i */
    LAYOUT_GSI_LAST = 23,  /* KVM_IOAPIC_NUM_PINS - 1 */
    LAYOUT_MAX_VIRTIO = LAYOUT_GSI_LAST - LAYOUT_GSI_VIRTIO + 1,
};

/* Ports. */
enum {
    LAYOUT_PORT_SERIAL = 0x3f8,
    LAYOUT_PORT_KEYBOARD = 0x60, /* to 0x64 */
    LAYOUT_PORT_SLEEP = 0x600,   /* ACPI sleep control and status */
};
