/* `run --image`: what its options say, between the file that parses them and the one that runs. */
#pragma once

#include "cli/keeper.h"
#include "images/bundle.h"
#include "images/snapshot.h"

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_NEWER };

struct image_run_options {
    const char *image, *name, *network, *user, *hostname, *working_dir, *memory, *cpus, *pids, *pid_file;
    const char *kernel, *userns, *subuidname, *subgidname, *log_driver;
    struct string_list entrypoint, env, env_files, volumes, mounts, tmpfs, cap_add, cap_drop, security,
        devices, groups, annotations, uidmaps, gidmaps, log;
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

/** --log-driver and --log-opt. */
int image_run_log(const struct image_run_options *o, struct keeper_log *log, struct error *err);

/* image_mounts.c: the lists -v, --mount and --tmpfs as mounts, --device and --privileged as devices. */
int image_run_mounts(const struct image_run_options *o, struct bundle *b, struct error *err);
int image_run_devices(const struct image_run_options *o, struct bundle *b, struct error *err);
void image_run_add_mount(struct bundle *b, const char *destination, const char *type, const char *source,
                         const struct string_list *options);

/* image_userns.c: the container's user namespace. */
enum userns_kind { USERNS_HOST, USERNS_MAPS, USERNS_AUTO, USERNS_JOINED };
struct image_userns {
    enum userns_kind kind;
    uint32_t size; /* USERNS_AUTO: ids; 0: as many as the image needs */
};

/** What the options say, into @b as far as it is known. */
int image_userns_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                          struct image_userns *out, struct error *err);

/** For the container @c: choose ids where that is left to hull, and let what is the container's own belong to them. @trees: its
 * image. */
int image_userns_take(const struct image_userns *u, struct store *s, const struct snapshot *c,
                      const struct stack *trees, struct bundle *b, struct error *err);
