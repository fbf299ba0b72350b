/*
 * Mount options (runtime-spec config.md "Mounts", config-linux.md): one sorted table, looked up by bisection.
 * A word that is not in it is data of the file system ("size=64k", "mode=755") and is passed on in the order
 * it was written.
 *
 * Flags are kept as MS_* because mount(2) still makes the new file systems; binds need MOUNT_ATTR_*, which
 * mount_options_attrs() derives. The last word wins: "ro","rw" is read-write.
 */
#include "namespaces/mount_options.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>

#include "base/buffer.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum option_kind { OPT_SET, OPT_CLEAR, OPT_RSET, OPT_RCLEAR, OPT_PROPAGATION, OPT_EXTENSION };

#define ATIMES (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

/* X(name, kind, value), sorted by name in strcmp() order. */
#define MOUNT_OPTIONS(X)                                                                                     \
    X("acl", OPT_SET, MS_POSIXACL)                                                                           \
    X("async", OPT_CLEAR, MS_SYNCHRONOUS)                                                                    \
    X("atime", OPT_CLEAR, MS_NOATIME)                                                                        \
    X("bind", OPT_SET, MS_BIND)                                                                              \
    X("copy-symlink", OPT_EXTENSION, MOUNT_EXT_COPY_SYMLINK)                                                 \
    X("defaults", OPT_SET, 0)                                                                                \
    X("dest-nofollow", OPT_EXTENSION, MOUNT_EXT_DEST_NOFOLLOW)                                               \
    X("dev", OPT_CLEAR, MS_NODEV)                                                                            \
    X("diratime", OPT_CLEAR, MS_NODIRATIME)                                                                  \
    X("dirsync", OPT_SET, MS_DIRSYNC)                                                                        \
    X("exec", OPT_CLEAR, MS_NOEXEC)                                                                          \
    X("idmap", OPT_EXTENSION, MOUNT_EXT_IDMAP)                                                               \
    X("iversion", OPT_SET, MS_I_VERSION)                                                                     \
    X("lazytime", OPT_SET, MS_LAZYTIME)                                                                      \
    X("loud", OPT_CLEAR, MS_SILENT)                                                                          \
    X("mand", OPT_SET, MS_MANDLOCK)                                                                          \
    X("noacl", OPT_CLEAR, MS_POSIXACL)                                                                       \
    X("noatime", OPT_SET, MS_NOATIME)                                                                        \
    X("nodev", OPT_SET, MS_NODEV)                                                                            \
    X("nodiratime", OPT_SET, MS_NODIRATIME)                                                                  \
    X("noexec", OPT_SET, MS_NOEXEC)                                                                          \
    X("noiversion", OPT_CLEAR, MS_I_VERSION)                                                                 \
    X("nolazytime", OPT_CLEAR, MS_LAZYTIME)                                                                  \
    X("nomand", OPT_CLEAR, MS_MANDLOCK)                                                                      \
    X("norelatime", OPT_CLEAR, MS_RELATIME)                                                                  \
    X("nostrictatime", OPT_CLEAR, MS_STRICTATIME)                                                            \
    X("nosuid", OPT_SET, MS_NOSUID)                                                                          \
    X("nosymfollow", OPT_SET, MS_NOSYMFOLLOW)                                                                \
    X("private", OPT_PROPAGATION, MS_PRIVATE)                                                                \
    X("ratime", OPT_RCLEAR, MS_NOATIME)                                                                      \
    X("rbind", OPT_SET, MS_BIND | MS_REC)                                                                    \
    X("rdev", OPT_RCLEAR, MS_NODEV)                                                                          \
    X("rdiratime", OPT_RCLEAR, MS_NODIRATIME)                                                                \
    X("relatime", OPT_SET, MS_RELATIME)                                                                      \
    X("remount", OPT_SET, MS_REMOUNT)                                                                        \
    X("rexec", OPT_RCLEAR, MS_NOEXEC)                                                                        \
    X("ridmap", OPT_EXTENSION, MOUNT_EXT_RIDMAP)                                                             \
    X("rnoatime", OPT_RSET, MS_NOATIME)                                                                      \
    X("rnodev", OPT_RSET, MS_NODEV)                                                                          \
    X("rnodiratime", OPT_RSET, MS_NODIRATIME)                                                                \
    X("rnoexec", OPT_RSET, MS_NOEXEC)                                                                        \
    X("rnorelatime", OPT_RCLEAR, MS_RELATIME)                                                                \
    X("rnostrictatime", OPT_RCLEAR, MS_STRICTATIME)                                                          \
    X("rnosuid", OPT_RSET, MS_NOSUID)                                                                        \
    X("rnosymfollow", OPT_RSET, MS_NOSYMFOLLOW)                                                              \
    X("ro", OPT_SET, MS_RDONLY)                                                                              \
    X("rprivate", OPT_PROPAGATION, MS_PRIVATE | MS_REC)                                                      \
    X("rrelatime", OPT_RSET, MS_RELATIME)                                                                    \
    X("rro", OPT_RSET, MS_RDONLY)                                                                            \
    X("rrw", OPT_RCLEAR, MS_RDONLY)                                                                          \
    X("rshared", OPT_PROPAGATION, MS_SHARED | MS_REC)                                                        \
    X("rslave", OPT_PROPAGATION, MS_SLAVE | MS_REC)                                                          \
    X("rstrictatime", OPT_RSET, MS_STRICTATIME)                                                              \
    X("rsuid", OPT_RCLEAR, MS_NOSUID)                                                                        \
    X("rsymfollow", OPT_RCLEAR, MS_NOSYMFOLLOW)                                                              \
    X("runbindable", OPT_PROPAGATION, MS_UNBINDABLE | MS_REC)                                                \
    X("rw", OPT_CLEAR, MS_RDONLY)                                                                            \
    X("shared", OPT_PROPAGATION, MS_SHARED)                                                                  \
    X("silent", OPT_SET, MS_SILENT)                                                                          \
    X("slave", OPT_PROPAGATION, MS_SLAVE)                                                                    \
    X("src-nofollow", OPT_EXTENSION, MOUNT_EXT_SRC_NOFOLLOW)                                                 \
    X("strictatime", OPT_SET, MS_STRICTATIME)                                                                \
    X("suid", OPT_CLEAR, MS_NOSUID)                                                                          \
    X("symfollow", OPT_CLEAR, MS_NOSYMFOLLOW)                                                                \
    X("sync", OPT_SET, MS_SYNCHRONOUS)                                                                       \
    X("tmpcopyup", OPT_EXTENSION, MOUNT_EXT_TMPCOPYUP)                                                       \
    X("unbindable", OPT_PROPAGATION, MS_UNBINDABLE)

