/*
 * Skeletons as they are made; see skeleton.h. libarchive says where content is when it hands it out; until then a block's
 * bytes may be either. When the next block comes all content of the one before has been called so, and the rest of it is
 * none: libarchive hands out what it has of a file before it asks for more.
 *
 * Literal bytes gather in a buffer until content comes between; content that goes on where it ended is one record.
 */
/* #syscalls: openat fstat linkat unlinkat write */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "images/skeleton_private.h"

enum {
    LITERAL = 64 << 10,
    OUTPUT = 64 << 10,
    LEVEL = 1,          /* headers: a higher one saves little */
    SCAN_MAX = 1 << 28, /* inode numbers looked at in all, for files that are replaced */
};

struct skeleton_writer {
    int dir, file;
    bool lost; /* some content that cannot be had again */
    /* The last block, and how far it was dealt with. */
    const unsigned char *block;
    uint64_t block_at, block_length, done;
    uint64_t offset, length; /* content not written yet */
    int fd;                  /* of a file that has no record yet, or -1 */
    char path[4096 + 256];   /* its */
    /* Of files in order of their records. */
    ino_t *inodes;
    size_t n_files, max_files, scanned;
    size_t n_literal;
    unsigned char literal[LITERAL], output[OUTPUT];
    ZSTD_CStream *zstd;
};

static int compress(struct skeleton_writer *w, const void *data, size_t length, ZSTD_EndDirective how,
                    struct error *err)
{
    ZSTD_inBuffer in = {.src = data, .size = length};
    size_t left;

    do {
        ZSTD_outBuffer out = {.dst = w->output, .size = OUTPUT};
        left = ZSTD_compressStream2(w->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            return error_set(err, 0, "compress the skeleton: %s", ZSTD_getErrorName(left));
        if (fd_write_all(w->file, w->output, out.pos) < 0)
            return error_set(err, errno, "write the skeleton");
    } while (in.pos < in.size || (how == ZSTD_e_end && left));
    return 0;
}

static size_t put_number(unsigned char *to, uint64_t n)
{
    size_t i = 0;

    for (; n >= 0x80; n >>= 7)
        to[i++] = (unsigned char)(n | 0x80);
    to[i++] = (unsigned char)n;
    return i;
}

static int put_record(struct skeleton_writer *w, char type, uint64_t a, const uint64_t *b, struct error *err)
{
    unsigned char record[1 + 2 * SKELETON_NUMBER_MAX] = {(unsigned char)type};
    size_t n = 1 + put_number(record + 1, a);

    if (b)
        n += put_number(record + n, *b);
    return compress(w, record, n, ZSTD_e_continue, err);
}

static int flush_literal(struct skeleton_writer *w, struct error *err)
{
    size_t n = w->n_literal;

    w->n_literal = 0;
    if (n == 0)
        return 0;
    return put_record(w, SKELETON_LITERAL, n, NULL, err) < 0
               ? -1
               : compress(w, w->literal, n, ZSTD_e_continue, err);
}

static int flush_content(struct skeleton_writer *w, struct error *err)
{
    uint64_t length = w->length;

    w->length = 0;
    return length ? put_record(w, SKELETON_CONTENT, w->offset, &length, err) : 0;
}

/* What stands in the block before @position, and has not been called content, is none. */
static int settle(struct skeleton_writer *w, uint64_t position, struct error *err)
{
    if (position > w->done && flush_content(w, err) < 0)
        return -1;
    while (position > w->done) {
        size_t n = LITERAL - w->n_literal;
        if (n > position - w->done)
            n = (size_t)(position - w->done);
        memcpy(w->literal + w->n_literal, w->block + (w->done - w->block_at), n);
        w->n_literal += n;
        w->done += n;
        if (w->n_literal == LITERAL && flush_literal(w, err) < 0)
            return -1;
    }
    return 0;
}

int skeleton_settle(struct skeleton_writer *w, struct error *err)
{
    return settle(w, w->block_at + w->block_length, err);
}

void skeleton_block(struct skeleton_writer *w, const void *data, size_t length)
{
    w->block_at += w->block_length;
    w->block = data;
    w->block_length = length;
}

int skeleton_file(struct skeleton_writer *w, int fd, const char *parent, const char *name, struct error *err)
{
    if (flush_content(w, err) < 0)
        return -1;
    w->fd = fd;
    snprintf(w->path, sizeof(w->path), "%s%s%s", parent, *parent ? "/" : "", name);
    return 0;
}

/* The file's record, before its first content. */
static int begin_file(struct skeleton_writer *w, struct error *err)
{
    struct stat st;

    if (fstat(w->fd, &st) < 0)
        return error_set(err, errno, "look at it");
    if (w->n_files == w->max_files) {
        size_t max = w->max_files ? 2 * w->max_files : 1024;
        ino_t *inodes = reallocarray(w->inodes, max, sizeof(*inodes));
        if (!inodes)
            return error_set(err, ENOMEM, "the skeleton");
        w->inodes = inodes;
        w->max_files = max;
    }
    w->inodes[w->n_files++] = st.st_ino;
    w->fd = -1;
    return put_record(w, SKELETON_FILE, strlen(w->path), NULL, err) < 0
               ? -1
               : compress(w, w->path, strlen(w->path), ZSTD_e_continue, err);
}

int skeleton_content(struct skeleton_writer *w, uint64_t position, size_t length, uint64_t offset,
                     struct error *err)
{
    const uint64_t end = position + length;

