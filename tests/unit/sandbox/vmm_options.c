/* hull-vmm's command line: what hull writes it reads, and nothing else. */
#include "sandbox/vmm/options.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct arena arena;

static int count(char *const argv[])
{
    int n = 0;
    while (argv[n])
        n++;
    return n;
}

/* What a complete command line needs, with descriptors that are open. */
static struct vmm_options complete(void)
{
    int fd[7];
    for (size_t i = 0; i < 7; i++)
        fd[i] = fcntl(0, F_DUPFD, 20);
    return (struct vmm_options){.memory = 256ULL << 20,
                                .cpus = 2,
                                .kvm = fd[0],
                                .kernel = fd[1],
                                .initrd = fd[2],
                                .config = fd[3],
                                .root = fd[4],
                                .proc = fd[5],
                                .sync = fd[6],
                                .fifo = -1,
                                .id = "web"};
}

static void expect_same(const struct vmm_options *a, const struct vmm_options *b)
{
    cr_expect_eq(a->memory, b->memory);
    cr_expect_eq(a->cpus, b->cpus);
    cr_expect_eq(a->kvm, b->kvm);
    cr_expect_eq(a->kernel, b->kernel);
    cr_expect_eq(a->initrd, b->initrd);
    cr_expect_eq(a->config, b->config);
    cr_expect_eq(a->root, b->root);
    cr_expect_eq(a->proc, b->proc);
    cr_expect_eq(a->sync, b->sync);
    cr_expect_eq(a->fifo, b->fifo);
    cr_expect_eq(a->terminal, b->terminal);
    cr_expect_eq(a->console, b->console);
    cr_expect_eq(a->debug, b->debug);
    cr_expect_eq(a->no_new_keyring, b->no_new_keyring);
    cr_expect_eq(a->timing, b->timing);
    cr_expect_str_eq(a->id, b->id);
}

Test(vmm_options, what_is_written_is_read)
{
    struct vmm_options o = complete(), back;
    struct error err = {0};
    char **argv = vmm_options_format(&arena, &o);

    cr_assert_eq(vmm_options_parse(count(argv), argv, &back, &err), 0, "%s", err.message);
    expect_same(&o, &back);
    cr_expect_null(back.cpu_mask);

    o.fifo = o.sync;
    o.terminal = o.console = o.debug = o.no_new_keyring = true;
    o.timing = 123456789012345;
    o.cpu_mask = "no-avx512";
    o.memory = 4ULL << 30;
    argv = vmm_options_format(&arena, &o);
    cr_assert_eq(vmm_options_parse(count(argv), argv, &back, &err), 0, "%s", err.message);
    expect_same(&o, &back);
    cr_expect_str_eq(back.cpu_mask, "no-avx512");
}

/* One argument of a good command line replaced (or left out): the words have to say which. */
static void refused(const char *prefix, const char *with, const char *words)
{
    struct vmm_options o = complete(), back;
    struct error err = {0};
    char **argv = vmm_options_format(&arena, &o);
    int argc = count(argv), at = 1;

    while (at < argc && strncmp(argv[at], prefix, strlen(prefix)) != 0)
        at++;
    cr_assert_lt(at, argc, "%s", prefix);
    if (with)
        argv[at] = arena_strdup(&arena, with);
    else
        memmove(&argv[at], &argv[at + 1], (size_t)(argc-- - at) * sizeof(*argv));
    cr_expect_eq(vmm_options_parse(argc, argv, &back, &err), -1, "%s", with ? with : prefix);
    cr_expect_not_null(strstr(err.message, words), "%s: %s", with ? with : prefix, err.message);
}

Test(vmm_options, anything_else_is_an_error)
{
    refused("--memory=", NULL, "needs --memory");
    refused("--memory=", "--memory", "needs a value");
    refused("--memory=", "--memory=0", "memory");
    refused("--memory=", "--memory=1048576", "memory");
    refused("--memory=", "--memory=268435457", "pages");
    refused("--memory=", "--memory=18446744073709551616", "memory");
    refused("--cpus=", "--cpus=0", "cpus");
    refused("--cpus=", "--cpus=33", "cpus");
    refused("--cpus=", "--cpus=1x", "cpus");
    refused("--cpus=", "--kvm=3", "twice");
    refused("--kvm=", NULL, "needs --kvm");
    refused("--kvm=", "--kvm=999999", "kvm");
    refused("--kvm=", "--kvm=-1", "kvm");
    refused("--kvm=", "--kvm=0", "kvm");
    refused("--sync=", "--terminal=1", "has not a value");
    refused("--sync=", "--none", "not an option");
    refused("--sync=", "sync", "not an option");
    refused("--sync=", "--", "not an option");
    refused("--sync=", "", "not an option");
    refused("web", "", "id");
    refused("web", NULL, "needs --sync");
    refused("web", "--debug", "id");
}

Test(vmm_options, none_at_all)
{
    struct vmm_options o;
    struct error err = {0};
    char name[] = "hull-vmm", *argv[] = {name, NULL};

    cr_expect_eq(vmm_options_parse(1, argv, &o, &err), -1);
    cr_expect_eq(vmm_options_parse(0, argv + 1, &o, &err), -1);
}
