/* See archive.h. */
#include "tests/unit/images/archive.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "images/skeleton.h"

int layers[4], skeletons[4];
static bool filled[4];
struct unpack_result result;
struct error err;
struct unpack_options options;
char scratch[32];

void tar_bytes(struct tar *t, const void *data, size_t length)
{
    if (t->length + length > t->size) {
        t->size = 2 * (t->length + length);
        t->data = realloc(t->data, t->size);
        cr_assert(t->data);
    }
    memcpy(t->data + t->length, data, length);
    t->length += length;
}

static void pad(struct tar *t)
{
    static const char zeros[512];

    tar_bytes(t, zeros, (512 - t->length % 512) % 512);
}

static void octal(char *field, size_t size, unsigned long n)
{
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; n >>= 3)
        field[i] = (char)('0' + (n & 7));
}

void tar_checksum(struct tar *t, size_t offset)
{
    unsigned char *h = (unsigned char *)t->data + offset;
    unsigned sum = 0;

    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += h[i];
    octal((char *)h + 148, 7, sum);
}

void tar_entry(struct tar *t, struct tar_entry e)
{
    char h[512] = {0};
    size_t size = e.content && !e.size ? strlen(e.content) : e.size;

    e.type = e.type ? e.type : '0';
    e.mode = e.mode ? e.mode : e.type == '5' ? 0755 : 0644;
    memcpy(h, e.name, strnlen(e.name, 100));
    octal(h + 100, 8, (unsigned long)e.mode);
    octal(h + 108, 8, (unsigned long)e.uid);
    octal(h + 116, 8, (unsigned long)e.gid);
    octal(h + 124, 12, (unsigned long)size);
    octal(h + 136, 12, (unsigned long)e.mtime);
    h[156] = e.type;
    if (e.link)
        memcpy(h + 157, e.link, strnlen(e.link, 100));
    memcpy(h + 257, e.gnu ? "ustar  " : "ustar\00000", 8);
    octal(h + 329, 8, (unsigned long)e.major);
    octal(h + 337, 8, (unsigned long)e.minor);
    tar_bytes(t, h, sizeof(h));
    tar_checksum(t, t->length - sizeof(h));
    if (e.content)
        tar_bytes(t, e.content, size);
    pad(t);
}

void tar_record(struct tar *t, char type, const char *key, const void *value, size_t size)
{
    size = size ? size : strlen(value);
    size_t rest = strlen(key) + size + 3, length = rest;
    char start[32];

    while (length != rest + (size_t)snprintf(start, sizeof(start), "%zu", length))
        length = rest + (size_t)snprintf(start, sizeof(start), "%zu", length);
    char *text = calloc(1, length + 1);
    cr_assert(text);
    int n = snprintf(text, length, "%zu %s=", length, key);
    memcpy(text + n, value, size);
    text[length - 1] = '\n';
    TAR(t, .name = "x", .type = type, .content = text, .size = length);
    free(text);
}

void tar_end(struct tar *t)
{
    static const char zeros[1024];

    tar_bytes(t, zeros, sizeof(zeros));
}

static ssize_t memory_read(struct source *s, const void **data, struct error *e)
{
    struct memory_source *m = (struct memory_source *)s;
    size_t n = m->length < m->block ? m->length : m->block;

    (void)e;
    memset(m->copy, 0xa5, sizeof(m->copy));
    memcpy(m->copy, m->data, n);
    *data = m->copy;
    m->data += n;
    m->length -= n;
    return (ssize_t)n;
}

void memory_source_init(struct memory_source *m, const void *data, size_t length, size_t block)
{
    cr_assert_leq(block, sizeof(m->copy));
    *m = (struct memory_source){.source.read = memory_read, .data = data, .length = length, .block = block};
}

void make_layers(void)
{
    strcpy(scratch, "/tmp/hull-unpack-XXXXXX");
    cr_assert(mkdtemp(scratch));
    for (size_t i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%zu", scratch, i);
        cr_assert_eq(mkdir(path, 0755), 0);
        layers[i] = open(path, O_RDONLY | O_DIRECTORY);
        snprintf(path, sizeof(path), "%s/%zu.skeleton", scratch, i);
        cr_assert_eq(mkdir(path, 0755), 0);
        skeletons[i] = open(path, O_RDONLY | O_DIRECTORY);
    }
}

void remove_layers(void)
{
    for (size_t i = 0; i < 4; i++) {
        close(layers[i]);
        close(skeletons[i]);
    }
    cr_expect_eq(file_remove_tree(AT_FDCWD, scratch, &err), 0, "%s", err.message);
}

static int give_below(void *context, struct stack *below, struct error *e)
{
    (void)e;
    for (size_t i = *(size_t *)context + 1; i < 4; i++)
        if (filled[i])
            below->trees[below->n++] = openat(layers[i], ".", O_PATH | O_DIRECTORY);
    return 0;
}

int unpack_at(size_t at, const struct tar *t, size_t block)
{
    static struct memory_source m;
    struct unpack_options o = options;

    memory_source_init(&m, t->data, t->length, block);
    o.below = give_below;
    o.context = &at;
    o.keep_skeleton = true;
    o.skeleton = skeletons[at];
    filled[at] = true;
    return unpack_layer(&m.source, layers[at], &o, &result, &err);
}

void must_unpack_at(size_t at, struct tar *t)
{
    struct skeleton_source s;
    const void *data;
    size_t length = 0;
    ssize_t n;

    cr_assert_eq(unpack_at(at, t, 10240), 0, "%s", err.message);
    cr_assert_eq(skeleton_source_init(&s, skeletons[at], layers[at], &err), 0, "%s", err.message);
    while ((n = s.source.read(&s.source, &data, &err)) > 0) {
        cr_assert_leq(length + (size_t)n, t->length);
        cr_assert_eq(memcmp(t->data + length, data, (size_t)n), 0, "the skeleton differs after %zu bytes",
                     length);
        length += (size_t)n;
    }
    cr_assert_eq(n, 0, "%s", err.message);
    cr_assert_eq(length, t->length);
    skeleton_source_destroy(&s);
    free(t->data);
    *t = (struct tar){0};
}

void must_refuse(struct tar *t, const char *text)
{
    tar_end(t);
    cr_expect_lt(unpack_at(0, t, 10240), 0, "accepted; should say: %s", text);
    cr_expect(strstr(err.message, text), "\"%s\" lacks \"%s\"", err.message, text);
    for (const char *c = err.message; *c; c++)
        cr_expect(*c >= ' ' || (unsigned char)*c >= 0x80, "a control character: %s", err.message);
    cr_expect_not(exists_at(AT_FDCWD, "/tmp/hull-unpack-outside"));
    free(t->data);
    *t = (struct tar){0};
}

struct stat stat_at(int dir, const char *path)
{
    struct stat st = {0};

    cr_assert_eq(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0, "%s: %s", path, strerror(errno));
    return st;
}

bool exists_at(int dir, const char *path)
{
    struct stat st;

    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

const char *content_at(int dir, const char *path)
{
    static char buffer[1 << 20];
    int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

    cr_assert_geq(n, 0, "%s: %s", path, strerror(errno));
    close(fd);
    buffer[n] = '\0';
    return buffer;
}
