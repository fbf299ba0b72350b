/* A cpio archive in the "newc" format, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct cpio {
    int fd;
    uint32_t inode;
    uint64_t length; /* written so far */
};

/* Parents come before what is in them; a name has no leading slash. */
int cpio_directory(struct cpio *c, const char *name, struct error *err);
int cpio_console(struct cpio *c, const char *name, struct error *err); /* character device 5:1 */
int cpio_data(struct cpio *c, const char *name, const void *data, size_t length, struct error *err);
/** The contents of @from, which has @length bytes. */
int cpio_file(struct cpio *c, const char *name, mode_t mode, int from, uint64_t length, struct error *err);
int cpio_end(struct cpio *c, struct error *err);
