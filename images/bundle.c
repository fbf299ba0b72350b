/*
 * The parts of config.json that are about the process: arguments, environment, user, rights; and annotations. See bundle.h.
 */
#include "images/bundle.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>

#include "images/bundle_private.h"

#define BIT(name) (1ULL << (name))
const uint64_t bundle_default_capabilities = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) |
                                             BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE) |
                                             BIT(CAP_SETFCAP) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) |
                                             BIT(CAP_SETUID) | BIT(CAP_SYS_CHROOT);

#define OCI_KEY(name) "org.opencontainers.image." name

/* --- writing ------------------------------------------------------------------------------------------------------- */

void bundle_string(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_string(w, value);
}

void bundle_uint(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_uint(w, value);
}

void bundle_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void bundle_strings(struct json_writer *w, const char *key, const char *const *values)
{
    json_key(w, key);
    json_array(w);
    for (; values && *values; values++)
        json_string(w, *values);
    json_array_end(w);
}

/* --- the process --------------------------------------------------------------------------------------------------- */

static void append(struct arena *a, struct string_list *list, const char *text)
{
    list->v = arena_grow(a, list->v, list->n ? (list->n + 1) * sizeof(*list->v) : 0,
                         (list->n + 2) * sizeof(*list->v));
    list->v[list->n++] = (char *)text;
    list->v[list->n] = NULL;
}

static void append_all(struct arena *a, struct string_list *list, const struct string_list *more)
{
    for (size_t i = 0; i < more->n; i++)
        append(a, list, more->v[i]);
}

/* An entry point of the caller's own goes without the image's command. */
struct string_list bundle_args(const struct bundle *b)
{
    struct string_list args = {0};

    append_all(b->arena, &args, b->has_entrypoint ? &b->entrypoint : &b->image->entrypoint);
    if (b->args.n)
        append_all(b->arena, &args, &b->args);
    else if (!b->has_entrypoint)
        append_all(b->arena, &args, &b->image->cmd);
    return args;
}

/* NAME=VALUE into the list, in place of an older one. */
static void set_env(struct arena *a, struct string_list *env, const char *entry)
{
    size_t n = strcspn(entry, "=");

    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->v[i], entry, n) == 0 && (env->v[i][n] == '=' || env->v[i][n] == '\0')) {
            env->v[i] = (char *)entry;
            return;
        }
    append(a, env, entry);
}

static void write_env(struct json_writer *w, const struct bundle *b)
{
    struct arena *a = b->arena;
    struct string_list env = {0};

    append(a, &env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    append(a, &env, "TERM=xterm");
    append(a, &env, "container=hull");
    append(a, &env, arena_printf(a, "HOME=%s", b->user.home));
    append(a, &env, arena_printf(a, "HOSTNAME=%s", b->hostname));
    for (size_t i = 0; i < b->image->env.n; i++)
        set_env(a, &env, b->image->env.v[i]);
    for (size_t i = 0; i < b->env.n; i++)
        set_env(a, &env, b->env.v[i]);
    bundle_strings(w, "env", (const char *const *)env.v);
}

static void write_user(struct json_writer *w, const struct bundle *b)
{
    json_key(w, "user");
    json_object(w);
    bundle_uint(w, "uid", b->user.uid);
    bundle_uint(w, "gid", b->user.gid);
    bundle_uint(w, "umask", 022);
    json_key(w, "additionalGids");
    json_array(w);
    for (size_t i = 0; i < b->user.n_groups; i++)
        json_uint(w, b->user.groups[i]);
    json_array_end(w);
    json_object_end(w);
}

static void write_set(struct json_writer *w, const char *key, uint64_t set)
{
    json_key(w, key);
    json_array(w);
    for (int i = 0; i < 64; i++)
        if (set >> i & 1)
            json_string(w, capability_name(i));
    json_array_end(w);
}

/* A user other than root has what was asked for by name, and keeps it over execve (ambient). */
static void write_capabilities(struct json_writer *w, const struct bundle *b)
{
    bool root = b->user.uid == 0;
    uint64_t has = root ? b->capabilities : b->asked_capabilities & b->capabilities;

    json_key(w, "capabilities");
    json_object(w);
    write_set(w, "bounding", b->capabilities);
    write_set(w, "effective", has);
    write_set(w, "permitted", has);
    if (!root && has) {
        write_set(w, "inheritable", has);
        write_set(w, "ambient", has);
    }
    json_object_end(w);
}

/* podman's numbers, as far as the caller has them to give. */
static void write_limits(struct json_writer *w)
{
    static const struct {
        const char *name;
        int resource;
        rlim_t limit;
    } limits[] = {{"RLIMIT_NOFILE", RLIMIT_NOFILE, 1048576}, {"RLIMIT_NPROC", RLIMIT_NPROC, 32768}};

    json_key(w, "rlimits");
    json_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct rlimit own;
        rlim_t limit = limits[i].limit;

        if (getrlimit((__rlimit_resource_t)limits[i].resource, &own) == 0 && own.rlim_max < limit)
            limit = own.rlim_max;
        json_object(w);
        bundle_string(w, "type", limits[i].name);
        bundle_uint(w, "hard", limit);
        bundle_uint(w, "soft", limit);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_args(struct json_writer *w, const struct bundle *b, const struct string_list *args)
{
    struct string_list all = {0};

    if (b->init) {
        append(b->arena, &all, b->init);
        append(b->arena, &all, "--");
    }
    append_all(b->arena, &all, args);
    bundle_strings(w, "args", (const char *const *)all.v);
}

static void write_process(struct json_writer *w, const struct bundle *b, const struct string_list *args)
{
    const char *cwd = b->working_dir ? b->working_dir : b->image->working_dir;

    json_key(w, "process");
    json_object(w);
    bundle_bool(w, "terminal", b->terminal);
    write_user(w, b);
    write_args(w, b, args);
    write_env(w, b);
    bundle_string(w, "cwd", !cwd || !*cwd ? "/" : *cwd == '/' ? cwd : arena_printf(b->arena, "/%s", cwd));
    write_capabilities(w, b);
    write_limits(w);
    bundle_bool(w, "noNewPrivileges", b->no_new_privileges);
    if (b->apparmor)
        bundle_string(w, "apparmorProfile", b->apparmor);
    if (b->selinux)
        bundle_string(w, "selinuxLabel", b->selinux);
    json_object_end(w);
}

/* --- annotations --------------------------------------------------------------------------------------------------- */

struct annotations {
    struct arena *arena;
    struct spec_annotation *v;
    size_t n;
};

/* The first one with a key stays: labels and the caller's own come before what follows from other fields. */
static void annotate(struct annotations *all, const char *key, const char *value)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->v[i].key, key) == 0)
            return;
    if (*key && value)
        all->v[all->n++] = (struct spec_annotation){(char *)key, (char *)value};
}

