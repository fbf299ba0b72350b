/*
 * The eight Linux namespaces: which to make, which to join by path, and user-namespace id maps.
 * Order matters in two places: a user namespace is entered first (it gives the rights over the others),
 * the mount namespace last.
 */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/** CLONE_NEWUSER ... of a type. */
int namespace_clone_flag(enum namespace_type type);
/** "user", "net", "mnt" ...: its file in /proc/PID/ns. */
const char *namespace_proc_name(enum namespace_type type);
/** CLONE_NEW* flags of those in @ns that are new (no path). */
int namespaces_new_flags(const struct spec_namespace ns[NS_COUNT]);

/** Open every namespace that has a path and check its type (ioctl NS_GET_NSTYPE) before anything else is
 * done.
 *  @fds[type] is -1 where there is none. The caller closes them. */
int namespaces_open(const struct spec_namespace ns[NS_COUNT], int fds[NS_COUNT], struct error *err);

/** setns(2) to each fd >= 0 whose type's clone flag is in @which, in the right order. */
int namespaces_join(const int fds[NS_COUNT], int which, struct error *err);

/** Open a namespace of a live process (/proc/PID/ns/...), by the checked procfs. -1 with errno. */
int namespace_open_process(pid_t pid, enum namespace_type type);

/** Join namespaces (CLONE_NEW* in @which) of a live process: setns on the pidfd (5.8), or file by file
 * before. */
int namespaces_join_process(int pidfd, pid_t pid, int which, struct error *err);

/** Write the id maps (and setgroups where it is needed) of @pid, which waits in a new user namespace:
 * directly where the caller may, else with newuidmap/newgidmap, else a single map of the caller's own id. */
int idmap_write(pid_t pid, const struct id_maps *uids, const struct id_maps *gids, struct error *err);

/** A user namespace that has these maps, for idmapped mounts; an fd. A short-lived child holds it while it is
 * made. */
int idmap_make_userns(const struct id_maps *uids, const struct id_maps *gids, int *fd, struct error *err);

/** The maps of the user namespace @userns (a descriptor). */
struct arena;
int idmap_read_userns(struct arena *a, int userns, struct id_maps *uids, struct id_maps *gids,
                      struct error *err);

/** Where newuidmap or newgidmap (@name) is installed, in a fixed PATH; NULL when it is not. Returns @path. */
const char *idmap_find_helper(const char *name, char path[64]);

/** True and *host set when container id @id is mapped. No maps at all: identity. */
bool idmap_to_host(const struct id_maps *maps, uint32_t id, uint32_t *host);

/** Write the time namespace's offsets (self's children's): /proc/self/timens_offsets. */
int timens_write_offsets(const struct spec_time_offset *monotonic, const struct spec_time_offset *boottime,
                         struct error *err);
