/*
 * Saving: see save.h. A sink takes whole files, one after the other: as entries of a tar archive (POSIX's ustar, with sizes in
 * extended headers where they are larger), or into a directory. What several images share is written once.
 *
 * An archive gets its name when it is whole; what was begun is removed when something fails.
 */
#include "images/save.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "images/pull.h"
#include "images/reference.h"

struct sink {
    struct arena *arena;
    struct archive *archive; /* or: */
    int dir;
    struct string_list written;
};

struct save {
    struct session *session;
    struct sink *sink;
    const struct image_info *infos;
    size_t n;
    struct json_writer list; /* manifest.json's, or index.json's, entries */
};

/* --- sinks --------------------------------------------------------------------------------------------------------- */

static bool was_written(struct sink *k, const char *name)
{
    for (size_t i = 0; i < k->written.n; i++)
        if (strcmp(k->written.v[i], name) == 0)
            return true;
    char **v = arena_new_n(k->arena, k->written.n + 2, char *);
    for (size_t i = 0; i < k->written.n; i++)
        v[i] = k->written.v[i];
    v[k->written.n++] = arena_strdup(k->arena, name);
    k->written.v = v;
    return false;
}

/* libarchive's own words for a full disk are "Write error". */
static int write_failed(const struct sink *k, const char *name, struct error *err)
{
    int code = archive_errno(k->archive);

    return code > 0 ? error_set(err, code, "write %s", name)
                    : error_set(err, 0, "write %s: %s", name, archive_error_string(k->archive));
}

static int begin_entry(struct sink *k, const char *name, uint64_t size, struct error *err)
{
    struct archive_entry *e = archive_entry_new();
    int rc;

    if (!e)
        return error_set(err, ENOMEM, "%s", name);
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_mtime(e, 0, 0); /* the same image gives the same archive */
    archive_entry_set_size(e, (int64_t)size);
    rc = archive_write_header(k->archive, e);
    archive_entry_free(e);
    return rc == ARCHIVE_OK ? 0 : write_failed(k, name, err);
}

