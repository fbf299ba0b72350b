/*
 * From an image's configuration to a config.json for the runtime (image-spec's conversion.md), with the defaults of podman:
 * capabilities, seccomp profile, mounts, masks, limits. What the command line wants comes on top.
 */
#pragma once

#include "images/manifest.h"
#include "images/users.h"

/* What podman's containers have: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT */
extern const uint64_t bundle_default_capabilities;

enum bundle_network { NETWORK_NONE, NETWORK_HOST, NETWORK_JOINED };

struct bundle {
    struct arena *arena;
    const char *id, *root; /* root.path */
    const char *hostname;
    const struct image_config *image;
    struct image_user user;

    /* the process; NULL or empty: the image's */
    struct string_list entrypoint, args;
    bool has_entrypoint; /* and it may be empty */
    struct string_list env;
    const char *working_dir;
    const char *init; /* path in the container of what runs the process and reaps for it, or NULL */
    bool terminal;

    /* rights */
    uint64_t capabilities;       /* of root; others get only... */
    uint64_t asked_capabilities; /* ... those that were asked for by name */
    bool privileged;             /* no masks, no profile, all devices */
    bool no_new_privileges;
    const char *seccomp;            /* NULL: the default; "": none; else the text of an object */
    const char *apparmor, *selinux; /* labels, or NULL */
    const char *selinux_mount;      /* of what is mounted for it, or NULL */
    bool read_only;

    /* resources: 0 is unlimited */
    uint64_t memory, cpu_quota_us /* a period of 100 ms */, pids;

    struct spec_mount *mounts; /* besides the default ones */
    size_t n_mounts;
    struct spec_device *devices;
    const char *const *device_access; /* "rwm", one for each */
    size_t n_devices;
    struct spec_annotation *annotations;
    size_t n_annotations;

    enum bundle_network network;
    const char *network_path; /* NETWORK_JOINED: of the namespace */
    bool user_namespace;
    const char *user_namespace_path;   /* of the one that is joined, or NULL: a new one */
    struct id_maps uid_maps, gid_maps; /* its */
};

/** Write it. An error: there is nothing to run. The environment's text comes in *@text. */
int bundle_write(const struct bundle *b, char **text, size_t *length, struct error *err);

/** The argument vector: entry point and command. NULL-terminated; n 0: none is given. */
struct string_list bundle_args(const struct bundle *b);
