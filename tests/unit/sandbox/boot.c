/* Loading kernels, good and hostile, and what is put beside them. */
#include "sandbox/vmm/boot.h"

#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/vmm/layout.h"

static struct guest_memory memory;
static struct boot_entry entry;
static struct error err;

static void fresh_memory(uint64_t mib)
{
    memory_destroy(&memory);
    cr_assert_eq(memory_create(&memory, mib << 20, &err), 0, "%s", err.message);
}

static int file_of(const void *data, size_t length)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    cr_assert(fd >= 0 && write(fd, data, length) == (ssize_t)length);
    return fd;
}

static int load(int kernel, int initrd, const char *command_line)
{
    struct boot b = {.kernel = kernel, .initrd = initrd, .command_line = command_line, .rsdp = 0xe0000};
    return boot_load(&memory, &b, &entry, &err);
}

static int load_bytes(const void *data, size_t length)
{
    _cleanup_(fd_closep) int fd = file_of(data, length);
    fresh_memory(64);
    return load(fd, -1, "");
}

static struct boot_params *zero_page(void)
{
    return memory_at(&memory, LAYOUT_ZERO_PAGE, sizeof(struct boot_params));
}

/* --- ELF ----------------------------------------------------------------------------------------------------------- */

struct elf_file {
    Elf64_Ehdr h;
    Elf64_Phdr p[3];
    char code[64];
};

static struct elf_file good_elf(void)
{
    struct elf_file f = {
        .h = {.e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_entry = 0x1000010,
              .e_phoff = offsetof(struct elf_file, p),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phnum = 3},
        .p = {{.p_type = PT_LOAD,
               .p_offset = offsetof(struct elf_file, code),
               .p_paddr = 0x1000000,
               .p_filesz = 32,
               .p_memsz = 0x2345},
              {.p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = UINT64_MAX},
              {.p_type = PT_LOAD,
               .p_offset = offsetof(struct elf_file, code) + 32,
               .p_paddr = 0x100000,
               .p_filesz = 32,
               .p_memsz = 32}},
        .code = "the first segment's 32 bytes...|the second segment",
    };
    memcpy(f.h.e_ident, ELFMAG, SELFMAG);
    f.h.e_ident[EI_CLASS] = ELFCLASS64;
    f.h.e_ident[EI_DATA] = ELFDATA2LSB;
    return f;
}

Test(sandbox_boot, elf)
{
    struct elf_file f = good_elf();
    cr_assert_eq(load_bytes(&f, sizeof(f)), 0, "%s", err.message);
    cr_expect_eq(entry.rip, 0x1000010);
    cr_expect_eq(entry.rsi, LAYOUT_ZERO_PAGE);
    cr_expect_eq(memcmp(memory_at(&memory, 0x1000000, 32), f.code, 32), 0);
    cr_expect_eq(memcmp(memory_at(&memory, 0x100000, 32), f.code + 32, 32), 0);
    cr_expect_eq(zero_page()->hdr.boot_flag, 0xaa55);
    cr_expect_eq(zero_page()->hdr.header, 0x53726448);
}

