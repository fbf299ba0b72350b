/* Archives made byte by byte, and what the unpacker makes of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "images/source.h"
#include "images/unpack.h"

/* An archive that grows. */
struct tar {
    char *data;
    size_t length, size;
};

struct tar_entry {
    const char *name;
    char type; /* 0: '0' */
    int mode;  /* 0: 0644, or 0755 of a directory */
    long uid, gid, mtime;
    const char *link, *content;
    size_t size; /* of content; 0: its strlen */
    unsigned major, minor;
    bool gnu; /* the magic of GNU's old format */
};

void tar_bytes(struct tar *t, const void *data, size_t length);
void tar_entry(struct tar *t, struct tar_entry e);
#define TAR(t, ...) tar_entry(t, (struct tar_entry){__VA_ARGS__})
/** An extended header before the next entry: one record, its value of @size bytes (0: its strlen). @type: 'x' or 'g'. */
void tar_record(struct tar *t, char type, const char *key, const void *value, size_t size);
void tar_end(struct tar *t);
/** Fill in the checksum of the header at @offset. */
void tar_checksum(struct tar *t, size_t offset);

/* Memory as a source that comes in blocks of @block bytes. */
struct memory_source {
    struct source source;
    const char *data;
    size_t length, block;
    char copy
        [64
         << 10]; /* the block, at another address each time its content changes: as real ones are overwritten */
};
void memory_source_init(struct memory_source *m, const void *data, size_t length, size_t block);

/* --- unpacking ------------------------------------------------------------------------------------------------------ */

extern int
    layers[4]; /* empty directories, made before and removed after each test: [0] is what is unpacked into */
extern int skeletons[4];
extern struct unpack_result result;
extern struct error err;
extern struct unpack_options options;
extern char scratch[32]; /* the directory that holds them */

void make_layers(void);
void remove_layers(void);

/** Unpack into layers[at], with layers[at + 1 ...] (those that were unpacked into) below. */
int unpack_at(size_t at, const struct tar *t, size_t block);
/** It must succeed, and the skeleton give the same bytes again. */
void must_unpack_at(size_t at, struct tar *t);
#define must_unpack(t) must_unpack_at(0, t)
/** It must fail, with @text in the message, and nothing may be outside the tree. */
void must_refuse(struct tar *t, const char *text);

struct stat stat_at(int dir, const char *path);
bool exists_at(int dir, const char *path);
/** The whole file, in a buffer that the next call overwrites. */
const char *content_at(int dir, const char *path);
