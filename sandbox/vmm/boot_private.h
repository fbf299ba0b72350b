/* Between boot.c and the two kinds of kernel. */
#pragma once

#include <asm/bootparam.h>

#include "sandbox/vmm/boot.h"

struct kernel {
    uint64_t entry;             /* of 64-bit code */
    uint64_t end;               /* of the memory that the kernel needs before it has found the initramfs */
    uint64_t initrd_max;        /* the last address that the initramfs may have */
    uint32_t command_line_max;  /* without the NUL */
    struct setup_header header; /* for the zero page */
};

/** pread until all is there. @what names the part in messages; a file that ends before is an error. */
int boot_read(int fd, void *to, uint64_t length, uint64_t offset, const char *what, struct error *err);

/** @start + @length may be written by a kernel's image: in low memory, from 1 MiB on, in what the first page tables map. */
void *boot_target(const struct guest_memory *m, uint64_t start, uint64_t length);

/* Into @m; @size is the file's. Both are told by the file's first bytes. */
int elf_load(int fd, uint64_t size, const struct guest_memory *m, struct kernel *k, struct error *err);
int bzimage_load(int fd, uint64_t size, const struct guest_memory *m, struct kernel *k, struct error *err);
