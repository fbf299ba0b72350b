/*
 * libFuzzer target for loading kernels: the first byte says whether the file is made to look like an ELF file or a bzImage,
 * the rest is the file (a bzImage's header stands early, or none would ever be found). What is accepted has its entry in
 * memory from 1 MiB on; whatever comes, nothing below 1 MiB is changed by the image.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/vmm/boot.h"
#include "sandbox/vmm/boot_private.h"
#include "sandbox/vmm/layout.h"

enum { MEMORY = 48 << 20, MAX_FILE = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_untouched(void *start, size_t length)
{
    unsigned char pages[LAYOUT_HIGH_START / 4096];

    check(mincore(start, length, pages) == 0);
    for (size_t i = 0; i < length / 4096; i++)
        check(!(pages[i] & 1));
}

/* What every mutation would break. */
static size_t make_file(unsigned char *file, const uint8_t *data, size_t size)
{
    bool elf = data[0] & 1;
    size_t at = elf ? 0 : 0x1f1, length = size - 1 < MAX_FILE - at ? size - 1 : MAX_FILE - at;

    memset(file, 0, at);
    memcpy(file + at, data + 1, length);
    length += at;
    if (elf && length >= EI_NIDENT && !(data[0] & 2))
        memcpy(file, (unsigned char[]){ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB}, 6);
    if (!elf && length >= at + sizeof(struct setup_header) && !(data[0] & 2)) {
        struct setup_header *h = (struct setup_header *)(file + at);
        h->boot_flag = 0xaa55;
        h->header = 0x53726448;
        h->version |= 0x0200;
    }
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char file[MAX_FILE];
    static struct guest_memory memory;
    static int fd = -1;
    struct boot_entry entry;
    struct error err;
    char release[BOOT_MAX_RELEASE];

    if (size < 2)
        return 0;
    if (fd < 0) {
        fd = memfd_create("kernel", MFD_CLOEXEC);
        check(fd >= 0 && memory_create(&memory, MEMORY, &err) == 0);
    }
    size_t length = make_file(file, data, size);
    check(ftruncate(fd, 0) == 0 && pwrite(fd, file, length, 0) == (ssize_t)length);

    struct kernel k = {0};
    bool elf = length >= SELFMAG && memcmp(file, ELFMAG, SELFMAG) == 0;
    if ((elf ? elf_load : bzimage_load)(fd, length, &memory, &k, &err) == 0)
        check(k.entry >= LAYOUT_HIGH_START && k.entry < k.end && k.end <= MEMORY);
    check_untouched(memory.regions[0].host, LAYOUT_HIGH_START);

    struct boot boot = {.kernel = fd, .initrd = data[0] & 4 ? fd : -1, .command_line = "quiet"};
    if (boot_load(&memory, &boot, &entry, &err) == 0)
        check(entry.rip >= LAYOUT_HIGH_START && entry.rip < MEMORY && entry.rsi == LAYOUT_ZERO_PAGE);
    if (bzimage_release(fd, release, sizeof(release)) == 0)
        check(release[0] && !strchr(release, '/') && strlen(release) < sizeof(release));
    check(madvise(memory.regions[0].host, MEMORY, MADV_DONTNEED) == 0);
    return 0;
}
