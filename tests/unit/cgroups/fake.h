/* Cgroup directories that are made of plain files, and a struct cgroup over them. */
#pragma once

#include "cgroups/cgroup.h"

/** A new directory below /tmp with @files ("name", "text" ... NULL), as the one directory of @controllers. */
struct cgroup_dir fake_dir(bool v2, uint32_t controllers, const char *const *files);
struct cgroup fake_cgroup(struct arena *a, struct cgroup_dir *dirs, size_t n);
void fake_file(const struct cgroup_dir *d, const char *name, const char *text);
void fake_remove(struct cgroup_dir *d);
