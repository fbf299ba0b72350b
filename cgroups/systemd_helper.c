/*
 * hull-systemd: hull's voice to systemd, on descriptor 3 (the words: systemd_private.h). The one program of Hull that links
 * libsystemd.
 *
 * "start" makes a transient scope with this process in it, which so holds the scope until the container's first process is
 * there and hull kills us. Without hull there is nothing to hold it for: we end with its end of the socket, and with hull.
 *
 * A name in use: a unit that has failed, or has no process any more (hull removes a cgroup before systemd has seen that it
 * is empty), is stopped and forgotten, and the scope is tried again. One with processes is somebody's.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "cgroups/systemd_bus.h"
#include "cgroups/systemd_private.h"

#define UNIT_EXISTS  "org.freedesktop.systemd1.UnitExists"
#define NO_SUCH_UNIT "org.freedesktop.systemd1.NoSuchUnit"

enum { REQUEST_US = 30000000, ATTEMPTS = 20, ATTEMPT_MS = 50, CGROUP_FILE_MAX = 1 << 20 };

struct request {
    struct arena *arena;
    struct manager *manager;
    const struct json *json;
    const char *unit;
};

static void messagep(sd_bus_message **m)
{
    sd_bus_message_unref(*m);
}

/* Call @method(unit, mode) and wait for its job. */
static int stop_job(const struct request *q, const char **name, struct error *err)
{
    _cleanup_(messagep) sd_bus_message *reply = NULL, *call = manager_call_new(q->manager, "StopUnit", err);
    const char *result;

    *name = "";
    if (!call || sd_bus_message_append(call, "ss", q->unit, "replace") < 0 ||
        manager_call(q->manager, q->arena, call, &reply, name, err) < 0)
        return -1;
    return manager_wait_job(q->manager, q->arena, reply, &result, err);
}

/* The unit and what is in it go; a unit that isn't there is gone. */
static int stop(const struct request *q, struct json_writer *w, struct error *err)
{
    _cleanup_(messagep) sd_bus_message *kill_all = manager_call_new(q->manager, "KillUnit", err);
    const char *name;

    (void)w;
    if (!kill_all || sd_bus_message_append(kill_all, "ssi", q->unit, "all", (int32_t)SIGKILL) < 0)
        return -1;
    manager_call(q->manager, q->arena, kill_all, NULL, NULL, NULL); /* or it may take 90 s to stop */
    if (stop_job(q, &name, err) < 0 && strcmp(name, NO_SUCH_UNIT) != 0)
        return -1;
    manager_call_unit(q->manager, q->arena, "ResetFailedUnit", q->unit, NULL, NULL);
    return 0;
}

/* True when there is a process in the unit, or nobody knows. */
static bool is_alive(const struct request *q)
{
    _cleanup_(messagep) sd_bus_message *reply = NULL,
                                       *call = manager_call_new(q->manager, "GetUnitProcesses", NULL);
    const char *name;

    if (!call || sd_bus_message_append(call, "s", q->unit) < 0)
        return true;
    if (manager_call(q->manager, q->arena, call, &reply, &name, NULL) < 0)
        return strcmp(name, NO_SUCH_UNIT) != 0;
    return sd_bus_message_enter_container(reply, 'a', "(sus)") < 0 || sd_bus_message_at_end(reply, 0) == 0;
}

static int start_once(const struct request *q, const char **name, const char **result, struct error *err)
{
    _cleanup_(messagep) sd_bus_message *reply = NULL,
                                       *call = manager_call_new(q->manager, "StartTransientUnit", err);

    *name = "";
    if (!call || sd_bus_message_append(call, "ss", q->unit, "fail") < 0 ||
        manager_append_properties(q->manager, q->arena, call, json_get(q->json, "properties"), true, err) < 0)
        return -1;
    if (sd_bus_message_append(call, "a(sa(sv))", 0) < 0 ||
        manager_call(q->manager, q->arena, call, &reply, name, err) < 0)
        return -1;
    return manager_wait_job(q->manager, q->arena, reply, result, err);
}

