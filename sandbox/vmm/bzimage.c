/*
 * bzImage (Documentation/arch/x86/boot.rst): a real-mode part, which begins with the setup header and is not used besides,
 * and the protected-mode part, which goes to the kernel's preferred address and is entered 0x200 behind its start, in long
 * mode. Protocol 2.12 (Linux 3.8) is the first that says whether there is such an entry.
 *
 * Hostile until checked: the header is copied once; its sizes are checked against the file and against the memory.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/vmm/boot_private.h"

enum {
    SECTOR = 512,
    PARAGRAPH = 16, /* syssize's unit */
    HEADER_AT = 0x1f1,
    MAGIC = 0x53726448, /* "HdrS" */
    BOOT_FLAG = 0xaa55,
    VERSION = 0x020c,
    VERSION_STRING_BASE = 0x200,
    ENTRY_64 = 0x200,
    PAGE = 4096,
};

static int read_header(int fd, struct setup_header *h, struct error *err)
{
    if (boot_read(fd, h, sizeof(*h), HEADER_AT, "kernel's setup header", err))
        return -1;
    if (h->boot_flag != BOOT_FLAG || h->header != MAGIC)
        return error_set(err, 0, "the kernel is neither an ELF file (vmlinux) nor a bzImage");
    if (h->setup_sects == 0) /* as old boot sectors have it */
        h->setup_sects = 4;
    return 0;
}

static int check_header(const struct setup_header *h, struct error *err)
{
    if (h->version < VERSION || !(h->xloadflags & XLF_KERNEL_64) || !(h->loadflags & LOADED_HIGH))
        return error_set(
            err, 0, "the kernel (boot protocol %u.%02u) has no 64-bit entry: x86-64 and Linux 3.8 or newer",
            h->version >> 8, h->version & 0xff);
    return 0;
}

int bzimage_load(int fd, uint64_t size, const struct guest_memory *m, struct kernel *k, struct error *err)
{
    struct setup_header h;

    if (read_header(fd, &h, err) || check_header(&h, err))
        return -1;
    uint64_t code = (uint64_t)(h.setup_sects + 1) * SECTOR, length = size > code ? size - code : 0;
    if (length <= ENTRY_64 || length > h.init_size)
        return error_set(err, 0, "the kernel has %llu bytes of code and room for %u",
                         (unsigned long long)length, h.init_size);
    if (length < (uint64_t)h.syssize * PARAGRAPH)
        return error_set(err, 0, "the kernel's file is cut off: %llu bytes of code are there, of %llu",
                         (unsigned long long)length, (unsigned long long)h.syssize * PARAGRAPH);
    void *to = boot_target(m, h.pref_address, h.init_size);
    if (!to)
        return error_set(err, 0, "the kernel needs %llu MiB of memory to start, and the sandbox has %llu",
                         ((unsigned long long)h.pref_address + h.init_size + (1 << 20) - 1) >> 20,
                         (unsigned long long)m->regions[0].size >> 20);
    if (boot_read(fd, to, length, code, "kernel", err))
        return -1;
    h.setup_data = 0;
    h.code32_start = (uint32_t)h.pref_address;
    *k = (struct kernel){
        .entry = h.pref_address + ENTRY_64,
        .end = (h.pref_address + h.init_size + PAGE - 1) & ~(uint64_t)(PAGE - 1),
        .initrd_max = h.initrd_addr_max,
        .command_line_max =
            h.cmdline_size < BOOT_MAX_COMMAND_LINE ? h.cmdline_size : (uint32_t)BOOT_MAX_COMMAND_LINE,
        .header = h,
    };
    return 0;
}

/* What stands in `uname -r`, and is safe as a name in /lib/modules. */
static bool release_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("+-._~", c);
}

/* #syscalls: pread64 */
int bzimage_release(int fd, char *out, size_t size)
{
    struct setup_header h;
    char text[BOOT_MAX_RELEASE];
    size_t n = 0;

    if (read_header(fd, &h, NULL) || h.kernel_version == 0)
        return -1;
    ssize_t got = pread(fd, text, sizeof(text), (off_t)h.kernel_version + VERSION_STRING_BASE);
    while (got > 0 && n < (size_t)got && text[n] && text[n] != ' ') {
        if (!release_char(text[n]))
            return -1;
        n++;
    }
    if (n == 0 || got <= 0 || n == (size_t)got || n >= size || text[0] == '.')
        return -1;
    memcpy(out, text, n);
    out[n] = '\0';
    return 0;
}
