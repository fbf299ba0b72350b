/*
 * The files of an image archive by name: a directory, or a tar archive as if it were one. What is read from standard input,
 * or is compressed, is first written plainly into a temporary file.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "images/source.h"

struct image_file {
    const char *name; /* clean: no leading "/" or "./" */
    const char *link; /* what a link leads to, as it is written; NULL: a regular file */
    bool hard;        /* the link is a hard one: its name is from the root */
    unsigned ordinal; /* which entry of the archive */
    uint64_t size;
};

struct image_files {
    struct arena *arena;
    const char *path;
    int fd; /* the directory, or the archive */
    bool is_directory;
    struct image_file *files; /* of an archive */
    size_t n;
};

/** @path "-": standard input. @spool: a directory for a temporary file. */
int image_files_open(struct image_files *f, struct arena *a, const char *path, int spool, struct error *err);
void image_files_close(struct image_files *f);

bool image_files_has(const struct image_files *f, const char *name);

/** The whole of a small file. ENOENT in err->code when it is not there. */
int image_files_read(const struct image_files *f, struct arena *a, const char *name, char **data,
                     size_t *length, struct error *err);

/** Its bytes; any number at once, in any thread. */
int image_files_source(const struct image_files *f, const char *name, struct source **out, struct error *err);
void image_files_source_free(struct source *s);
