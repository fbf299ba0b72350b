/*
 * The unpacker's inverse: a layer's tree, or a container's upper directory, in overlayfs's form becomes a tar archive as the
 * image specification wants it (layer.md, "Creating"): whiteouts and opaque marks as .wh. files, hard links, extended
 * attributes as SCHILY.xattr records of POSIX's extended headers. The same tree gives the same bytes: names are sorted,
 * nothing depends on the time, the directory's order or inode numbers.
 */
#pragma once

#include <stdbool.h>

#include "images/source.h"
#include "runtime/spec/spec.h"

enum { PACK_MAX_DEPTH = 500 /* directories in each other */ };

struct pack_source {
    struct source source;
    struct packer *state;
};

/** @tree stays the caller's. @root: begin with an entry "./" for it. */
int pack_source_init(struct pack_source *p, int tree, bool root, struct error *err);

/* What `hull cp` copies: files as they are, whatever their names mean to overlayfs or a layer. */
struct pack_copy {
    int fd;                            /* of what is copied: O_PATH */
    const char *name;                  /* in the archive; "" for a directory: its content, below "./" */
    const struct id_maps *uids, *gids; /* owners are those of this user namespace; none: as they are */
};
/** @c and its descriptor stay the caller's. Other file systems of the kernel's (proc and its kin) are empty directories. */
int pack_copy_init(struct pack_source *p, const struct pack_copy *c, struct error *err);

void pack_source_destroy(struct pack_source *p);
