/*
 * The options of `run --image`, in podman's words, and what they make of a bundle. Those about mounts and devices:
 * image_mounts.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/number.h"
#include "base/path.h"
#include "base/size.h"
#include "cli/run_image.h"
#include "runtime/process.h"

enum { ENV_FILE_MAX = 1 << 20, PROFILE_MAX = 4 << 20, CPU_PERIOD_US = 100000, PIDS_DEFAULT = 2048 };

#define MEMORY_MIN (6LL << 20)

/* "", a program, or a JSON array. */
static int parse_entrypoint(const struct option_use *use, void *field, struct error *err)
{
    struct image_run_options *o = (struct image_run_options *)((char *)field - use->row->offset);
    struct json *json;

    o->has_entrypoint = true;
    o->entrypoint = (struct string_list){0};
    if (use->text[0] != '[') {
        if (*use->text)
            string_list_add(use->arena, &o->entrypoint, use->text);
        return 0;
    }
    if (json_parse(use->arena, use->text, strlen(use->text), use->what, &json, err) < 0)
        return -1;
    for (size_t i = 0; i < json->count; i++) {
        if (json->items[i].type != JSON_STRING)
            return error_set(err, 0, "%s must be a program or a JSON array of strings, got %s", use->what,
                             use->text);
        string_list_add(use->arena, &o->entrypoint, json->items[i].text);
    }
    return 0;
}

#define ROW(name, letter, value, field, parse, help)                                                         \
    {                                                                                                        \
        name, letter, value, offsetof(struct image_run_options, field), parse, help                          \
    }

const struct option_row image_run_rows[] = {
    ROW("image", 0, "REF", image, option_string,
        "run a container from this image (name, id or digest), not a bundle"),
    ROW("name", 0, "NAME", name, option_string, "the container's name (default: 64 random digits)"),
    ROW("interactive", 'i', NULL, interactive, option_flag, "pass standard input on (default: it is empty)"),
    ROW("tty", 't', NULL, tty, option_flag, "give it a terminal"),
    ROW("detach", 'd', NULL, detach, option_flag,
        "return when it runs: `logs`, `attach`, `wait`, `stop` and `rm` go on from there"),
    ROW("rm", 0, NULL, rm, option_flag, "remove it, and what it wrote, when it ends"),
    ROW("env", 'e', "NAME[=VALUE]", env, option_list, "set in its environment, or pass on from here"),
    ROW("env-file", 0, "FILE", env_files, option_list, "NAME[=VALUE] lines for its environment"),
    ROW("workdir", 'w', "DIR", working_dir, option_string, "working directory, made if it is missing"),
    ROW("user", 'u', "USER[:GROUP]", user, option_string, "names of the image's, or numbers"),
    ROW("group-add", 0, "GROUP", groups, option_list, "one more group for the process"),
    ROW("entrypoint", 0, "PROGRAM|[JSON]", entrypoint, parse_entrypoint,
        "in place of the image's entry point and command"),
    ROW("init", 0, NULL, init, option_flag, "run an init in it, which passes signals on and reaps"),
    ROW("hostname", 0, "NAME", hostname, option_string,
        "its host name (default: its name, or 12 digits of its id)"),
    ROW("network", 0, "none|host|ns:PATH|container:ID", network, option_string,
        "its network (default: none)"),
    ROW("net", 0, "NETWORK", network, option_string, "the same"),
    ROW("volume", 'v', "[HOST|NAME:]CONTAINER[:OPTION,...]", volumes, option_list,
        "show a path of the host's or a volume in it: ro, U, O, nocopy, idmap, noexec ..."),
    ROW("mount", 0, "KEY=VALUE,...", mounts, option_list,
        "type=bind|volume|tmpfs|image, source, destination ..."),
    ROW("volumes-from", 0, "CONTAINER[:ro|rw]", volumes_from, option_list,
        "the volumes and host's paths that another container has"),
    ROW("tmpfs", 0, "DIR[:OPTION,...]", tmpfs, option_list, "an empty directory in memory"),
    ROW("read-only", 0, NULL, read_only, option_flag, "its root may not be written to"),
    ROW("device", 0, "HOST[:CONTAINER][:rwm]", devices, option_list, "let it use a device of the host's"),
    ROW("memory", 'm', "BYTES", memory, option_string, "limit of its memory: 512m, 2g"),
    ROW("cpus", 0, "N", cpus, option_string, "limit of its processor time: 1.5"),
    ROW("pids-limit", 0, "N", pids, option_string, "limit of its processes (default: 2048; 0 or -1: none)"),
    ROW("cap-add", 0, "CAPABILITY", cap_add, option_list, "NET_ADMIN ..., or ALL"),
    ROW("cap-drop", 0, "CAPABILITY", cap_drop, option_list, "NET_ADMIN ..., or ALL"),
    ROW("privileged", 0, NULL, privileged, option_flag,
        "all capabilities and devices, no seccomp filter, nothing masked"),
    ROW("security-opt", 0, "OPTION", security, option_list,
        "no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=disable|LABEL|type:TYPE ..."),
    ROW("annotation", 0, "KEY=VALUE", annotations, option_list, "for hooks, engines and `state`"),
    ROW("userns", 0, "host|auto[:size=N]|ns:PATH|container:ID", userns, option_string,
        "as root: its user namespace; auto: ids that no other container has (default: host)"),
    ROW("uidmap", 0, "CONTAINER:HOST:SIZE", uidmaps, option_list, "its user namespace's user ids"),
    ROW("gidmap", 0, "CONTAINER:HOST:SIZE", gidmaps, option_list, "and group ids (default: the same)"),
    ROW("subuidname", 0, "NAME", subuidname, option_string,
        "a user namespace of what /etc/subuid gives NAME"),
    ROW("subgidname", 0, "NAME", subgidname, option_string, "and /etc/subgid (default: the same NAME)"),
    ROW("pid-file", 0, "FILE", pid_file, option_string, "write its process id to FILE"),
    ROW("log-driver", 0, "k8s-file|json-file|none", log_driver, option_string,
        "what a detached one prints is kept (default, whichever name) or not"),
    ROW("log-opt", 0, "KEY=VALUE", log, option_list,
        "max-size=SIZE (10m: then the log begins anew; default: never), max-file=N (keep N of them; default: "
        "1)"),
    ROW("pull", 0, "missing|always|never|newer", pull, option_choice,
        "when to fetch the image (default: missing)"),
    ROW("quiet", 'q', NULL, quiet, option_flag, "show no progress of a pull"),
    ROW("isolation", 0, "container|vm", isolation, option_choice_said, "as the global option"),
    ROW("kernel", 0, "FILE", kernel, option_string, "a sandbox's kernel"),
    ROW("kernel-messages", 0, NULL, kernel_messages, option_flag,
        "show the messages of a sandbox's kernel on standard error"),
    ROW("timing", 0, NULL, timing, option_now, "say on standard error where a sandbox's start went"),
    {0},
};

