/*
 * linux.intelRdt (runtime-spec 1.3, config-linux.md "IntelRdt"): cache and memory-bandwidth classes in
 * resctrl.
 *
 *   closID  schemata given  group            what is done
 *   no      any             <container id>   made, schemata written, removed with the container
 *   yes     yes             missing          made, schemata written; it stays, for others may have joined it
 *   yes     yes             there            its schemata must already say the same
 *   yes     no              there            joined
 *   yes     no              missing          error
 *
 * Then the pid goes into the group's tasks, and with enableMonitoring into mon_groups/<container id> of its
 * own, which is removed with the container. closID "/" is the root group. A failure removes what was made.
 * `update` writes new schemata into the container's group, whoever made it.
 * All below one descriptor checked to be resctrl.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buffer.h"
#include "base/file.h"
#include "runtime/intelrdt.h"
#include "runtime/opened.h"
#include "runtime/process.h"

#ifndef RDTGROUP_SUPER_MAGIC
#define RDTGROUP_SUPER_MAGIC 0x7655821
#endif
#define RESCTRL "/sys/fs/resctrl"

enum { SCHEMATA_MAX = 64 << 10 };

struct group {
    int root;         /* of resctrl */
    const char *clos; /* directory below it; "." is the root group */
    const char *container_id;
    bool made_clos, made_monitor;
};

