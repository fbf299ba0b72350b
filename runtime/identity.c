/*
 * process.user: groups first, then the group, the user last, for each step gives up the right to the one
 * before.
 *
 * Leaving uid 0 clears the permitted capabilities unless PR_SET_KEEPCAPS is on; capabilities_apply() needs
 * them next, and execve(2) turns the flag off again. An id that the user namespace does not map is EINVAL to
 * the kernel; the user is told which of the fields it was.
 */
#include "runtime/process.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

static const char *refusal(int code, const char *maps)
{
    static const struct {
        int code;
        const char *map, *text;
    } reasons[] = {
        {EINVAL, "uid", ": the user namespace does not map it; add it to linux.uidMappings"},
        {EINVAL, "gid", ": the user namespace does not map it; add it to linux.gidMappings"},
        {EPERM, "uid", ": changing it needs CAP_SETUID"},
        {EPERM, "gid", ": changing it needs CAP_SETGID"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].code == code && reasons[i].map[0] == maps[0])
            return reasons[i].text;
    return "";
}

int identity_apply(const struct spec_user *u, bool may_setgroups, struct error *err)
{
    /* Same size on every architecture of Linux, so that the list needs no copy. */
    _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gid_t is 32 bits");

    if (may_setgroups) {
        if (setgroups(u->n_additional_gids, u->additional_gids) < 0)
            return error_set(err, errno, "process.user.additionalGids: set %zu groups%s",
                             u->n_additional_gids, refusal(errno, "gid"));
    } else if (u->n_additional_gids) {
        log_warning(
            "process.user.additionalGids: the user namespace denies setgroups(2); the groups are not added");
    }
    if (setresgid(u->gid, u->gid, u->gid) < 0)
        return error_set(err, errno, "process.user.gid: %" PRIu32 "%s", u->gid, refusal(errno, "gid"));
    if (u->uid != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "process.user.uid: keep capabilities");
    if (setresuid(u->uid, u->uid, u->uid) < 0)
        return error_set(err, errno, "process.user.uid: %" PRIu32 "%s", u->uid, refusal(errno, "uid"));
    return 0;
}