static const char *exposed_ports(struct arena *a, const struct image_config *c)
{
    char *text = NULL;

    for (size_t i = 0; i < c->n_exposed_ports; i++)
        text = arena_printf(a, "%s%s%s", text ? text : "", text ? "," : "", c->exposed_ports[i].name);
    return text;
}

/* conversion.md, "Annotation Fields". A label of the image's may not speak to the runtime: those keys are hull's own. */
static void write_annotations(struct json_writer *w, const struct bundle *b)
{
    const struct image_config *c = b->image;
    struct annotations all = {.arena = b->arena};

    all.v = arena_new_n(b->arena, b->n_annotations + c->n_labels + 8, struct spec_annotation);
    for (size_t i = 0; i < b->n_annotations; i++)
        annotate(&all, b->annotations[i].key, b->annotations[i].value);
    for (size_t i = 0; i < c->n_labels; i++)
        if (strncmp(c->labels[i].key, "org.hull.", 9) != 0 && strncmp(c->labels[i].key, "run.oci.", 8) != 0 &&
            strncmp(c->labels[i].key, "org.systemd.", 12) != 0)
            annotate(&all, c->labels[i].key, c->labels[i].value);
    annotate(&all, OCI_KEY("os"), c->platform.os);
    annotate(&all, OCI_KEY("architecture"), c->platform.architecture);
    annotate(&all, OCI_KEY("variant"), c->platform.variant);
    annotate(&all, OCI_KEY("author"), c->author);
    annotate(&all, OCI_KEY("created"), c->created);
    annotate(&all, OCI_KEY("stopSignal"), c->stop_signal);
    annotate(&all, OCI_KEY("exposedPorts"), exposed_ports(b->arena, c));
    json_key(w, "annotations");
    json_object(w);
    for (size_t i = 0; i < all.n; i++)
        bundle_string(w, all.v[i].key, all.v[i].value);
    json_object_end(w);
}

int bundle_write(const struct bundle *b, char **text, size_t *length, struct error *err)
{
    struct string_list args = bundle_args(b);
    struct json_writer w;

    if (args.n == 0)
        return error_set(err, 0,
                         "there is nothing to run: the image has neither entry point nor command: give one");
    w = json_writer_begin(b->arena, false);
    json_object(&w);
    bundle_string(&w, "ociVersion", "1.0.2"); /* nothing newer is in it, and old runtimes refuse newer ones */
    write_process(&w, b, &args);
    json_key(&w, "root");
    json_object(&w);
    bundle_string(&w, "path", b->root);
    bundle_bool(&w, "readonly", b->read_only);
    json_object_end(&w);
    if (b->network != NETWORK_HOST || b->hostname)
        bundle_string(&w, "hostname", b->hostname);
    bundle_write_mounts(&w, b);
    write_annotations(&w, b);
    bundle_write_linux(&w, b);
    json_object_end(&w);
    *text = json_writer_end(&w, length);
    return 0;
}
