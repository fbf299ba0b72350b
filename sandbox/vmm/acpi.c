/*
 * ACPI 6.5: RSDP (5.2.5) -> XSDT (5.2.8) -> FADT (5.2.9) -> DSDT (5.2.11), and MADT (5.2.12). Hardware-reduced (4.1): no
 * SCI, no PM timer, no power management registers, but sleep control, sleep status and reset, which power.h answers. The
 * FADT says that there is no i8042, CMOS clock or VGA either, so that no kernel spends exits on looking for them.
 *
 * The DSDT is AML (chapter 20), written byte by byte: \_S5, which is what goes into sleep control to power off, and in
 * \_SB a device for each virtio-mmio slot (_HID LNRO0005, which Linux's virtio_mmio claims) with its page of
 * registers and its interrupt; and the serial port (PNP0501).
 *
 * Tables are put together here, then copied: nothing in guest memory is read back.
 */
#include "sandbox/vmm/acpi.h"

#include <stddef.h>
#include <string.h>

#include "sandbox/vmm/layout.h"
#include "sandbox/vmm/power.h"

enum { TABLES_MAX = 8192 };

struct header { /* 5.2.6 */
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct gas { /* generic address structure, 5.2.3.2 */
    uint8_t space, width, offset, access;
    uint64_t address;
} __attribute__((packed));

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct fadt {
    struct header h;
    uint32_t facs, dsdt;
    uint8_t reserved, pm_profile;
    uint8_t fixed_hardware[63]; /* none of it: SCI, SMI, PM and GPE blocks, C states, RTC's indexes */
    uint16_t boot_arch;
    uint8_t reserved2;
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct gas x_fixed_hardware[8];
    struct gas sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "ACPI 6.5, table 5.4");
_Static_assert(offsetof(struct fadt, boot_arch) == 109, "ACPI 6.5, table 5.9");
_Static_assert(offsetof(struct fadt, reset) == 116, "ACPI 6.5, table 5.9");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.5, table 5.9");

/* The tables as they grow; `bytes` will stand at LAYOUT_ACPI. */
struct tables {
    unsigned char bytes[TABLES_MAX];
    size_t n;
    bool full;
};

/* --- bytes --------------------------------------------------------------------------------------------------------- */

static void put(struct tables *t, const void *data, size_t length)
{
    if (length > sizeof(t->bytes) - t->n) {
        t->full = true;
        return;
    }
    memcpy(t->bytes + t->n, data, length);
    t->n += length;
}

static void put_text(struct tables *t, const char *text)
{
    put(t, text, strlen(text));
}

/* The low @size bytes of @value, as all of ACPI is little-endian. */
static void put_int(struct tables *t, uint64_t value, size_t size)
{
    put(t, &value, size);
}

static uint8_t checksum(const void *data, size_t length)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    while (length--)
        sum += *p++;
    return (uint8_t)-sum;
}

static struct header header(const char *signature, uint8_t revision)
{
    struct header h = {.revision = revision, .oem_revision = 1, .creator_revision = 1};

    memcpy(h.signature, signature, sizeof(h.signature));
    memcpy(h.oem_id, "HULL  ", sizeof(h.oem_id));
    memcpy(h.oem_table_id, "HULLVM  ", sizeof(h.oem_table_id));
    memcpy(h.creator_id, "HULL", sizeof(h.creator_id));
    return h;
}

/* Where the next table starts: on 16 bytes. */
static size_t begin_table(struct tables *t)
{
    while (t->n % 16)
        put_int(t, 0, 1);
    return t->n;
}

/* The table from @at to here is whole. Its guest-physical address. */
static uint64_t end_table(struct tables *t, size_t at)
{
    uint32_t length = (uint32_t)(t->n - at);

    if (t->full)
        return 0;
    memcpy(t->bytes + at + offsetof(struct header, length), &length, sizeof(length));
    t->bytes[at + offsetof(struct header, checksum)] = checksum(t->bytes + at, length);
    return LAYOUT_ACPI + at;
}

/* --- AML ----------------------------------------------------------------------------------------------------------- */

enum {
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_STRING = 0x0d,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_DEVICE = 0x825b, /* ExtOpPrefix, DeviceOp */
};

/* PkgLength (20.2.4), always in two bytes: up to 4095, itself included. */
static size_t begin_package(struct tables *t)
{
    put_int(t, 0, 2);
    return t->n - 2;
}

