/* libFuzzer target for config.json: decode and validate whatever comes; what is accepted keeps the promises
 * of spec.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_list(const struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        check(list->v[i] != NULL);
    check(list->n == 0 || list->v[list->n] == NULL);
}

static void check_resources(const struct spec_resources *r)
{
    for (size_t i = 0; i < r->n_unified; i++)
        check(r->unified[i].file[0] && !strchr(r->unified[i].file, '/') && r->unified[i].value);
    for (size_t i = 0; i < r->n_hugepages; i++)
        check(r->hugepages[i].page_size && r->hugepages[i].limit >= 0);
    for (size_t i = 0; i < r->network.n_priorities; i++)
        check(r->network.priorities[i].name != NULL);
    for (size_t i = 0; i < r->n_rdma; i++)
        check(r->rdma[i].device && !strpbrk(r->rdma[i].device, " \t\n"));
    for (size_t i = 0; i < r->n_devices; i++)
        check(strchr("abc", r->devices[i].type) && r->devices[i].major >= -1 && r->devices[i].minor >= -1 &&
              r->devices[i].access <= DEVICE_ACCESS_ALL);
    check(!r->memory.limit.set || r->memory.limit.value == -1 || r->memory.limit.value > 0);
    check(!r->cpu.shares.set || (r->cpu.shares.value > 0 && r->cpu.shares.value <= 262144));
}

static void check_spec(const struct spec *s, const char *text, size_t size)
{
    const struct spec_seccomp *filter = &s->linux_.seccomp;
    check(s->oci_version && s->root_path);
    check(!s->process.present || (s->process.args.n && s->process.cwd && s->process.cwd[0] == '/'));
    check_list(&s->process.args);
    check_list(&s->process.env);
    for (size_t i = 0; i < s->n_mounts; i++)
        check(s->mounts[i].destination && s->mounts[i].destination[0] == '/');
    for (size_t i = 0; i < s->process.n_rlimits; i++)
        check(s->process.rlimits[i].resource >= 0);
    for (size_t i = 0; i < s->linux_.n_devices; i++)
        check(s->linux_.devices[i].path && s->linux_.devices[i].type);
    for (size_t i = 0; i < s->linux_.n_sysctl; i++)
        check(s->linux_.sysctl[i].key && s->linux_.sysctl[i].value);
    for (size_t i = 0; i < filter->n_rules; i++) {
        check(filter->rules[i].names.n && filter->rules[i].action);
        check_list(&filter->rules[i].names);
    }
    check_resources(&s->linux_.resources);
    if (filter->present)
        check(filter->raw >= text && filter->raw + filter->raw_length <= text + size &&
              filter->raw[0] == '{' && filter->raw[filter->raw_length - 1] == '}');
}

/* Warnings for the user would only slow the fuzzer down. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return log_open(NULL, LOG_TEXT, LOG_ERROR, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    static struct error err;
    struct spec *spec;

    if (spec_parse(&arena, (const char *)data, size, "fuzz", &spec, &err) == 0)
        check_spec(spec, (const char *)data, size);
    else
        check(err.message[0] != '\0');
    arena_free(&arena);
    return 0;
}
