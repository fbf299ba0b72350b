/* Shared by the files of cgroups/. */
#pragma once

#include "cgroups/cgroup.h"

/* What each v2 cgroup has whatever its controllers. */
#define CGROUP_V2_CORE (CG_BIT(CG_DEVICES) | CG_BIT(CG_FREEZER))

/** Names in @text (which is cut up) -> CG_BIT()s; unknown ones are passed over. */
uint32_t cgroup_controllers_parse(char *text, const char *separators, bool v2);
/** A cgroup.controllers file; 0 when it can't be read. */
uint32_t cgroup_controllers_read(struct arena *a, int dirfd, const char *path);

/** The directory's whole path on the host. */
const char *cgroup_dir_path(struct arena *a, const struct cgroup_dir *d);

/** Read a small file of the kernel's below @dirfd, without the newline at its end; NULL with errno. */
char *cgroup_text_read(struct arena *a, int dirfd, const char *path);
/** Read a small file of the directory, without the newline at its end; NULL with errno when it can't be read. */
char *cgroup_file_read(struct arena *a, const struct cgroup_dir *d, const char *name);
/** 0, or -1 with errno. */
int cgroup_file_write(const struct cgroup_dir *d, const char *name, const char *text);

/** Kill the container, and what else is in this directory: on v1 processes can be there and nowhere else. */
int cgroup_empty(struct cgroup *c, const struct cgroup_dir *d, struct error *err);
/** Remove the directory and all below it, which must be without processes. 0, or -1 with errno (EBUSY: there are). */
int cgroup_tree_remove(struct arena *a, const struct cgroup_dir *d);

/** Wait a little longer each time, @waited_ms in all so far. False when @limit_ms is over. */
bool cgroup_wait(unsigned *waited_ms, unsigned limit_ms);

/** An error where the cgroup is frozen, itself or by one above it: a process born in it would never get to run. */
int cgroup_check_thawed(struct cgroup *c, struct error *err);
/** Frozen by the v1 freezer, whose processes do not even die. */
bool cgroup_is_v1_frozen(struct cgroup *c);
