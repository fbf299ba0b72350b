/*
 * Logging as engines expect it of runc: --log FILE, --log-format text|json, --log-level.
 * Text lines go `time="..." level=warning msg="..."` to a file (and to stderr at level debug) and
 * `hull: warning: ...` to a terminal's or engine's stderr; JSON lines are {"level":"warning","msg":"...","time":"RFC3339"} in both.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/** Open @path (NULL: stderr; append, 0644, close-on-exec) and set what is written. The default before is text, warnings, stderr. */
int log_open(const char *path, enum log_format format, enum log_level level, struct error *err);

/** Parse runc's level names (debug info warn|warning error fatal panic). */
int log_level_parse(const char *name, enum log_level *level, struct error *err);

/** True when messages of @level are written. */
bool log_shows(enum log_level level);

/** True when the log is a file of its own, so that a message for the user has to be printed as well. */
bool log_is_file(void);

/** The log's file descriptor: 2, or the file's. */
int log_fd(void);

void log_write(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)
