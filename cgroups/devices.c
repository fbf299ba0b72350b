/*
 * linux.resources.devices (config-linux.md, "Allowed Device list"): from rules of which the later win to a policy.
 *
 * All starts denied, and after the bundle's rules come our own: the default devices, tun, and mknod of everything (a node
 * that cannot be opened is harmless, and images are unpacked in containers); these are runc's, so nobody depends
 * on less.
 *
 * Making a policy: each pattern that a rule uses is an entry, and so is each crossing of (major, any) with (any, minor),
 * where it would not be plain which of the two decides. What an entry allows is found by running through all rules
 * that cover the whole of it. In the end entries go that say what the next more general one says too.
 */
#include "cgroups/devices.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cgroups/cgroup_private.h"

enum { DEVICE_RULES_MAX = 4096, ENTRIES_MAX = 16384 };

static const struct spec_device_rule defaults[] = {
    {true, 'a', DEVICE_ANY, DEVICE_ANY, DEVICE_ACCESS_MKNOD},
    {true, 'c', 1, 3, DEVICE_ACCESS_ALL},            /* null */
    {true, 'c', 1, 5, DEVICE_ACCESS_ALL},            /* zero */
    {true, 'c', 1, 7, DEVICE_ACCESS_ALL},            /* full */
    {true, 'c', 1, 8, DEVICE_ACCESS_ALL},            /* random */
    {true, 'c', 1, 9, DEVICE_ACCESS_ALL},            /* urandom */
    {true, 'c', 5, 0, DEVICE_ACCESS_ALL},            /* tty */
    {true, 'c', 5, 2, DEVICE_ACCESS_ALL},            /* ptmx */
    {true, 'c', 10, 200, DEVICE_ACCESS_ALL},         /* net/tun */
    {true, 'c', 136, DEVICE_ANY, DEVICE_ACCESS_ALL}, /* pts/N, and the console, which is one of them */
};

struct rules {
    const struct spec_device_rule *v;
    size_t n;
};

/* "Any" is -1, and as an unsigned number the last. */
static int compare(const void *a, const void *b)
{
    const struct device_entry *x = a, *y = b;

    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    if (x->major != y->major)
        return (uint64_t)x->major < (uint64_t)y->major ? -1 : 1;
    if (x->minor != y->minor)
        return (uint64_t)x->minor < (uint64_t)y->minor ? -1 : 1;
    return 0;
}

struct device_entry *device_policy_find(const struct device_policy *p, char type, int64_t major,
                                        int64_t minor)
{
    struct device_entry key = {.type = type, .major = major, .minor = minor};

    return bsearch(&key, p->v, p->n, sizeof(*p->v), compare);
}

bool device_policy_allows_all(const struct device_policy *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].access != DEVICE_ACCESS_ALL)
            return false;
    return true;
}

static bool covers(const struct spec_device_rule *rule, const struct device_entry *e)
{
    return (rule->type == 'a' || rule->type == e->type) &&
           (rule->major == DEVICE_ANY || rule->major == e->major) &&
           (rule->minor == DEVICE_ANY || rule->minor == e->minor);
}

static void apply(const struct spec_device_rule *rule, struct device_entry *e)
{
    uint32_t access = rule->access ? rule->access : DEVICE_ACCESS_ALL;

    e->access = rule->allow ? e->access | access : e->access & ~access;
}

bool device_entry_is_default(const struct device_entry *e)
{
    struct device_entry ours = *e;

    ours.access = 0;
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        if (defaults[i].major == e->major && defaults[i].minor == e->minor && covers(&defaults[i], e))
            apply(&defaults[i], &ours);
    return (e->access & ~ours.access) == 0;
}

struct device_text device_format(char type, int64_t major, int64_t minor, uint32_t access)
{
    struct device_text t;
    char numbers[2][24] = {"*", "*"};

    if (major != DEVICE_ANY)
        snprintf(numbers[0], sizeof(numbers[0]), "%lld", (long long)major);
    if (minor != DEVICE_ANY)
        snprintf(numbers[1], sizeof(numbers[1]), "%lld", (long long)minor);
    snprintf(t.s, sizeof(t.s), "%c %s:%s %s%s%s", type, numbers[0], numbers[1],
             access & DEVICE_ACCESS_READ ? "r" : "", access & DEVICE_ACCESS_WRITE ? "w" : "",
             access & DEVICE_ACCESS_MKNOD ? "m" : "");
    return t;
}

bool devices_may_skip(const struct cgroup *c, const char *what)
{
    enum { FIRST_USER_NAMESPACE = 0xeffffffd }; /* PROC_USER_INIT_INO */
    struct stat st;

    if (!c->rootless && (stat("/proc/self/ns/user", &st) < 0 || st.st_ino == FIRST_USER_NAMESPACE))
        return false;
    log_debug("linux.resources.devices: not enforced, the kernel does not let us %s in a user namespace",
              what);
    return true;
}

static int check(const struct rules *rules, struct error *err)
{
    if (rules->n > DEVICE_RULES_MAX)
        return error_set(err, 0, "linux.resources.devices: %zu rules; there may be %d", rules->n,
                         DEVICE_RULES_MAX);
    for (size_t i = 0; i < rules->n; i++) {
        const struct spec_device_rule *rule = &rules->v[i];
        if (rule->major < DEVICE_ANY || rule->major > DEVICE_MAJOR_MAX)
            return error_set(err, 0,
                             "linux.resources.devices[%zu].major: %lld is not a device number (0 to %d, or "
                             "-1 for any)",
                             i, (long long)rule->major, DEVICE_MAJOR_MAX);
        if (rule->minor < DEVICE_ANY || rule->minor > DEVICE_MINOR_MAX)
            return error_set(err, 0,
                             "linux.resources.devices[%zu].minor: %lld is not a device number (0 to %d, or "
                             "-1 for any)",
                             i, (long long)rule->minor, DEVICE_MINOR_MAX);
    }
    return 0;
}

