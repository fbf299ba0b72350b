/*
 * Directories are read by path_open(), so that a link in one leads nowhere outside; archives through libarchive, once for
 * the list of names, and then once a file that is read, up to it: the files of an image archive are few and large, and
 * what is passed over is sought, not read.
 */
#include "images/files.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/path.h"
#include "images/store.h"

enum { FILES_MAX = 100000, READ_BLOCK = 256 << 10, LINKS_MAX = 8, TAR_HEADER = 512, TAR_SUM = 148 };

/* --- opening ------------------------------------------------------------------------------------------------------- */

static int open_tar(int fd, struct archive **out, struct error *err)
{
    char self[40];
    struct archive *a = archive_read_new();

    *out = a;
    if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_filter_none(a) != ARCHIVE_OK)
        return error_set(err, 0, "set libarchive up");
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd); /* an offset of its own */
    if (archive_read_open_filename(a, self, READ_BLOCK) != ARCHIVE_OK)
        return error_set(err, 0, "this is no tar archive: %s", archive_error_string(a));
    return 0;
}

static const char *clean_name(struct arena *a, const char *name)
{
    while (strncmp(name, "./", 2) == 0 || *name == '/')
        name += *name == '/' ? 1 : 2;
    return arena_strdup(a, name);
}

static int add_file(struct image_files *f, struct archive_entry *e, unsigned ordinal, size_t *capacity,
                    struct error *err)
{
    const char *name = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
    const char *soft = archive_entry_filetype(e) == AE_IFLNK ? archive_entry_symlink(e) : NULL;

    if (!name || (!hard && !soft && archive_entry_filetype(e) != AE_IFREG))
        return 0;
    if (f->n == FILES_MAX)
        return error_set(err, 0, "more than %d files: it is no image archive", FILES_MAX);
    if (f->n == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 64;

        f->files = arena_grow(f->arena, f->files, *capacity * sizeof(*f->files), more * sizeof(*f->files));
        *capacity = more;
    }
    f->files[f->n++] =
        (struct image_file){.name = clean_name(f->arena, name),
                            .link = hard || soft ? arena_strdup(f->arena, hard ? hard : soft) : NULL,
                            .hard = hard != NULL,
                            .ordinal = ordinal,
                            .size = (uint64_t)archive_entry_size(e)};
    return 0;
}

static int list_archive(struct image_files *f, struct error *err)
{
    struct archive_entry *e;
    struct archive *a = NULL;
    size_t capacity = 0;
    int rc = open_tar(f->fd, &a, err), read = ARCHIVE_OK;

    for (unsigned ordinal = 0; rc == 0; ordinal++) {
        read = archive_read_next_header(a, &e);
        if (read != ARCHIVE_OK && read != ARCHIVE_WARN)
            break;
        rc = add_file(f, e, ordinal, &capacity, err);
    }
    if (rc == 0 && read != ARCHIVE_EOF)
        rc = error_set(err, 0, "the archive cannot be read: %s", archive_error_string(a));
    archive_read_free(a);
    return rc;
}

/* POSIX, pax, "ustar Interchange Format": the header's bytes add up to what it says, its own sum taken as spaces. Not every
 * file that somebody gives may be copied whole before it is looked at. */
static bool is_tar_header(const unsigned char data[static TAR_HEADER])
{
    char text[9] = {0};
    unsigned long sum = 0;

    memcpy(text, data + TAR_SUM, 8);
    for (size_t i = 0; i < TAR_HEADER; i++)
        sum += i >= TAR_SUM && i < TAR_SUM + 8 ? ' ' : data[i];
    return sum == strtoul(text, NULL, 8);
}

/* Plain bytes of what is compressed, or cannot be sought, in a file without a name. */
static int spool_archive(struct image_files *f, int spool, struct error *err)
{
    _cleanup_(fd_closep) int to = openat(spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct file_source file;
    struct decompress_source plain = {0};
    bool begins = true;
    const void *data;
    ssize_t n = -1;

    if (to < 0)
        return error_set(err, errno, "make a temporary file");
    if (file_source_init(&file, f->fd, err) == 0 && decompress_source_init(&plain, &file.source, err) == 0)
        while ((n = plain.source.read(&plain.source, &data, err)) > 0) {
            if (begins && n >= TAR_HEADER && !is_tar_header(data))
                n = error_set(err, 0, "this is no tar archive");
            else if (fd_write_all(to, data, (size_t)n) < 0)
                n = error_set(err, errno, "write a temporary file");
            if (n < 0)
                break;
            begins = false;
        }
    decompress_source_destroy(&plain);
    file_source_destroy(&file);
    if (n < 0)
        return -1;
    close(f->fd);
    f->fd = steal_fd(&to);
    return 0;
}

static bool is_plain(int fd)
{
    unsigned char magic[4];

    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !(magic[0] == 0x1f && magic[1] == 0x8b) &&
           memcmp(magic, "\x28\xb5\x2f\xfd", 4) != 0;
}

int image_files_open(struct image_files *f, struct arena *a, const char *path, int spool, struct error *err)
{
    bool input = strcmp(path, "-") == 0;
    struct stat st;
    int rc;

    *f = (struct image_files){.arena = a, .path = input ? "standard input" : path};
    f->fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st) < 0)
        return error_set(err, errno, "open %s", f->path);
    f->is_directory = S_ISDIR(st.st_mode);
    if (f->is_directory)
        return 0;
    rc = S_ISREG(st.st_mode) && is_plain(f->fd) ? 0 : spool_archive(f, spool, err);
    if (rc == 0)
        rc = list_archive(f, err);
    if (rc == 0)
        return 0;
    image_files_close(f);
    return error_wrap(err, "%s", f->path);
}

