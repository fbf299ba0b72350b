/*
 * A container's upper directory is a layer in the form in which the store has layers. It is packed (pack.h) to learn its
 * digest, and unpacked like any other layer: so the new image is made by the one way there is (pull.h), and shares nothing
 * with a container that goes on.
 */
#include "images/commit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "images/export.h"
#include "images/idmaps.h"
#include "images/owners.h"
#include "images/stack.h"
#include "images/store_private.h"

enum { RECORD_MAX = 1 << 20, DEPTH_MAX = 500 };

/* The image that the container was made of: container.json names its configuration. */
static int find_image(struct store *s, const struct snapshot *c, struct image_info *info, struct error *err)
{
    struct json *json;
    char *text, *config;
    const char *id;
    size_t length, config_length;

    if (file_read(c->dir, "container.json", RECORD_MAX, s->arena, &text, &length, err) < 0 ||
        json_parse(s->arena, text, length, "container.json", &json, err) < 0)
        return error_wrap(err, "container %s", c->id);
    id = json_get_string(json, "imageID");
    if (!id || !digest_valid(id))
        return error_set(err, 0, "container %s: container.json does not say of which image it is", c->id);
    *info = (struct image_info){.config = id};
    if (store_blob_read(s, id, &config, &config_length, err) < 0 ||
        image_config_parse(s->arena, config, config_length, &info->settings, err) < 0)
        return error_wrap(err, "container %s: its image", c->id);
    info->config_text = config;
    info->config_length = config_length;
    return store_stack(s, id, &info->keys, err);
}

