/*
 * hull-vmm's command line, one table for both directions: `--name=value` for each field that is not its default, the
 * container's id last. It is no interface for people: hull and hull-vmm are of one build, everything is said once and in
 * one form, and whatever else stands there is an error.
 */
#include "sandbox/vmm/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/number.h"
#include "sandbox/vmm/memory.h"

enum kind { SIZE, COUNT, DESCRIPTOR, DESCRIPTOR_OR_NONE, FLAG, TIME, WORD };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t min, max;
} fields[] = {
    {"memory", SIZE, offsetof(struct vmm_options, memory), MEMORY_MIN, 1ULL << 42},
    {"cpus", COUNT, offsetof(struct vmm_options, cpus), 1, VMM_MAX_CPUS},
    {"kvm", DESCRIPTOR, offsetof(struct vmm_options, kvm), 3, INT_MAX},
    {"kernel", DESCRIPTOR, offsetof(struct vmm_options, kernel), 3, INT_MAX},
    {"initrd", DESCRIPTOR, offsetof(struct vmm_options, initrd), 3, INT_MAX},
    {"config", DESCRIPTOR, offsetof(struct vmm_options, config), 3, INT_MAX},
    {"root", DESCRIPTOR, offsetof(struct vmm_options, root), 3, INT_MAX},
    {"proc", DESCRIPTOR, offsetof(struct vmm_options, proc), 3, INT_MAX},
    {"sync", DESCRIPTOR, offsetof(struct vmm_options, sync), 3, INT_MAX},
    {"fifo", DESCRIPTOR_OR_NONE, offsetof(struct vmm_options, fifo), 3, INT_MAX},
    {"cpu-mask", WORD, offsetof(struct vmm_options, cpu_mask), 0, 0},
    {"terminal", FLAG, offsetof(struct vmm_options, terminal), 0, 0},
    {"console", FLAG, offsetof(struct vmm_options, console), 0, 0},
    {"debug", FLAG, offsetof(struct vmm_options, debug), 0, 0},
    {"no-new-keyring", FLAG, offsetof(struct vmm_options, no_new_keyring), 0, 0},
    {"timing", TIME, offsetof(struct vmm_options, timing), 1, INT64_MAX},
};

/* SIZE and COUNT have to be given, and so has DESCRIPTOR. */
static bool is_required(const struct field *f)
{
    return f->kind == SIZE || f->kind == COUNT || f->kind == DESCRIPTOR;
}

char **vmm_options_format(struct arena *a, const struct vmm_options *o)
{
    char **argv = arena_new_n(a, ARRAY_SIZE(fields) + 3, char *);
    size_t n = 0;

    argv[n++] = arena_strdup(a, "hull-vmm");
    for (const struct field *f = fields; f < fields + ARRAY_SIZE(fields); f++) {
        const void *at = (const char *)o + f->offset;
        switch (f->kind) {
        case COUNT:
            argv[n++] = arena_printf(a, "--%s=%u", f->name, *(const unsigned *)at);
            break;
        case SIZE:
        case TIME:
            if (*(const uint64_t *)at)
                argv[n++] = arena_printf(a, "--%s=%" PRIu64, f->name, *(const uint64_t *)at);
            break;
        case DESCRIPTOR:
        case DESCRIPTOR_OR_NONE:
            if (*(const int *)at >= 0)
                argv[n++] = arena_printf(a, "--%s=%d", f->name, *(const int *)at);
            break;
        case FLAG:
            if (*(const bool *)at)
                argv[n++] = arena_printf(a, "--%s", f->name);
            break;
        case WORD:
            if (*(const char *const *)at)
                argv[n++] = arena_printf(a, "--%s=%s", f->name, *(const char *const *)at);
            break;
        }
    }
    argv[n] = arena_strdup(a, o->id);
    return argv;
}

static int parse_value(const struct field *f, const char *value, struct vmm_options *o, struct error *err)
{
    void *at = (char *)o + f->offset;
    uint64_t number = 0;

    if (f->kind == FLAG ? value != NULL : !value)
        return error_set(err, 0, "--%s %s a value", f->name, value ? "has not" : "needs");
    if (f->kind == FLAG) {
        *(bool *)at = true;
        return 0;
    }
    if (f->kind == WORD) {
        *(const char **)at = value;
        return 0;
    }
    if (number_parse_u64(value, f->name, f->min, f->max, &number, err) < 0)
        return -1;
    if (f->kind == SIZE || f->kind == TIME)
        *(uint64_t *)at = number;
    else if (f->kind == COUNT)
        *(unsigned *)at = (unsigned)number;
    else if (fcntl((int)number, F_GETFD) < 0)
        return error_set(err, errno, "--%s=%s", f->name, value);
    else
        *(int *)at = (int)number;
    return 0;
}

static const struct field *find(const char *name, size_t length)
{
    for (const struct field *f = fields; f < fields + ARRAY_SIZE(fields); f++)
        if (strlen(f->name) == length && memcmp(f->name, name, length) == 0)
            return f;
    return NULL;
}

int vmm_options_parse(int argc, char *const argv[], struct vmm_options *o, struct error *err)
{
    unsigned seen = 0; /* a bit for each field */
    _Static_assert(ARRAY_SIZE(fields) <= sizeof(seen) * CHAR_BIT, "a bit for each field");

    *o = (struct vmm_options){
        .kvm = -1, .kernel = -1, .initrd = -1, .config = -1, .root = -1, .proc = -1, .sync = -1, .fifo = -1};
    for (int i = 1; i < argc - 1; i++) {
        const char *name = argv[i] + 2, *equals = strchr(argv[i], '=');
        bool option = strncmp(argv[i], "--", 2) == 0;
        const struct field *f = option ? find(name, equals ? (size_t)(equals - name) : strlen(name)) : NULL;
        if (!f)
            return error_set(err, 0, "\"%s\" is not an option of hull-vmm", argv[i]);
        if (seen & 1U << (f - fields))
            return error_set(err, 0, "--%s stands there twice", f->name);
        seen |= 1U << (f - fields);
        if (parse_value(f, equals ? equals + 1 : NULL, o, err) < 0)
            return -1;
    }
    for (const struct field *f = fields; f < fields + ARRAY_SIZE(fields); f++)
        if (is_required(f) && !(seen & 1U << (f - fields)))
            return error_set(err, 0, "hull-vmm needs --%s", f->name);
    if (o->memory % 4096)
        return error_set(err, 0, "--memory: %" PRIu64 " is not a whole number of pages", o->memory);
    o->id = argv[argc - 1];
    return *o->id && *o->id != '-' ? 0 : error_set(err, 0, "hull-vmm needs the container's id");
}
