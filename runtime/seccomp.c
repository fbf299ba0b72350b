/*
 * linux.seccomp from the profile to the kernel: take the program from the cache or compile, reshape and cache
 * it; load it with one seccomp(2); hand a notify descriptor to the agent (runtime-spec config-linux.md
 * "Seccomp", "The Container Process State").
 *
 * seccomp_prepare() runs in the parent before anything is touched and finds all that can be wrong with the
 * profile. Flags are asked of the kernel there too (a filter at address NULL gives EFAULT when the flags are
 * known), so that the load cannot fail for them.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "base/socket.h"
#include "runtime/seccomp_private.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif

/* Raised with every change that makes another program of the same profile. */
#define GENERATOR "hull-seccomp-2"

/* TSYNC brings other threads in line, and a process about to execve has none: nothing is to be done for it.
 */
static const struct {
    const char *name;
    unsigned value;
} flag_table[] = {
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

static int sys_seccomp(unsigned operation, unsigned flags, const void *program)
{
    return (int)syscall(SYS_seccomp, operation, flags, program);
}

/* WAIT_KILLABLE_RECV is about the listener, and is refused without one. */
static bool kernel_has(unsigned flags)
{
    if (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    return sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
}

const char *const *seccomp_known_flags(void)
{
    static const char *names[ARRAY_SIZE(flag_table) + 1];

    for (size_t i = 0; i < ARRAY_SIZE(flag_table); i++)
        names[i] = flag_table[i].name;
    return names;
}

const char *const *seccomp_supported_flags(void)
{
    static const char *names[ARRAY_SIZE(flag_table) + 1];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(flag_table); i++)
        if (kernel_has(flag_table[i].value))
            names[n++] = flag_table[i].name;
    names[n] = NULL;
    return names;
}

/* --- prepare ----------------------------------------------------------------------------------------------
 */

/* Without "flags" a filter does not slow the process with speculation controls, as the kernel itself has it
 * since 5.16. "flags": [] is a wish for none; the decoded list cannot tell the two apart, the profile's own
 * text can. */
static bool flags_are_given(const struct spec_seccomp *p)
{
    static const char key[] = "\"flags\"";
    return p->flags.n || (p->raw && memmem(p->raw, p->raw_length, key, sizeof(key) - 1));
}

static int flags_value(const struct spec_seccomp *p, bool notify, unsigned *out, struct error *err)
{
    *out = flags_are_given(p) ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    for (size_t i = 0; i < p->flags.n; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(flag_table) && strcmp(flag_table[k].name, p->flags.v[i]) != 0)
            k++;
        if (k == ARRAY_SIZE(flag_table))
            return error_set(err, 0, "linux.seccomp.flags: unknown flag \"%s\"", p->flags.v[i]);
        if (flag_table[k].value && !kernel_has(flag_table[k].value))
            return error_set(err, 0, "linux.seccomp.flags: this kernel does not support %s", p->flags.v[i]);
        *out |= flag_table[k].value;
    }
    if (!notify)
        *out &= ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    return 0;
}

