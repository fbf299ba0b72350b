/*
 * The unpacker and its inverses for tests and measurements, without a store:
 *
 *     layer unpack TREE SKELETON [BELOW...]   a blob on standard input; prints the layer's diff_id. SKELETON "-": none
 *     layer again TREE SKELETON               the tar stream that was unpacked
 *     layer pack TREE [gzip|zstd]             the tree as a new layer
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "images/pack.h"
#include "images/skeleton.h"
#include "images/unpack.h"

static struct error err;

static int fail(void)
{
    fprintf(stderr, "layer: %s\n", err.message);
    return 1;
}

static int directory(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int give_below(void *context, struct stack *below, struct error *e)
{
    for (char **path = context; *path; path++) {
        int fd = open(*path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return error_set(e, ENOENT, "%s", *path);
        below->trees[below->n++] = fd;
    }
    return 0;
}

static int unpack(char **argv)
{
    struct unpack_options o = {.below = give_below, .context = argv + 2};
    struct unpack_result result;
    struct decompress_source plain;
    struct file_source file;
    struct hash_source hash;
    char digest[DIGEST_SIZE];

    o.keep_skeleton = strcmp(argv[1], "-") != 0;
    o.skeleton = o.keep_skeleton ? directory(argv[1]) : -1;
    if (file_source_init(&file, STDIN_FILENO, &err) < 0 ||
        decompress_source_init(&plain, &file.source, &err) < 0 ||
        hash_source_init(&hash, &plain.source, &err) < 0 ||
        unpack_layer(&hash.source, directory(argv[0]), &o, &result, &err) < 0 ||
        hash_source_digest(&hash, digest, &err) < 0)
        return fail();
    printf("%s %s\n", digest, result.depends ? "depends" : "alone");
    return 0;
}

static int copy(struct source *s)
{
    const void *data;
    ssize_t n;

    while ((n = s->read(s, &data, &err)) > 0)
        if (fd_write_all(STDOUT_FILENO, data, (size_t)n) < 0)
            return 1;
    return n < 0 ? fail() : 0;
}

static int again(char **argv)
{
    struct skeleton_source s;

    return skeleton_source_init(&s, directory(argv[1]), directory(argv[0]), &err) < 0 ? fail()
                                                                                      : copy(&s.source);
}

static int pack(char **argv)
{
    struct pack_source tar;
    struct compress_source blob;
    enum compression how = !argv[1]                       ? COMPRESSION_NONE
                           : strcmp(argv[1], "gzip") == 0 ? COMPRESSION_GZIP
                                                          : COMPRESSION_ZSTD;

    return pack_source_init(&tar, directory(argv[0]), true, &err) < 0 ||
                   compress_source_init(&blob, &tar.source, how, &err) < 0
               ? fail()
               : copy(&blob.source);
}

int main(int argc, char **argv)
{
    umask(0);
    if (argc >= 4 && strcmp(argv[1], "unpack") == 0)
        return unpack(argv + 2);
    if (argc == 4 && strcmp(argv[1], "again") == 0)
        return again(argv + 2);
    if (argc >= 3 && strcmp(argv[1], "pack") == 0)
        return pack(argv + 2);
    fprintf(stderr,
            "usage: layer unpack TREE SKELETON [BELOW...] | again TREE SKELETON | pack TREE [gzip|zstd]\n");
    return 2;
}
