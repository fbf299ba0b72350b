/*
 * Tables for the `process` object (runtime-spec config.md, "Process", "POSIX process", "Linux process").
 * Names become the kernel's numbers here, so that whoever applies them has nothing left to look up.
 */
#include "runtime/spec/decode.h"

#include <string.h>

static const struct field console_size_table_fields[] = {
    U32("height", struct spec_process, console_height, RANGE(0, UINT16_MAX)),
    U32("width", struct spec_process, console_width, RANGE(0, UINT16_MAX)),
};
TABLE(console_size_table);

static const struct field user_table_fields[] = {
    U32("uid", struct spec_user, uid),
    U32("gid", struct spec_user, gid),
    U32("umask", struct spec_user, umask, AUX(struct spec_user, has_umask), RANGE(0, 0777)),
    U32S("additionalGids", struct spec_user, additional_gids, n_additional_gids),
};
TABLE(user_table);

/* --- capabilities: five lists of names to five bit sets
 * -------------------------------------------------------------- */

struct capability_lists {
    struct string_list bounding, effective, inheritable, permitted, ambient;
};

static const struct field capability_table_fields[] = {
    STRINGS("bounding", struct capability_lists, bounding),
    STRINGS("effective", struct capability_lists, effective),
    STRINGS("inheritable", struct capability_lists, inheritable),
    STRINGS("permitted", struct capability_lists, permitted),
    STRINGS("ambient", struct capability_lists, ambient),
};
TABLE(capability_table);

enum { UNKNOWN_KEPT = 64 }; /* each is compared with all before it */

static void add_unknown(struct arena *a, struct string_list *unknown, char *name)
{
    size_t n = unknown->n;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(unknown->v[i], name))
            return;
    if (n == UNKNOWN_KEPT)
        return;
    if (!unknown->v)
        unknown->v = arena_new_n(a, UNKNOWN_KEPT + 1, char *);
    unknown->v[unknown->n++] = name;
}

static uint64_t capability_bits(struct decoder *d, const struct string_list *names,
                                struct string_list *unknown)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < names->n; i++) {
        int number = capability_from_name(names->v[i]);
        if (number >= 0)
            bits |= UINT64_C(1) << number;
        else
            add_unknown(d->arena, unknown, names->v[i]);
    }
    return bits;
}

static void decode_capabilities(struct decoder *d, const struct place *at, const struct json *json,
                                void *target)
{
    struct spec_capabilities *c = target;
    struct capability_lists lists = {0};
    decode_object(d, at, json, &capability_table, &lists);
    c->present = true;
    c->bounding = capability_bits(d, &lists.bounding, &c->unknown);
    c->effective = capability_bits(d, &lists.effective, &c->unknown);
    c->inheritable = capability_bits(d, &lists.inheritable, &c->unknown);
    c->permitted = capability_bits(d, &lists.permitted, &c->unknown);
    c->ambient = capability_bits(d, &lists.ambient, &c->unknown);
}

/* --- limits and priorities
 * -------------------------------------------------------------------------------------------- */

static void rlimit_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_rlimit *r = object;
    r->resource = name_index(rlimit_names, r->type);
}

static const struct field rlimit_table_fields[] = {
    STRING("type", struct spec_rlimit, type, .flags = REQUIRED | NAMES, .names = rlimit_names),
    U64("soft", struct spec_rlimit, soft, .flags = REQUIRED),
    U64("hard", struct spec_rlimit, hard, .flags = REQUIRED),
};
TABLE(rlimit_table, ELEMENT(struct spec_rlimit), .done = rlimit_done);

static void scheduler_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_scheduler *s = object;
    s->policy_number = name_index(scheduler_policy_names, s->policy);
    for (size_t i = 0; i < s->flags.n; i++) {
        int bit = name_index(scheduler_flag_names, s->flags.v[i]);
        if (bit >= 0)
            s->flag_bits |= UINT64_C(1) << bit;
    }
}

static const struct field scheduler_table_fields[] = {
    STRING("policy", struct spec_scheduler, policy, .flags = REQUIRED | NAMES,
           .names = scheduler_policy_names),
    I32("nice", struct spec_scheduler, nice, RANGE(-20, 19)),
    I32("priority", struct spec_scheduler, priority, RANGE(0, 99)),
    STRINGS("flags", struct spec_scheduler, flags, .flags = NAMES, .names = scheduler_flag_names),
    U64("runtime", struct spec_scheduler, runtime),
    U64("deadline", struct spec_scheduler, deadline),
    U64("period", struct spec_scheduler, period),
};
TABLE(scheduler_table, .done = scheduler_done);

static void io_priority_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)d, (void)at, (void)json;
    struct spec_io_priority *p = object;
    p->class_number = name_index(io_priority_class_names, p->class_name) + 1;
}

static const struct field io_priority_table_fields[] = {
    STRING("class", struct spec_io_priority, class_name, .flags = REQUIRED | NAMES,
           .names = io_priority_class_names),
    I32("priority", struct spec_io_priority, priority, RANGE(0, 7)),
};
TABLE(io_priority_table, .done = io_priority_done);

static const struct field cpu_affinity_table_fields[] = {
    STRING("initial", struct spec_process, exec_cpu_affinity_initial),
    STRING("final", struct spec_process, exec_cpu_affinity_final),
};
TABLE(cpu_affinity_table);

/* --- the object
 * -----------------------------------------------------------------------------------------------------------
 */

static const struct field process_fields[] = {
    BOOL("terminal", struct spec_process, terminal),
    INLINE("consoleSize", &console_size_table, AUX(struct spec_process, has_console_size)),
    OBJECT("user", struct spec_process, user, &user_table),
    STRINGS("args", struct spec_process, args, .flags = REQUIRED | NOT_EMPTY),
    STRINGS("env", struct spec_process, env),
    STRING("cwd", struct spec_process, cwd, .flags = REQUIRED | ABSOLUTE),
    CUSTOM("capabilities", struct spec_process, capabilities, decode_capabilities),
    LIST("rlimits", struct spec_process, rlimits, n_rlimits, &rlimit_table),
    BOOL("noNewPrivileges", struct spec_process, no_new_privileges),
    STRING("apparmorProfile", struct spec_process, apparmor_profile),
    STRING("selinuxLabel", struct spec_process, selinux_label),
    I32("oomScoreAdj", struct spec_process, oom_score_adj, AUX(struct spec_process, has_oom_score_adj),
        RANGE(-1000, 1000)),
    OBJECT("scheduler", struct spec_process, scheduler, &scheduler_table,
           AUX(struct spec_process, scheduler.present)),
    OBJECT("ioPriority", struct spec_process, io_priority, &io_priority_table,
           AUX(struct spec_process, io_priority.present)),
    INLINE("execCPUAffinity", &cpu_affinity_table),
};
const struct table spec_process_table = {.fields = process_fields, .n = ARRAY_SIZE(process_fields)};
