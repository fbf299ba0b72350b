/*
 * Resources that free themselves when their scope ends, and the two ways ownership leaves a scope.
 *
 *     _cleanup_(fd_closep) int fd = open(...);
 *     ...
 *     *out = steal_fd(&fd);
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Close an fd >= 0 and keep errno: clean-up must never hide the error that caused it. */
void fd_closep(int *fd);
void freep(void *pointer_to_pointer);
void closedirp(DIR **dir);
void fclosep(FILE **file);

static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define steal_ptr(pp)                                                                                        \
    ({                                                                                                       \
        __typeof__(*(pp)) taken_ = *(pp);                                                                    \
        *(pp) = NULL;                                                                                        \
        taken_;                                                                                              \
    })

#define ARRAY_SIZE(a)       (sizeof(a) / sizeof((a)[0]))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
