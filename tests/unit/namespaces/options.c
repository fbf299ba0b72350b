/* The table of mount options: order (it is bisected), meaning, and what is left over as data. */
#include "namespaces/mount_options.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mount.h>

static struct mount_options parse(struct arena *a, const char *list)
{
    char *words[64], *copy = arena_strdup(a, list), *save = NULL;
    struct string_list l = {.v = words};
    struct mount_options o;
    struct error err = {0};

    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        words[l.n++] = w;
    cr_assert_eq(mount_options_parse(a, &l, &o, &err), 0, "%s", err.message);
    return o;
}

Test(mount_options, sorted_and_found)
{
    size_t n;
    const char *const *names = mount_option_names(&n);

    cr_assert_gt(n, 60);
    cr_assert_null(names[n]);
    for (size_t i = 1; i < n; i++)
        cr_assert_lt(strcmp(names[i - 1], names[i]), 0, "%s before %s", names[i - 1], names[i]);
}

Test(mount_options, nothing_known_becomes_data)
{
    struct arena a = {0};
    size_t n;
    const char *const *names = mount_option_names(&n);

    for (size_t i = 0; i < n; i++)
        cr_assert_null(parse(&a, names[i]).data, "%s", names[i]);
}

Test(mount_options, last_word_wins)
{
    struct arena a = {0};
    struct mount_options o = parse(&a, "ro rw nosuid suid noexec");

    cr_assert_eq(o.set, MS_NOEXEC);
    cr_assert_eq(o.clear, MS_RDONLY | MS_NOSUID);
    o = parse(&a, "noatime strictatime relatime");
    cr_assert_eq(o.set, MS_RELATIME);
}

Test(mount_options, data_keeps_its_order)
{
    struct arena a = {0};
    struct mount_options o = parse(&a, "size=1k ro mode=755 x");

    cr_assert_str_eq(o.data, "size=1k,mode=755,x");
}

Test(mount_options, recursive_and_propagation)
{
    struct arena a = {0};
    struct mount_options o = parse(&a, "rbind rro rnosuid rdev rslave shared");

    cr_assert_eq(o.set, MS_BIND | MS_REC);
    cr_assert_eq(o.rset, MS_RDONLY | MS_NOSUID);
    cr_assert_eq(o.rclear, MS_NODEV);
    cr_assert_eq(o.n_propagation, 2);
    cr_assert_eq(o.propagation[0], MS_SLAVE | MS_REC);
    cr_assert_eq(o.propagation[1], MS_SHARED);
}

Test(mount_options, attributes)
{
    uint64_t set, clear;

    mount_options_attrs(MS_RDONLY | MS_NOATIME | MS_SYNCHRONOUS, MS_NOSUID, &set, &clear);
    cr_assert_eq(set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
    cr_assert_eq(clear, MOUNT_ATTR_NOSUID | MOUNT_ATTR__ATIME);
    mount_options_attrs(0, MS_NOATIME, &set, &clear);
    cr_assert_eq(set, 0);
    cr_assert_eq(clear, MOUNT_ATTR__ATIME);
    mount_options_attrs(MS_BIND | MS_REC, MS_RELATIME, &set, &clear);
    cr_assert(set == 0 && clear == 0);
}

Test(mount_options, too_much_data)
{
    struct arena a = {0};
    char *word = arena_alloc(&a, 5000);
    struct string_list l = {.v = &word, .n = 1};
    struct mount_options o;
    struct error err = {0};

    memset(word, 'x', 4999);
    cr_assert_eq(mount_options_parse(&a, &l, &o, &err), -1);
    cr_assert_not_null(strstr(err.message, "4999"));
}

Test(mount_options, propagation_names)
{
    cr_assert_eq(mount_propagation_from_name("rslave"), MS_SLAVE | MS_REC);
    cr_assert_eq(mount_propagation_from_name("unbindable"), MS_UNBINDABLE);
    cr_assert_eq(mount_propagation_from_name("ro"), 0);
    cr_assert_eq(mount_propagation_from_name(""), 0);
}
