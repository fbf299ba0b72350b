/*
 * exec's own table: ids are numbers and nothing else (CVE-2026-30892: peers ran "-u -1" and wrapped numbers
 * as somebody).
 */
#include "cli/command.h"

#include <criterion/criterion.h>
#include <string.h>

static int parse(struct arena *a, struct exec_options *o, struct error *err, const char *option,
                 const char *value)
{
    struct string_list words = {0}, arguments = {0};

    string_list_add(a, &words, option);
    string_list_add(a, &words, value);
    string_list_add(a, &words, "id");
    return options_parse(a, exec_command.options, exec_command.order, words.v, o, &arguments, err);
}

Test(cli_exec, user)
{
    static const struct {
        const char *text;
        bool has_gid;
        uint32_t uid, gid;
    } good[] = {{"0", false, 0, 0},
                {"1000", false, 1000, 0},
                {"4294967294", false, UINT32_MAX - 1, 0},
                {"1000:0", true, 1000, 0},
                {"0:4294967294", true, 0, UINT32_MAX - 1}};
    static const char *const bad[] = {"",
                                      "-1",
                                      "-0",
                                      "+1",
                                      "01",
                                      "0x10",
                                      "1e3",
                                      "1.0",
                                      " 1",
                                      "1 ",
                                      "root",
                                      "1000a",
                                      "1000,5",
                                      "4294967295",
                                      "4294967296",
                                      "18446744073709551616",
                                      "18446744073709551617",
                                      ":",
                                      "1:",
                                      ":1",
                                      "1:-1",
                                      "1:root",
                                      "1:4294967295",
                                      "1:4294967296",
                                      "1:2:3",
                                      "1::2"};
    struct arena arena = {0};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct exec_options o = {0};

        cr_expect_eq(parse(&arena, &o, NULL, "--user", good[i].text), 0, "%s", good[i].text);
        cr_expect(o.has_user && o.uid == good[i].uid && o.has_gid == good[i].has_gid && o.gid == good[i].gid,
                  "%s", good[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct exec_options o = {0};
        struct error err = {0};

        cr_expect_eq(parse(&arena, &o, &err, "-u", bad[i]), -1, "%s", bad[i]);
        cr_expect(!o.has_user, "%s", bad[i]);
        cr_expect(strstr(err.message, "-u must be UID or UID:GID: "), "%s: %s", bad[i], err.message);
    }
    arena_free(&arena);
}

Test(cli_exec, additional_gids)
{
    static const char *const bad[] = {"", ",", "1,", ",1", "1,,2", "1,-1", "1,4294967295", "1 2", "users"};
    struct arena arena = {0};
    struct exec_options o = {0};

    cr_expect_eq(parse(&arena, &o, NULL, "-g", "5"), 0);
    cr_expect_eq(parse(&arena, &o, NULL, "--additional-gids", "7,0,4294967294"), 0);
    cr_assert_eq(o.n_additional_gids, 4);
    cr_expect(o.additional_gids[0] == 5 && o.additional_gids[1] == 7 && o.additional_gids[2] == 0 &&
              o.additional_gids[3] == UINT32_MAX - 1);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct exec_options none = {0};

        cr_expect_eq(parse(&arena, &none, NULL, "-g", bad[i]), -1, "%s", bad[i]);
    }
    arena_free(&arena);
}

Test(cli_exec, commands_and_their_tables_are_whole)
{
    static const struct command *const commands[] = {
        &create_command, &run_command, &start_command, &exec_command, &kill_command,    &delete_command,
        &list_command,   &ps_command,  &state_command, &spec_command, &features_command};

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct option_row *rows = commands[i]->options;

        cr_expect(commands[i]->run && commands[i]->name && commands[i]->arguments && commands[i]->summary);
        for (const struct option_row *row = rows; row && row->name; row++) {
            cr_expect(row->parse && row->help, "%s --%s", commands[i]->name, row->name);
            cr_expect_lt(row->offset, commands[i]->options_size, "%s --%s", commands[i]->name, row->name);
            for (const struct option_row *other = rows; other < row; other++)
                cr_expect(strcmp(other->name, row->name) && (!row->letter || other->letter != row->letter),
                          "%s: --%s and --%s", commands[i]->name, other->name, row->name);
        }
    }
}
