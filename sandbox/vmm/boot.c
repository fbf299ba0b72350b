/*
 * Puts a kernel's pieces where layout.h says. The memory map (e820): RAM from 0 to the MP table, nothing up to 1 MiB but
 * what firmware would keep there, RAM up to the device hole, RAM from 4 GiB. The initramfs goes to the end of low
 * memory, as far from the kernel as can be.
 */
#include "sandbox/vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/vmm/boot_private.h"
#include "sandbox/vmm/layout.h"

#define PAGE          4096ULL
#define PAGE_2M       (2ULL << 20)
#define E820_RAM      1
#define E820_RESERVED 2

/* #syscalls: pread64 */
int boot_read(int fd, void *to, uint64_t length, uint64_t offset, const char *what, struct error *err)
{
    uint64_t done = 0;

    if (offset > INT64_MAX || length > INT64_MAX - offset)
        return error_set(err, 0, "read the %s: it ends behind every file", what);
    while (done < length) {
        ssize_t n = pread(fd, (char *)to + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, errno, "read the %s", what);
        if (n == 0)
            return error_set(err, 0, "the file ends in the middle of the %s", what);
        done += (uint64_t)n;
    }
    return 0;
}

void *boot_target(const struct guest_memory *m, uint64_t start, uint64_t length)
{
    if (start < LAYOUT_HIGH_START || start >= LAYOUT_MAPPED || length > LAYOUT_MAPPED - start)
        return NULL;
    return memory_at(m, start, length);
}

/* #syscalls: fstat newfstatat */
static int file_size(int fd, const char *what, uint64_t *size, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st))
        return error_set(err, errno, "the %s", what);
    if (!S_ISREG(st.st_mode))
        return error_set(err, 0, "the %s is not a regular file", what);
    *size = (uint64_t)st.st_size;
    return 0;
}

static int load_kernel(int fd, const struct guest_memory *m, struct kernel *k, struct error *err)
{
    char magic[SELFMAG];
    uint64_t size;

    if (file_size(fd, "kernel", &size, err) || boot_read(fd, magic, sizeof(magic), 0, "kernel", err))
        return -1;
    return memcmp(magic, ELFMAG, SELFMAG) == 0 ? elf_load(fd, size, m, k, err)
                                               : bzimage_load(fd, size, m, k, err);
}

static int load_initrd(int fd, const struct guest_memory *m, struct kernel *k, struct error *err)
{
    uint64_t size, top = m->regions[0].size;

    if (file_size(fd, "initramfs", &size, err))
        return -1;
    if (k->initrd_max < top)
        top = (k->initrd_max + 1) & ~(PAGE - 1);
    if (size == 0 || size > UINT32_MAX || top < k->end || size > top - k->end)
        return error_set(
            err, 0,
            "an initramfs of %llu bytes does not fit behind the kernel, which ends at %llu MiB of %llu",
            (unsigned long long)size, (unsigned long long)k->end >> 20, (unsigned long long)top >> 20);
    uint64_t start = (top - size) & ~(PAGE - 1);
    void *to = memory_at(m, start, size);
    if (start < k->end || !to)
        return error_set(err, 0, "no room for the initramfs");
    if (boot_read(fd, to, size, 0, "initramfs", err))
        return -1;
    k->header.ramdisk_image = (uint32_t)start;
    k->header.ramdisk_size = (uint32_t)size;
    return 0;
}

/* --- tables -------------------------------------------------------------------------------------------------------- */

static void write_page_tables(const struct guest_memory *m)
{
    enum { PRESENT_WRITABLE = 3, LARGE = 1 << 7, ENTRIES = 512 };
    uint64_t *pml4 = memory_at(m, LAYOUT_PAGE_TABLES, 3 * PAGE);
    uint64_t *pdpt = pml4 + ENTRIES, *pd = pdpt + ENTRIES;

    pml4[0] = (LAYOUT_PAGE_TABLES + PAGE) | PRESENT_WRITABLE;
    pdpt[0] = (LAYOUT_PAGE_TABLES + 2 * PAGE) | PRESENT_WRITABLE;
    for (uint64_t i = 0; i < LAYOUT_MAPPED / PAGE_2M; i++)
        pd[i] = i * PAGE_2M | PRESENT_WRITABLE | LARGE;
}

