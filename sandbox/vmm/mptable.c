/*
 * The MP table (MultiProcessor Specification 1.4, chapter 4) in the last KiB of base memory, where kernels look for it: the
 * processors, an ISA bus, the IOAPIC with interrupt n of the bus at pin n (edge, active high), and the local APICs' LINT
 * pins as vcpu.c sets them.
 */
#include <string.h>

#include "sandbox/vmm/acpi.h"
#include "sandbox/vmm/layout.h"

enum { SPEC = 4, LAPIC_VERSION = 0x14, IOAPIC_VERSION = 0x11, IOAPIC_ID = 0, ISA = 0, ALL = 0xff };
enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { INT = 0, NMI = 1, EXTINT = 3 };

struct floating { /* 4.1 */
    char signature[4];
    uint32_t table;
    uint8_t paragraphs, spec, checksum, features[5];
} __attribute__((packed));

struct header { /* 4.2 */
    char signature[4];
    uint16_t length;
    uint8_t spec, checksum;
    char oem[8], product[12];
    uint32_t oem_table;
    uint16_t oem_length, entries;
    uint32_t local_apic;
    uint16_t extended_length;
    uint8_t extended_checksum, reserved;
} __attribute__((packed));

struct processor { /* 4.3.1 */
    uint8_t type, id, version, flags;
    uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct ioapic { /* 4.3.3 */
    uint8_t type, id, version, flags;
    uint32_t address;
} __attribute__((packed));

struct interrupt { /* 4.3.4, 4.3.5 */
    uint8_t type, kind;
    uint16_t flags;
    uint8_t bus, source, apic, pin;
} __attribute__((packed));

struct table {
    struct floating floating;
    struct header header;
    unsigned char entries[LAYOUT_MP_END - LAYOUT_MP_TABLE - sizeof(struct floating) - sizeof(struct header)];
};

_Static_assert(sizeof(struct table) == LAYOUT_MP_END - LAYOUT_MP_TABLE, "the room there is");

static uint8_t checksum(const void *data, size_t length)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    while (length--)
        sum += *p++;
    return (uint8_t)-sum;
}

/* An entry at *@n; beyond the room it is only counted. */
static void put(struct table *t, size_t *n, const void *entry, size_t length)
{
    if (*n + length <= sizeof(t->entries))
        memcpy(t->entries + *n, entry, length);
    *n += length;
    t->header.entries++;
}

static size_t put_entries(struct table *t, unsigned n_vcpus)
{
    enum { ENABLED = 1, BOOT = 2, EDGE_HIGH = 5 };
    struct ioapic ioapic = {ENTRY_IOAPIC, IOAPIC_ID, IOAPIC_VERSION, ENABLED, LAYOUT_IOAPIC};
    struct interrupt extint = {ENTRY_LOCAL_INTERRUPT, EXTINT, 0, ISA, 0, 0, 0};
    struct interrupt nmi = {ENTRY_LOCAL_INTERRUPT, NMI, 0, ISA, 0, ALL, 1};
    size_t n = 0;

    for (unsigned i = 0; i < n_vcpus; i++) {
        struct processor p = {.type = ENTRY_PROCESSOR,
                              .id = (uint8_t)i,
                              .version = LAPIC_VERSION,
                              .flags = i ? ENABLED : ENABLED | BOOT};
        put(t, &n, &p, sizeof(p));
    }
    put(t, &n, (uint8_t[]){ENTRY_BUS, ISA, 'I', 'S', 'A', ' ', ' ', ' '}, 8);
    put(t, &n, &ioapic, sizeof(ioapic));
    for (unsigned i = 0; i <= LAYOUT_GSI_LAST; i++) {
        struct interrupt irq = {ENTRY_INTERRUPT, INT, EDGE_HIGH, ISA, (uint8_t)i, IOAPIC_ID, (uint8_t)i};
        put(t, &n, &irq, sizeof(irq));
    }
    put(t, &n, &extint, sizeof(extint));
    put(t, &n, &nmi, sizeof(nmi));
    return n;
}

int mptable_write(const struct guest_memory *m, unsigned n_vcpus, struct error *err)
{
    struct table t = {
        .floating = {.table = LAYOUT_MP_TABLE + sizeof(t.floating), .paragraphs = 1, .spec = SPEC},
        .header = {.spec = SPEC, .local_apic = LAYOUT_LOCAL_APIC}};
    size_t n = put_entries(&t, n_vcpus);

    if (n > sizeof(t.entries))
        return error_set(err, 0, "an MP table for %u vCPUs has %zu bytes, and %zu are the most", n_vcpus, n,
                         sizeof(t.entries));
    memcpy(t.floating.signature, "_MP_", sizeof(t.floating.signature));
    t.floating.checksum = checksum(&t.floating, sizeof(t.floating));
    memcpy(t.header.signature, "PCMP", sizeof(t.header.signature));
    memcpy(t.header.oem, "HULL    ", sizeof(t.header.oem));
    memcpy(t.header.product, "HULLVM      ", sizeof(t.header.product));
    t.header.length = (uint16_t)(sizeof(t.header) + n);
    t.header.checksum = checksum(&t.header, t.header.length); /* the entries stand right behind */
    if (memory_write(m, LAYOUT_MP_TABLE, &t, sizeof(t)))
        return error_set(err, 0, "no room for the MP table");
    return 0;
}