static void sort_unique(struct device_policy *p)
{
    size_t n = 0;

    qsort(p->v, p->n, sizeof(*p->v), compare);
    for (size_t i = 0; i < p->n; i++)
        if (n == 0 || compare(&p->v[n - 1], &p->v[i]) != 0)
            p->v[n++] = p->v[i];
    p->n = n;
}

static void add(struct device_policy *p, char type, int64_t major, int64_t minor)
{
    p->v[p->n++] = (struct device_entry){.type = type, .major = major, .minor = minor, .rule = -1};
}

static void add_patterns(struct device_policy *p, const struct spec_device_rule *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (const char *type = "bc"; *type; type++)
            if (v[i].type == 'a' || v[i].type == *type)
                add(p, *type, v[i].major, v[i].minor);
}

static bool crossing(const struct device_entry *row, const struct device_entry *column)
{
    return row->type == column->type && row->major != DEVICE_ANY && row->minor == DEVICE_ANY &&
           column->major == DEVICE_ANY && column->minor != DEVICE_ANY;
}

/* Where all of one major meets one minor of all. */
static int add_crossings(struct arena *a, struct device_policy *p, struct error *err)
{
    struct device_policy all = {.n = p->n};
    size_t n = p->n;

    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; p->v[i].minor == DEVICE_ANY && k < p->n; k++)
            n += crossing(&p->v[i], &p->v[k]);
    if (n > ENTRIES_MAX)
        return error_set(err, 0, "linux.resources.devices: too many rules with only a minor number");
    all.v = arena_new_n(a, n, struct device_entry);
    memcpy(all.v, p->v, p->n * sizeof(*p->v));
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; p->v[i].minor == DEVICE_ANY && k < p->n; k++)
            if (crossing(&p->v[i], &p->v[k]))
                add(&all, p->v[i].type, p->v[i].major, p->v[k].minor);
    sort_unique(&all);
    *p = all;
    return 0;
}

static void decide(struct device_policy *p, const struct rules *rules)
{
    for (struct device_entry *e = p->v; e < p->v + p->n; e++) {
        for (size_t i = 0; i < rules->n; i++)
            if (covers(&rules->v[i], e)) {
                apply(&rules->v[i], e);
                e->rule = (int64_t)i;
            }
        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
            if (covers(&defaults[i], e))
                apply(&defaults[i], e);
    }
}

/* Would the search give the same without @e? An entry on a crossing stays: v1 has no order of search, and is not to
 * fall into the wrong one of the two. */
static bool superfluous(const struct device_policy *p, const struct device_entry *e)
{
    const struct device_entry *row = device_policy_find(p, e->type, e->major, DEVICE_ANY),
                              *column = device_policy_find(p, e->type, DEVICE_ANY, e->minor),
                              *base = device_policy_find(p, e->type, DEVICE_ANY, DEVICE_ANY);

    if (e == base)
        return false;
    if (e == row || e == column)
        return e->access == base->access;
    if (row && column)
        return false;
    return e->access == (row ? row : column ? column : base)->access;
}

/* First the patterns with one "any", then those without, which fall back on what is left of the others. */
static void prune(struct arena *a, struct device_policy *p)
{
    for (int any = 1; any >= 0; any--) {
        struct device_policy left = {.v = arena_new_n(a, p->n, struct device_entry)};
        for (size_t i = 0; i < p->n; i++) {
            bool now = (p->v[i].major == DEVICE_ANY || p->v[i].minor == DEVICE_ANY) == any;
            if (!now || !superfluous(p, &p->v[i]))
                left.v[left.n++] = p->v[i];
        }
        *p = left;
    }
}

int device_policy_make(struct arena *a, const struct spec_resources *r, struct device_policy *out,
                       struct error *err)
{
    struct rules rules = {r ? r->devices : NULL, r ? r->n_devices : 0};
    struct device_policy p = {0};

    if (check(&rules, err) < 0)
        return -1;
    p.v = arena_new_n(a, 2 * (rules.n + ARRAY_SIZE(defaults)), struct device_entry);
    add_patterns(&p, rules.v, rules.n);
    add_patterns(&p, defaults, ARRAY_SIZE(defaults)); /* the first of them gives (any, any) of both types */
    sort_unique(&p);
    if (add_crossings(a, &p, err) < 0)
        return -1;
    decide(&p, &rules);
    prune(a, &p);
    *out = p;
    return 0;
}

int cgroup_write_devices(struct cgroup *c, const struct spec_resources *r, struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_DEVICES);
    struct device_policy policy;

    if (c->n_dirs == 0)
        return 0;
    if (device_policy_make(c->arena, r, &policy, err) < 0)
        return -1;
    if (!d) {
        if (device_policy_allows_all(&policy) || devices_may_skip(c, "guard devices"))
            return 0;
        return error_set(
            err, 0,
            "linux.resources.devices: no cgroup of the container's guards devices: the v1 controller "
            "\"devices\" is not mounted or may not be written, and there is no cgroup v2");
    }
    if (d->fd < 0 && cgroup_open(c, err) < 0)
        return -1;
    if (d->fd < 0)
        return error_set(err, ENOENT, "the container's cgroup %s", cgroup_dir_path(c->arena, d));
    return (d->v2 ? devices_bpf_write : devices_v1_write)(c, d, &policy, err);
}