#define BAD_ELF(words, ...)                                                                                  \
    do {                                                                                                     \
        struct elf_file f = good_elf();                                                                      \
        __VA_ARGS__;                                                                                         \
        cr_expect_eq(load_bytes(&f, sizeof(f)), -1, #__VA_ARGS__);                                           \
        cr_expect(strstr(err.message, words), #__VA_ARGS__ ": %s", err.message);                             \
    } while (0)

Test(sandbox_boot, elf_headers_that_lie)
{
    BAD_ELF("not for x86-64", f.h.e_ident[EI_CLASS] = ELFCLASS32);
    BAD_ELF("not for x86-64", f.h.e_ident[EI_DATA] = ELFDATA2MSB);
    BAD_ELF("not for x86-64", f.h.e_machine = EM_AARCH64);
    BAD_ELF("not executable", f.h.e_type = ET_REL);
    BAD_ELF("0 program headers", f.h.e_phnum = 0);
    BAD_ELF("65535 program headers", f.h.e_phnum = UINT16_MAX);
    BAD_ELF("of 1 bytes", f.h.e_phentsize = 1);
    BAD_ELF("program headers: it ends behind every file", f.h.e_phoff = UINT64_MAX - 8);
    BAD_ELF("ends in the middle of the kernel's program headers", f.h.e_phoff = sizeof(f) - 8);
    BAD_ELF("is in none of its segments", f.h.e_entry = 0x1000020);
    BAD_ELF("is in none of its segments", f.h.e_entry = 0xfffff);
    BAD_ELF("is in none of its segments", f.p[0].p_type = f.p[2].p_type = PT_NULL);
}

Test(sandbox_boot, elf_segments_that_lie)
{
    BAD_ELF("does not fit", f.p[0].p_paddr = 0xfffff);
    BAD_ELF("does not fit", f.p[0].p_paddr = 0);
    BAD_ELF("does not fit", f.p[0].p_paddr = UINT64_MAX - 16);
    BAD_ELF("does not fit", f.p[0].p_memsz = UINT64_MAX);
    BAD_ELF("does not fit", f.p[0].p_memsz = 64 << 20);
    BAD_ELF("does not fit", f.p[0].p_memsz = 31);
    BAD_ELF("does not fit", f.p[0].p_paddr = (64 << 20) - 31);
    BAD_ELF("ends behind every file", f.p[0].p_offset = INT64_MAX);
    BAD_ELF("ends in the middle", f.p[0].p_offset = sizeof(f) - 1);
    BAD_ELF("more bytes than its file", f.p[0].p_filesz = f.p[0].p_memsz);
    BAD_ELF("more bytes than its file", f.p[2].p_filesz = f.p[2].p_memsz = sizeof(f) - 31);
}

Test(sandbox_boot, files_that_end)
{
    struct elf_file f = good_elf();
    for (size_t length = 0; length < offsetof(struct elf_file, code) + 64; length++)
        cr_expect_eq(load_bytes(&f, length), -1, "%zu", length);
}

/* --- bzImage ------------------------------------------------------------------------------------------------------- */

enum { SETUP = 3 * 512, CODE = 4096, VERSION_AT = 0x300 };

struct bz_file {
    union {
        unsigned char setup[SETUP];
        struct {
            unsigned char sector[0x1f1];
            struct setup_header header;
        } __attribute__((packed));
    };
    unsigned char code[CODE];
};

static struct bz_file good_bz(void)
{
    struct bz_file f = {.header = {.setup_sects = 2,
                                   .syssize = CODE / 16,
                                   .boot_flag = 0xaa55,
                                   .header = 0x53726448,
                                   .version = 0x020f,
                                   .loadflags = LOADED_HIGH,
                                   .xloadflags = XLF_KERNEL_64,
                                   .kernel_version = VERSION_AT - 0x200,
                                   .initrd_addr_max = 0x7fffffff,
                                   .kernel_alignment = 0x200000,
                                   .cmdline_size = 255,
                                   .pref_address = 0x1000000,
                                   .setup_data = 0x1234,
                                   .init_size = 0x20000}};
    memset(f.code, 0x5a, sizeof(f.code));
    strcpy((char *)f.setup + VERSION_AT, "6.1.0-56-cloud-amd64 (somebody) #1 SMP");
    return f;
}

Test(sandbox_boot, bzimage)
{
    struct bz_file f = good_bz();
    cr_assert_eq(load_bytes(&f, sizeof(f)), 0, "%s", err.message);
    cr_expect_eq(entry.rip, 0x1000200);
    cr_expect_eq(memcmp(memory_at(&memory, 0x1000000, CODE), f.code, CODE), 0);
    const struct setup_header *h = &zero_page()->hdr;
    cr_expect_eq(h->init_size, 0x20000, "the header is the file's");
    cr_expect_eq(h->setup_data, 0, "but for what would be an address");
    cr_expect_eq(h->type_of_loader, 0xff);
    cr_expect_eq(h->cmd_line_ptr, LAYOUT_COMMAND_LINE);
}

#define BAD_BZ(words, ...)                                                                                   \
    do {                                                                                                     \
        struct bz_file f = good_bz();                                                                        \
        __VA_ARGS__;                                                                                         \
        cr_expect_eq(load_bytes(&f, sizeof(f)), -1, #__VA_ARGS__);                                           \
        cr_expect(strstr(err.message, words), #__VA_ARGS__ ": %s", err.message);                             \
    } while (0)

Test(sandbox_boot, bzimage_headers_that_lie)
{
    BAD_BZ("neither an ELF file", f.header.boot_flag = 0);
    BAD_BZ("neither an ELF file", f.header.header = 0);
    BAD_BZ("has no 64-bit entry", f.header.version = 0x020b);
    BAD_BZ("has no 64-bit entry", f.header.xloadflags = 0);
    BAD_BZ("has no 64-bit entry", f.header.loadflags = 0);
    BAD_BZ("0 bytes of code", f.header.setup_sects = 255);
    BAD_BZ("4096 bytes of code and room for 4095", f.header.init_size = CODE - 1);
    BAD_BZ("cut off: 4096 bytes of code are there, of 4112", f.header.syssize = CODE / 16 + 1);
    BAD_BZ("needs 4112 MiB of memory to start, and the sandbox has 64", f.header.init_size = UINT32_MAX);
    BAD_BZ("MiB of memory to start", f.header.pref_address = UINT64_MAX);
    BAD_BZ("MiB of memory to start", f.header.pref_address = 0);
    BAD_BZ("MiB of memory to start", f.header.pref_address = 64 << 20);
}

static int release_of(const char *text, char *out, size_t size)
{
    struct bz_file f = good_bz();
    memset(f.setup + VERSION_AT, 0xff, 128);
    memcpy(f.setup + VERSION_AT, text, strlen(text) + 1);
    _cleanup_(fd_closep) int fd = file_of(&f, sizeof(f));
    return bzimage_release(fd, out, size);
}

Test(sandbox_boot, release)
{
    char out[BOOT_MAX_RELEASE];

    cr_expect_eq(release_of("6.1.0-56-cloud-amd64 (x) #1", out, sizeof(out)), 0);
    cr_expect_str_eq(out, "6.1.0-56-cloud-amd64");
    cr_expect_eq(release_of("6.1.0+_~x", out, sizeof(out)), 0);
    cr_expect_str_eq(out, "6.1.0+_~x");
    cr_expect_eq(release_of("6.1.0", out, 6), 0);
    cr_expect_eq(release_of("6.1.0", out, 5), -1, "no room");
    cr_expect_eq(release_of("", out, sizeof(out)), -1);
    cr_expect_eq(release_of(" 6.1.0", out, sizeof(out)), -1);
    cr_expect_eq(release_of("../../etc", out, sizeof(out)), -1);
    cr_expect_eq(release_of("..", out, sizeof(out)), -1);
    cr_expect_eq(release_of("6.1\n", out, sizeof(out)), -1);
    cr_expect_eq(release_of("1234567890123456789012345678901234567890123456789012345678901234567890", out,
                            sizeof(out)),
                 -1);

    struct bz_file f = good_bz();
    f.header.kernel_version = 0xfff0;
    _cleanup_(fd_closep) int fd = file_of(&f, sizeof(f));
    cr_expect_eq(bzimage_release(fd, out, sizeof(out)), -1, "behind the file");
    struct elf_file elf = good_elf();
    _cleanup_(fd_closep) int other = file_of(&elf, sizeof(elf));
    cr_expect_eq(bzimage_release(other, out, sizeof(out)), -1);
}

/* --- beside the kernel --------------------------------------------------------------------------------------------- */

Test(sandbox_boot, initramfs)
{
    static unsigned char bytes[10000];
    struct bz_file f = good_bz();
    _cleanup_(fd_closep) int kernel = file_of(&f, sizeof(f));
    _cleanup_(fd_closep) int initrd = file_of(bytes, sizeof(bytes));
    const struct setup_header *h;

    memset(bytes, 'i', sizeof(bytes));
    cr_assert_eq(pwrite(initrd, bytes, sizeof(bytes), 0), sizeof(bytes));
    fresh_memory(64);
    cr_assert_eq(load(kernel, initrd, ""), 0, "%s", err.message);
    h = &zero_page()->hdr;
    cr_expect_eq(h->ramdisk_size, sizeof(bytes));
    cr_expect_eq(h->ramdisk_image, (64 << 20) - 3 * 4096, "at the end of memory");
    cr_expect_eq(memcmp(memory_at(&memory, h->ramdisk_image, sizeof(bytes)), bytes, sizeof(bytes)), 0);

    f.header.initrd_addr_max = 0x17fffff;
    cr_assert_eq(pwrite(kernel, &f, sizeof(f), 0), sizeof(f));
    fresh_memory(64);
    cr_assert_eq(load(kernel, initrd, ""), 0, "%s", err.message);
    cr_expect_eq(zero_page()->hdr.ramdisk_image, 0x1800000 - 3 * 4096, "not above what the kernel can reach");

    f.header.initrd_addr_max = 0xfff;
    cr_assert_eq(pwrite(kernel, &f, sizeof(f), 0), sizeof(f));
    fresh_memory(64);
    cr_expect_eq(load(kernel, initrd, ""), -1, "it would be in the kernel");

    f.header.initrd_addr_max = 0x7fffffff;
    cr_assert_eq(pwrite(kernel, &f, sizeof(f), 0), sizeof(f));
    cr_assert_eq(ftruncate(initrd, 47 << 20), 0);
    fresh_memory(64);
    cr_expect_eq(load(kernel, initrd, ""), 0, "%s", err.message);
    cr_assert_eq(ftruncate(initrd, 48 << 20), 0);
    fresh_memory(64);
    cr_expect_eq(load(kernel, initrd, ""), -1);
    cr_expect(strstr(err.message, "does not fit behind the kernel"), "%s", err.message);
    cr_assert_eq(ftruncate(initrd, 0), 0);
    cr_expect_eq(load(kernel, initrd, ""), -1, "an empty one is a mistake");
}

Test(sandbox_boot, only_regular_files)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    fresh_memory(64);
    cr_expect_eq(load(ends[0], -1, ""), -1);
    cr_expect(strstr(err.message, "not a regular file"), "%s", err.message);
    close(ends[0]);
    close(ends[1]);
}

static void expect_memory_map(uint64_t mib, size_t n, uint64_t low_end, uint64_t high_end)
{
    struct elf_file f = good_elf();
    _cleanup_(fd_closep) int kernel = file_of(&f, sizeof(f));

    fresh_memory(mib);
    cr_assert_eq(load(kernel, -1, ""), 0, "%s", err.message);
    const struct boot_params *p = zero_page();
    cr_assert_eq(p->e820_entries, n);
    for (size_t i = 1; i < n; i++)
        cr_expect_geq(p->e820_table[i].addr, p->e820_table[i - 1].addr + p->e820_table[i - 1].size);
    cr_expect_eq(p->e820_table[1].type, 2, "firmware's");
    cr_expect_eq(p->e820_table[2].addr + p->e820_table[2].size, low_end);
    if (n > 3)
        cr_expect_eq(p->e820_table[3].addr + p->e820_table[3].size, high_end);
    cr_expect_eq(p->acpi_rsdp_addr, 0xe0000);
}

Test(sandbox_boot, memory_map)
{
    expect_memory_map(64, 3, 64 << 20, 0);
    expect_memory_map(3072, 3, MEMORY_HOLE_START, 0);
    expect_memory_map(5120, 4, MEMORY_HOLE_START, 6ULL << 30);
}

Test(sandbox_boot, command_line)
{
    static char out[BOOT_MAX_COMMAND_LINE + 1], more[BOOT_MAX_COMMAND_LINE + 1];
    struct bz_file f = good_bz();
    _cleanup_(fd_closep) int kernel = file_of(&f, sizeof(f));

    cr_assert_eq(boot_command_line(out, 2, false, "root=x", &err), 0);
    cr_expect(strstr(out, "reboot=k") && strstr(out, "panic=-1") && !strstr(out, "ttyS0"), "%s", out);
    cr_expect(strstr(out, " noreplace-smp "), "%s", out);
    cr_expect(strstr(out, " virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 root=x"),
              "%s", out);
    cr_assert_eq(boot_command_line(out, 0, true, NULL, &err), 0);
    cr_expect(strstr(out, "console=ttyS0") && !strstr(out, "virtio_mmio"), "%s", out);
    cr_assert_eq(boot_command_line(out, LAYOUT_MAX_VIRTIO, true, "", &err), 0, "%s", err.message);
    memset(more, 'm', sizeof(more) - 1);
    cr_expect_eq(boot_command_line(out, 0, false, more, &err), -1);

    fresh_memory(64);
    more[255] = '\0';
    cr_assert_eq(load(kernel, -1, more), 0, "%s", err.message);
    cr_expect_str_eq(memory_at(&memory, LAYOUT_COMMAND_LINE, 256), more);
    cr_expect_eq(load(kernel, -1, out), -1);
    cr_expect(strstr(err.message, "this kernel takes 255"), "%s", err.message);
}
