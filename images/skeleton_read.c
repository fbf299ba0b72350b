/*
 * A layer's tar stream from its skeleton and its tree; see skeleton.h. The skeleton is Hull's own, but it was on a disk since:
 * each number in it is checked, and the stream's digest is for the caller to compare.
 */
/* #syscalls: openat fstat pread64 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "images/skeleton_private.h"

enum { CONTENT_BLOCK = 256 << 10, PATH_SIZE = 4096 + 256 };

struct skeleton_reader {
    int dir, tree, file, content; /* descriptors: content is the current file's */
    size_t n_files;
    struct file_source raw;
    struct decompress_source records;
    const unsigned char *at;
    size_t available;
    uint64_t literal;        /* bytes of an 'L' record still to come */
    uint64_t offset, length; /* of a 'C' record still to come */
    char path[PATH_SIZE];
    unsigned char buffer[CONTENT_BLOCK];
};

static int damaged(struct error *err)
{
    return error_set(err, 0, "the layer's skeleton is damaged");
}

/* 1: there are bytes; 0: the end. */
static int more(struct skeleton_reader *r, struct error *err)
{
    const void *data;

    if (r->available)
        return 1;
    ssize_t n = r->records.source.read(&r->records.source, &data, err);
    if (n <= 0)
        return (int)n;
    r->at = data;
    r->available = (size_t)n;
    return 1;
}

static int get_byte(struct skeleton_reader *r, unsigned char *byte, struct error *err)
{
    int rc = more(r, err);

    if (rc <= 0)
        return rc < 0 ? -1 : damaged(err);
    *byte = *r->at++;
    r->available--;
    return 0;
}

static int get_number(struct skeleton_reader *r, uint64_t *n, struct error *err)
{
    unsigned char byte = 0;

    *n = 0;
    for (unsigned i = 0; i < SKELETON_NUMBER_MAX; i++) {
        if (get_byte(r, &byte, err) < 0)
            return -1;
        *n |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return 0;
    }
    return damaged(err);
}

static int get_literal(struct skeleton_reader *r, struct error *err)
{
    return get_number(r, &r->literal, err);
}

static int get_content(struct skeleton_reader *r, struct error *err)
{
    if (get_number(r, &r->offset, err) < 0 || get_number(r, &r->length, err) < 0)
        return -1;
    return r->content < 0 || r->offset > INT64_MAX || r->length > INT64_MAX - r->offset ? damaged(err) : 0;
}

/* The one of the tree, or the one that was kept because a later one replaced it. */
static int get_file(struct skeleton_reader *r, struct error *err)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    unsigned char byte = 0;
    uint64_t length = 0;
    char number[24];
    struct stat st;

    if (get_number(r, &length, err) < 0)
        return -1;
    if (length >= PATH_SIZE)
        return damaged(err);
    for (uint64_t i = 0; i < length; i++) {
        if (get_byte(r, &byte, err) < 0)
            return -1;
        r->path[i] = (char)byte;
    }
    r->path[length] = '\0';
    fd_closep(&r->content);
    snprintf(number, sizeof(number), "%zu", r->n_files++);
    r->content = openat(r->dir, number, flags);
    if (r->content < 0)
        r->content = path_open(r->tree, r->path, flags, 0);
    if (r->content < 0 || fstat(r->content, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, 0, "the layer's tree was altered: %s is missing", r->path);
    return 0;
}

static const struct {
    unsigned char type;
    int (*get)(struct skeleton_reader *r, struct error *err);
} records[] = {
    {SKELETON_LITERAL, get_literal},
    {SKELETON_CONTENT, get_content},
    {SKELETON_FILE, get_file},
};

/* 1: a record; 0: the end. */
static int next_record(struct skeleton_reader *r, struct error *err)
{
    unsigned char type = 0;
    int rc = more(r, err);

    if (rc <= 0)
        return rc;
    if (get_byte(r, &type, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(records); i++)
        if (records[i].type == type)
            return records[i].get(r, err) < 0 ? -1 : 1;
    return damaged(err);
}

static ssize_t give_literal(struct skeleton_reader *r, const void **data, struct error *err)
{
    int rc = more(r, err);

    if (rc <= 0)
        return rc < 0 ? -1 : damaged(err);
    size_t n = r->available < r->literal ? r->available : (size_t)r->literal;
    *data = r->at;
    r->at += n;
    r->available -= n;
    r->literal -= n;
    return (ssize_t)n;
}

static ssize_t give_content(struct skeleton_reader *r, const void **data, struct error *err)
{
    size_t want = r->length < CONTENT_BLOCK ? (size_t)r->length : CONTENT_BLOCK;
    ssize_t n = pread(r->content, r->buffer, want, (off_t)r->offset);

    if (n <= 0)
        return error_set(err, n ? errno : 0, "the layer's tree was altered: %s%s", r->path,
                         n ? "" : " is too short");
    *data = r->buffer;
    r->offset += (uint64_t)n;
    r->length -= (uint64_t)n;
    return n;
}

static ssize_t skeleton_read(struct source *s, const void **data, struct error *err)
{
    struct skeleton_reader *r = ((struct skeleton_source *)s)->state;

    for (;;) {
        if (r->literal)
            return give_literal(r, data, err);
        if (r->length)
            return give_content(r, data, err);
        int rc = next_record(r, err);
        if (rc <= 0)
            return rc;
    }
}

int skeleton_source_init(struct skeleton_source *s, int skeleton, int tree, struct error *err)
{
    struct skeleton_reader *r = calloc(1, sizeof(*r));

    *s = (struct skeleton_source){.source.read = skeleton_read, .state = r};
    if (!r)
        return error_set(err, ENOMEM, "the skeleton");
    r->dir = skeleton;
    r->tree = tree;
    r->content = -1;
    r->file = openat(skeleton, SKELETON_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (r->file < 0)
        error_set(err, errno, "open the layer's skeleton");
    else if (file_source_init(&r->raw, r->file, err) == 0 &&
             decompress_source_init(&r->records, &r->raw.source, err) == 0)
        return 0;
    skeleton_source_destroy(s);
    return -1;
}

void skeleton_source_destroy(struct skeleton_source *s)
{
    struct skeleton_reader *r = s->state;

    if (!r)
        return;
    decompress_source_destroy(&r->records);
    file_source_destroy(&r->raw);
    fd_closep(&r->file);
    fd_closep(&r->content);
    free(r);
    s->state = NULL;
}