/* The listener's number leaves the container by write(2), before anyone could answer a notification. */
static int notify_check(const struct spec_seccomp *p, bool *notify, struct error *err)
{
    static const char action[] = "SCMP_ACT_NOTIFY";

    *notify = false;
    if (p->default_action && strcmp(p->default_action, action) == 0)
        return error_set(err, 0,
                         "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
    for (size_t i = 0; i < p->n_rules; i++) {
        if (!p->rules[i].action || strcmp(p->rules[i].action, action) != 0)
            continue;
        *notify = true;
        for (size_t k = 0; k < p->rules[i].names.n; k++)
            if (strcmp(p->rules[i].names.v[k], "write") == 0)
                return error_set(
                    err, 0, "linux.seccomp.syscalls: SCMP_ACT_NOTIFY cannot be used for the write syscall");
    }
    if (*notify && !p->listener_path)
        return error_set(err, 0, "linux.seccomp.listenerPath: must be set when SCMP_ACT_NOTIFY is used");
    return 0;
}

static int compile(struct arena *a, const struct spec_seccomp *profile, struct sock_fprog *out,
                   struct error *err)
{
    struct seccomp_ranges newer;
    struct sock_fprog plain;

    if (seccomp_compile(a, profile, &plain, &newer, err) < 0)
        return -1;
    if (!seccomp_tree_build(a, &plain, &newer, out)) {
        log_debug("seccomp: the compiled filter has a form that cannot be optimized");
        *out = plain;
    }
    return 0;
}

static void cache_key(struct seccomp_cache_key *key, const struct spec_seccomp *profile, const char *dir)
{
    const struct scmp_version *v = seccomp_version();
    struct utsname kernel;
    int n = -1;

    *key = (struct seccomp_cache_key){
        .dir = dir, .profile = profile->raw, .profile_length = profile->raw_length};
    if (profile->raw && dir && uname(&kernel) == 0)
        n = snprintf(key->context, sizeof(key->context), "%s %u.%u.%u %s %s", GENERATOR, v->major, v->minor,
                     v->micro, kernel.release, kernel.machine);
    if (n < 0 || (size_t)n >= sizeof(key->context))
        key->dir = NULL; /* nothing is found and nothing stored */
    else
        key->context_length = (size_t)n;
}

int seccomp_prepare(struct arena *a, const struct spec_seccomp *profile, const char *cache_dir,
                    struct seccomp_filter *out, struct error *err)
{
    struct seccomp_cache_key key;

    *out = (struct seccomp_filter){0};
    if (!profile->present)
        return 0;
    if (notify_check(profile, &out->notify, err) < 0 ||
        flags_value(profile, out->notify, &out->flags, err) < 0)
        return -1;
    cache_key(&key, profile, cache_dir);
    if (!seccomp_cache_load(a, &key, &out->program)) {
        if (compile(a, profile, &out->program, err) < 0)
            return -1;
        seccomp_cache_store(&key, &out->program);
    }
    out->present = true;
    return 0;
}

/* --- load -------------------------------------------------------------------------------------------------
 */

int seccomp_filter_load(const struct seccomp_filter *filter, int *listener, struct error *err)
{
    unsigned flags = filter->flags | (filter->notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    int ret;

    *listener = -1;
    if (!filter->present)
        return 0;
    log_debug("seccomp filter flags: %u", filter->flags);
    ret = sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, &filter->program);
    /* A profile around Hull may know only the older way, which has no flags; SPEC_ALLOW can be missed. */
    if (ret < 0 && errno == ENOSYS && (flags & ~(unsigned)SECCOMP_FILTER_FLAG_SPEC_ALLOW) == 0)
        ret = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter->program, 0, 0);
    if (ret < 0)
        return error_set(err, errno, "linux.seccomp: load the filter%s",
                         errno == EACCES  ? " (needs process.noNewPrivileges or CAP_SYS_ADMIN)"
                         : errno == EBUSY ? " (a filter around Hull has a listener already)"
                                          : "");
    if (filter->notify)
        *listener = ret;
    return 0;
}

/* --- the agent --------------------------------------------------------------------------------------------
 */

static void arena_freep(struct arena *a)
{
    arena_free(a);
}

int seccomp_send_listener(const struct spec_seccomp *profile, int listener, const char *state_json, pid_t pid,
                          struct error *err)
{
    _cleanup_(arena_freep) struct arena a = {0};
    _cleanup_(fd_closep) int sock = -1;
    struct json *state;
    size_t length;
    char *text;

    if (json_parse(&a, state_json, strlen(state_json), "state", &state, err) < 0)
        return -1;
    struct json_writer w = json_writer_begin(&a, false);
    json_object(&w);
    json_key(&w, "ociVersion");
    json_string(&w, SPEC_VERSION);
    json_key(&w, "fds");
    json_array(&w);
    json_string(&w, "seccompFd");
    json_array_end(&w);
    json_key(&w, "pid");
    json_int(&w, pid);
    if (profile->listener_metadata) {
        json_key(&w, "metadata");
        json_string(&w, profile->listener_metadata);
    }
    json_key(&w, "state");
    json_value(&w, state);
    json_object_end(&w);
    text = json_writer_end(&w, &length);

    if (socket_connect(profile->listener_path, &sock, err) < 0)
        return error_wrap(err, "linux.seccomp.listenerPath: failed to connect with seccomp agent");
    if (socket_send_fds(sock, text, length, &listener, 1) < 0)
        return error_set(err, errno, "linux.seccomp.listenerPath: send the notify descriptor to %s",
                         profile->listener_path);
    return 0;
}
