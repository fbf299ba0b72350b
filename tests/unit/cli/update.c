/* update's own table: which field each option sets, what it may be, and what counts as not given. */
#include "cli/command.h"

#include <criterion/criterion.h>
#include <string.h>

/* The command's own struct, whose limits come after three strings. */
struct update_options {
    const char *resources, *l3_cache_schema, *mem_bw_schema;
    struct spec_resources limits;
};

static struct arena arena;
static struct error err;

static int parse(struct update_options *o, const char *option, const char *value)
{
    struct string_list words = {0}, arguments = {0};

    *o = (struct update_options){0};
    error_clear(&err);
    string_list_add(&arena, &words, option);
    string_list_add(&arena, &words, value);
    string_list_add(&arena, &words, "id");
    cr_assert_eq(update_command.options_size, sizeof(*o));
    return options_parse(&arena, update_command.options, update_command.order, words.v, o, &arguments, &err);
}

Test(cli_update, numbers)
{
    struct update_options o;
    const struct spec_resources *r = &o.limits;
    const struct {
        const char *option, *value;
        const struct spec_limit *field;
        bool set;
        int64_t expected;
    } samples[] = {
        {"--memory", "64m", &r->memory.limit, true, 64 << 20},
        {"--memory", "-1", &r->memory.limit, true, -1},
        {"--memory", "0", &r->memory.limit, false, 0},
        {"--memory", "", &r->memory.limit, false, 0},
        {"--memory-reservation", "1k", &r->memory.reservation, true, 1024},
        {"--memory-swap", "1.5g", &r->memory.swap, true, 3 << 29},
        {"--memory-swap", "-1", &r->memory.swap, true, -1},
        {"--kernel-memory", "4096", &r->memory.kernel, true, 4096},
        {"--kernel-memory-tcp", "4096", &r->memory.kernel_tcp, true, 4096},
        {"--cpu-shares", "512", &r->cpu.shares, true, 512},
        {"--cpu-share", "262144", &r->cpu.shares, true, 262144},
        {"--cpu-quota", "-1", &r->cpu.quota, true, -1},
        {"--cpu-quota", "0", &r->cpu.quota, false, 0},
        {"--cpu-period", "100000", &r->cpu.period, true, 100000},
        {"--cpu-burst", "0", &r->cpu.burst, true, 0},
        {"--cpu-rt-period", "1000000", &r->cpu.realtime_period, true, 1000000},
        {"--cpu-rt-runtime", "950000", &r->cpu.realtime_runtime, true, 950000},
        {"--cpu-idle", "0", &r->cpu.idle, true, 0},
        {"--cpu-idle", "1", &r->cpu.idle, true, 1},
        {"--pids-limit", "-1", &r->pids, true, -1},
        {"--pids-limit", "0", &r->pids, false, 0},
        {"--blkio-weight", "10", &r->block_io.weight, true, 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        cr_expect_eq(parse(&o, samples[i].option, samples[i].value), 0, "%s", err.message);
        cr_expect(samples[i].field->set == samples[i].set && samples[i].field->value == samples[i].expected,
                  "%s %s", samples[i].option, samples[i].value);
    }
}

Test(cli_update, refused)
{
    static const char *const samples[][2] = {
        {"--memory", "-2"},         {"--memory", "1x"},        {"--memory", "1.5"},
        {"--memory", " 1"},         {"--cpu-shares", "-1"},    {"--cpu-shares", "1k"},
        {"--cpu-idle", "2"},        {"--cpu-quota", "-2"},     {"--cpu-period", "1e6"},
        {"--pids-limit", "-2"},     {"--pids-limit", "+1"},    {"--cpu-burst", "-1"},
        {"--blkio-weight", "1001"}, {"--cpu-rt-period", "-1"}, {"--cpu-period", "1000001"}};
    struct update_options o;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        cr_expect_eq(parse(&o, samples[i][0], samples[i][1]), -1, "%s %s", samples[i][0], samples[i][1]);
        cr_expect(!strncmp(err.message, samples[i][0], strlen(samples[i][0])), "%s", err.message);
    }
}

Test(cli_update, texts)
{
    struct update_options o;
    cr_assert_eq(parse(&o, "--cpuset-cpus", "0-3"), 0);
    cr_expect_str_eq(o.limits.cpu.cpus, "0-3");
    cr_assert_eq(parse(&o, "--cpuset-mems", "0"), 0);
    cr_expect_str_eq(o.limits.cpu.mems, "0");
    cr_assert_eq(parse(&o, "-r", "-"), 0);
    cr_expect_str_eq(o.resources, "-");
    cr_assert_eq(parse(&o, "--l3-cache-schema", "L3:0=f"), 0);
    cr_expect_str_eq(o.l3_cache_schema, "L3:0=f");
    cr_assert_eq(parse(&o, "--mem-bw-schema", "MB:0=20"), 0);
    cr_expect_str_eq(o.mem_bw_schema, "MB:0=20");
}