/* --- environment --------------------------------------------------------------------------------------------------- */

/* A name alone passes the caller's value on, if there is one. */
static int add_env(struct bundle *b, const char *what, const char *entry, struct error *err)
{
    const char *value;

    if (*entry == '=' || !*entry)
        return error_set(err, 0, "%s must be NAME or NAME=VALUE, got \"%s\"", what, entry);
    if (strchr(entry, '='))
        string_list_add(b->arena, &b->env, entry);
    else if ((value = getenv(entry)))
        string_list_add(b->arena, &b->env, arena_printf(b->arena, "%s=%s", entry, value));
    return 0;
}

static int add_env_file(struct bundle *b, const char *path, struct error *err)
{
    char *text, *line;

    if (file_read(AT_FDCWD, path, ENV_FILE_MAX, b->arena, &text, NULL, err) < 0)
        return error_wrap(err, "--env-file");
    while ((line = strsep(&text, "\n"))) {
        line += strspn(line, " \t");
        if (*line && *line != '#' && add_env(b, path, line, err) < 0)
            return error_wrap(err, "--env-file");
    }
    return 0;
}

static int complete_env(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    for (size_t i = 0; i < o->env_files.n; i++)
        if (add_env_file(b, o->env_files.v[i], err) < 0)
            return -1;
    for (size_t i = 0; i < o->env.n; i++)
        if (add_env(b, "--env", o->env.v[i], err) < 0)
            return -1;
    return 0;
}

/* --- rights -------------------------------------------------------------------------------------------------------- */

/* All that there are to give here. */
static uint64_t all_capabilities(void)
{
    uint64_t set = 0;

    for (int i = 0; i <= capability_last(); i++)
        if (prctl(PR_CAPBSET_READ, i) == 1)
            set |= 1ULL << i;
    return set;
}

