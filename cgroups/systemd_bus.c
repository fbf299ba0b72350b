/*
 * systemd's manager over D-Bus, for the helper: by the bus, or where there is none (no dbus installed, or not yet running)
 * by the manager's private socket, which speaks the same.
 *
 * The end of a job is a signal, JobRemoved. It is subscribed to before the first job is made, and the answer with a job's
 * name comes before that job's end on the same connection, so none is missed.
 */
#include "cgroups/systemd_bus.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/number.h"
#include "cgroups/systemd_private.h"

#define SERVICE   "org.freedesktop.systemd1"
#define OBJECT    "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"

enum { TIMEOUT_US = 30000000 };

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t manager_deadline(uint64_t us)
{
    return now_us() + us;
}

/* --- connecting ------------------------------------------------------------------------------------------------ */

/* The user outside of our user namespace, where /run/user is named after him. */
static unsigned outer_uid(void)
{
    FILE *file = fopen("/proc/self/uid_map", "re");
    unsigned inside, outside, count, uid = geteuid();

    while (file && fscanf(file, "%u %u %u", &inside, &outside, &count) == 3) {
        if (uid < inside || uid - inside >= count)
            continue;
        uid = outside + (uid - inside);
        break;
    }
    if (file)
        fclose(file);
    return uid;
}

static int open_private(const char *address, sd_bus **out)
{
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);

    if (r >= 0)
        r = sd_bus_set_address(bus, address);
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r < 0)
        sd_bus_unref(bus);
    else
        *out = bus;
    return r;
}

static int on_job_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
    struct manager *m = data;
    const char *job, *unit, *result;
    uint32_t id;

    (void)error;
    if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 && m->job &&
        strcmp(m->job, job) == 0)
        snprintf(m->result, sizeof(m->result), "%s", result);
    return 0;
}

/* Without an answer being waited for; the first call that is shows whether there is anybody. */
static int subscribe(struct manager *m, bool by_bus)
{
    int r = sd_bus_match_signal_async(m->bus, NULL, by_bus ? SERVICE : NULL, OBJECT, INTERFACE, "JobRemoved",
                                      on_job_removed, NULL, m);

    return r < 0 ? r
                 : sd_bus_call_method_async(m->bus, NULL, SERVICE, OBJECT, INTERFACE, "Subscribe", NULL, NULL,
                                            NULL);
}

/* Is a systemd at the other end? The session's bus may be that of a desktop without one. */
static int try_out(struct manager *m, bool by_bus)
{
    int r = sd_bus_set_method_call_timeout(m->bus, TIMEOUT_US);

    if (r >= 0)
        r = subscribe(m, by_bus);
    if (r >= 0)
        r = sd_bus_call_method(m->bus, SERVICE, OBJECT, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
                               NULL);
    if (r < 0)
        m->bus = sd_bus_close_unref(m->bus);
    return r;
}

int manager_open(struct manager *m, bool user, struct error *err)
{
    char directory[64], address[4096];
    int by_bus, by_socket;

    m->user = user;
    if (user) {
        snprintf(directory, sizeof(directory), "/run/user/%u", outer_uid());
        setenv("XDG_RUNTIME_DIR", directory, 0);
        snprintf(address, sizeof(address), "unix:path=%s/systemd/private", getenv("XDG_RUNTIME_DIR"));
    } else
        snprintf(address, sizeof(address), "unix:path=/run/systemd/private");
    by_bus = user ? sd_bus_open_user(&m->bus) : sd_bus_open_system(&m->bus);
    if (by_bus >= 0)
        by_bus = try_out(m, true);
    if (by_bus >= 0)
        return 0;
    by_socket = open_private(address, &m->bus);
    if (by_socket >= 0)
        by_socket = try_out(m, false);
    if (by_socket >= 0)
        return 0;
    return error_set(
        err, 0,
        "reach %s: by D-Bus: %s; by %s: %s (where systemd does not run, --cgroup-manager=cgroupfs works)",
        user ? "the user's systemd" : "systemd", strerror(-by_bus), address + strlen("unix:path="),
        strerror(-by_socket));
}

