/*
 * Between the files of the limits: what is asked for becomes a list of writes (limits.c, limits_lists.c), which is
 * then carried out (limits_write.c).
 */
#pragma once

#include "cgroups/cgroup.h"

struct limit_writes;

struct limit_write {
    const char *path; /* "linux.resources.memory.limit" */
    const struct cgroup_dir *dir;
    const char *file, *text;
    const char *other_file, *other_text; /* instead, where the kernel has no such file; NULL: none */
    const char *usage;                   /* EBUSY: this file tells how much is in use; NULL: none */
    const char *since;                   /* ENOENT: what the kernel lacks */
    const char *rule;                    /* EINVAL: the kernel's rule that it may come from */
    bool optional; /* a kernel without the file enforces it too, or has nothing to undo */
    int (*without)(const struct limit_writes *w, struct error *err); /* ENOENT: what then; NULL: the error */
};

struct limit_writes {
    struct cgroup *c;
    const struct spec_resources *r;
    bool update;
    struct limit_write *v;
    size_t n, capacity;
};

void limit_write_add(struct limit_writes *w, const struct limit_write *one);

/** Carry them out, in order. One that the kernel calls invalid is tried again after the others: of two values that
 * bound each other (memory and swap, quota and period) the order depends on what was there before, and this way it
 * need not be read. An update that fails leaves the values that were there before. */
int limit_writes_run(struct limit_writes *w, struct error *err);

/* --- limits_lists.c ---------------------------------------------------------------------------------------------- */

/** The lists of @r (devices with weights and rates, huge pages, interfaces, RDMA, unified): can they be enforced? */
int limit_lists_check(const struct cgroup *c, const struct spec_resources *r, struct error *err);
bool limit_lists_any(const struct spec_resources *r);
void limit_lists_add(struct limit_writes *w);

/** The error for a limit at @path whose controller is nowhere; @v2_only: not in the v2 hierarchy. */
int limit_without_controller(const struct cgroup *c, const char *path, enum cgroup_controller controller,
                             bool v2_only, struct error *err);