static int start_scope(const struct request *q, struct error *err)
{
    const char *name, *result = "";

    for (int attempt = 0; start_once(q, &name, &result, err) < 0; attempt++) {
        if (strcmp(name, UNIT_EXISTS) != 0)
            return error_wrap(err, "start %s", q->unit);
        if (is_alive(q))
            return error_set(
                err, 0,
                "container's cgroup is not empty: systemd unit %s exists already, with processes in "
                "it: it is not this container's",
                q->unit);
        if (attempt == ATTEMPTS)
            return error_wrap(err, "start %s, which was there already, without processes", q->unit);
        if (stop(q, NULL, err) < 0)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = attempt ? ATTEMPT_MS * 1000000L : 0}, NULL);
    }
    if (strcmp(result, "done") == 0)
        return 0;
    return error_set(err, 0,
                     "systemd could not start %s: its job ended as \"%s\" (see journalctl %s--unit=%s)",
                     q->unit, result, q->manager->user ? "--user " : "", q->unit);
}

/* Ours now: in the hierarchy of systemd's own, which on v1 is a named one. Seen from our cgroup namespace, as hull sees
 * the mounts. */
static int start(const struct request *q, struct json_writer *w, struct error *err)
{
    char *text, *line, *save = NULL, *path = NULL;

    if (start_scope(q, err) < 0 ||
        file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_MAX, q->arena, &text, NULL, err) < 0)
        return -1;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *named = strstr(line, ":name=systemd:");

        if (named)
            path = named + strlen(":name=systemd:");
        else if (strncmp(line, "0::", 3) == 0 && !path)
            path = line + 3;
    }
    if (!path || !strstr(path, q->unit))
        return error_set(err, 0, "systemd started %s, but put hull-systemd in %s", q->unit,
                         path ? path : "no cgroup");
    json_key(w, "cgroup");
    json_string(w, path);
    return 0;
}

static int attach(const struct request *q, struct json_writer *w, struct error *err)
{
    _cleanup_(messagep) sd_bus_message *call = manager_call_new(q->manager, "AttachProcessesToUnit", err);
    uint32_t number = (uint32_t)json_get_u64(q->json, "pid");

    (void)w;
    if (!call || number == 0 || sd_bus_message_append(call, "ssau", q->unit, "", 1, number) < 0)
        return error_set(err, 0, "hull-systemd: attach: no process");
    return manager_call(q->manager, q->arena, call, NULL, NULL, err);
}

static int set(const struct request *q, struct json_writer *w, struct error *err)
{
    _cleanup_(messagep) sd_bus_message *call = manager_call_new(q->manager, "SetUnitProperties", err);

    (void)w;
    if (!call || sd_bus_message_append(call, "sb", q->unit, 1) < 0 ||
        manager_append_properties(q->manager, q->arena, call, json_get(q->json, "properties"), false, err) <
            0)
        return -1;
    return manager_call(q->manager, q->arena, call, NULL, NULL, err);
}

/* Fill in the answer. */
static int serve(struct arena *a, struct manager *m, const char *text, size_t length, struct json_writer *w,
                 struct error *err)
{
    static const struct {
        const char *name;
        int (*run)(const struct request *, struct json_writer *, struct error *);
    } verbs[] = {{"start", start}, {"attach", attach}, {"set", set}, {"stop", stop}};
    const char *verb, *unit;
    struct json *json;

    if (json_parse(a, text, length, "hull's request", &json, err) < 0)
        return -1;
    verb = json_get_string(json, "do");
    unit = json_get_string(json, "unit");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (!verb || !unit || strcmp(verb, verbs[i].name) != 0)
            continue;
        if (!m->bus && manager_open(m, json_get_bool(json, "user"), err) < 0)
            return -1;
        m->deadline = manager_deadline(REQUEST_US);
        return verbs[i].run(&(struct request){a, m, json, unit}, w, err);
    }
    return error_set(err, 0, "hull-systemd: a request that it does not know");
}

static void arena_freep(struct arena *a)
{
    arena_free(a);
}

/* One request; false at the end. */
static bool answer(struct manager *m)
{
    _cleanup_(arena_freep) struct arena a = {0};
    struct json_writer w = json_writer_begin(&a, false);
    struct error err = {0};
    size_t length;
    char *text;
    int failed;

    if (systemd_receive(SYSTEMD_SOCKET, &a, -1, &text, &length) <= 0)
        return false;
    json_object(&w);
    failed = serve(&a, m, text, length, &w, &err);
    if (failed) {
        json_key(&w, "error");
        json_string(&w, err.message);
    }
    json_object_end(&w);
    text = json_writer_end(&w, &length);
    return systemd_send(SYSTEMD_SOCKET, text, length) == 0;
}

int main(int argc, char **argv)
{
    struct manager manager = {0};

    (void)argv;
    if (argc != 1 || fcntl(SYSTEMD_SOCKET, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "hull-systemd is run by hull\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (answer(&manager))
        ;
    return 0;
}
