/* `run --image`: what its options say, between the file that parses them and the one that runs. */
#pragma once

#include "cli/image_root.h"
#include "cli/keeper.h"
#include "images/bundle.h"
#include "images/owners.h"

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_NEWER };

struct image_run_options {
    const char *image, *name, *network, *user, *hostname, *working_dir, *memory, *cpus, *pids, *pid_file;
    const char *kernel, *userns, *subuidname, *subgidname, *log_driver;
    struct string_list entrypoint, env, env_files, volumes, mounts, tmpfs, cap_add, cap_drop, security,
        devices, groups, annotations, uidmaps, gidmaps, volumes_from, log;
    bool has_entrypoint;
    bool interactive, tty, rm, detach, read_only, init, privileged, quiet, kernel_messages;
    uint64_t timing;
    enum pull_policy pull;
    int isolation; /* 0: not said; else 1 + index of "container|vm" */
};

extern const struct option_row image_run_rows[];

/* Mounts that need more than a line in config.json. */
enum image_mount_kind {
    IMAGE_MOUNT_BIND,
    IMAGE_MOUNT_TMPFS,
    IMAGE_MOUNT_OVERLAY, /* a directory of the host's, written to elsewhere */
    IMAGE_MOUNT_VOLUME,
    IMAGE_MOUNT_IMAGE,
};
struct image_mount {
    enum image_mount_kind kind;
    size_t index;       /* among the bundle's mounts */
    const char *source; /* of a volume or image: its name; NULL: a volume without one */
    bool chown, no_copy, writable;
    struct found_image image;
};
struct image_mounts {
    struct image_mount *v;
    size_t n;
};

/** What of @o does not need the image, into @b and @mounts. */
int image_run_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                       struct image_mounts *mounts, struct error *err);

/* image_label.c: --security-opt label=..., one by one, then all together. */
struct image_label {
    bool given;
    const char *user, *role, *type, *level, *file_type; /* NULL: the usual one */
};
int image_label_add(struct arena *a, struct image_label *l, const char *text, struct error *err);
void image_label_complete(const struct image_label *l, struct bundle *b);

/** --log-driver and --log-opt. */
int image_run_log(const struct image_run_options *o, struct keeper_log *log, struct error *err);

/** 64 digits. */
int image_run_random_id(struct arena *a, const char **id, struct error *err);

/* image_mounts.c: the lists -v, --mount and --tmpfs; image_devices.c: --device and --privileged. */
int image_run_mounts(const struct image_run_options *o, struct bundle *b, struct image_mounts *mounts,
                     struct error *err);
int image_run_devices(const struct image_run_options *o, struct bundle *b, struct error *err);
int image_run_check_destination(const char *what, const char *text, const char *destination,
                                struct error *err);
void image_run_add_mount(struct bundle *b, const char *destination, const char *type, const char *source,
                         const struct string_list *options);
/** A mount whose source comes later. */
struct image_mount *image_mounts_add(struct bundle *b, struct image_mounts *m, enum image_mount_kind kind,
                                     const char *destination);

/* image_volumes.c */

/** Before the store is locked: --volumes-from. */
int image_volumes_from(const struct runtime *rt, const struct string_list *words, struct bundle *b,
                       struct image_mounts *mounts, struct error *err);

/** Under the lock with which the container was made: what it mounts of the store is its own or in use from here on. */
int image_volumes_take(struct store *s, const struct snapshot *c, const struct found_image *image,
                       struct bundle *b, struct image_mounts *mounts, struct error *err);

/** When user and ids are known: the rest of it, and the order in which it is mounted. */
int image_volumes_finish(struct store *s, const struct snapshot *c, struct bundle *b,
                         const struct image_mounts *mounts, struct error *err);

/* image_userns.c: the container's user namespace. */
enum userns_kind { USERNS_HOST, USERNS_MAPS, USERNS_AUTO, USERNS_JOINED };
struct image_userns {
    enum userns_kind kind;
    uint32_t size;      /* USERNS_AUTO: ids; 0: as many as the image needs */
    bool keep;          /* without root: the user keeps his id ... */
    struct owners kept; /* ... which is this in the container */
};

/** What the options say, into @b as far as it is known. */
int image_userns_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                          struct image_userns *out, struct error *err);

/** For the container @c: choose ids where that is left to hull, and let what is the container's own belong to them. @trees: its
 * image. */
int image_userns_take(const struct image_userns *u, struct store *s, const struct snapshot *c,
                      const struct stack *trees, struct bundle *b, struct error *err);
