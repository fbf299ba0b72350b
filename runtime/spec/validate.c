/*
 * What the tables cannot say about the top level and the process: relations between fields, formats, kernel
 * rules that can be known without touching the host. Runs after decoding, also when that complained: so it
 * passes over what is missing, and over what follows from an earlier complaint.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "runtime/spec/decode.h"

/* --- formats
 * -------------------------------------------------------------------------------------------------------------
 */

/* One number of a version: digits without leading zeros. */
static bool version_number(const char **s)
{
    size_t n = strspn(*s, "0123456789");
    bool good = n == 1 || (n > 1 && n < 10 && **s != '0');
    *s += n;
    return good;
}

/* "1.2.0", "1.0.2-dev", "1.3.0-rc.1+build5" (semver.org 2.0.0), of major version 1. */
static bool version_supported(const char *s)
{
    static const char suffix[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-.";
    if (strncmp(s, "1.", 2))
        return false;
    s += 2;
    if (!version_number(&s) || *s++ != '.' || !version_number(&s))
        return false;
    for (const char *mark = "-+"; *mark; mark++) {
        if (*s != *mark)
            continue;
        size_t n = strspn(s + 1, suffix);
        if (n == 0)
            return false;
        s += n + 1;
    }
    return *s == '\0';
}

bool is_cpu_list(const char *s)
{
    for (;;) {
        unsigned long ends[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            size_t digits = strspn(s, "0123456789");
            if (digits == 0 || digits > 6)
                return false;
            ends[i] = strtoul(s, NULL, 10);
            s += digits;
            if (i == 0 && *s != '-') {
                ends[1] = ends[0];
                break;
            }
            s += i == 0;
        }
        if (ends[1] < ends[0])
            return false;
        if (*s == '\0')
            return true;
        if (*s++ != ',')
            return false;
    }
}

/* --- id maps
 * -----------------------------------------------------------------------------------------------------------------
 */

static bool overlap(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size)
{
    return a < (uint64_t)b + b_size && b < (uint64_t)a + a_size;
}

void validate_id_maps(struct spec_complaints *c, const struct id_maps *maps, const char *path)
{
    if (complained_of(c, path))
        return;
    for (size_t i = 0; i < maps->n; i++) {
        const struct id_map *m = &maps->v[i];
        uint32_t first = m->container_id > m->host_id ? m->container_id : m->host_id;
        if (m->size < 1)
            complain(c, "%s[%zu].size: must be at least 1", path, i);
        else if ((uint64_t)first + m->size > UINT32_MAX)
            complain(c, "%s[%zu].size: %u ids from %u go beyond 4294967294", path, i, m->size, first);
        for (size_t j = 0; j < i; j++)
            if (overlap(m->container_id, m->size, maps->v[j].container_id, maps->v[j].size))
                complain(c, "%s[%zu].containerID: the range overlaps that of %s[%zu]", path, i, path, j);
            else if (overlap(m->host_id, m->size, maps->v[j].host_id, maps->v[j].size))
                complain(c, "%s[%zu].hostID: the range overlaps that of %s[%zu]", path, i, path, j);
    }
}

/* --- process
 * -------------------------------------------------------------------------------------------------------------------
 */

static void validate_env(struct spec_complaints *c, const struct string_list *env, const char *path)
{
    if (complained_of(c, path))
        return;
    for (size_t i = 0; i < env->n; i++)
        if (env->v[i][0] == '=' || !strchr(env->v[i], '='))
            complain(c, "%s[%zu]: must be NAME=value, got %s", path, i, quoted(c->arena, env->v[i]));
}

static void validate_rlimits(struct spec_complaints *c, const struct spec_process *p, const char *at)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < p->n_rlimits; i++) {
        const struct spec_rlimit *r = &p->rlimits[i];
        if (r->resource < 0)
            continue;
        if (seen & 1u << r->resource)
            complain(c, "%srlimits[%zu].type: %s is there twice", at, i, r->type);
        seen |= 1u << r->resource;
        if (r->soft > r->hard && !complained_of(c, arena_printf(c->arena, "%srlimits[%zu]", at, i)))
            complain(c, "%srlimits[%zu].soft: must not be above hard (%llu > %llu)", at, i,
                     (unsigned long long)r->soft, (unsigned long long)r->hard);
    }
}

