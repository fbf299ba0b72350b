/*
 * Paths that come from a bundle, an image or a guest are hostile. They are resolved below a directory descriptor
 * as if it were "/" (openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS; symlinks stay inside), and from then on only the
 * descriptor is used. EAGAIN (a rename raced) is retried. Kernels before 5.6, and seccomp profiles that do not know
 * openat2, get a walk component by component with O_NOFOLLOW that gives the same answers.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/** Open @path below @root. @flags as open(2); O_CLOEXEC is added. Returns the fd, or -1 with errno. */
int path_open(int root, const char *path, int flags, mode_t mode);

/** The same, refusing any symlink on the way and at the end (ELOOP). */
int path_open_nofollow(int root, const char *path, int flags, mode_t mode);

/** Make the missing directories of @path below @root (mode @mode, owner the caller) and open it O_PATH.
 *  Existing symlinks are followed inside the root. A dangling symlink's target is made, inside the root. */
int path_mkdirs(int root, const char *path, mode_t mode, int *fd, struct error *err);

/** Make @path an (empty) regular file if nothing is there, with its missing parents, and open it O_PATH. What is there
 *  already (file, device, socket ...) is only opened. A directory there is an error. */
int path_mkfile(int root, const char *path, mode_t mode, int *fd, struct error *err);

/** Open the directory that holds @path's last component (made if missing with @mode) and give that component's name
 *  (points into @path). For mknodat, symlinkat. ".." and "/" as last component are errors. */
int path_open_parent(int root, const char *path, mode_t mode, int *parent, const char **name,
                     struct error *err);

/** Turn @path (below nothing, the host's own) into an absolute one without opening it: cwd is put in front if needed.
 *  "." and spare slashes go, ".." stays. NULL with errno when there is no cwd. */
struct arena;
char *path_absolute(struct arena *a, const char *path);

/** True when a component of @path is ".." : such a path may leave what it is joined to. */
bool path_has_dotdot(const char *path);
