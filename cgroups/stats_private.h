/* What the two forms of statistics share: small files of the kernel's, read into one buffer after the other. */
#pragma once

#include "cgroups/cgroup_private.h"

struct stats_reader {
    struct arena *arena; /* what is kept is copied there */
    char *text;          /* of the file that was read last */
    size_t capacity;
};

/** The file's text, without the newline at its end, valid until the next read and free to be cut up; NULL where it
 * can't be read. */
char *stats_text(struct stats_reader *r, const struct cgroup_dir *d, const char *file);
/** A file that is one number. */
struct cgroup_number stats_number(struct stats_reader *r, const struct cgroup_dir *d, const char *file);

/** "max", "-1" or digits. */
struct cgroup_number stats_parse_number(const char *text);
/** The next line "NAME VALUE" of *rest whose value is a number, cut up in place. */
bool stats_pair(char **rest, char **name, uint64_t *value);

/* Where the number of a line "NAME VALUE" goes, multiplied by @factor. */
struct stats_field {
    const char *name;
    size_t offset; /* of a struct cgroup_number in the target */
    uint64_t factor;
};
/** Each line of @text (cut up) whose name is one of the @n @fields'. @text may be NULL. */
void stats_fields(char *text, const struct stats_field *fields, size_t n, void *target);

/** All lines "NAME VALUE" of memory.stat, kept. */
void stats_memory_raw(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out);
/** The value of @name among them. */
struct cgroup_number stats_memory_value(const struct cgroup_stats *s, const char *name);

/** "2MB" and so on, of this kernel. */
size_t stats_page_sizes(const char *const **names);

void stats_io_add(struct arena *a, struct cgroup_io_entries *e, struct cgroup_io_entry entry);

/* One controller's part each; out of a directory of that version. */
typedef void stats_part(struct stats_reader *r, const struct cgroup_dir *d, struct cgroup_stats *out);
stats_part stats_v1_cpu, stats_v1_cpuacct, stats_v1_cpuset, stats_v1_memory, stats_v1_blkio, stats_v1_hugetlb;
stats_part stats_v2_cpu, stats_v2_cpuset, stats_v2_memory, stats_v2_io, stats_v2_hugetlb;
