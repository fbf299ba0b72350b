/*
 * Whole-file reads and writes relative to a directory fd, and atomic replacement. All descriptors are close-on-exec.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

/** Open what the user named for reading, if it is a regular file: a fifo would wait for its writer for ever, a device would
 * do something. The descriptor and *st, or -1. */
int file_open_regular(int dirfd, const char *path, struct stat *st, struct error *err);

/** Read the whole of @path (below @dirfd) into the arena; NUL-terminated, *length may be NULL.
 *  Refuses what is not a regular file or procfs-like file of at most @max bytes. */
int file_read(int dirfd, const char *path, size_t max, struct arena *a, char **data, size_t *length,
              struct error *err);

/** The same from an open descriptor, from its current offset. */
int fd_read_all(int fd, size_t max, struct arena *a, char **data, size_t *length);

/** Write to an existing file (procfs, cgroupfs, a device) with a single write(2). */
int file_write(int dirfd, const char *path, const char *data, size_t length, struct error *err);

/** Write a temporary beside @name, rename it over @name: readers see the old or the new, never half. */
int file_replace(int dirfd, const char *name, mode_t mode, const char *data, size_t length,
                 struct error *err);

/** write(2) until all is written. 0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t length);

/** Remove the tree @name below @dirfd without following links or leaving its file system. ENOENT is success. */
int file_remove_tree(int dirfd, const char *name, struct error *err);

/** mkdir -p for a path of Hull's own (not a container's: see path.h). */
int file_mkdir_parents(const char *path, mode_t mode, struct error *err);