static int parse_capabilities(const char *what, const struct string_list *names, uint64_t *set,
                              struct error *err)
{
    *set = 0;
    for (size_t i = 0; i < names->n; i++) {
        int number = strcasecmp(names->v[i], "ALL") == 0 ? -1 : capability_from_name(names->v[i]);

        if (number < 0 && strcasecmp(names->v[i], "ALL") != 0)
            return error_set(err, 0, "%s: unknown capability \"%s\"; see capabilities(7), or say ALL", what,
                             names->v[i]);
        *set |= number < 0 ? all_capabilities() : 1ULL << number;
    }
    return 0;
}

static int complete_capabilities(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    uint64_t all, add, drop;

    b->capabilities = bundle_default_capabilities;
    if (!o->privileged && !o->cap_add.n && !o->cap_drop.n) /* asking for all of them takes 41 calls */
        return 0;
    all = all_capabilities();
    if (parse_capabilities("--cap-add", &o->cap_add, &add, err) < 0 ||
        parse_capabilities("--cap-drop", &o->cap_drop, &drop, err) < 0)
        return -1;
    /* "all but" and "none but": what is named alone wins over ALL */
    b->capabilities = o->privileged ? all : bundle_default_capabilities;
    if ((drop & all) == all)
        b->capabilities = add;
    else
        b->capabilities = (b->capabilities | add) & ~drop;
    b->asked_capabilities = add & b->capabilities;
    return 0;
}

static int read_profile(struct bundle *b, const char *path, struct error *err)
{
    struct json *json;
    char *text;
    size_t length;

    if (strcmp(path, "unconfined") == 0) {
        b->seccomp = "";
        return 0;
    }
    if (file_read(AT_FDCWD, path, PROFILE_MAX, b->arena, &text, &length, err) < 0 ||
        json_parse(b->arena, text, length, path, &json, err) < 0)
        return error_wrap(err, "--security-opt seccomp");
    if (json->type != JSON_OBJECT)
        return error_set(err, 0, "--security-opt seccomp=%s: must hold %s as linux.seccomp has it", path,
                         json_type_name(JSON_OBJECT));
    if (json_get(json, "archMap"))
        return error_set(
            err, 0,
            "--security-opt seccomp=%s: is a template of profiles (\"archMap\"): give linux.seccomp "
            "as config.json has it",
            path);
    b->seccomp = text;
    return 0;
}

static int add_security(struct bundle *b, struct image_label *label, const char *text, struct error *err)
{
    size_t n = strcspn(text, "=:");
    const char *value = text[n] ? text + n + 1 : NULL;

    if (n == 17 && strncmp(text, "no-new-privileges", n) == 0) {
        b->no_new_privileges = !value || strcmp(value, "true") == 0;
        return 0;
    }
    if (n == 7 && strncmp(text, "seccomp", n) == 0 && value)
        return read_profile(b, value, err);
    if (n == 8 && strncmp(text, "apparmor", n) == 0 && value) {
        b->apparmor = value;
        return 0;
    }
    if (n == 5 && strncmp(text, "label", n) == 0 && value)
        return image_label_add(b->arena, label, value, err);
    return error_set(
        err, 0,
        "--security-opt: \"%s\" is unknown: there are no-new-privileges, seccomp=FILE|unconfined, "
        "apparmor=PROFILE and label=disable|LABEL|type:TYPE ...",
        text);
}

/* --- resources ----------------------------------------------------------------------------------------------------- */

/* Without root on the host there may be no cgroup to limit by: then only what was asked for is. */
static int complete_resources(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                              struct error *err)
{
    char *end = NULL;
    int64_t number;

    b->pids = rt->rootless ? 0 : PIDS_DEFAULT;
    if (o->memory) {
        if (size_parse(o->memory, "--memory", &number, err) < 0)
            return -1;
        if (number < MEMORY_MIN)
            return error_set(err, 0, "--memory %s: nothing runs in less than 6m", o->memory);
        b->memory = (uint64_t)number;
    }
    if (o->cpus) {
        double cpus = strtod(o->cpus, &end);

        if (*end || !(cpus >= 0.01 && cpus <= 8192) || strspn(o->cpus, "0123456789.") != strlen(o->cpus))
            return error_set(err, 0, "--cpus must be a number from 0.01 to 8192, got \"%s\"", o->cpus);
        b->cpu_quota_us = (uint64_t)(cpus * CPU_PERIOD_US);
    }
    if (o->pids) {
        if (number_parse_i64(o->pids, "--pids-limit", -1, INT32_MAX, &number, err) < 0)
            return -1;
        b->pids = number > 0 ? (uint64_t)number : 0;
    }
    return 0;
}

/* --- the log ------------------------------------------------------------------------------------------------------- */

enum { LOG_SIZE_MIN = 4096, LOG_FILES_MAX = 1000 };

