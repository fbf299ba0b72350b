/*
 * Users without root, and containers with more than one user of their own: may user namespaces be made, and which ids
 * may be mapped into them. Where root asks, what only others would miss is a warning. For a user the id ranges are tried:
 * a user namespace gets them through newuidmap and newgidmap, as a container's would.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/passwd.h"
#include "namespaces/namespaces.h"
#include "namespaces/subids.h"
#include "runtime/check_private.h"

void check_userns_limit(struct probe *p)
{
    const char *text = check_read(p->arena, "/proc/sys/user/max_user_namespaces");

    if (!text)
        probe_warn(p, NULL, "/proc/sys/user/max_user_namespaces: %s", strerror(errno));
    else if (strcmp(text, "0"))
        probe_ok(p, "%s for each user", text);
    else if (p->host->privileged)
        probe_warn(p, "sysctl user.max_user_namespaces=65536", "0: only containers without a user namespace");
    else
        probe_missing(p, "as root: sysctl user.max_user_namespaces=65536",
                      "0: no user namespaces, and without root nothing runs without one");
}

/* Distributions' own switches against user namespaces of those who are not root. */
static const struct user_switch {
    const char *path, *off, *sysctl;
} switches[] = {
    {"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile for hull with \"userns,\")"},
};

void check_userns_unprivileged(struct probe *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
        const char *text = check_read(p->arena, switches[i].path);

        if (!text || strcmp(text, switches[i].off))
            continue;
        const char *name = strrchr(switches[i].path, '/') + 1,
                   *remedy = arena_printf(p->arena, "as root: sysctl %s", switches[i].sysctl);
        /* AppArmor's may make an exception for this program: then namespace.mount says whether it did. */
        if (p->host->privileged || i == 1)
            probe_warn(p, remedy, "kernel.%s is %s: users cannot run containers without root", name, text);
        else
            probe_missing(p, remedy, "kernel.%s is %s", name, text);
        return;
    }
    probe_ok(p, "no switch against them");
}

void check_id_helpers(struct probe *p)
{
    static const char *const names[] = {"newuidmap", "newgidmap"};
    char path[64];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!idmap_find_helper(names[i], path)) {
            probe_missing(p, "install them (Debian: apt install uidmap; Fedora: dnf install shadow-utils)",
                          "%s is not installed: containers without root have one user only", names[i]);
            return;
        }
    probe_ok(p, "newuidmap and newgidmap are installed");
}

uint64_t check_subid_count(const char *text, const char *name, uid_t uid, uint32_t *start)
{
    uint64_t count = 0;

    for (uint32_t first, size; subids_next(&text, name, uid, &first, &size); count += size)
        if (count == 0)
            *start = first;
    return count;
}

/* Both files; false when an answer was given. */
static bool find_ranges(struct probe *p, uint32_t start[2], uint64_t count[2])
{
    static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
    struct passwd_entry user = {0};
    _cleanup_(fd_closep) int root = open("/", O_PATH | O_CLOEXEC);
    uid_t uid = getuid();

    if (passwd_find(p->arena, root, uid, &user) < 0)
        user.name = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const char *text = check_read(p->arena, files[i]);

        count[i] = text ? check_subid_count(text, user.name, uid, &start[i]) : 0;
        if (count[i] > 0)
            continue;
        probe_missing(
            p,
            arena_printf(p->arena,
                         "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s",
                         user.name ? user.name : "USER"),
            "%s has no range for %s (user %u): containers have one user only", files[i],
            user.name ? user.name : "this user", uid);
        return false;
    }
    return true;
}

void check_id_ranges(struct probe *p)
{
    uint32_t start[2];
    uint64_t count[2];
    struct error err = {0};
    _cleanup_(fd_closep) int fd = -1;

    if (p->host->privileged) {
        probe_ok(p, "not needed: root maps any ids");
        return;
    }
    if (!find_ranges(p, start, count))
        return;
    struct id_map uids[] = {{0, geteuid(), 1}, {1, start[0], 1}},
                  gids[] = {{0, getegid(), 1}, {1, start[1], 1}};
    struct id_maps uid_maps = {uids, 2}, gid_maps = {gids, 2};
    if (idmap_make_userns(&uid_maps, &gid_maps, &fd, &err) == 0)
        probe_ok(p, "%" PRIu64 " user and %" PRIu64 " group ids, mapped for a try", count[0], count[1]);
    else
        probe_missing(p,
                      "newuidmap and newgidmap need their set-user-id bit or file capabilities: reinstall "
                      "their package",
                      "%s", err.message);
}
