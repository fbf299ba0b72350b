/* Of the helper hull-systemd alone: a systemd manager over D-Bus. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

struct manager {
    sd_bus *bus;
    bool user;
    uint64_t deadline; /* CLOCK_MONOTONIC, us: of the request being served */
    const char *job;   /* the one waited for, and how it ended */
    char result[32];
};

/** Connect and ask for the news of jobs. */
int manager_open(struct manager *m, bool user, struct error *err);

/** The deadline of a request that may take @us from now. */
uint64_t manager_deadline(uint64_t us);

/** A call of @method of org.freedesktop.systemd1.Manager. *name (may be NULL): the error's D-Bus name when it is one,
 * in the arena. */
sd_bus_message *manager_call_new(struct manager *m, const char *method, struct error *err);
int manager_call(struct manager *m, struct arena *a, sd_bus_message *call, sd_bus_message **reply,
                 const char **name, struct error *err);
/** The same of a method with one string and no interesting answer. */
int manager_call_unit(struct manager *m, struct arena *a, const char *method, const char *unit,
                      const char **name, struct error *err);
/** Wait until the job that @reply names is over. @result: "done", "failed" ... */
int manager_wait_job(struct manager *m, struct arena *a, sd_bus_message *reply, const char **result,
                     struct error *err);

/** Append a(sv): @properties as in systemd_private.h. */
int manager_append_properties(struct manager *m, struct arena *a, sd_bus_message *call,
                              const struct json *properties, bool own_pid, struct error *err);
