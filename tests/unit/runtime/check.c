/* What hull check reads: versions, lists of words, subordinate ids; and that its report is whole. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "runtime/check_private.h"

Test(check, versions)
{
    unsigned v[2];

    cr_assert(check_parse_version("6.18.44-cloud+", v));
    cr_assert_eq(v[0], 6U);
    cr_assert_eq(v[1], 18U);
    cr_assert(check_parse_version("5.4-rc1", v));
    cr_assert_not(check_version_below(v, 5, 4));
    cr_assert(check_version_below(v, 5, 5));
    cr_assert(check_version_below(v, 6, 0));
    cr_assert_not(check_version_below(v, 4, 20), "5.4 is later than 4.20");
    cr_assert_not(check_parse_version("mainline", v));
    cr_assert_not(check_parse_version("6", v));
}

Test(check, words)
{
    cr_assert(check_has_word("cpu io memory pids\n", " \n", "pids"));
    cr_assert(check_has_word("capability,landlock,apparmor", ",", "capability"));
    cr_assert(check_has_word("vmx flags\t: vnmi ept vpid", " \t", "ept"));
    cr_assert_not(check_has_word("vmx flags\t: ept_ad", " \t", "ept"));
    cr_assert_not(check_has_word("cpuset", " ", "cpu"));
    cr_assert_not(check_has_word("", " ", "cpu"));
    cr_assert_not(check_has_word("   ", " ", "cpu"));
}

Test(check, subordinate_ids)
{
    uint32_t start = 0;

    cr_assert_eq(check_subid_count("alice:100000:65536\nbob:165536:65536\n", "bob", 1001, &start), 65536U);
    cr_assert_eq(start, 165536U);
    cr_assert_eq(check_subid_count("1001:200000:10\nbob:300000:20", "bob", 1001, &start), 30U,
                 "both ways count");
    cr_assert_eq(start, 200000U);
    cr_assert_eq(check_subid_count("1001:200000:10", NULL, 1001, &start), 10U, "without a name");
    cr_assert_eq(check_subid_count("bobby:1:2\nbo:1:2\n#bob:1:2\n", "bob", 1001, &start), 0U);
}

Test(check, broken_subordinate_ids_do_not_count)
{
    static const char *const lines[] = {
        "",          "bob",      "bob:",    "bob:1",    "bob:1:",           "bob::1",
        "bob:x:1",   "bob:1:1x", "bob:1:0", "bob:-1:5", "bob:4294967295:2", "bob:1:99999999999",
        "bob:1:2:3", "::",       "\n\n"};
    uint32_t start;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_assert_eq(check_subid_count(lines[i], "bob", 1001, &start), 0U, "\"%s\"", lines[i]);
}

static int fails(void *data)
{
    errno = *(const int *)data;
    return -1;
}

static int hangs(void *data)
{
    (void)data;
    return pause();
}

static int works(void *data)
{
    (void)data;
    return 0;
}

Test(check, child_brings_its_errno)
{
    bool entered;
    int code = EOPNOTSUPP;

    cr_assert_eq(check_in_child(0, works, NULL, &entered), 0);
    cr_assert(entered);
    cr_assert_eq(check_in_child(0, fails, &code, &entered), -1);
    cr_assert_eq(errno, EOPNOTSUPP);
    cr_assert(entered);
    cr_assert_eq(check_in_child(CSIGNAL /* no namespace at all */, works, NULL, &entered), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_not(entered);
}

Test(check, child_that_hangs_is_ended, .timeout = 10)
{
    cr_assert_eq(check_in_child(0, hangs, NULL, NULL), -1);
    cr_assert_eq(errno, ETIMEDOUT);
}

Test(check, every_row_answers)
{
    struct arena a = {0};
    struct check_report report;
    bool sandbox_lacks = false;

    host_check(&a, "/run/hull", &report);
    cr_assert_gt(report.n, 40U);
    for (size_t i = 0; i < report.n; i++) {
        const struct check_result *r = &report.results[i];

        cr_assert(r->detail && *r->detail, "%s", r->name);
        cr_assert(r->status != CHECK_OK || !r->remedy, "%s: ok needs no remedy", r->name);
        sandbox_lacks |= r->status == CHECK_NO && strcmp(r->group, "sandbox") == 0;
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(r->name, report.results[j].name);
    }
    cr_assert_eq(report.sandboxes, report.containers && !sandbox_lacks);
    arena_free(&a);
}