/* sched(7), sched_setattr(2): what the kernel would answer with EINVAL. */
static void validate_scheduler(struct spec_complaints *c, const struct spec_scheduler *s, const char *at)
{
    if (!s->present || !s->policy)
        return;
    bool realtime = !strcmp(s->policy, "SCHED_FIFO") || !strcmp(s->policy, "SCHED_RR");
    bool deadline = !strcmp(s->policy, "SCHED_DEADLINE");
    if (realtime && s->priority < 1)
        complain(c, "%sscheduler.priority: must be from 1 to 99 for %s", at, s->policy);
    if (!realtime && s->priority != 0)
        complain(c, "%sscheduler.priority: is for SCHED_FIFO and SCHED_RR only, not for %s", at, s->policy);
    if (!deadline && (s->runtime || s->deadline || s->period))
        complain(c, "%sscheduler: runtime, deadline and period are for SCHED_DEADLINE only, not for %s", at,
                 s->policy);
    if (deadline && (s->runtime < 1024 || s->runtime > s->deadline || (s->period && s->deadline > s->period)))
        complain(c, "%sscheduler: SCHED_DEADLINE needs 1024 <= runtime <= deadline <= period (ns)", at);
}

/* The specification wants warnings: an unknown capability is no reason to refuse. What cannot
 * be granted is capabilities_apply()'s to warn of. */
static void warn_of_capabilities(struct arena *a, const struct spec_capabilities *caps, const char *at)
{
    struct buffer b = {.arena = a};
    for (size_t i = 0; i < caps->unknown.n; i++)
        buffer_printf(&b, "%s%s", i ? ", " : "", quoted(a, caps->unknown.v[i]));
    if (b.length)
        log_warning("%scapabilities: ignoring unknown capabilities %s", at, b.data);
}

void validate_process(struct spec_complaints *c, const struct spec_process *p, const char *at)
{
    const char *lists[] = {p->exec_cpu_affinity_initial, p->exec_cpu_affinity_final};
    validate_env(c, &p->env, arena_printf(c->arena, "%senv", at));
    validate_rlimits(c, p, at);
    validate_scheduler(c, &p->scheduler, at);
    warn_of_capabilities(c->arena, &p->capabilities, at);
    for (size_t i = 0; i < 2; i++)
        if (lists[i] && !is_cpu_list(lists[i]))
            complain(c, "%sexecCPUAffinity.%s: must be a list of CPUs like \"0-3,7\", got %s", at,
                     i ? "final" : "initial", quoted(c->arena, lists[i]));
}

/* --- mounts and the rest of the top level
 * -------------------------------------------------------------------------------------- */

static bool is_bind(const struct spec_mount *m)
{
    if (m->type && !strcmp(m->type, "bind"))
        return true;
    for (size_t i = 0; i < m->options.n; i++)
        if (!strcmp(m->options.v[i], "bind") || !strcmp(m->options.v[i], "rbind"))
            return true;
    return false;
}

static void validate_mount(struct spec_complaints *c, const struct spec_mount *m, size_t i)
{
    if (!m->uid_mappings.n && !m->gid_mappings.n)
        return;
    validate_id_maps(c, &m->uid_mappings, arena_printf(c->arena, "mounts[%zu].uidMappings", i));
    validate_id_maps(c, &m->gid_mappings, arena_printf(c->arena, "mounts[%zu].gidMappings", i));
    if (!m->uid_mappings.n != !m->gid_mappings.n)
        complain(c, "mounts[%zu].%s: is required when %s is there", i,
                 m->uid_mappings.n ? "gidMappings" : "uidMappings",
                 m->uid_mappings.n ? "uidMappings" : "gidMappings");
    if (!is_bind(m))
        complain(c, "mounts[%zu].%s: is for bind mounts only (type \"bind\", or option bind or rbind)", i,
                 m->uid_mappings.n ? "uidMappings" : "gidMappings");
}

void validate_spec(struct spec_complaints *c, const struct spec *spec)
{
    if (spec->oci_version && !version_supported(spec->oci_version))
        complain(c, "ociVersion: must be a version 1.x.y of the runtime specification, got %s",
                 quoted(c->arena, spec->oci_version));
    if (spec->process.present)
        validate_process(c, &spec->process, "process.");
    for (size_t i = 0; i < spec->n_mounts; i++)
        validate_mount(c, &spec->mounts[i], i);
    validate_linux(c, spec);
}
