/*
 * The list of writes to the container's cgroup files, carried out; and what the kernel's refusals mean. Each is one
 * openat, write and close. A message names what the user wrote (the JSON path), the file, the value and, where one
 * can know, what to do.
 */
#include "cgroups/limits_private.h"

#include <errno.h>
#include <string.h>

#include "cgroups/cgroup_private.h"

void limit_write_add(struct limit_writes *w, const struct limit_write *one)
{
    if (w->n == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 16;
        w->v = arena_grow(w->c->arena, w->v, w->capacity * sizeof(*w->v), capacity * sizeof(*w->v));
        w->capacity = capacity;
    }
    w->v[w->n++] = *one;
}

static int refused(const struct limit_writes *w, const struct limit_write *one, int code, struct error *err)
{
    struct arena *a = w->c->arena;
    const char *dir = cgroup_dir_path(a, one->dir);

    if (code == EBUSY && one->usage) {
        const char *usage = cgroup_file_read(a, one->dir, one->usage);
        return error_set(
            err, code,
            "%s: cannot go down to %s: %s bytes are in use now, and not enough can be reclaimed: %s/%s",
            one->path, one->text, usage ? usage : "more", dir, one->file);
    }
    if (code == ENOENT)
        return error_set(err, code, "%s: cannot be enforced: this kernel has no %s%s%s%s%s: %s/%s", one->path,
                         one->file, one->other_file ? " or " : "", one->other_file ? one->other_file : "",
                         one->since ? ", which needs " : "", one->since ? one->since : "", dir, one->file);
    return error_set(err, code, "%s: write \"%s\" to %s/%s%s%s%s", one->path, one->text, dir, one->file,
                     code == EINVAL && one->rule ? " (" : "", code == EINVAL && one->rule ? one->rule : "",
                     code == EINVAL && one->rule ? ")" : "");
}

/* 0, or what the kernel said. */
static int write_one(const struct limit_write *one)
{
    int code = cgroup_file_write(one->dir, one->file, one->text) == 0 ? 0 : errno;

    if (code == ENOENT && one->other_file)
        code = cgroup_file_write(one->dir, one->other_file, one->other_text) == 0 ? 0 : errno;
    return one->optional && (code == ENOENT || code == EOPNOTSUPP) ? 0 : code;
}

/* 0: done, or EINVAL: try later; -1: failed. */
static int attempt(struct limit_writes *w, const struct limit_write *one, struct error *err)
{
    int code = write_one(one);

    if (code == 0 || code == EINVAL)
        return code;
    if (code == ENOENT && one->without)
        return one->without(w, err);
    return refused(w, one, code, err);
}

/* What the files say now, last first: to write it is to undo. Lists of devices are passed over, they have no one value. */
static void remember(const struct limit_writes *w, struct limit_writes *before)
{
    for (size_t i = w->n; i-- > 0;) {
        struct limit_write one = {.path = w->v[i].path, .dir = w->v[i].dir, .file = w->v[i].file};

        one.text = cgroup_file_read(w->c->arena, one.dir, one.file);
        if (!one.text && w->v[i].other_file) {
            one.file = w->v[i].other_file;
            one.text = cgroup_file_read(w->c->arena, one.dir, one.file);
        }
        if (one.text && *one.text && !strchr(one.text, '\n'))
            limit_write_add(before, &one);
    }
}

static int carry_out(struct limit_writes *w, struct error *err)
{
    for (size_t left = w->n, kept; left > 0; left = kept) {
        kept = 0;
        for (size_t i = 0; i < left; i++) {
            int result = attempt(w, &w->v[i], err);
            if (result < 0)
                return -1;
            if (result == EINVAL)
                w->v[kept++] = w->v[i];
        }
        if (kept == left)
            return refused(w, &w->v[0], EINVAL, err);
    }
    w->n = 0;
    return 0;
}

int limit_writes_run(struct limit_writes *w, struct error *err)
{
    struct limit_writes before = {.c = w->c};

    if (w->update)
        remember(w, &before);
    if (carry_out(w, err) == 0)
        return 0;
    carry_out(&before, NULL);
    return -1;
}
