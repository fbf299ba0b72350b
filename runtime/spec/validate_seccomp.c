/*
 * Relations inside linux.seccomp (runtime-spec config-linux.md, "Seccomp"). What libseccomp or the kernel
 * lacks is runtime/seccomp.c's; here is only what no build could do.
 */
#include <string.h>

#include "runtime/spec/decode.h"

static bool takes_errno(const char *action)
{
    return !strcmp(action, "SCMP_ACT_ERRNO") || !strcmp(action, "SCMP_ACT_TRACE");
}

static bool is_notify(const char *action)
{
    return action && !strcmp(action, "SCMP_ACT_NOTIFY");
}

/* The program sends the notify descriptor with write(2)'s kin after the filter is loaded: it would wait for
 * itself. */
static void validate_notify(struct spec_complaints *c, const struct spec_seccomp_rule *r, size_t i)
{
    for (size_t j = 0; j < r->names.n; j++)
        if (!strcmp(r->names.v[j], "write"))
            complain(
                c, "linux.seccomp.syscalls[%zu].action: SCMP_ACT_NOTIFY cannot be used for the write syscall",
                i);
}

void validate_seccomp(struct spec_complaints *c, const struct spec_seccomp *s)
{
    const char *notify = is_notify(s->default_action) ? "defaultAction" : NULL;
    if (notify)
        complain(c, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
    if (s->has_default_errno_ret && s->default_action && !takes_errno(s->default_action))
        complain(
            c, "linux.seccomp.defaultErrnoRet: %s takes no errno, only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do",
            s->default_action);
    for (size_t i = 0; i < s->n_rules; i++) {
        const struct spec_seccomp_rule *r = &s->rules[i];
        if (r->has_errno_ret && r->action && !takes_errno(r->action))
            complain(c,
                     "linux.seccomp.syscalls[%zu].errnoRet: %s takes no errno, only SCMP_ACT_ERRNO and "
                     "SCMP_ACT_TRACE do",
                     i, r->action);
        if (is_notify(r->action)) {
            validate_notify(c, r, i);
            notify = "action";
        }
    }
    if (notify && !s->listener_path && !complained_of(c, "linux.seccomp.listenerPath"))
        complain(c, "linux.seccomp.listenerPath: is required when SCMP_ACT_NOTIFY is used");
    if (s->listener_metadata && !s->listener_path && !complained_of(c, "linux.seccomp.listenerPath"))
        complain(c, "linux.seccomp.listenerMetadata: must not be there without listenerPath");
}
