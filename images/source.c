/* Sources over a file, and through a hash; see source.h. */
#include "images/source.h"

#include <errno.h>
#include <stdlib.h>

enum { FILE_BLOCK = 256 << 10 };

static ssize_t file_read_block(struct source *s, const void **data, struct error *err)
{
    struct file_source *f = (struct file_source *)s;
    ssize_t n;

    do {
        n = read(f->fd, f->buffer, FILE_BLOCK);
    } while (n < 0 && errno == EINTR);
    *data = f->buffer;
    return n < 0 ? error_set(err, errno, "read") : n;
}

int file_source_init(struct file_source *f, int fd, struct error *err)
{
    *f = (struct file_source){.source.read = file_read_block, .fd = fd, .buffer = malloc(FILE_BLOCK)};
    return f->buffer ? 0 : error_set(err, ENOMEM, "read");
}

void file_source_destroy(struct file_source *f)
{
    free(f->buffer);
    f->buffer = NULL;
}

int digest_compute(const void *data, size_t length, char digest[DIGEST_SIZE], struct error *err)
{
    unsigned char bytes[32];

    if (EVP_Digest(data, length, bytes, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, 0, "sha256: not to be had from libcrypto");
    digest_format(bytes, digest);
    return 0;
}

static ssize_t hash_read(struct source *s, const void **data, struct error *err)
{
    struct hash_source *h = (struct hash_source *)s;
    ssize_t n = h->from->read(h->from, data, err);

    if (n > 0 && EVP_DigestUpdate(h->md, *data, (size_t)n) != 1)
        return error_set(err, 0, "sha256");
    if (n > 0)
        h->bytes += (uint64_t)n;
    return n;
}

int hash_source_init(struct hash_source *h, struct source *from, struct error *err)
{
    *h = (struct hash_source){.source.read = hash_read, .from = from, .md = EVP_MD_CTX_new()};
    if (h->md && EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) == 1)
        return 0;
    hash_source_destroy(h);
    return error_set(err, 0, "sha256: not to be had from libcrypto");
}

int hash_source_digest(struct hash_source *h, char digest[DIGEST_SIZE], struct error *err)
{
    unsigned char bytes[32];
    unsigned n = sizeof(bytes);

    if (EVP_DigestFinal_ex(h->md, bytes, &n) != 1 || n != sizeof(bytes))
        return error_set(err, 0, "sha256");
    digest_format(bytes, digest);
    return 0;
}

void hash_source_destroy(struct hash_source *h)
{
    EVP_MD_CTX_free(h->md);
    h->md = NULL;
}