static int resctrl_open(void)
{
    _cleanup_(fd_closep) int fd = open(RESCTRL, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return -1;
    if ((unsigned long)fs.f_type != RDTGROUP_SUPER_MAGIC) {
        errno = ENODEV;
        return -1;
    }
    return steal_fd(&fd);
}

bool intel_rdt_supported(void)
{
    _cleanup_(fd_closep) int fd = resctrl_open();
    return fd >= 0;
}

static int group_init(struct group *g, const struct spec_intel_rdt *r, const char *container_id,
                      struct error *err)
{
    *g = (struct group){
        .root = -1, .clos = r->clos_id ? r->clos_id : container_id, .container_id = container_id};
    if (strcmp(g->clos, "/") == 0)
        g->clos = ".";
    else if (!*g->clos || strchr(g->clos, '/') || strcmp(g->clos, ".") == 0 || strcmp(g->clos, "..") == 0)
        return error_set(err, 0, "linux.intelRdt.closID: must be \"/\" or one directory's name, got \"%s\"",
                         g->clos);
    g->root = resctrl_open();
    if (g->root < 0)
        return error_set(err, errno,
                         "linux.intelRdt: no resctrl file system at " RESCTRL
                         " (mount -t resctrl resctrl " RESCTRL ", on a CPU that has RDT)");
    return 0;
}

/* The file @name of the group, or of its monitoring group. @path has room for PATH_MAX. */
static const char *group_path(const struct group *g, bool monitor, const char *name, char *path)
{
    int n = monitor ? snprintf(path, PATH_MAX, "%s/mon_groups/%s/%s", g->clos, g->container_id, name)
                    : snprintf(path, PATH_MAX, "%s/%s", g->clos, name);
    if (n >= 0 && n < PATH_MAX)
        return path;
    return strcpy(path, "/"); /* nothing that could be written to: the call after this one fails */
}

/* Lines of l3CacheSchema, without "MB:" when memBwSchema gives that one. */
static void buffer_add_l3(struct buffer *b, const char *l3, bool without_mb)
{
    while (l3 && *l3) {
        size_t n = strcspn(l3, "\n");
        const char *text = l3 + strspn(l3, " \t");
        if (n && !(without_mb && strncmp(text, "MB:", 3) == 0))
            buffer_printf(b, "%.*s\n", (int)n, l3);
        l3 += n + (l3[n] == '\n');
    }
}

static void buffer_add_lines(struct buffer *b, const struct spec_intel_rdt *r)
{
    for (size_t i = 0; i < r->schemata.n; i++)
        buffer_printf(b, "%s\n", r->schemata.v[i]);
}

/* Numbers are equal but for leading zeros (resctrl pads) and the case of hexadecimal masks. */
static bool same_value(const char *a, size_t a_length, const char *b, size_t b_length)
{
    while (a_length > 1 && *a == '0')
        a++, a_length--;
    while (b_length > 1 && *b == '0')
        b++, b_length--;
    return a_length == b_length && strncasecmp(a, b, a_length) == 0;
}

/* True when "@resource:...;@domain=@value;..." is somewhere in @schemata. */
static bool schemata_has(const char *schemata, const char *resource, size_t resource_length, const char *pair,
                         size_t pair_length)
{
    const char *equals = memchr(pair, '=', pair_length);
    if (!equals)
        return false;
    for (const char *line = schemata; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *s = line + strspn(line, " \t");
        if (strncmp(s, resource, resource_length) != 0 || s[resource_length] != ':')
            continue;
        for (s += resource_length + 1; *s && *s != '\n'; s += *s == ';') {
            size_t n = strcspn(s, ";\n"), key = strcspn(s, "=;\n");
            if (key < n && same_value(s, key, pair, (size_t)(equals - pair)) &&
                same_value(s + key + 1, n - key - 1, equals + 1, pair_length - (size_t)(equals - pair) - 1))
                return true;
            s += n;
        }
    }
    return false;
}

/* Each "RES:dom=val;dom=val" line of @wanted must be what the group has. */
bool intel_rdt_schemata_match(const char *schemata, const char *wanted)
{
    for (const char *line = wanted; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *resource = line + strspn(line, " \t");
        size_t length = strcspn(resource, ":\n");
        if (resource[length] != ':')
            continue;
        for (const char *s = resource + length + 1; *s && *s != '\n'; s += *s == ';') {
            size_t n = strcspn(s, ";\n");
            if (n && !schemata_has(schemata, resource, length, s, n))
                return false;
            s += n;
        }
    }
    return true;
}

static int schemata_compare(const struct group *g, struct arena *a, const char *wanted, struct error *err)
{
    char path[PATH_MAX], *now;

    if (file_read(g->root, group_path(g, false, "schemata", path), SCHEMATA_MAX, a, &now, NULL, err) < 0)
        return error_wrap(err, "linux.intelRdt.closID \"%s\"", g->clos);
    if (!intel_rdt_schemata_match(now, wanted))
        return error_set(err, 0,
                         "linux.intelRdt.closID: group \"%s\" exists with another schemata: it has\n%sbut "
                         "asked for is\n%s",
                         g->clos, now, wanted);
    return 0;
}

static int schemata_write(const struct group *g, struct arena *a, const struct buffer *b, struct error *err)
{
    char path[PATH_MAX], *status = NULL;

    if (!b->length)
        return 0;
    if (file_write(g->root, group_path(g, false, "schemata", path), b->data, b->length, err) == 0)
        return 0;
    /* The kernel says in a file of its own what it did not like. */
    if (file_read(g->root, "info/last_cmd_status", SCHEMATA_MAX, a, &status, NULL, NULL) == 0 && *status)
        return error_wrap(err, "linux.intelRdt: write schemata (%.*s)", (int)strcspn(status, "\n"), status);
    return error_wrap(err, "linux.intelRdt: write schemata");
}

static int group_enter(struct group *g, const struct spec_intel_rdt *r, struct arena *a, struct error *err)
{
    struct buffer legacy = {.arena = a}, lines = {.arena = a}, wanted = {.arena = a};
    struct stat st;

    buffer_add_l3(&legacy, r->l3_cache_schema, r->mem_bw_schema);
    if (r->mem_bw_schema)
        buffer_printf(&legacy, "%s\n", r->mem_bw_schema);
    buffer_add_lines(&lines, r);
    if (r->clos_id && !legacy.length && !lines.length) {
        if (fstatat(g->root, g->clos, &st, 0) < 0)
            return error_set(
                err, errno, "linux.intelRdt.closID: group \"%s\", which must exist when no schemata is given",
                r->clos_id);
        return 0;
    }
    if (strcmp(g->clos, ".") == 0 || mkdirat(g->root, g->clos, 0755) < 0) {
        if (strcmp(g->clos, ".") != 0 && errno != EEXIST)
            return error_set(err, errno, "linux.intelRdt: make group \"%s\"%s", g->clos,
                             errno == ENOSPC ? ": the CPU has no class of service left" : "");
        if (r->clos_id) {
            buffer_printf(&wanted, "%s%s", legacy.length ? legacy.data : "", lines.length ? lines.data : "");
            return schemata_compare(g, a, wanted.data, err);
        }
    }
    g->made_clos = strcmp(g->clos, ".") != 0;
    return schemata_write(g, a, &legacy, err) < 0 || schemata_write(g, a, &lines, err) < 0 ? -1 : 0;
}

static int tasks_add(const struct group *g, bool monitor, pid_t pid, struct error *err)
{
    char path[PATH_MAX], text[16];
    int n = snprintf(text, sizeof(text), "%d", (int)pid);

    if (file_write(g->root, group_path(g, monitor, "tasks", path), text, (size_t)n, err) < 0)
        return error_wrap(err, "linux.intelRdt: move process %s into group \"%s\"", text, g->clos);
    return 0;
}

static int monitor_make(struct group *g, struct error *err)
{
    char path[PATH_MAX];

    if (mkdirat(g->root, group_path(g, true, "", path), 0755) < 0 && errno != EEXIST)
        return error_set(err, errno, "linux.intelRdt.enableMonitoring: make " RESCTRL "/%s", path);
    g->made_monitor = true;
    return 0;
}

/* rmdir(2) of a resctrl group moves its tasks to the parent; a group that is gone is as good. */
static int group_remove(const struct group *g, bool clos, bool monitor, struct error *err)
{
    char path[PATH_MAX];

    if (monitor && unlinkat(g->root, group_path(g, true, "", path), AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(err, errno, "linux.intelRdt: remove " RESCTRL "/%s", path);
    if (clos && unlinkat(g->root, g->clos, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(err, errno, "linux.intelRdt: remove " RESCTRL "/%s", g->clos);
    return 0;
}

static void arena_freep(struct arena *a)
{
    arena_free(a);
}

int intel_rdt_apply(const struct spec_intel_rdt *r, const char *container_id, pid_t pid, bool *created,
                    struct error *err)
{
    _cleanup_(arena_freep) struct arena a = {0};
    struct group g;
    int ret;

    *created = false;
    if (!r->present)
        return 0;
    if (group_init(&g, r, container_id, err) < 0)
        return -1;
    _cleanup_(fd_closep) int root = g.root;

    ret = group_enter(&g, r, &a, err);
    if (ret == 0)
        ret = tasks_add(&g, false, pid, err);
    if (ret == 0 && r->enable_monitoring)
        ret = monitor_make(&g, err) < 0 ? -1 : tasks_add(&g, true, pid, err);
    if (ret < 0) {
        group_remove(&g, g.made_clos, g.made_monitor, NULL);
        return -1;
    }
    *created = !r->clos_id || r->enable_monitoring;
    return 0;
}

int container_update_intel_rdt(const struct runtime *rt, const char *id, const char *l3_cache_schema,
                               const char *mem_bw_schema, struct error *err)
{
    _cleanup_(opened_close) struct opened o = {.dir = -1, .pidfd = -1};
    struct buffer lines = {.arena = rt->arena};
    struct spec *spec;
    struct group g;

    if (open_container(rt, id, true, &o, err) < 0)
        return -1;
    if (refuse_sandbox(&o.container, "update", err) < 0)
        return -1;
    if (o.pidfd < 0)
        return error_set(err, 0, "container not running");
    if (spec_load(rt->arena, o.dir, "config.json", &spec, err) < 0)
        return -1;
    if (!spec->linux_.intel_rdt.present)
        return error_set(err, 0,
                         "cannot change the Intel RDT class of container %s: it was made without "
                         "linux.intelRdt, and has none",
                         id);
    if (group_init(&g, &spec->linux_.intel_rdt, id, err) < 0)
        return -1;
    _cleanup_(fd_closep) int root = g.root;
    buffer_add_l3(&lines, l3_cache_schema, mem_bw_schema);
    if (mem_bw_schema)
        buffer_printf(&lines, "%s\n", mem_bw_schema);
    return schemata_write(&g, rt->arena, &lines, err);
}

int intel_rdt_remove(const struct spec_intel_rdt *r, const char *container_id, struct error *err)
{
    struct group g;

    if (!r->present || (r->clos_id && !r->enable_monitoring))
        return 0;
    if (group_init(&g, r, container_id, err) < 0)
        return -1;
    _cleanup_(fd_closep) int root = g.root;
    return group_remove(&g, !r->clos_id, r->enable_monitoring, err);
}