    if (position < w->done) { /* settled already: it is in the skeleton */
        offset += w->done - position;
        position = w->done;
    }
    if (position >= end || end > w->block_at + w->block_length)
        return 0;
    if (settle(w, position, err) < 0)
        return -1;
    if (w->fd < 0 && w->length && w->offset + w->length == offset) {
        w->length += end - position;
    } else {
        if (flush_content(w, err) < 0 || flush_literal(w, err) < 0 || (w->fd >= 0 && begin_file(w, err) < 0))
            return -1;
        w->offset = offset;
        w->length = end - position;
    }
    w->done = end;
    return 0;
}

static bool is_empty(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            return false;
    return dir;
}

void skeleton_replaced(struct skeleton_writer *w, int parent, const char *name, const struct stat *st)
{
    char number[24];

    if (S_ISDIR(st->st_mode) && !is_empty(parent, name)) /* what is in it is not looked for: rare */
        w->lost = true;
    if (!S_ISREG(st->st_mode) || w->lost)
        return;
    for (size_t i = w->n_files; i-- > 0 && w->scanned < SCAN_MAX; w->scanned++) {
        if (w->inodes[i] != st->st_ino)
            continue;
        snprintf(number, sizeof(number), "%zu", i);
        w->lost = linkat(parent, name, w->dir, number, 0) < 0 && errno != EEXIST;
        return;
    }
    w->lost = w->scanned == SCAN_MAX;
}

void skeleton_abandon(struct skeleton_writer *w)
{
    if (!w)
        return;
    ZSTD_freeCStream(w->zstd);
    fd_closep(&w->file);
    free(w->inodes);
    free(w);
}

int skeleton_begin(int dir, struct skeleton_writer **out, struct error *err)
{
    struct skeleton_writer *w = calloc(1, sizeof(*w));

    if (!w)
        return error_set(err, ENOMEM, "the skeleton");
    w->dir = dir;
    w->fd = -1;
    w->file = openat(dir, SKELETON_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    w->zstd = ZSTD_createCStream();
    if (w->file < 0)
        error_set(err, errno, "make the skeleton");
    else if (!w->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL)))
        error_set(err, ENOMEM, "the skeleton");
    else {
        *out = w;
        return 0;
    }
    skeleton_abandon(w);
    return -1;
}

int skeleton_end(struct skeleton_writer **w, struct error *err)
{
    struct skeleton_writer *s = *w;
    int rc = 0;

    if (skeleton_settle(s, err) < 0 || flush_content(s, err) < 0 || flush_literal(s, err) < 0 ||
        compress(s, NULL, 0, ZSTD_e_end, err) < 0)
        rc = -1;
    else if (s->lost && unlinkat(s->dir, SKELETON_NAME, 0) < 0)
        rc = error_set(err, errno, "remove the skeleton");
    skeleton_abandon(steal_ptr(w));
    return rc;
}
