/* `run --image`: what its options say, between the file that parses them and the one that runs. */
#pragma once

#include "cli/command.h"
#include "images/bundle.h"

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_NEWER };

struct image_run_options {
    const char *image, *name, *network, *user, *hostname, *working_dir, *memory, *cpus, *pids, *pid_file;
    const char *kernel;
    struct string_list entrypoint, env, env_files, volumes, mounts, tmpfs, cap_add, cap_drop, security,
        devices, groups, annotations;
    bool has_entrypoint;
    bool interactive, tty, rm, detach, read_only, init, privileged, quiet, kernel_messages;
    uint64_t timing;
    enum pull_policy pull;
    int isolation; /* 0: not said; else 1 + index of "container|vm" */
};

extern const struct option_row image_run_rows[];

/** What of @o does not need the image, into @b. */
int image_run_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                       struct error *err);

/* image_mounts.c: the lists -v, --mount and --tmpfs as mounts, --device and --privileged as devices. */
int image_run_mounts(const struct image_run_options *o, struct bundle *b, struct error *err);
int image_run_devices(const struct image_run_options *o, struct bundle *b, struct error *err);
void image_run_add_mount(struct bundle *b, const char *destination, const char *type, const char *source,
                         const struct string_list *options);