struct option {
    const char *name;
    enum option_kind kind;
    unsigned long value;
};

#define AS_ROW(name, kind, value)  {name, kind, value},
#define AS_NAME(name, kind, value) name,
static const struct option options[] = {MOUNT_OPTIONS(AS_ROW)};
static const char *const names[] = {MOUNT_OPTIONS(AS_NAME) NULL};

const char *const *mount_option_names(size_t *n)
{
    if (n)
        *n = ARRAY_SIZE(options);
    return names;
}

static int compare(const void *key, const void *row)
{
    return strcmp(key, ((const struct option *)row)->name);
}

static const struct option *find(const char *name)
{
    return bsearch(name, options, ARRAY_SIZE(options), sizeof(options[0]), compare);
}

unsigned long mount_propagation_from_name(const char *name)
{
    const struct option *o = find(name);
    return o && o->kind == OPT_PROPAGATION ? o->value : 0;
}

/* A way of keeping access times replaces the one before it. */
static void raise_flag(unsigned long *set, unsigned long *clear, unsigned long value)
{
    if (value & ATIMES)
        *set &= ~(unsigned long)ATIMES;
    *set |= value;
    *clear &= ~value;
}

static void lower_flag(unsigned long *set, unsigned long *clear, unsigned long value)
{
    *set &= ~value;
    *clear |= value;
}

static int apply(const struct option *o, struct mount_options *out, struct error *err)
{
    switch (o->kind) {
    case OPT_SET:
        raise_flag(&out->set, &out->clear, o->value);
        break;
    case OPT_CLEAR:
        lower_flag(&out->set, &out->clear, o->value);
        break;
    case OPT_RSET:
        raise_flag(&out->rset, &out->rclear, o->value);
        break;
    case OPT_RCLEAR:
        lower_flag(&out->rset, &out->rclear, o->value);
        break;
    case OPT_EXTENSION:
        out->extensions |= (unsigned)o->value;
        break;
    case OPT_PROPAGATION:
        /* one place stays free: rootfs_open() may have to put "rslave" in front */
        if (out->n_propagation == MOUNT_MAX_PROPAGATION - 1)
            return error_set(err, 0, "options: more than %d propagation options", MOUNT_MAX_PROPAGATION - 1);
        out->propagation[out->n_propagation++] = o->value;
        break;
    }
    return 0;
}

int mount_options_parse(struct arena *a, const struct string_list *words, struct mount_options *out,
                        struct error *err)
{
    struct buffer data = {.arena = a};

    *out = (struct mount_options){0};
    for (size_t i = 0; i < words->n; i++) {
        const struct option *o = find(words->v[i]);
        if (o && apply(o, out, err) < 0)
            return -1;
        if (o || !words->v[i][0])
            continue;
        if (data.length)
            buffer_puts(&data, ",");
        buffer_puts(&data, words->v[i]);
    }
    if (data.length > MOUNT_MAX_DATA)
        return error_set(err, 0, "options: %zu bytes of file-system data, the kernel takes at most %d",
                         data.length, MOUNT_MAX_DATA);
    out->data = data.length ? data.data : NULL;
    return 0;
}

void mount_options_attrs(unsigned long set, unsigned long clear, uint64_t *attr_set, uint64_t *attr_clear)
{
    static const struct {
        unsigned long ms;
        uint64_t attr;
    } map[] = {
        {MS_RDONLY, MOUNT_ATTR_RDONLY},         {MS_NOSUID, MOUNT_ATTR_NOSUID},
        {MS_NODEV, MOUNT_ATTR_NODEV},           {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
        {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}, {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
        {MS_NOATIME, MOUNT_ATTR_NOATIME},       {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    };

    *attr_set = *attr_clear = 0;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (set & map[i].ms)
            *attr_set |= map[i].attr;
        else if (clear & map[i].ms && !(map[i].attr & MOUNT_ATTR__ATIME))
            *attr_clear |= map[i].attr;
    }
    /* Access time is one field of three values: any of them set, or a wrong one to be left, means writing the
     * field. */
    if (set & ATIMES || clear & (MS_NOATIME | MS_STRICTATIME))
        *attr_clear |= MOUNT_ATTR__ATIME;
}
