/*
 * Checks of what POSIX and Linux promise about files, for any mount point: virtio-fs in a sandbox, /dev/fuse on the host,
 * or a plain file system, on which the checks themselves are checked. One static program without a library, so that it
 * runs in any guest.
 *
 * Each check runs in a process of its own, in a new and empty working directory; the first thing that is not as it must
 * be ends it.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct check {
    const char *name;
    void (*run)(void);
};

struct check_group {
    const struct check *checks;
    size_t count;
};

extern const struct check_group names_group, directories_group, attributes_group, data_group, xattr_group,
    locks_group;

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define MUST(that) ((that) ? (void)0 : failed(__FILE__, __LINE__, #that))
/** @call fails with the errno @code. */
#define FAILS(call, code)                                                                                    \
    (errno = 0,                                                                                              \
     (call) == -1 && errno == (code) ? (void)0 : failed(__FILE__, __LINE__, #call " fails with " #code))

enum { USER = 1234, GROUP = 2345, OTHER = 4321 };

_Noreturn void failed(const char *file, int line, const char *what);
_Noreturn void skipped(const char *why);

/** From now on an ordinary user: one that owns nothing here but what it makes. */
void become(uid_t uid, gid_t gid);
/** Run @f in a child, which has to succeed. */
void in_child(void (*f)(void));

void put(const char *name, const char *text); /* make the file, mode 0644, with this text */
bool holds(const char *name, const char *text);
struct stat look(const char *name); /* lstat; the name has to be there */
