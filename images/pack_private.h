/* What the files of the packer share: see pack.c. */
#pragma once

#include <sys/stat.h>

#include "images/pack.h"

/* Bytes that grow; at most PACK_HEADER_MAX, which no file's attributes reach. */
enum { TAR_BLOCK = 512, PACK_HEADER_MAX = 16 << 20 };
struct pack_bytes {
    char *data;
    size_t length, size;
};
int pack_bytes_add(struct pack_bytes *b, const void *data, size_t length, struct error *err);

struct pack_entry {
    const char *path; /* with "/" at a directory's end */
    const char *link; /* target of a symbolic or hard link, or NULL */
    char type;        /* ustar's typeflag */
    struct stat st;
    int fd; /* for its extended attributes: O_PATH will do; -1: none are asked for */
};

/** Append @e's header, with an extended one before it where that is needed. */
int pack_header(struct pack_bytes *out, const struct pack_entry *e, struct error *err);
