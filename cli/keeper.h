/*
 * Containers from images beyond their run: what the commands logs, attach, wait, stop, rm and `list --all` share, and the
 * hand-over of a detached one to hull-monitor (runtime/monitor/monitor.h).
 */
#pragma once

#include "cli/command.h"
#include "images/snapshot.h"

/* Of a detached one. */
struct keeper_log {
    bool off;
    uint64_t max_size; /* bytes a file; 0: without end */
    uint64_t files;    /* the current one, and older ones; 0 means 1 */
};

/* container.json: what is to be known of it, and how it is started. */
struct keeper_record {
    const char *image, *image_id; /* its name, or digest; its configuration's digest */
    const char *command;          /* for people */
    const char *created;          /* RFC 3339 */
    const char *stop_signal;      /* as the image says it, or NULL */
    const char *network, *userns; /* --network and --userns, where a start has to look again; or NULL */
    const char *vm_asker;         /* as in struct runtime */
    const char *kernel, *pid_file;
    bool terminal, interactive, rm, kernel_messages;
    struct keeper_log log;
};
int keeper_record_write(struct arena *a, const struct snapshot *c, const struct keeper_record *r,
                        struct error *err);
int keeper_record_read(struct arena *a, const struct snapshot *c, struct keeper_record *out,
                       struct error *err);

/** Chosen by hull: 64 digits, of which people may say the first ones. */
bool keeper_id_is_random(const char *id);

/** @name, or the id of a container that has not this name, but begins so. */
const char *keeper_full_id(const struct runtime *rt, const char *name);

/** Open the store, and in it the container whose name, or only id that begins so, is @name. ENOENT in err->code: none. */
int keeper_open(const struct runtime *rt, const char *name, struct store *s, struct snapshot *c,
                struct error *err);

/** The namespace @type that @text, "container:ID", means. @option is for messages. */
int keeper_namespace(const struct runtime *rt, const char *option, const char *text, enum namespace_type type,
                     const char **path, struct error *err);

/** Until it has ended or @timeout_ms (-1: none) is over. 1: it has; 0: it has not. */
int keeper_wait(const struct snapshot *c, int64_t timeout_ms, struct snapshot_exit *out, struct error *err);

/** Take away what is left of one: its runtime state, its directory. What still runs is killed. @volumes: and the anonymous volumes
 * that nobody else uses. */
int keeper_remove(const struct runtime *rt, struct store *s, struct snapshot *c, bool volumes,
                  struct error *err);

/** Its directory alone. What it wrote may belong to any of a user's ids: who is not root does it from within a user namespace
 * of theirs. */
int keeper_erase(const struct runtime *rt, struct store *s, const char *id, bool volumes, struct error *err);

/** Run it in the background by @o, then become its monitor; returns in the caller, when it runs. */
int keeper_detach(const struct runtime *rt, struct store *s, const struct snapshot *c,
                  struct create_options *o, const struct keeper_record *r, struct error *err);