/* --- calls ----------------------------------------------------------------------------------------------------- */

sd_bus_message *manager_call_new(struct manager *m, const char *method, struct error *err)
{
    sd_bus_message *call = NULL;
    int r = sd_bus_message_new_method_call(m->bus, &call, SERVICE, OBJECT, INTERFACE, method);

    if (r < 0)
        error_set(err, -r, "systemd: %s", method);
    return call;
}

int manager_call(struct manager *m, struct arena *a, sd_bus_message *call, sd_bus_message **reply,
                 const char **name, struct error *err)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    uint64_t now = now_us();
    int r;

    if (name)
        *name = "";
    r = sd_bus_call(m->bus, call, m->deadline > now ? m->deadline - now : 1, &error, reply);
    if (r < 0) {
        if (name && error.name)
            *name = arena_strdup(a, error.name);
        error_set(err, 0, "systemd: %s: %s", sd_bus_message_get_member(call),
                  error.message ? error.message : strerror(-r));
    }
    sd_bus_error_free(&error);
    return r < 0 ? -1 : 0;
}

int manager_call_unit(struct manager *m, struct arena *a, const char *method, const char *unit,
                      const char **name, struct error *err)
{
    sd_bus_message *call = manager_call_new(m, method, err);
    int r = call ? sd_bus_message_append(call, "s", unit) : -1;

    if (r >= 0)
        r = manager_call(m, a, call, NULL, name, err);
    sd_bus_message_unref(call);
    return r < 0 ? -1 : 0;
}

int manager_wait_job(struct manager *m, struct arena *a, sd_bus_message *reply, const char **result,
                     struct error *err)
{
    int r = sd_bus_message_read(reply, "o", &m->job);

    m->result[0] = '\0';
    while (r >= 0 && !*m->result) {
        uint64_t now = now_us();

        r = sd_bus_process(m->bus, NULL);
        if (r != 0)
            continue;
        if (now >= m->deadline)
            r = -ETIMEDOUT;
        else
            r = sd_bus_wait(m->bus, m->deadline - now);
        if (r == -EINTR)
            r = 0;
    }
    m->job = NULL;
    *result = arena_strdup(a, m->result);
    return r < 0 ? error_set(err, -r, "systemd: wait for the end of a job") : 0;
}

/* --- properties -------------------------------------------------------------------------------------------------- */

static int append_value(struct arena *a, sd_bus_message *call, const char *signature,
                        const struct json *value);

/* sd_bus_message_append_basic() reads numbers by their own size. */
static int append_number(sd_bus_message *call, char type, const struct json *value)
{
    union {
        uint8_t y;
        uint16_t q;
        uint32_t u;
        uint64_t t;
        double d;
    } number = {0};
    uint64_t max, natural = 0;
    int64_t min, whole = 0;

    if (value->type != JSON_NUMBER)
        return -EINVAL;
    if (type == 'd')
        number.d = strtod(value->text, NULL);
    else if (!signature_range(type, &min, &max))
        return -EINVAL;
    else if (*value->text == '-' ? number_parse_i64(value->text, "", min, -1, &whole, NULL) < 0
                                 : number_parse_u64(value->text, "", 0, max, &natural, NULL) < 0)
        return -ERANGE;
    if (*value->text == '-' && type != 'd')
        natural = (uint64_t)whole;
    if (type == 'y')
        number.y = (uint8_t)natural;
    else if (type == 'n' || type == 'q')
        number.q = (uint16_t)natural;
    else if (type == 'i' || type == 'u')
        number.u = (uint32_t)natural;
    else if (type != 'd')
        number.t = natural;
    return sd_bus_message_append_basic(call, type, &number);
}