static void end_package(struct tables *t, size_t at)
{
    size_t length = t->n - at;

    if (length > 0xfff)
        t->full = true;
    if (t->full)
        return;
    t->bytes[at] = (uint8_t)(0x40 | (length & 0xf));
    t->bytes[at + 1] = (uint8_t)(length >> 4);
}

static void put_name(struct tables *t, const char *name)
{
    put_int(t, AML_NAME, 1);
    put_text(t, name);
}

static size_t begin_device(struct tables *t, const char *name, const char *hid, unsigned uid)
{
    put_int(t, AML_DEVICE, 2);
    size_t device = begin_package(t);
    put_text(t, name);
    put_name(t, "_HID");
    put_int(t, AML_STRING, 1);
    put(t, hid, strlen(hid) + 1);
    put_name(t, "_UID");
    put_int(t, AML_BYTE, 1);
    put_int(t, uid, 1);
    return device;
}

/* _CRS: a buffer with the @length bytes of @address's descriptor, an interrupt's, and an end (6.4). */
static void put_resources(struct tables *t, const void *address, size_t length, uint32_t gsi)
{
    enum { INTERRUPT = 0x89, CONSUMER_EDGE_HIGH = 0x03, END = 0x79, INTERRUPT_AND_END = 11 };

    put_name(t, "_CRS");
    put_int(t, AML_BUFFER, 1);
    size_t buffer = begin_package(t);
    put_int(t, AML_BYTE, 1);
    put_int(t, length + INTERRUPT_AND_END, 1);
    put(t, address, length);
    put_int(t, INTERRUPT, 1);
    put_int(t, 6, 2);
    put_int(t, CONSUMER_EDGE_HIGH, 1);
    put_int(t, 1, 1);
    put_int(t, gsi, 4);
    put_int(t, END, 2);
    end_package(t, buffer);
}

static void put_virtio(struct tables *t, unsigned i)
{
    struct {
        uint8_t tag;
        uint16_t length;
        uint8_t writable;
        uint32_t base, size;
    } __attribute__((packed)) memory = {.tag = 0x86, /* 32-bit fixed memory range */
                                        .length = 9,
                                        .writable = 1,
                                        .base = (uint32_t)(LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_SIZE),
                                        .size = LAYOUT_VIRTIO_SIZE};
    char name[] = {'V', 'R', (char)('0' + i / 10), (char)('0' + i % 10), '\0'};
    size_t device = begin_device(t, name, "LNRO0005", i);

    put_resources(t, &memory, sizeof(memory), LAYOUT_GSI_VIRTIO + i);
    end_package(t, device);
}

static void put_serial(struct tables *t)
{
    struct {
        uint8_t tag, decode16;
        uint16_t min, max;
        uint8_t alignment, length;
    } __attribute__((packed)) ports = {.tag = 0x47, /* I/O ports */
                                       .decode16 = 1,
                                       .min = LAYOUT_PORT_SERIAL,
                                       .max = LAYOUT_PORT_SERIAL,
                                       .alignment = 1,
                                       .length = 8};
    size_t device = begin_device(t, "COM1", "PNP0501", 0);

    put_resources(t, &ports, sizeof(ports), LAYOUT_GSI_SERIAL);
    end_package(t, device);
}

/* --- tables -------------------------------------------------------------------------------------------------------- */

static uint64_t put_dsdt(struct tables *t, unsigned n_virtio, bool serial)
{
    static const uint8_t sleep_types[] = {4, AML_BYTE, POWER_SLEEP_OFF,
                                          0, 0,        0}; /* of which the first counts */
    struct header h = header("DSDT", 2);
    size_t at = begin_table(t);

    put(t, &h, sizeof(h));
    put_name(t, "_S5_");
    put_int(t, AML_PACKAGE, 1);
    size_t package = begin_package(t);
    put(t, sleep_types, sizeof(sleep_types));
    end_package(t, package);

    put_int(t, AML_SCOPE, 1);
    size_t scope = begin_package(t);
    put_text(t, "\\_SB_");
    for (unsigned i = 0; i < n_virtio; i++)
        put_virtio(t, i);
    if (serial)
        put_serial(t);
    end_package(t, scope);
    return end_table(t, at);
}

