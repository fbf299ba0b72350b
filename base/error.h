/*
 * An error travels as an out-parameter and carries a chain of words, outermost first:
 * "container web: mount /data: open /srv/data: No such file or directory".
 *
 * Functions that can fail take `struct error *err` last and return 0, or -1 with *err filled in.
 */
#pragma once

#include "base/cleanup.h"

struct error {
    int code;      /* an errno value, or 0 when the failure is not a system call's */
    int exit_code; /* what the process should exit with; 0 means the command's own default (1) */
    char message[4096];
};

/**
 * Fill in @err: the formatted text, then ": strerror(@code)" unless @code is 0. Always returns -1, so that
 * a failure is one line: `return error_set(err, errno, "open %s", path);`. @err may be NULL.
 */
int error_set(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/** Put "text: " in front of what @err says already. Always returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) _printf_(2, 3);

/** Forget what @err says (for a failure that has been dealt with). */
void error_clear(struct error *err);

#ifdef __clang_analyzer__ /* it sees one file at a time: tell it what these return */
#define error_set(...)  ((error_set)(__VA_ARGS__), -1)
#define error_wrap(...) ((error_wrap)(__VA_ARGS__), -1)
#endif
