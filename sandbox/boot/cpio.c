/*
 * Each entry: a header of 110 characters (magic, then 13 numbers of eight hexadecimal digits), the name with its NUL, the
 * data; name and data are padded so that what follows begins at a multiple of four. The archive ends with an entry named
 * TRAILER!!!. Owners and times are zero: equal inputs make equal archives.
 */
#include "sandbox/boot/cpio.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"

enum { HEADER_LENGTH = 110, NAME_MAX_LENGTH = 256 };

static int put(struct cpio *c, const void *data, size_t length, struct error *err)
{
    if (fd_write_all(c->fd, data, length) < 0)
        return error_set(err, errno, "write the initramfs");
    c->length += length;
    return 0;
}

static int pad(struct cpio *c, struct error *err)
{
    static const char zeros[4];

    return put(c, zeros, -c->length & 3, err);
}

static int begin(struct cpio *c, const char *name, mode_t mode, uint64_t length, dev_t device,
                 struct error *err)
{
    char header[HEADER_LENGTH + NAME_MAX_LENGTH];
    size_t n_name = strlen(name) + 1;

    if (n_name > NAME_MAX_LENGTH || length > INT_MAX)
        return error_set(err, 0, "initramfs: %s is too long", name);
    c->inode++;
    snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s", c->inode,
             mode, 0, 0, 1, 0, (unsigned)length, 0, 0, major(device), minor(device), (unsigned)n_name, 0,
             name);
    return put(c, header, HEADER_LENGTH + n_name, err) < 0 ? -1 : pad(c, err);
}

int cpio_directory(struct cpio *c, const char *name, struct error *err)
{
    return begin(c, name, S_IFDIR | 0755, 0, 0, err);
}

int cpio_console(struct cpio *c, const char *name, struct error *err)
{
    return begin(c, name, S_IFCHR | 0600, 0, makedev(5, 1), err);
}

int cpio_data(struct cpio *c, const char *name, const void *data, size_t length, struct error *err)
{
    if (begin(c, name, S_IFREG | 0644, length, 0, err) < 0 || put(c, data, length, err) < 0)
        return -1;
    return pad(c, err);
}

int cpio_file(struct cpio *c, const char *name, mode_t mode, int from, uint64_t length, struct error *err)
{
    off_t at = 0;

    if (begin(c, name, S_IFREG | mode, length, 0, err) < 0)
        return -1;
    while ((uint64_t)at < length) {
        ssize_t n = sendfile(c->fd, from, &at, length - (uint64_t)at);

        if (n <= 0)
            return error_set(err, n < 0 ? errno : EIO, "copy %s into the initramfs", name);
    }
    c->length += length;
    return pad(c, err);
}

int cpio_end(struct cpio *c, struct error *err)
{
    return begin(c, "TRAILER!!!", 0, 0, 0, err);
}