static int add_log_option(struct keeper_log *log, const char *text, struct error *err)
{
    const char *value = strchr(text, '=');
    int64_t size;

    if (value && strncmp(text, "max-size=", 9) == 0) {
        if (size_parse(value + 1, "--log-opt max-size", &size, err) < 0)
            return -1;
        if (size != 0 && size < LOG_SIZE_MIN)
            return error_set(err, 0, "--log-opt %s: less than 4k", text);
        log->max_size = (uint64_t)size;
        return 0;
    }
    if (value && strncmp(text, "max-file=", 9) == 0)
        return number_parse_u64(value + 1, "--log-opt max-file", 1, LOG_FILES_MAX, &log->files, err);
    return error_set(err, 0, "--log-opt: \"%s\" is unknown: there are max-size=SIZE and max-file=N", text);
}

int image_run_log(const struct image_run_options *o, struct keeper_log *log, struct error *err)
{
    static const char *const drivers[] = {"none", "k8s-file", "json-file"};
    size_t driver = 1;

    if (o->log_driver)
        for (driver = 0; driver < ARRAY_SIZE(drivers) && strcmp(o->log_driver, drivers[driver]) != 0;)
            driver++;
    if (driver == ARRAY_SIZE(drivers))
        return error_set(err, 0,
                         "--log-driver: \"%s\" is not available: there are none, k8s-file, and json-file as "
                         "another name for that",
                         o->log_driver);
    *log = (struct keeper_log){.off = driver == 0};
    for (size_t i = 0; i < o->log.n; i++)
        if (add_log_option(log, o->log.v[i], err) < 0)
            return -1;
    return 0;
}

/* --- the rest ------------------------------------------------------------------------------------------------------ */

static int complete_network(const struct runtime *rt, const char *text, struct bundle *b, struct error *err)
{
    if (!text || strcmp(text, "none") == 0)
        return 0;
    b->network = NETWORK_JOINED;
    if (strcmp(text, "host") == 0) {
        b->network = NETWORK_HOST;
        return 0;
    }
    if (strncmp(text, "ns:/", 4) == 0) {
        b->network_path = text + 3;
        return 0;
    }
    if (strncmp(text, "container:", 10) == 0)
        return keeper_namespace(rt, "--network", text, NS_NETWORK, &b->network_path, err);
    return error_set(err, 0, "--network must be none, host, ns:PATH or container:ID, got \"%s\"", text);
}

static int complete_annotations(const struct image_run_options *o, struct bundle *b, struct error *err)
{
    b->annotations = arena_new_n(b->arena, o->annotations.n + 1, struct spec_annotation);
    for (size_t i = 0; i < o->annotations.n; i++) {
        char *key = arena_strdup(b->arena, o->annotations.v[i]), *value = strchr(key, '=');

        if (!value || value == key)
            return error_set(err, 0, "--annotation must be KEY=VALUE, got \"%s\"", key);
        *value++ = '\0';
        b->annotations[b->n_annotations++] = (struct spec_annotation){key, value};
    }
    return 0;
}

static int check_hostname(const char *name, struct error *err)
{
    size_t n = name ? strlen(name) : 1;

    if (n > 0 && n <= 64 && (!name || strcspn(name, " \t\n/") == n))
        return 0;
    return error_set(err, 0, "--hostname must be 1 to 64 characters without spaces, got \"%.80s\"", name);
}

int image_run_complete(const struct runtime *rt, const struct image_run_options *o, struct bundle *b,
                       struct image_mounts *mounts, struct error *err)
{
    struct image_label label = {0};

    b->entrypoint = o->entrypoint;
    b->has_entrypoint = o->has_entrypoint;
    b->working_dir = o->working_dir;
    b->terminal = o->tty;
    b->privileged = o->privileged;
    b->read_only = o->read_only;
    if (o->working_dir && o->working_dir[0] != '/')
        return error_set(err, 0, "--workdir must be an absolute path, got \"%s\"", o->working_dir);
    if (check_hostname(o->hostname, err) < 0 || complete_env(o, b, err) < 0 ||
        complete_capabilities(o, b, err) < 0 || complete_resources(rt, o, b, err) < 0 ||
        complete_network(rt, o->network, b, err) < 0 || complete_annotations(o, b, err) < 0 ||
        image_run_mounts(o, b, mounts, err) < 0 || image_run_devices(o, b, err) < 0)
        return -1;
    for (size_t i = 0; i < o->security.n; i++)
        if (add_security(b, &label, o->security.v[i], err) < 0)
            return -1;
    image_label_complete(&label, b);
    return 0;
}
