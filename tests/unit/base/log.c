/* Log lines: one a message, whatever the message holds. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"

static char path[] = "/tmp/hull-log-XXXXXX";
static struct arena arena;
static struct error err;

static void set_up(void)
{
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static void tear_down(void)
{
    unlink(path);
}

static char *content(void)
{
    char *data;
    cr_assert_eq(file_read(AT_FDCWD, path, 1 << 20, &arena, &data, NULL, &err), 0, "%s", err.message);
    return data;
}

#define LogTest(name) Test(log, name, .init = set_up, .fini = tear_down)
static const char hostile[] = "a \"b\" \\ \n\033[31m\xff time=\"x\"";

LogTest(text_lines_cannot_be_forged)
{
    cr_assert_eq(log_open(path, LOG_TEXT, LOG_WARNING, &err), 0);
    cr_expect(log_is_file());
    log_info("not shown");
    errno = E2BIG;
    log_warning("%s", hostile);
    cr_expect_eq(errno, E2BIG);
    char *text = content();
    cr_expect_eq(strncmp(text, "time=\"20", 8), 0, "%s", text);
    cr_expect(strstr(text, "Z\" level=warning msg=\"a \\\"b\\\" \\\\ \\n\\x1b[31m"), "%s", text);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
}

LogTest(json_lines_are_json)
{
    cr_assert_eq(log_open(path, LOG_JSON, LOG_DEBUG, &err), 0);
    log_error("%s", hostile);
    char *text = content();
    struct json *line;
    cr_assert_eq(json_parse(&arena, text, strlen(text), "log", &line, &err), 0, "%s: %s", err.message, text);
    cr_expect_str_eq(json_get(line, "level")->text, "error");
    cr_expect_str_eq(json_get(line, "msg")->text, "a \"b\" \\ \n\033[31m\xef\xbf\xbd time=\"x\"");
    cr_expect_eq(json_get(line, "time")->length, strlen("2026-01-01T00:00:00Z"));
    cr_expect_eq(strncmp(text, "{\"level\":\"error\",\"msg\":\"a ", 26), 0);
    cr_expect_eq(text[strlen(text) - 1], '\n');
    log_debug("second");
    cr_expect(strstr(content(), "\"debug\",\"msg\":\"second\""));
}

LogTest(stderr_lines_are_for_people)
{
    cr_expect_not(log_is_file());
    cr_expect_eq(log_fd(), 2);
    cr_assert(freopen(path, "a", stderr));
    log_warning("mind %s", "\033the gap");
    log_info("not shown");
    cr_expect_str_eq(content(), "hull: warning: mind ?the gap\n");
}

LogTest(a_log_that_cannot_be_opened_changes_nothing)
{
    cr_expect_eq(log_open("/nonexistent/x", LOG_JSON, LOG_DEBUG, &err), -1);
    cr_expect(strstr(err.message, "/nonexistent/x"));
    cr_expect_not(log_is_file());
}

Test(log, levels)
{
    enum log_level level;
    cr_expect(log_level_parse("warn", &level, NULL) == 0 && level == LOG_WARNING);
    cr_expect(log_level_parse("debug", &level, NULL) == 0 && level == LOG_DEBUG);
    cr_expect(log_level_parse("fatal", &level, NULL) == 0 && level == LOG_ERROR);
    cr_expect_eq(log_level_parse("loud", &level, &err), -1);
    cr_expect_eq(log_level_parse("", &level, &err), -1);
    cr_expect_eq(log_level_parse("WARN ", &level, &err), -1);
}
