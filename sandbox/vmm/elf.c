/*
 * vmlinux: an ELF executable for x86-64 (System V ABI, gABI chapter 5), whose segments go to their physical addresses and
 * whose entry is the physical address of startup_64.
 *
 * Hostile until checked: the number of headers is bounded, each segment lies wholly in the file and in the memory that
 * boot_target() allows, the entry lies in a segment's bytes from the file. Nothing is followed from one place to
 * another, so there is no loop to be caught in; and the sum of what is read is bounded, as segments may name the same bytes.
 */
#include <elf.h>
#include <string.h>

#include "sandbox/vmm/boot_private.h"
#include "sandbox/vmm/layout.h"

enum { MAX_HEADERS = 64, PAGE = 4096 };

static int check_header(const Elf64_Ehdr *h, struct error *err)
{
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
        return error_set(err, 0, "the kernel is an ELF file, but not for x86-64");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return error_set(err, 0, "the kernel is an ELF file, but not executable");
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > MAX_HEADERS)
        return error_set(err, 0,
                         "the kernel's ELF file has %u program headers of %u bytes, not 1 to %d of %zu",
                         h->e_phnum, h->e_phentsize, MAX_HEADERS, sizeof(Elf64_Phdr));
    return 0;
}

static int load_segment(int fd, const Elf64_Phdr *p, const struct guest_memory *m, struct error *err)
{
    void *to = boot_target(m, p->p_paddr, p->p_memsz);

    if (p->p_filesz > p->p_memsz || !to)
        return error_set(
            err, 0, "the kernel's segment of %llu bytes (%llu in the file) at %#llx does not fit",
            (unsigned long long)p->p_memsz, (unsigned long long)p->p_filesz, (unsigned long long)p->p_paddr);
    return p->p_filesz ? boot_read(fd, to, p->p_filesz, p->p_offset, "kernel's segment", err) : 0;
}

int elf_load(int fd, uint64_t size, const struct guest_memory *m, struct kernel *k, struct error *err)
{
    Elf64_Phdr headers[MAX_HEADERS];
    Elf64_Ehdr h;
    uint64_t bytes = 0;
    bool entry = false;

    if (boot_read(fd, &h, sizeof(h), 0, "kernel's ELF header", err) || check_header(&h, err) ||
        boot_read(fd, headers, h.e_phnum * sizeof(headers[0]), h.e_phoff, "kernel's program headers", err))
        return -1;
    *k = (struct kernel){
        .entry = h.e_entry, .initrd_max = UINT32_MAX, .command_line_max = BOOT_MAX_COMMAND_LINE};
    for (size_t i = 0; i < h.e_phnum; i++) {
        const Elf64_Phdr *p = &headers[i];
        if (p->p_type != PT_LOAD || p->p_memsz == 0)
            continue;
        if (p->p_filesz > size - bytes)
            return error_set(err, 0, "the kernel's segments have more bytes than its file");
        bytes += p->p_filesz;
        if (load_segment(fd, p, m, err))
            return -1;
        entry |= h.e_entry >= p->p_paddr && h.e_entry - p->p_paddr < p->p_filesz;
        if (p->p_paddr + p->p_memsz > k->end)
            k->end = p->p_paddr + p->p_memsz;
    }
    if (!entry)
        return error_set(err, 0, "the kernel's entry %#llx is in none of its segments",
                         (unsigned long long)h.e_entry);
    k->end = (k->end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    k->header = (struct setup_header){.kernel_alignment = 16 << 20, .cmdline_size = k->command_line_max};
    return 0;
}
