/*
 * Hostile layers: whatever the archive says, nothing appears beside the tree; what was unpacked gives its stream again bit by
 * bit; and it packs to a layer that unpacks. A second layer is laid over what the first left, so that look-ups below count.
 *
 * Headers get the checksum they need, and so does the fuzzer get to what is behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "images/extract.h"
#include "images/pack.h"
#include "images/skeleton.h"
#include "images/unpack.h"

enum { BLOCK = 512, SIZE_MAX_IN = 256 << 10, OUT_MAX = 32 << 20 };

static char top[] = "/dev/shm/hull-fuzz-XXXXXX";
static const char *const names[] = {"below", "tree", "skeleton", "again"};
enum { BELOW, TREE, SKELETON, AGAIN, DIRECTORIES };
static int top_fd, fds[DIRECTORIES];
static struct error err;

static void check(bool good)
{
    if (!good)
        abort();
}

struct memory {
    struct source source;
    const unsigned char *data;
    size_t length, block;
};

static ssize_t memory_read(struct source *s, const void **data, struct error *e)
{
    struct memory *m = (struct memory *)s;
    size_t n = m->length < m->block ? m->length : m->block;

    (void)e;
    *data = m->data;
    m->data += n;
    m->length -= n;
    return (ssize_t)n;
}

static void remove_scratch(void)
{
    file_remove_tree(AT_FDCWD, top, &err);
}

static void make_scratch(void)
{
    check(mkdtemp(top));
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(top_fd >= 0);
    atexit(remove_scratch);
}

static void make_directories(void)
{
    for (size_t i = 0; i < DIRECTORIES; i++) {
        check(mkdirat(top_fd, names[i], 0755) == 0);
        fds[i] = openat(top_fd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(fds[i] >= 0);
    }
}

/* Those that were made, and nothing else is there. */
static void remove_directories(void)
{
    for (size_t i = 0; i < DIRECTORIES; i++) {
        close(fds[i]);
        if (file_remove_tree(top_fd, names[i], &err) < 0)
            abort();
    }
    check(unlinkat(AT_FDCWD, top, AT_REMOVEDIR) == 0); /* empty, then */
    check(mkdir(top, 0700) == 0);
    close(top_fd);
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(top_fd >= 0);
}

static int give_below(void *context, struct stack *below, struct error *e)
{
    (void)context, (void)e;
    below->trees[below->n++] = openat(fds[BELOW], ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static bool may_guess;

static int unpack(struct source *from, int tree, bool skeleton)
{
    struct unpack_options o = {.max_entries = 200, .max_directories = 100};
    struct unpack_result result;

    if (tree == fds[TREE])
        o.below = give_below;
    o.may_guess = may_guess;
    o.keep_skeleton = skeleton;
    o.skeleton = fds[SKELETON];
    int rc = unpack_layer(from, tree, &o, &result, &err);
    check(rc == 0 || err.message[0]);
    return rc;
}

static int unpack_bytes(const unsigned char *data, size_t length, size_t block, int tree, bool skeleton)
{
    struct memory m = {.source.read = memory_read, .data = data, .length = length, .block = block};

    return unpack(&m.source, tree, skeleton);
}

static void remake(const unsigned char *data, size_t length)
{
    struct skeleton_source s;
    const void *piece;
    ssize_t n;

    if (skeleton_source_init(&s, fds[SKELETON], fds[TREE], &err) < 0) {
        check(err.code == ENOENT); /* given up: see skeleton.h */
        return;
    }
    while ((n = s.source.read(&s.source, &piece, &err)) > 0) {
        check((size_t)n <= length && memcmp(data, piece, (size_t)n) == 0);
        data += n;
        length -= (size_t)n;
    }
    check(n == 0 && length == 0);
    skeleton_source_destroy(&s);
}

/* Stops a sparse file of some terabytes from being read to its end. */
struct limit {
    struct source source, *from;
    size_t left;
};

static ssize_t limit_read(struct source *s, const void **data, struct error *e)
{
    struct limit *l = (struct limit *)s;
    ssize_t n = l->from->read(l->from, data, e);

    if (n > 0 && (size_t)n > l->left)
        return error_set(e, EFBIG, "limit");
    l->left -= n > 0 ? (size_t)n : 0;
    return n;
}

static void pack_again(void)
{
    struct pack_source p;
    struct limit l = {.source.read = limit_read, .from = &p.source, .left = OUT_MAX};

    if (pack_source_init(&p, fds[TREE], true, &err) == 0)
        check(unpack(&l.source, fds[AGAIN], false) == 0 || err.code == EFBIG || err.code == ENAMETOOLONG ||
              strstr(err.message, "cannot be in"));
    pack_source_destroy(&p);
}

/* What `hull cp` does with an archive, onto what the others left. */
static void extract(const unsigned char *data, size_t length, size_t block, const char *from)
{
    static const struct extract_options o = {.keep_owners = true, .overwrite = true};
    const struct extract_place place = {.dir = fds[AGAIN], .from = from, .name = *from ? "renamed" : ""};
    struct memory m = {.source.read = memory_read, .data = data, .length = length, .block = block};
    struct extractor *x = NULL;
    enum extract_kind kind;

    err = (struct error){0};
    check((extract_begin(&m.source, &x, &kind, &err) == 0 && extract_to(x, &place, &o, &err) == 0) ||
          err.message[0]);
    extract_end(x);
}

static void fix_checksums(unsigned char *data, size_t length)
{
    for (size_t at = 0; at + BLOCK <= length; at += BLOCK) {
        unsigned char *h = data + at;
        unsigned sum = 0;
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        memset(h + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
            sum += h[i];
        for (size_t i = 6; i-- > 0; sum >>= 3)
            h[148 + i] = (unsigned char)('0' + (sum & 7));
        h[154] = '\0';
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char copy[SIZE_MAX_IN];
    static const size_t blocks[] = {1 << 20, 10240, 513, 100};

    if (size < 2 || size > SIZE_MAX_IN)
        return 0;
    if (top_fd == 0)
        make_scratch();
    may_guess = data[0] & 4;
    size_t block = blocks[data[0] % ARRAY_SIZE(blocks)], first = (size_t)data[1] * BLOCK;
    data += 2;
    size -= 2;
    first = first < size ? first : 0;
    memcpy(copy, data, size);
    fix_checksums(copy, first);
    fix_checksums(copy + first, size - first);
    make_directories();
    unpack_bytes(copy, first, block, fds[BELOW], false);
    if (unpack_bytes(copy + first, size - first, block, fds[TREE], true) == 0) {
        remake(copy + first, size - first);
        pack_again();
    }
    extract(copy + first, size - first, block, "");
    extract(copy + first, size - first, block, "a");
    remove_directories();
    return 0;
}
