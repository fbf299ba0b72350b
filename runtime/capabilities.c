/*
 * process.capabilities: five sets, applied in two halves around the change of user (capabilities(7)).
 *
 *   capabilities_drop_bounding()   while CAP_SETPCAP is there: every capability outside the set leaves the
 * bounding set identity_apply()               keeps the permitted set capabilities_apply() capset(2), then
 * the ambient set one by one
 *
 * No capabilities in the specification means none at all. The usual case is one call a dropped capability
 * plus one capset: the kernel is told what is wanted and only asked what there is when it refuses. What the
 * host itself lacks is then left out with a warning.
 */
#include "runtime/process.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/log.h"

enum { CAPABILITY_BITS = 64 };

struct capability_sets {
    uint64_t effective, permitted, inheritable;
};

int capability_last(void)
{
    static int last = -1;

    if (last >= 0)
        return last;
    last = CAP_LAST_CAP; /* of the headers; the kernel may be older or newer */
    while (last > 0 && prctl(PR_CAPBSET_READ, last, 0, 0, 0) < 0)
        last--;
    while (last + 1 < CAPABILITY_BITS && prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0) >= 0)
        last++;
    return last;
}

/* PR_CAPBSET_DROP was refused: fine if there is nothing left to drop. */
static int bounding_check(uint64_t wanted, struct error *err)
{
    for (int cap = 0; cap <= capability_last(); cap++)
        if (!(wanted >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            return error_set(err, EPERM, "process.capabilities.bounding: drop %s, which needs CAP_SETPCAP",
                             capability_name(cap) ? capability_name(cap) : "a capability");
    return 0;
}

int capabilities_drop_bounding(const struct spec_capabilities *c, struct error *err)
{
    uint64_t wanted = c->present ? c->bounding : 0;

    /* Dropping what is absent succeeds, and beyond the kernel's last one is EINVAL: no need to ask for either
     * first. */
    for (int cap = 0; cap < CAPABILITY_BITS; cap++) {
        if (wanted >> cap & 1 || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            return 0;
        if (errno == EPERM)
            return bounding_check(wanted, err);
        return error_set(err, errno, "process.capabilities.bounding: drop %s", capability_name(cap));
    }
    return 0;
}

static int sys_capget(struct capability_sets *sets)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, d) < 0)
        return -1;
    sets->effective = d[0].effective | (uint64_t)d[1].effective << 32;
    sets->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
    sets->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    return 0;
}

static int sys_capset(const struct capability_sets *sets)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {
        {(uint32_t)sets->effective, (uint32_t)sets->permitted, (uint32_t)sets->inheritable},
        {(uint32_t)(sets->effective >> 32), (uint32_t)(sets->permitted >> 32),
         (uint32_t)(sets->inheritable >> 32)},
    };
    return (int)syscall(SYS_capset, &header, d);
}

static void warn_missing(const char *set, uint64_t missing, const char *why)
{
    char names[1024] = "";
    size_t used = 0;

    for (int cap = 0; cap < CAPABILITY_BITS; cap++) {
        if (!(missing >> cap & 1) || used >= sizeof(names))
            continue;
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
                                 capability_name(cap) ? capability_name(cap) : "unknown");
    }
    if (missing)
        log_warning("process.capabilities.%s: left out %s: %s", set, names, why);
}

/* capset() was refused: ask for no more than there is, by the rules of capset in capabilities(7). */
static int capabilities_clamp(const struct spec_capabilities *c, struct capability_sets *want,
                              struct error *err)
{
    static const char why[] = "this host does not have it to give";
    struct capability_sets now, all = *want;

    if (sys_capget(&now) < 0)
        return error_set(err, errno, "process.capabilities: read the present sets");
    want->permitted &= now.permitted;
    want->effective &= want->permitted;
    want->inheritable &= now.inheritable | (now.permitted & c->bounding);
    warn_missing("permitted", all.permitted & ~want->permitted, why);
    warn_missing("effective", all.effective & ~want->effective & now.permitted,
                 "it is not in the permitted set");
    warn_missing("inheritable", all.inheritable & ~want->inheritable & ~(all.permitted & ~want->permitted),
                 "it is neither in the permitted nor in the bounding set");
    if (sys_capset(want) < 0)
        return error_set(err, errno,
                         "process.capabilities: set effective %#llx, permitted %#llx, inheritable %#llx",
                         (unsigned long long)want->effective, (unsigned long long)want->permitted,
                         (unsigned long long)want->inheritable);
    return 0;
}

static int ambient_apply(uint64_t ambient, const struct capability_sets *sets, struct error *err)
{
    uint64_t possible = sets->permitted & sets->inheritable;

    /* capset() has cut the ambient set to what is permitted and inheritable; only then can something be left
     * of it. */
    if (possible && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return error_set(err, errno, "process.capabilities.ambient: clear");
    warn_missing("ambient", ambient & ~possible, "it is not in both the permitted and the inheritable set");
    for (int cap = 0; cap < CAPABILITY_BITS; cap++)
        if ((ambient & possible) >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return error_set(err, errno, "process.capabilities.ambient: raise %s", capability_name(cap));
    return 0;
}

int capabilities_apply(const struct spec_capabilities *c, struct error *err)
{
    static const struct spec_capabilities none;

    if (!c->present)
        c = &none;
    struct capability_sets want = {c->effective, c->permitted, c->inheritable};

    if (sys_capset(&want) < 0) {
        if (errno != EPERM)
            return error_set(err, errno, "process.capabilities: set");
        if (capabilities_clamp(c, &want, err) < 0)
            return -1;
    }
    return ambient_apply(c->ambient, &want, err);
}