/* Flat segments; the accessed bit is set, so that the processor need not write it. */
static int write_gdt(const struct guest_memory *m)
{
    static const uint64_t gdt[BOOT_GDT_SIZE / sizeof(uint64_t)] = {
        [BOOT_CS / sizeof(uint64_t)] = 0x00af9b000000ffff,
        [BOOT_DS / sizeof(uint64_t)] = 0x00cf93000000ffff,
    };
    return memory_write(m, LAYOUT_GDT, gdt, sizeof(gdt));
}

static void add_e820(struct boot_params *p, uint64_t start, uint64_t end, uint32_t type)
{
    p->e820_table[p->e820_entries++] =
        (struct boot_e820_entry){.addr = start, .size = end - start, .type = type};
}

static int write_zero_page(const struct guest_memory *m, const struct boot *b, const struct kernel *k)
{
    static const uint8_t loader_unassigned = 0xff;
    struct boot_params p = {.hdr = k->header, .acpi_rsdp_addr = b->rsdp};

    p.hdr.boot_flag = 0xaa55;
    p.hdr.header = 0x53726448;
    p.hdr.type_of_loader = loader_unassigned;
    p.hdr.cmd_line_ptr = LAYOUT_COMMAND_LINE;
    add_e820(&p, 0, LAYOUT_LOW_END, E820_RAM);
    add_e820(&p, LAYOUT_LOW_END, LAYOUT_HIGH_START, E820_RESERVED);
    add_e820(&p, LAYOUT_HIGH_START, m->regions[0].size, E820_RAM);
    for (size_t i = 1; i < m->n; i++)
        add_e820(&p, m->regions[i].start, m->regions[i].start + m->regions[i].size, E820_RAM);
    return memory_write(m, LAYOUT_ZERO_PAGE, &p, sizeof(p));
}

int boot_load(const struct guest_memory *m, const struct boot *b, struct boot_entry *entry, struct error *err)
{
    size_t length = strlen(b->command_line);
    struct kernel k;

    if (load_kernel(b->kernel, m, &k, err) || (b->initrd >= 0 && load_initrd(b->initrd, m, &k, err)))
        return -1;
    if (length > k.command_line_max)
        return error_set(err, 0, "the kernel's command line has %zu bytes, and this kernel takes %u", length,
                         k.command_line_max);
    write_page_tables(m);
    if (memory_write(m, LAYOUT_COMMAND_LINE, b->command_line, length + 1) || write_gdt(m) ||
        write_zero_page(m, b, &k))
        return error_set(err, 0, "the guest has no memory below 1 MiB"); /* memory.h's minimum is more */
    *entry = (struct boot_entry){.rip = k.entry, .rsi = LAYOUT_ZERO_PAGE};
    return 0;
}

/* --- command line -------------------------------------------------------------------------------------------------- */

static void append(char out[BOOT_MAX_COMMAND_LINE + 1], size_t *n, const char *fmt, ...) _printf_(3, 4);

static void append(char out[BOOT_MAX_COMMAND_LINE + 1], size_t *n, const char *fmt, ...)
{
    size_t room = BOOT_MAX_COMMAND_LINE + 1;
    va_list ap;

    va_start(ap, fmt);
    int length = vsnprintf(*n < room ? out + *n : NULL, *n < room ? room - *n : 0, fmt, ap);
    va_end(ap);
    *n += (size_t)length;
}

int boot_command_line(char out[BOOT_MAX_COMMAND_LINE + 1], unsigned n_devices, bool console, const char *more,
                      struct error *err)
{
    size_t n = 0;

    /* panic=-1 reboot=k: a panic is a reset at once, by port 0x64. noreplace-smp: or a kernel on one processor takes each
     * of its thousands of lock prefixes out, with two switches of address space for each, the longest single step of
     * its boot. The rest is not looked for, as it is not there. */
    append(out, &n,
           "panic=-1 reboot=k noreplace-smp pci=off i8042.noaux i8042.nokbd cryptomgr.notests "
           "rcupdate.rcu_expedited=1");
    append(out, &n, console ? " console=ttyS0" : " quiet 8250.nr_uarts=0");
    for (unsigned i = 0; i < n_devices; i++)
        append(out, &n, " virtio_mmio.device=%lluK@%#llx:%u", LAYOUT_VIRTIO_SIZE >> 10,
               LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_SIZE, LAYOUT_GSI_VIRTIO + i);
    if (more && *more)
        append(out, &n, " %s", more);
    if (n > BOOT_MAX_COMMAND_LINE)
        return error_set(err, 0, "the kernel's command line has %zu bytes, and %d are the most", n,
                         BOOT_MAX_COMMAND_LINE);
    return 0;
}
