/* ACPI's tables and the MP table, walked as a kernel does. That a kernel understands them is shown by its booting. */
#include "sandbox/vmm/acpi.h"

#include <criterion/criterion.h>
#include <string.h>

#include "sandbox/vmm/layout.h"

static struct guest_memory memory;
static struct error err;

static uint64_t get(const unsigned char *p, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, p, size);
    return value;
}

static uint8_t sum(const unsigned char *p, size_t length)
{
    uint8_t total = 0;
    while (length--)
        total += *p++;
    return total;
}

static unsigned char *table(uint64_t at, const char *signature)
{
    unsigned char *t = memory_at(&memory, at, 36);
    cr_assert(t && !memcmp(t, signature, 4), "%s at %#llx", signature, (unsigned long long)at);
    cr_assert(at >= LAYOUT_ACPI && at + get(t + 4, 4) <= LAYOUT_ACPI_END);
    cr_assert_eq(sum(t, get(t + 4, 4)), 0, "%s's checksum", signature);
    return t;
}

static void expect_tables(unsigned vcpus, unsigned devices, bool serial)
{
    uint64_t rsdp = 0;

    cr_assert_eq(memory_create(&memory, 64 << 20, &err), 0);
    cr_assert_eq(acpi_write(&memory, vcpus, devices, serial, &rsdp, &err), 0, "%s", err.message);
    const unsigned char *r = memory_at(&memory, rsdp, 36);
    cr_assert(!memcmp(r, "RSD PTR ", 8) && sum(r, 20) == 0 && sum(r, 36) == 0);
    const unsigned char *xsdt = table(get(r + 24, 8), "XSDT");
    cr_assert_eq(get(xsdt + 4, 4), 36 + 2 * 8);
    const unsigned char *fadt = table(get(xsdt + 36, 8), "FACP"), *madt = table(get(xsdt + 44, 8), "APIC");
    const unsigned char *dsdt = table(get(fadt + 140, 8), "DSDT");
    cr_expect_eq(get(fadt + 40, 4), get(fadt + 140, 8));
    cr_expect(get(fadt + 112, 4) & 1 << 20, "hardware-reduced");

    unsigned apics = 0;
    for (size_t at = 44; at < get(madt + 4, 4); at += madt[at + 1]) {
        cr_assert_neq(madt[at + 1], 0);
        if (madt[at] == 0)
            cr_expect_eq(madt[at + 3], apics++);
    }
    cr_expect_eq(apics, vcpus);

    unsigned found = 0;
    size_t length = get(dsdt + 4, 4);
    for (size_t i = 36; i + 8 <= length; i++)
        found += !memcmp(dsdt + i, "LNRO0005", 8);
    cr_expect_eq(found, devices);
    cr_expect_eq(memmem(dsdt, length, "PNP0501", 8) != NULL, serial);
    memory_destroy(&memory);
}

Test(sandbox_tables, acpi)
{
    expect_tables(1, 0, false);
    expect_tables(2, 4, true);
    expect_tables(32, LAYOUT_MAX_VIRTIO, true);
    expect_tables(254, LAYOUT_MAX_VIRTIO, false);
}

Test(sandbox_tables, acpi_has_limits)
{
    uint64_t rsdp;
    cr_assert_eq(memory_create(&memory, 64 << 20, &err), 0);
    cr_expect_eq(acpi_write(&memory, 255, 0, false, &rsdp, &err), -1);
    cr_expect_eq(acpi_write(&memory, 1, LAYOUT_MAX_VIRTIO + 1, false, &rsdp, &err), -1);
    memory_destroy(&memory);
}

Test(sandbox_tables, mp)
{
    static const size_t sizes[] = {20, 8, 8, 8, 8};

    cr_assert_eq(memory_create(&memory, 64 << 20, &err), 0);
    cr_assert_eq(mptable_write(&memory, 37, &err), 0, "%s", err.message);
    const unsigned char *m = memory_at(&memory, LAYOUT_MP_TABLE, LAYOUT_MP_END - LAYOUT_MP_TABLE);
    cr_assert(!memcmp(m, "_MP_", 4) && sum(m, 16) == 0);
    cr_assert_eq(get(m + 4, 4), LAYOUT_MP_TABLE + 16);
    const unsigned char *t = m + 16;
    cr_assert(!memcmp(t, "PCMP", 4) && get(t + 4, 2) <= LAYOUT_MP_END - LAYOUT_MP_TABLE - 16);
    cr_expect_eq(sum(t, get(t + 4, 2)), 0);

    unsigned counts[5] = {0};
    size_t at = 44;
    for (size_t i = 0; i < get(t + 34, 2); i++) {
        cr_assert_lt(t[at], 5);
        counts[t[at]]++;
        at += sizes[t[at]];
    }
    cr_expect_eq(at, get(t + 4, 2));
    cr_expect(counts[0] == 37 && counts[1] == 1 && counts[2] == 1 && counts[3] == LAYOUT_GSI_LAST + 1 &&
              counts[4] == 2);
    cr_expect_eq(mptable_write(&memory, 38, &err), -1, "no room");
    memory_destroy(&memory);
}
