/*
 * Device rules on cgroup v1 (kernel: admin-guide/cgroup-v1/devices.rst): a default and a list of exceptions to it.
 *
 * With deny as the default an access is allowed when one exception has all of it; with allow, it is denied when
 * one has any of it. Exceptions only add up: there are none from exceptions. So a policy fits when each of its entries
 * allows no less (default deny) or no more (default allow) than the more general ones; else it is refused, because what v1
 * would make of it is another policy.
 *
 * devices.list shows the exceptions of a default deny only; with a default allow it says "a *:* rwm" and hides them.
 * Changes:
 *   a new cgroup       it has its parent's list, and nobody in it: the default, then the exceptions
 *   deny -> deny       what is missing is allowed, then what is too much is denied: nobody sees less than old and new
 *                      have in common
 *   any -> allow all   one write
 *   others             the default has to change, which drops the exceptions, or hidden ones may have to go: the
 *                      container is frozen meanwhile
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cgroups/cgroup_private.h"
#include "cgroups/devices.h"

enum { LIST_MAX = 1024 * 1024 };

struct list { /* wanted or found */
    bool allow;
    struct device_entry *exceptions; /* access: what is the exception */
    size_t n;
};

struct v1 {
    struct cgroup *c;
    const struct cgroup_dir *d;
    int allow, deny; /* devices.allow, devices.deny, open for many writes */
};

static void v1_close(struct v1 *v)
{
    fd_closep(&v->allow);
    fd_closep(&v->deny);
}

/* --- a policy as a list ------------------------------------------------------------------------------------------ */

/* The first entry that is more general than @e and not on the right side of it: an entry of a list whose default
 * is to allow may not allow more, and else not less. */
static const struct device_entry *find_conflict(const struct device_policy *p, const struct device_entry *e,
                                                bool allow)
{
    const struct device_entry *general[] = {
        device_policy_find(p, e->type, e->major, DEVICE_ANY),
        device_policy_find(p, e->type, DEVICE_ANY, e->minor),
        device_policy_find(p, e->type, DEVICE_ANY, DEVICE_ANY),
    };

    for (size_t i = 0; i < ARRAY_SIZE(general); i++)
        if (general[i] && (allow ? e->access & ~general[i]->access : general[i]->access & ~e->access))
            return general[i];
    return NULL;
}

static int cannot_express(const struct device_entry *e, const struct device_entry *general, struct error *err)
{
    const struct device_entry *last = e->rule > general->rule ? e : general;
    char path[64] = "linux.resources.devices";

    if (last->rule >= 0)
        snprintf(path, sizeof(path), "linux.resources.devices[%lld]", (long long)last->rule);
    return error_set(err, 0,
                     "%s: \"%s\" cannot be an exception from \"%s\" on cgroup v1; name each device that is "
                     "allowed, or use cgroup v2",
                     path, device_format(e->type, e->major, e->minor, e->access).s,
                     device_format(general->type, general->major, general->minor, general->access).s);
}

/* 0: filled in; 1: does not fit. */
static int list_make(struct arena *a, const struct device_policy *p, bool allow, struct list *out,
                     struct error *err)
{
    *out = (struct list){.allow = allow, .exceptions = arena_new_n(a, p->n, struct device_entry)};
    for (const struct device_entry *e = p->v; e < p->v + p->n; e++) {
        const struct device_entry *general = find_conflict(p, e, allow);
        if (general) {
            cannot_express(e, general, err);
            return 1;
        }
        uint32_t access = allow ? DEVICE_ACCESS_ALL & ~e->access : e->access;
        if (access) {
            out->exceptions[out->n] = *e;
            out->exceptions[out->n++].access = access;
        }
    }
    return 0;
}

/* Deny by default where that can be: only then does the kernel show what it has. */
static int list_wanted(struct arena *a, const struct device_policy *p, struct list *out, struct error *err)
{
    bool all = device_policy_allows_all(p);

    if (list_make(a, p, all, out, err) == 0)
        return 0;
    return list_make(a, p, !all, out, NULL) == 0 ? 0 : -1;
}

/* --- what the kernel has ----------------------------------------------------------------------------------------- */

static int number_or_any(const char *text, int64_t *out)
{
    char *end;

    *out = DEVICE_ANY;
    if (strcmp(text, "*") == 0)
        return 0;
    *out = strtol(text, &end, 10);
    return *end || end == text ? -1 : 0;
}

static int parse_line(const char *line, struct device_entry *e)
{
    char numbers[2][16], access[4];

    if (sscanf(line, "%c %15[0-9*]:%15[0-9*] %3[rwm]", &e->type, numbers[0], numbers[1], access) != 4 ||
        number_or_any(numbers[0], &e->major) < 0 || number_or_any(numbers[1], &e->minor) < 0)
        return -1;
    e->access = (strchr(access, 'r') ? DEVICE_ACCESS_READ : 0) |
                (strchr(access, 'w') ? DEVICE_ACCESS_WRITE : 0) |
                (strchr(access, 'm') ? DEVICE_ACCESS_MKNOD : 0);
    return 0;
}