static int open_file(const struct sink *k, const char *name, struct error *err)
{
    _cleanup_(fd_closep) int parent = -1;
    const char *last;

    if (path_open_parent(k->dir, name, 0755, &parent, &last, err) < 0)
        return -1;
    int fd = openat(parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? error_set(err, errno, "make %s", name) : fd;
}

static int put_source(struct sink *k, const char *name, uint64_t size, struct source *from, struct error *err)
{
    _cleanup_(fd_closep) int fd = -1;
    const void *data;
    ssize_t n;

    if ((k->archive ? begin_entry(k, name, size, err) : (fd = open_file(k, name, err))) < 0)
        return -1;
    while ((n = from->read(from, &data, err)) > 0) {
        if (k->archive && archive_write_data(k->archive, data, (size_t)n) != n)
            return write_failed(k, name, err);
        if (!k->archive && fd_write_all(fd, data, (size_t)n) < 0)
            return error_set(err, errno, "write %s", name);
    }
    return (int)n;
}

struct memory_source {
    struct source source;
    const char *data;
    size_t length;
};

static ssize_t memory_read(struct source *s, const void **data, struct error *err)
{
    struct memory_source *m = (struct memory_source *)s;
    ssize_t n = (ssize_t)m->length;

    (void)err;
    *data = m->data;
    m->length = 0;
    return n;
}

static int put_text(struct sink *k, const char *name, const char *data, size_t length, struct error *err)
{
    struct memory_source m = {.source.read = memory_read, .data = data, .length = length};

    return was_written(k, name) ? 0 : put_source(k, name, length, &m.source, err);
}

static int put_layer(struct sink *k, const char *name, const struct exported_layer *e, struct error *err)
{
    struct file_source file;
    int rc;

    if (was_written(k, name))
        return 0;
    if (lseek(e->fd, 0, SEEK_SET) < 0 || file_source_init(&file, e->fd, err) < 0)
        return error_set(err, errno, "read a temporary file");
    rc = put_source(k, name, e->size, &file.source, err);
    file_source_destroy(&file);
    return rc;
}

/* --- an image ------------------------------------------------------------------------------------------------------ */

static const char *blob_name(struct arena *a, const char *digest)
{
    return arena_printf(a, "blobs/sha256/%s", digest_hex(digest));
}

static const char *tar_name(struct arena *a, const char *digest)
{
    return arena_printf(a, "%s.tar", digest_hex(digest));
}

/* Each layer is exported, written and forgotten, so that one at a time takes room. */
static int put_layers(struct save *v, const struct image_info *info, enum compression how,
                      const char *(*name)(struct arena *a, const char *digest), struct layer *layers,
                      struct error *err)
{
    struct arena *a = v->sink->arena;

    for (size_t i = 0; i < info->keys.n; i++) {
        struct exported_layer e;

        if (export_layer(v->session, info->keys.v[i], how, &e, err) < 0)
            return -1;
        memcpy(layers[i].seen_digest, e.digest, DIGEST_SIZE);
        memcpy(layers[i].seen_diff_id, e.diff_id, DIGEST_SIZE);
        layers[i].seen_size = e.size;
        layers[i].blob.media_type = arena_strdup(a, e.media_type);
        int rc = put_layer(v->sink, name(a, e.digest), &e, err);
        exported_layer_free(&e);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int put_docker(struct save *v, const struct image_info *info, struct error *err)
{
    struct arena *a = v->sink->arena;
    struct layer *layers = arena_new_n(a, info->keys.n + 1, struct layer);
    char digest[DIGEST_SIZE];
    const char *config, *name;
    struct json_writer *w = &v->list;
    size_t length;

    if (put_layers(v, info, COMPRESSION_NONE, tar_name, layers, err) < 0 ||
        export_config(a, info, layers, info->keys.n, &config, &length, err) < 0 ||
        digest_compute(config, length, digest, err) < 0)
        return -1;
    name = arena_printf(a, "%s.json", digest_hex(digest));
    if (put_text(v->sink, name, config, length, err) < 0)
        return -1;
    json_object(w);
    json_key(w, "Config");
    json_string(w, name);
    json_key(w, "RepoTags");
    json_array(w);
    if (info->image.name && !strchr(info->image.name, '@')) /* docker wants name and tag */
        json_string(w, info->image.name);
    json_array_end(w);
    json_key(w, "Layers");
    json_array(w);
    for (size_t i = 0; i < info->keys.n; i++)
        json_string(w, tar_name(a, layers[i].seen_digest));
    json_array_end(w);
    json_object_end(w);
    return 0;
}

static void list_oci(struct json_writer *w, const char *digest, size_t length, const char *name)
{
    json_object(w);
    json_key(w, "mediaType");
    json_string(w, MEDIA_OCI_MANIFEST);
    json_key(w, "digest");
    json_string(w, digest);
    json_key(w, "size");
    json_uint(w, length);
    if (name) {
        json_key(w, "annotations");
        json_object(w);
        json_key(w, "org.opencontainers.image.ref.name");
        json_string(w, name);
        json_object_end(w);
    }
    json_object_end(w);
}

static int put_oci(struct save *v, const struct image_info *info, struct error *err)
{
    struct arena *a = v->sink->arena;
    struct layer *layers = arena_new_n(a, info->keys.n + 1, struct layer);
    char digest[DIGEST_SIZE];
    const char *config, *manifest;
    size_t config_length, length;

    if (put_layers(v, info, COMPRESSION_GZIP, blob_name, layers, err) < 0 ||
        export_config(a, info, layers, info->keys.n, &config, &config_length, err) < 0 ||
        digest_compute(config, config_length, digest, err) < 0 ||
        put_text(v->sink, blob_name(a, digest), config, config_length, err) < 0)
        return -1;
    manifest = pull_write_manifest(a, digest, config_length, layers, info->keys.n, &length);
    if (digest_compute(manifest, length, digest, err) < 0 ||
        put_text(v->sink, blob_name(a, digest), manifest, length, err) < 0)
        return -1;
    list_oci(&v->list, digest, length, info->image.name);
    return 0;
}

/* --- the whole ----------------------------------------------------------------------------------------------------- */

static int save_docker(struct save *v, struct error *err)
{
    size_t length;

    json_array(&v->list);
    for (size_t i = 0; i < v->n; i++)
        if (put_docker(v, &v->infos[i], err) < 0)
            return -1;
    json_array_end(&v->list);
    const char *text = json_writer_end(&v->list, &length);
    return put_text(v->sink, "manifest.json", text, length, err);
}

static int save_oci(struct save *v, struct error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    size_t length;

    if (put_text(v->sink, "oci-layout", layout, strlen(layout), err) < 0)
        return -1;
    json_object(&v->list);
    json_key(&v->list, "schemaVersion");
    json_uint(&v->list, 2);
    json_key(&v->list, "manifests");
    json_array(&v->list);
    for (size_t i = 0; i < v->n; i++)
        if (put_oci(v, &v->infos[i], err) < 0)
            return -1;
    json_array_end(&v->list);
    json_object_end(&v->list);
    const char *text = json_writer_end(&v->list, &length);
    return put_text(v->sink, "index.json", text, length, err);
}

static int (*const savers[])(struct save *v, struct error *err) = {
    [SAVE_DOCKER_ARCHIVE] = save_docker, [SAVE_OCI_ARCHIVE] = save_oci, [SAVE_OCI_DIR] = save_oci};

static int run_saver(struct store *s, struct sink *k, const struct image_info *infos, size_t n,
                     enum save_format format, struct error *err)
{
    struct session session;
    struct save v = {.session = &session, .sink = k, .infos = infos, .n = n};
    int rc = session_begin(s, &session, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = export_use(&session, &infos[i], err);
    if (rc == 0) {
        v.list = json_writer_begin(s->arena, false);
        rc = savers[format](&v, err);
    }
    session_end(&session);
    return rc;
}

static int save_archive(struct store *s, struct sink *k, const struct image_info *infos, size_t n,
                        enum save_format format, int fd, struct error *err)
{
    int rc;

    k->archive = archive_write_new();
    if (!k->archive || archive_write_set_format_pax_restricted(k->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(k->archive, 1) != ARCHIVE_OK || /* the same wherever it goes */
        archive_write_open_fd(k->archive, fd) != ARCHIVE_OK)
        rc = error_set(err, 0, "set libarchive up");
    else
        rc = run_saver(s, k, infos, n, format, err);
    if (rc == 0 && archive_write_close(k->archive) != ARCHIVE_OK)
        rc = error_set(err, 0, "%s", archive_error_string(k->archive));
    archive_write_free(k->archive);
    return rc;
}

static int save_to_file(struct store *s, struct sink *k, const struct image_info *infos, size_t n,
                        enum save_format format, const char *path, struct error *err)
{
    const char *temporary = arena_printf(s->arena, "%s.%d~", path, getpid());
    _cleanup_(fd_closep) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return error_set(err, errno, "make %s", temporary);
    rc = save_archive(s, k, infos, n, format, fd, err);
    if (rc == 0 && (fchmod(fd, 0644) < 0 || rename(temporary, path) < 0))
        rc = error_set(err, errno, "make %s", path);
    if (rc < 0)
        unlink(temporary);
    return rc;
}

static int save_to_directory(struct store *s, struct sink *k, const struct image_info *infos, size_t n,
                             const char *path, struct error *err)
{
    bool made = mkdir(path, 0755) == 0;
    _cleanup_(fd_closep) int dir =
        made || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc;

    if (dir < 0)
        return error_set(err, errno, "make %s", path);
    if (!made && faccessat(dir, "oci-layout", F_OK, 0) == 0)
        return error_set(err, EEXIST, "%s has an image layout already", path);
    k->dir = dir;
    rc = run_saver(s, k, infos, n, SAVE_OCI_DIR, err);
    for (size_t i = 0; rc < 0 && i < k->written.n; i++)
        unlinkat(dir, k->written.v[i], 0);
    if (rc < 0) {
        unlinkat(dir, "blobs/sha256", AT_REMOVEDIR);
        unlinkat(dir, "blobs", AT_REMOVEDIR);
        if (made)
            rmdir(path);
    }
    return rc;
}

int save_images(struct store *s, const struct image_info *infos, size_t n, enum save_format format,
                const char *path, struct error *err)
{
    struct sink k = {.arena = s->arena, .dir = -1};

    if (format == SAVE_OCI_DIR)
        return save_to_directory(s, &k, infos, n, path, err);
    if (strcmp(path, "-") == 0)
        return save_archive(s, &k, infos, n, format, STDOUT_FILENO, err);
    return save_to_file(s, &k, infos, n, format, path, err);
}