void image_files_close(struct image_files *f)
{
    fd_closep(&f->fd);
    f->fd = -1;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* Docker writes a layer that is there twice as a link to the first. */
static const struct image_file *find_file(const struct image_files *f, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s", name);
    for (int links = 0; links < LINKS_MAX; links++) {
        const struct image_file *found = NULL;
        char *slash = strrchr(path, '/');

        for (size_t i = 0; i < f->n; i++)
            if (strcmp(f->files[i].name, path) == 0)
                found = &f->files[i];
        if (!found || !found->link)
            return found;
        const char *link = found->link;
        if (found->hard || !slash) {
            snprintf(path, sizeof(path), "%s", link);
            continue;
        }
        *slash = '\0';
        while (strncmp(link, "../", 3) == 0) {
            link += 3;
            slash = strrchr(path, '/');
            *(slash ? slash : path) = '\0';
        }
        size_t length = strlen(path);
        snprintf(path + length, sizeof(path) - length, "%s%s", length ? "/" : "", link);
    }
    return NULL;
}

static int open_below(const struct image_files *f, const char *name, struct stat *st)
{
    _cleanup_(fd_closep) int fd = path_open(f->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

    if (fd < 0 || fstat(fd, st) < 0)
        return -1;
    if (!S_ISREG(st->st_mode)) {
        errno = EISDIR;
        return -1;
    }
    return steal_fd(&fd);
}

bool image_files_has(const struct image_files *f, const char *name)
{
    struct stat st;
    _cleanup_(fd_closep) int fd = f->is_directory ? open_below(f, name, &st) : -1;

    return f->is_directory ? fd >= 0 : find_file(f, name) != NULL;
}

struct entry_source {
    struct source source;
    struct archive *archive;
    int64_t offset;
    struct file_source file; /* of a directory */
    int fd;
};

static ssize_t entry_read(struct source *s, const void **data, struct error *err)
{
    struct entry_source *e = (struct entry_source *)s;
    int64_t offset;
    size_t n;
    int rc;

    do {
        rc = archive_read_data_block(e->archive, data, &n, &offset);
    } while (rc == ARCHIVE_OK && n == 0);
    if (rc == ARCHIVE_EOF)
        return 0;
    if (rc != ARCHIVE_OK)
        return error_set(err, 0, "the archive cannot be read: %s", archive_error_string(e->archive));
    if (offset != e->offset)
        return error_set(err, 0, "the archive holds a sparse file, which no image archive has");
    e->offset += (int64_t)n;
    return (ssize_t)n;
}

static ssize_t plain_read(struct source *s, const void **data, struct error *err)
{
    struct entry_source *e = (struct entry_source *)s;

    return e->file.source.read(&e->file.source, data, err);
}

static int open_entry(const struct image_files *f, const char *name, struct entry_source *e,
                      struct error *err)
{
    const struct image_file *file = find_file(f, name);
    struct archive_entry *entry;

    if (!file)
        return error_set(err, ENOENT, "%s: %s", f->path, name);
    e->source.read = entry_read;
    if (open_tar(f->fd, &e->archive, err) < 0)
        return error_wrap(err, "%s", f->path);
    for (unsigned i = 0; i <= file->ordinal; i++)
        if (archive_read_next_header(e->archive, &entry) < ARCHIVE_WARN)
            return error_set(err, 0, "%s: %s", f->path, archive_error_string(e->archive));
    return 0;
}

static int open_plain(const struct image_files *f, const char *name, struct entry_source *e,
                      struct error *err)
{
    struct stat st;

    e->source.read = plain_read;
    e->fd = open_below(f, name, &st);
    if (e->fd < 0)
        return error_set(err, errno, "open %s/%s", f->path, name);
    return file_source_init(&e->file, e->fd, err);
}

int image_files_source(const struct image_files *f, const char *name, struct source **out, struct error *err)
{
    struct entry_source *e = calloc(1, sizeof(*e));

    if (!e)
        return error_set(err, ENOMEM, "open %s", name);
    e->fd = -1;
    if ((f->is_directory ? open_plain : open_entry)(f, name, e, err) < 0) {
        image_files_source_free(&e->source);
        return -1;
    }
    *out = &e->source;
    return 0;
}

void image_files_source_free(struct source *s)
{
    struct entry_source *e = (struct entry_source *)s;

    archive_read_free(e->archive);
    file_source_destroy(&e->file);
    fd_closep(&e->fd);
    free(e);
}

int image_files_read(const struct image_files *f, struct arena *a, const char *name, char **data,
                     size_t *length, struct error *err)
{
    struct buffer b = {.arena = a};
    struct source *s;
    const void *block;
    ssize_t n;

    if (image_files_source(f, name, &s, err) < 0)
        return -1;
    buffer_puts(&b, "");
    while ((n = s->read(s, &block, err)) > 0) {
        if (b.length + (size_t)n > STORE_BLOB_MAX) {
            n = error_set(err, 0, "%s: %s is larger than %d bytes, Hull's limit for a document", f->path,
                          name, STORE_BLOB_MAX);
            break;
        }
        buffer_add(&b, block, (size_t)n);
    }
    image_files_source_free(s);
    *data = b.data;
    *length = b.length;
    return n < 0 ? -1 : 0;
}