static int append_items(struct arena *a, sd_bus_message *call, const char *signature,
                        const struct json *value)
{
    bool array = *signature == 'a';
    size_t length = strlen(signature);
    const char *inner = array ? signature + 1 : arena_strndup(a, signature + 1, length - 2), *type = inner;
    int r =
        value->type == JSON_ARRAY ? sd_bus_message_open_container(call, array ? 'a' : 'r', inner) : -EINVAL;

    for (size_t i = 0; r >= 0 && i < value->count; i++) {
        size_t n = signature_first(type);

        r = n ? append_value(a, call, arena_strndup(a, type, n), &value->items[i]) : -EINVAL;
        type += array ? 0 : n;
    }
    return r < 0 ? r : sd_bus_message_close_container(call);
}

static int append_value(struct arena *a, sd_bus_message *call, const char *signature,
                        const struct json *value)
{
    int boolean;

    switch (*signature) {
    case 's':
    case 'o':
    case 'g':
        return value->type == JSON_STRING ? sd_bus_message_append_basic(call, *signature, value->text)
                                          : -EINVAL;
    case 'b':
        boolean = value->boolean;
        return value->type == JSON_BOOL ? sd_bus_message_append_basic(call, 'b', &boolean) : -EINVAL;
    case 'a':
    case '(':
        return append_items(a, call, signature, value);
    default:
        return append_number(call, *signature, value);
    }
}

static int append_property(struct arena *a, sd_bus_message *call, const char *name, const char *signature,
                           const struct json *value)
{
    int r = sd_bus_message_open_container(call, 'r', "sv");

    if (r >= 0)
        r = sd_bus_message_append_basic(call, 's', name);
    if (r >= 0)
        r = sd_bus_message_open_container(call, 'v', signature);
    if (r >= 0)
        r = append_value(a, call, signature, value);
    if (r >= 0)
        r = sd_bus_message_close_container(call);
    return r < 0 ? r : sd_bus_message_close_container(call);
}

/* "252.39-1~deb12u1", "v256" -> 252, 256. 0 when it can't be read: all that came with a version is left out then. */
static unsigned long manager_version(struct manager *m)
{
    char *text = NULL;
    unsigned long version = 0;

    if (sd_bus_get_property_string(m->bus, SERVICE, OBJECT, INTERFACE, "Version", NULL, &text) >= 0)
        version = strtoul(text + strcspn(text, "0123456789"), NULL, 10);
    free(text);
    return version;
}

static bool is_property(const struct json *p)
{
    return p->type == JSON_ARRAY && p->count >= 3 && p->count <= 4 && p->items[0].type == JSON_STRING &&
           p->items[1].type == JSON_STRING && signature_first(p->items[1].text) == p->items[1].length &&
           p->items[1].length > 0 && (p->count == 3 || p->items[3].type == JSON_NUMBER);
}

int manager_append_properties(struct manager *m, struct arena *a, sd_bus_message *call,
                              const struct json *properties, bool own_pid, struct error *err)
{
    /* PIDs 0 is the caller, whatever his number is where systemd looks */
    static const struct json zero = {.type = JSON_NUMBER, .text = "0", .length = 1};
    static const struct json pids = {.type = JSON_ARRAY, .items = (struct json *)&zero, .count = 1};
    unsigned long version = 0;
    int r = sd_bus_message_open_container(call, 'a', "(sv)");

    for (size_t i = 0; r >= 0 && properties && properties->type == JSON_ARRAY && i < properties->count; i++) {
        const struct json *p = &properties->items[i];

        if (!is_property(p))
            return error_set(err, 0, "hull-systemd: property %zu is malformed", i);
        if (p->count == 4 && version == 0)
            version = manager_version(m);
        if (p->count == 4 && version < strtoul(p->items[3].text, NULL, 10))
            continue;
        r = append_property(a, call, p->items[0].text, p->items[1].text, &p->items[2]);
        if (r < 0)
            return error_set(err, -r, "systemd property %s", p->items[0].text);
    }
    if (r >= 0 && own_pid)
        r = append_property(a, call, "PIDs", "au", &pids);
    if (r >= 0)
        r = sd_bus_message_close_container(call);
    return r < 0 ? error_set(err, -r, "systemd properties") : 0;
}
