/*
 * An entry's header: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". What ustar's fields hold is
 * written there alone; an extended header says what they do not: long names, large numbers, parts of a second, attributes.
 */
/* #syscalls: listxattr getxattr */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "images/pack_private.h"

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100], magic[6],
        version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "ustar's header");

int pack_bytes_add(struct pack_bytes *b, const void *data, size_t length, struct error *err)
{
    if (length > PACK_HEADER_MAX - b->length)
        return error_set(err, 0, "more than %d MiB of names and attributes", PACK_HEADER_MAX >> 20);
    if (b->length + length > b->size) {
        size_t size = 2 * (b->length + length) + 4096;
        char *grown = realloc(b->data, size);
        if (!grown)
            return error_set(err, ENOMEM, "the header");
        b->data = grown;
        b->size = size;
    }
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    return 0;
}

static int pad(struct pack_bytes *b, struct error *err)
{
    static const char zeros[TAR_BLOCK];

    return pack_bytes_add(b, zeros, (TAR_BLOCK - b->length % TAR_BLOCK) % TAR_BLOCK, err);
}

/* --- ustar --------------------------------------------------------------------------------------------------------- */

/* In octal, as many digits as the field has less its NUL. false: it does not fit. */
static bool octal(char *field, size_t size, uint64_t n)
{
    field[size - 1] = '\0';
    for (size_t i = size - 1; i-- > 0; n >>= 3)
        field[i] = (char)('0' + (n & 7));
    return n == 0;
}

#define OCTAL(field, n) octal(field, sizeof(field), n)

static void copy_text(char *field, size_t size, const char *text)
{
    size_t n = strnlen(text, size);

    memcpy(field, text, n);
}

static void finish(struct header *h)
{
    const unsigned char *bytes = (const unsigned char *)h;
    unsigned sum = 0;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += bytes[i];
    octal(h->checksum, 7, sum);
}

/* --- extended headers ---------------------------------------------------------------------------------------------- */

/* "LENGTH KEY=VALUE\n", where the length counts itself. */
static int record(struct pack_bytes *b, const char *key, const void *value, size_t size, struct error *err)
{
    char start[32];
    size_t rest = 1 + strlen(key) + 1 + size + 1, length = rest;
    int digits = 0;

    for (int n = snprintf(NULL, 0, "%zu", length); n != digits; n = snprintf(NULL, 0, "%zu", length)) {
        digits = n;
        length = rest + (size_t)digits;
    }
    snprintf(start, sizeof(start), "%zu ", length);
    return pack_bytes_add(b, start, strlen(start), err) < 0 || pack_bytes_add(b, key, strlen(key), err) < 0 ||
                   pack_bytes_add(b, "=", 1, err) < 0 || pack_bytes_add(b, value, size, err) < 0
               ? -1
               : pack_bytes_add(b, "\n", 1, err);
}

static int number_record(struct pack_bytes *b, const char *key, long long n, struct error *err)
{
    char text[24];

    return record(b, key, text, (size_t)snprintf(text, sizeof(text), "%lld", n), err);
}

/* A time before 1970 is its seconds, rounded towards zero, and what is left of them: -1.5 is {-2, 500000000}. */
static int time_record(struct pack_bytes *b, const struct timespec *t, struct error *err)
{
    long long seconds = t->tv_sec;
    long nanoseconds = t->tv_nsec;
    char text[40];

    if (seconds < 0 && nanoseconds) {
        seconds++;
        nanoseconds = 1000000000 - nanoseconds;
    }
    int n = snprintf(text, sizeof(text), "%s%lld.%09ld", t->tv_sec < 0 && seconds == 0 ? "-" : "", seconds,
                     nanoseconds);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    return record(b, "mtime", text, (size_t)n, err);
}

/* Of the host, not of the file: labels, hashes that only this host's keys make, and the file system's own. */
static const char *const hosts[] = {"security.selinux", "security.ima", "security.evm", "system.nfs4_acl",
                                    "btrfs."};