/* With the owners that the container saw, whatever its user namespace. */
static int open_upper(struct arena *a, const struct snapshot *c, struct error *err)
{
    _cleanup_(fd_closep) int fd = openat(c->dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct idmaps maps;

    if (fd < 0)
        return error_set(err, errno, "container %s: open what it wrote", c->id);
    if (idmaps_read(a, c, &maps, err) < 0)
        return -1;
    if (!maps.uids.n)
        return steal_fd(&fd);
    int mapped = idmaps_undo(&maps, fd, err);
    return mapped < 0 ? error_wrap(err, "container %s", c->id) : mapped;
}

/* --- the list ------------------------------------------------------------------------------------------------------ */

struct changes {
    struct stack below;
    struct arena *arena;
    struct buffer *out;
};

static int compare(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_name(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

/* A control character of a hostile container reaches no terminal. */
static void add_line(struct changes *w, char kind, const char *path)
{
    char *line = arena_printf(w->arena, "%c /%s", kind, path);

    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    buffer_printf(w->out, "%s\n", line);
}

static int list_directory(struct changes *w, int dir, const char *path, int depth, struct error *err);

static int list_entry(struct changes *w, int dir, const char *path, const char *name, int depth,
                      struct error *err)
{
    const char *own = arena_printf(w->arena, "%s%s%s", path, *path ? "/" : "", name);
    struct stack_entry *below = arena_new(w->arena, struct stack_entry);
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "/%s", own);
    /* Below what is new there is nothing to look up. */
    bool was = w->below.n && stack_lookup(&w->below, own, false, below, NULL) == 0 && below->st.st_mode;
    add_line(w, stat_is_whiteout(&st) ? 'D' : was ? 'C' : 'A', own);
    if (!S_ISDIR(st.st_mode))
        return 0;
    _cleanup_(fd_closep) int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "open /%s", own) : list_directory(w, fd, own, depth + 1, err);
}

static int list_directory(struct changes *w, int dir, const char *path, int depth, struct error *err)
{
    struct dirent **names = NULL;
    int n = depth > DEPTH_MAX ? -1 : scandirat(dir, ".", &names, is_name, compare), rc = 0;

    if (n < 0)
        return error_set(err, depth > DEPTH_MAX ? ELOOP : errno, "read /%s", path);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = list_entry(w, dir, path, names[i]->d_name, depth, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

int commit_list(struct store *s, const struct snapshot *c, struct buffer *out, struct error *err)
{
    struct changes w = {.arena = s->arena, .out = out};
    _cleanup_(fd_closep) int upper = open_upper(s->arena, c, err);
    struct image_info info;
    int rc = upper < 0 ? -1 : find_image(s, c, &info, err);

    for (size_t i = rc < 0 ? 0 : info.keys.n; rc == 0 && i-- > 0 && w.below.n < STACK_MAX_TREES;) {
        int fd = open(store_layer_path(s, info.keys.v[i]), O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
            rc = error_set(err, errno, "open layer %s", info.keys.v[i]);
        else
            w.below.trees[w.below.n++] = fd;
    }
    if (rc == 0)
        rc = list_directory(&w, upper, "", 0, err);
    while (w.below.n)
        fd_closep(&w.below.trees[--w.below.n]);
    return rc;
}

/* --- the image ----------------------------------------------------------------------------------------------------- */

/* The new layer; the others are there. */
struct commit_origin {
    struct origin origin;
    struct file_source file;
};

static int no_document(struct origin *o, struct arena *a, const struct descriptor *d, char **data,
                       size_t *length, struct error *err)
{
    (void)o, (void)a, (void)data, (void)length;
    return error_set(err, ENOENT, "%s", d->digest);
}

static int open_layer(struct origin *o, const struct descriptor *d, struct source **layer, struct error *err)
{
    struct commit_origin *c = (struct commit_origin *)o;

    if (!d->digest)
        return error_set(err, ENOENT, "a layer of the container's image");
    *layer = &c->file.source;
    return 0;
}

static void close_layer(struct origin *o, struct source *layer)
{
    (void)o, (void)layer;
}

static void write_history(struct json_writer *w, const struct json *old, const char *now,
                          const struct snapshot *c, const char *message)
{
    json_array(w);
    for (size_t i = 0; old && old->type == JSON_ARRAY && i < old->count; i++)
        json_value(w, &old->items[i]);
    json_object(w);
    json_key(w, "created");
    json_string(w, now);
    json_key(w, "created_by");
    json_string(w, "hull diff");
    json_key(w, "comment");
    json_string(w, message ? message : c->id);
    json_object_end(w);
    json_array_end(w);
}

static void write_rootfs(struct json_writer *w, const struct string_list *diff_ids, const char *own)
{
    json_object(w);
    json_key(w, "type");
    json_string(w, "layers");
    json_key(w, "diff_ids");
    json_array(w);
    for (size_t i = 0; i < diff_ids->n; i++)
        json_string(w, diff_ids->v[i]);
    json_string(w, own);
    json_array_end(w);
    json_object_end(w);
}

/* The image's own, member by member, but for what has become another. */
static int make_config(struct arena *a, const struct image_info *info, const char *diff_id,
                       const struct snapshot *c, const char *message, const char **text, size_t *length,
                       struct error *err)
{
    static const char *const changed[] = {"created", "history", "rootfs"};
    char now[TIMESTAMP_SIZE];
    struct timespec t;
    struct json *json;
    struct json_writer w;

    if (json_parse(a, info->config_text, info->config_length, "image configuration", &json, err) < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &t);
    timestamp_format(&t, true, now);
    w = json_writer_begin(a, false);
    json_object(&w);
    json_key(&w, "created");
    json_string(&w, now);
    for (size_t i = 0; i < json->count; i++) {
        bool skip = false;

        for (size_t k = 0; k < ARRAY_SIZE(changed); k++)
            skip = skip || strcmp(json->keys[i], changed[k]) == 0;
        if (skip)
            continue;
        json_key(&w, json->keys[i]);
        json_value(&w, &json->items[i]);
    }
    json_key(&w, "rootfs");
    write_rootfs(&w, &info->settings.diff_ids, diff_id);
    json_key(&w, "history");
    write_history(&w, json_get(json, "history"), now, c, message);
    json_object_end(&w);
    *text = json_writer_end(&w, length);
    return 0;
}

static int add_layer(struct store *s, const struct snapshot *c, const struct image_info *info,
                     struct exported_layer *upper, const char *name, const char *message,
                     const struct layers_options *o, struct pulled *out, struct error *err)
{
    struct commit_origin origin = {
        .origin = {.document = no_document, .open = open_layer, .close = close_layer}};
    const struct pull p = {.store = s, .origin = &origin.origin, .layers = *o};
    size_t n = info->keys.n + 1, length;
    struct layer *layers = arena_new_n(s->arena, n, struct layer);
    const struct string_list names = {.v = (char *[]){(char *)name, NULL}, .n = 1};
    const char *config;
    int rc;

    layers[n - 1].blob = (struct descriptor){.digest = upper->digest, .size = upper->size};
    if (make_config(s->arena, info, upper->diff_id, c, message, &config, &length, err) < 0)
        return -1;
    if (lseek(upper->fd, 0, SEEK_SET) < 0 || file_source_init(&origin.file, upper->fd, err) < 0)
        return error_set(err, errno, "read a temporary file");
    rc = pull_config(&p, config, length, layers, n, &names, out, err);
    file_source_destroy(&origin.file);
    return rc;
}

/* Of a user who keeps his id in the container: a copy with the owners that the container saw. 1: *upper is that. */
static int copy_upper(struct session *session, const struct snapshot *c, int *upper, struct error *err)
{
    struct owners kept;
    int rc = owners_read(session->store->arena, c, &kept, err);
    _cleanup_(fd_closep) int copy = -1;

    if (rc <= 0)
        return rc;
    const struct copy_owners owners = owners_undo(&kept);
    if (mkdirat(session->dir, "upper", 0755) < 0)
        return error_set(err, errno, "make a copy");
    copy = openat(session->dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return error_set(err, errno, "open the copy");
    if (copy_tree_as(*upper, copy, &owners, err) < 0)
        return -1;
    fd_closep(upper);
    *upper = steal_fd(&copy);
    return 1;
}

int commit_image(struct store *s, const struct snapshot *c, const char *name, const char *message,
                 const struct layers_options *o, struct pulled *out, struct error *err)
{
    _cleanup_(fd_closep) int upper = open_upper(s->arena, c, err);
    struct exported_layer layer = {.fd = -1};
    struct image_info info;
    struct session session;
    int rc;

    if (upper < 0 || find_image(s, c, &info, err) < 0 || session_begin(s, &session, err) < 0)
        return -1;
    rc = copy_upper(&session, c, &upper, err);
    if (rc >= 0)
        rc = export_tree(&session, upper, COMPRESSION_NONE, &layer, err);
    session_end(&session);
    if (rc == 0)
        rc = add_layer(s, c, &info, &layer, name, message, o, out, err);
    exported_layer_free(&layer);
    return rc < 0 ? error_wrap(err, "container %s", c->id) : 0;
}