static int list_read(struct v1 *v, struct list *out, struct error *err)
{
    char *text, *line, *save = NULL;
    size_t lines = 0;

    if (file_read(v->d->fd, "devices.list", LIST_MAX, v->c->arena, &text, NULL, err) < 0)
        return error_wrap(err, "%s", cgroup_dir_path(v->c->arena, v->d));
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    *out = (struct list){.exceptions = arena_new_n(v->c->arena, lines + 1, struct device_entry)};
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct device_entry *e = &out->exceptions[out->n];
        if (parse_line(line, e) < 0)
            return error_set(err, 0, "%s/devices.list: cannot read \"%s\"",
                             cgroup_dir_path(v->c->arena, v->d), line);
        if (e->type == 'a')
            out->allow = true;
        else
            out->n++;
    }
    return 0;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static int write_rule(struct v1 *v, bool allow, const char *rule)
{
    int *fd = allow ? &v->allow : &v->deny;
    char line[80];
    int n = snprintf(line, sizeof(line), "%s\n", rule);

    if (*fd < 0)
        *fd = openat(v->d->fd, allow ? "devices.allow" : "devices.deny", O_WRONLY | O_APPEND | O_CLOEXEC);
    return *fd < 0 || write(*fd, line, (size_t)n) < 0 ? -1 : 0;
}

static int write_failed(struct v1 *v, bool allow, const char *rule, struct error *err)
{
    return error_set(err, errno, "linux.resources.devices: write \"%s\" to %s/devices.%s", rule,
                     cgroup_dir_path(v->c->arena, v->d), allow ? "allow" : "deny");
}

/* A default device that the cgroup above does not have is missing here too, as in a nested runtime it may be. */
static int write_exception(struct v1 *v, bool allow, const struct device_entry *e, uint32_t access,
                           struct error *err)
{
    struct device_text rule = device_format(e->type, e->major, e->minor, access);

    if (write_rule(v, allow, rule.s) == 0)
        return 0;
    if (!allow || errno != EPERM)
        return write_failed(v, allow, rule.s, err);
    if (device_entry_is_default(e)) {
        log_debug("linux.resources.devices: the cgroup above %s does not have the default device \"%s\"",
                  cgroup_dir_path(v->c->arena, v->d), rule.s);
        return 0;
    }
    return error_set(err, EPERM,
                     "linux.resources.devices[%lld]: allow \"%s\": the cgroup above %s does not allow it",
                     (long long)e->rule, rule.s, cgroup_dir_path(v->c->arena, v->d));
}

static int write_default(struct v1 *v, bool allow, struct error *err)
{
    if (write_rule(v, allow, "a") == 0)
        return 0;
    int code = errno;
    write_failed(v, allow, "a", err);
    if (code == EPERM && allow)
        return error_wrap(err, "the cgroup above does not allow all devices");
    if (code == EINVAL)
        return error_wrap(err, "the container has made cgroups of its own, and they would have to go first");
    return -1;
}

static int write_all(struct v1 *v, const struct list *l, struct error *err)
{
    if (write_default(v, l->allow, err) < 0)
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if (write_exception(v, !l->allow, &l->exceptions[i], l->exceptions[i].access, err) < 0)
            return -1;
    return 0;
}

/* --- changing ---------------------------------------------------------------------------------------------------- */

static uint32_t access_in(const struct list *l, const struct device_entry *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->exceptions[i].type == e->type && l->exceptions[i].major == e->major &&
            l->exceptions[i].minor == e->minor)
            return l->exceptions[i].access;
    return 0;
}

/* Both deny by default. */
static int write_difference(struct v1 *v, const struct list *now, const struct list *wanted,
                            struct error *err)
{
    for (size_t i = 0; i < wanted->n; i++) {
        const struct device_entry *e = &wanted->exceptions[i];
        uint32_t more = e->access & ~access_in(now, e);
        if (more && write_exception(v, true, e, more, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < now->n; i++) {
        const struct device_entry *e = &now->exceptions[i];
        uint32_t less = e->access & ~access_in(wanted, e);
        if (less && write_exception(v, false, e, less, err) < 0)
            return -1;
    }
    return 0;
}

/* In several steps that nobody may see. A container that is paused stays so. */
static int write_frozen(struct v1 *v, const struct list *wanted, struct error *err)
{
    bool frozen = cgroup_is_frozen(v->c);

    if (!frozen && cgroup_freeze(v->c, true, err) < 0)
        return error_wrap(err, "linux.resources.devices");
    int result = write_all(v, wanted, err);
    if (!frozen && cgroup_freeze(v->c, false, result < 0 ? NULL : err) < 0)
        return -1;
    return result;
}

static int write_update(struct v1 *v, const struct list *wanted, struct error *err)
{
    struct list now = {0};

    if (wanted->allow && wanted->n == 0)
        return write_default(v, true, err);
    if (list_read(v, &now, err) < 0)
        return -1;
    if (!now.allow && !wanted->allow)
        return write_difference(v, &now, wanted, err);
    return write_frozen(v, wanted, err);
}

int devices_v1_write(struct cgroup *c, const struct cgroup_dir *d, const struct device_policy *p,
                     struct error *err)
{
    _cleanup_(v1_close) struct v1 v = {.c = c, .d = d, .allow = -1, .deny = -1};
    struct error why = {0};
    struct list wanted;

    if (list_wanted(c->arena, p, &wanted, err) < 0)
        return -1;
    if ((d->made ? write_all : write_update)(&v, &wanted, &why) == 0)
        return 0;
    if ((why.code == EPERM || why.code == EACCES) && devices_may_skip(c, "write device rules"))
        return 0;
    if (err)
        *err = why;
    return -1;
}