/* 1: it belongs to the layer; 0: it does not. */
static int wanted(const char *name, struct error *err)
{
    static const char *const overlays[] = {"trusted.overlay.", "user.overlay."};

    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        if (strncmp(name, hosts[i], strlen(hosts[i])) == 0)
            return 0;
    for (size_t i = 0; i < ARRAY_SIZE(overlays); i++) {
        size_t length = strlen(overlays[i]);
        if (strncmp(name, overlays[i], length) != 0)
            continue;
        if (strcmp(name + length, "redirect") == 0 || strcmp(name + length, "metacopy") == 0)
            return error_set(err, 0, "it is not whole without the layers below (%s)", name);
        return 0;
    }
    return strchr(name, '=') ? error_set(err, 0, "the attribute %s cannot be in an archive", name) : 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int one_xattr(struct pack_bytes *b, const char *link, const char *name, struct error *err)
{
    char key[sizeof("SCHILY.xattr.") + 256], value[64 << 10];
    int rc = wanted(name, err);

    if (rc <= 0)
        return rc;
    ssize_t size = getxattr(link, name, value, sizeof(value));
    if (size < 0)
        return error_set(err, errno, "read the attribute %s", name);
    snprintf(key, sizeof(key), "SCHILY.xattr.%s", name);
    return record(b, key, value, (size_t)size, err);
}

/* Its link in /proc leads to what an O_PATH descriptor is open on, symbolic links too. */
static int xattr_records(struct pack_bytes *b, int fd, struct error *err)
{
    char link[40], names[64 << 10];
    const char *sorted[1024];
    size_t n = 0;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = listxattr(link, names, sizeof(names));
    if (length < 0)
        return errno == ENOTSUP ? 0 : error_set(err, errno, "list its attributes");
    for (char *name = names; name < names + length; name += strlen(name) + 1) {
        if (n == ARRAY_SIZE(sorted))
            return error_set(err, 0, "more than %zu attributes", ARRAY_SIZE(sorted));
        sorted[n++] = name;
    }
    qsort(sorted, n, sizeof(*sorted), by_name);
    for (size_t i = 0; i < n; i++)
        if (one_xattr(b, link, sorted[i], err) < 0)
            return -1;
    return 0;
}

/* What there is of @e, in @h where it fits, in @b where it does not. */
static int fill_in(struct header *h, struct pack_bytes *b, const struct pack_entry *e, struct error *err)
{
    const uint64_t size = e->type == '0' ? (uint64_t)e->st.st_size : 0;
    const struct timespec *t = &e->st.st_mtim;
    bool fits = OCTAL(h->mtime, t->tv_sec > 0 ? (uint64_t)t->tv_sec : 0);

    copy_text(h->name, sizeof(h->name), e->path);
    copy_text(h->linkname, sizeof(h->linkname), e->link ? e->link : "");
    OCTAL(h->mode, e->st.st_mode & 07777);
    h->type = e->type;
    if (strlen(e->path) > sizeof(h->name) && record(b, "path", e->path, strlen(e->path), err) < 0)
        return -1;
    if (e->link && strlen(e->link) > sizeof(h->linkname) &&
        record(b, "linkpath", e->link, strlen(e->link), err) < 0)
        return -1;
    if (!OCTAL(h->uid, e->st.st_uid) && number_record(b, "uid", e->st.st_uid, err) < 0)
        return -1;
    if (!OCTAL(h->gid, e->st.st_gid) && number_record(b, "gid", e->st.st_gid, err) < 0)
        return -1;
    if (!OCTAL(h->size, size) && number_record(b, "size", e->st.st_size, err) < 0)
        return -1;
    if ((!fits || t->tv_sec < 0 || t->tv_nsec) && time_record(b, t, err) < 0)
        return -1;
    if (e->type == '3' || e->type == '4')
        if (!OCTAL(h->devmajor, major(e->st.st_rdev)) || !OCTAL(h->devminor, minor(e->st.st_rdev)))
            return error_set(err, 0, "the device %u:%u, whose numbers no archive holds", major(e->st.st_rdev),
                             minor(e->st.st_rdev));
    return e->fd < 0 ? 0 : xattr_records(b, e->fd, err);
}

static int add_header(struct pack_bytes *out, struct header *h, struct error *err)
{
    finish(h);
    return pack_bytes_add(out, h, sizeof(*h), err);
}

int pack_header(struct pack_bytes *out, const struct pack_entry *e, struct error *err)
{
    struct header h = {0}, extended = {.type = 'x'};
    struct pack_bytes records = {0};
    int rc = fill_in(&h, &records, e, err);

    if (rc == 0 && records.length) {
        char name[sizeof(extended.name) + 1];
        snprintf(name, sizeof(name), "PaxHeaders/%s", e->path);
        copy_text(extended.name, sizeof(extended.name), name);
        OCTAL(extended.mode, 0644);
        OCTAL(extended.uid, 0);
        OCTAL(extended.gid, 0);
        OCTAL(extended.mtime, 0);
        OCTAL(extended.size, records.length);
        rc = add_header(out, &extended, err);
        if (rc == 0)
            rc = pack_bytes_add(out, records.data, records.length, err);
        if (rc == 0)
            rc = pad(out, err);
    }
    if (rc == 0)
        rc = add_header(out, &h, err);
    free(records.data);
    return rc;
}
