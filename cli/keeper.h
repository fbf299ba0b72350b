/*
 * Containers from images beyond their run: what the commands logs, attach, wait, stop, rm and `list --all` share, and the
 * hand-over of a detached one to hull-monitor (runtime/monitor/monitor.h).
 */
#pragma once

#include "cli/command.h"
#include "images/snapshot.h"

/* container.json */
struct keeper_record {
    const char *image, *image_id; /* its name, or digest; its configuration's digest */
    const char *command;          /* for people */
    const char *created;          /* RFC 3339 */
    const char *stop_signal;      /* as the image says it, or NULL */
    bool terminal, rm;
};
int keeper_record_write(struct arena *a, const struct snapshot *c, const struct keeper_record *r,
                        struct error *err);
int keeper_record_read(struct arena *a, const struct snapshot *c, struct keeper_record *out,
                       struct error *err);

/** Open the store, and in it the container whose name, or only id that begins so, is @name. */
int keeper_open(const struct runtime *rt, const char *name, struct store *s, struct snapshot *c,
                struct error *err);

/** Until it has ended or @timeout_ms (-1: none) is over. 1: it has; 0: it has not. */
int keeper_wait(const struct snapshot *c, int64_t timeout_ms, struct snapshot_exit *out, struct error *err);

/** Take away what is left of one: its runtime state, its directory. What still runs is killed. */
int keeper_remove(const struct runtime *rt, struct store *s, struct snapshot *c, struct error *err);

/** Its directory alone. What it wrote may belong to any of a user's ids: who is not root does it from within a user namespace
 * of theirs. */
int keeper_erase(const struct runtime *rt, struct store *s, const char *id, struct error *err);

/** Run it in the background by @o, then become its monitor; returns in the caller, when it runs. @interactive: its
 * standard input stays open for `attach`. */
int keeper_detach(const struct runtime *rt, struct store *s, const struct snapshot *c,
                  struct create_options *o, bool interactive, bool terminal, bool rm, struct error *err);