static uint64_t put_fadt(struct tables *t, uint64_t dsdt)
{
    enum { VGA_ABSENT = 1 << 2, NO_MSI = 1 << 3, NO_ASPM = 1 << 4, CMOS_ABSENT = 1 << 5 };
    enum { RESET_REG = 1 << 10, HW_REDUCED = 1 << 20 };
    enum { SPACE_IO = 1, ACCESS_BYTE = 1, REVISION = 6, MINOR = 5 };
    struct gas port = {.space = SPACE_IO, .width = 8, .access = ACCESS_BYTE};
    struct fadt f = {
        .h = header("FACP", REVISION),
        .dsdt = (uint32_t)dsdt,
        .x_dsdt = dsdt,
        .boot_arch = VGA_ABSENT | NO_MSI | NO_ASPM | CMOS_ABSENT,
        .flags = RESET_REG | HW_REDUCED,
        .reset = port,
        .reset_value = POWER_RESET_VALUE,
        .minor = MINOR,
        .sleep_control = port,
        .sleep_status = port,
    };
    size_t at = begin_table(t);

    f.reset.address = LAYOUT_PORT_SLEEP + POWER_RESET;
    f.sleep_control.address = LAYOUT_PORT_SLEEP + POWER_SLEEP_CONTROL;
    f.sleep_status.address = LAYOUT_PORT_SLEEP + POWER_SLEEP_STATUS;
    memcpy(&f.hypervisor, "HULL    ", sizeof(f.hypervisor));
    put(t, &f, sizeof(f));
    return end_table(t, at);
}

static uint64_t put_madt(struct tables *t, unsigned n_vcpus)
{
    enum { LOCAL_APIC = 0, IOAPIC = 1, LOCAL_NMI = 4, ENABLED = 1, LINT1 = 1, ALL = 0xff };
    struct header h = header("APIC", 5);
    size_t at = begin_table(t);

    put(t, &h, sizeof(h));
    put_int(t, LAYOUT_LOCAL_APIC, 4);
    put_int(t, 0, 4); /* flags: no PICs besides */
    for (unsigned i = 0; i < n_vcpus; i++) {
        put(t, (uint8_t[]){LOCAL_APIC, 8, (uint8_t)i, (uint8_t)i}, 4);
        put_int(t, ENABLED, 4);
    }
    put(t, (uint8_t[]){IOAPIC, 12, 0, 0}, 4);
    put_int(t, LAYOUT_IOAPIC, 4);
    put_int(t, 0, 4); /* its first interrupt */
    put(t, (uint8_t[]){LOCAL_NMI, 6, ALL, 0, 0, LINT1}, 6);
    return end_table(t, at);
}

static uint64_t put_xsdt(struct tables *t, uint64_t fadt, uint64_t madt)
{
    struct header h = header("XSDT", 1);
    size_t at = begin_table(t);

    put(t, &h, sizeof(h));
    put_int(t, fadt, 8);
    put_int(t, madt, 8);
    return end_table(t, at);
}

int acpi_write(const struct guest_memory *m, unsigned n_vcpus, unsigned n_virtio, bool serial, uint64_t *rsdp,
               struct error *err)
{
    enum { REVISION = 2, ACPI_1_LENGTH = 20, APIC_ID_MAX = 254 };
    struct rsdp r = {.revision = REVISION, .length = sizeof(r)};
    struct tables t = {.n = sizeof(r)}; /* the RSDP goes first, and is known last */

    if (n_vcpus > APIC_ID_MAX || n_virtio > LAYOUT_MAX_VIRTIO)
        return error_set(err, 0, "ACPI tables for %u vCPUs and %u devices, and %d and %d are the most",
                         n_vcpus, n_virtio, APIC_ID_MAX, LAYOUT_MAX_VIRTIO);
    uint64_t dsdt = put_dsdt(&t, n_virtio, serial), fadt = put_fadt(&t, dsdt), madt = put_madt(&t, n_vcpus);
    memcpy(r.signature, "RSD PTR ", sizeof(r.signature));
    memcpy(r.oem_id, "HULL  ", sizeof(r.oem_id));
    r.xsdt = put_xsdt(&t, fadt, madt);
    r.checksum = checksum(&r, ACPI_1_LENGTH);
    r.extended_checksum = checksum(&r, sizeof(r));
    memcpy(t.bytes, &r, sizeof(r));
    if (t.full || memory_write(m, LAYOUT_ACPI, t.bytes, t.n))
        return error_set(err, 0, "no room for the ACPI tables");
    *rsdp = LAYOUT_ACPI;
    return 0;
}
