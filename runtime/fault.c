/* See fault.h; an empty translation unit in a released build. */
#include "runtime/fault.h"

#ifdef HULL_FAULT_INJECTION
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int fault_point(const char *name, struct error *err)
{
    const char *wanted = getenv("HULL_FAULT");
    size_t length = strlen(name);

    if (!wanted || strncmp(wanted, name, length) != 0)
        return 0;
    if (strcmp(wanted + length, ":kill") == 0) {
        raise(SIGKILL);
        _exit(128 + SIGKILL); /* the kernel spares a pid namespace's init the signal it sends itself */
    }
    return wanted[length] == '\0' ? error_set(err, EIO, "injected fault at %s", name) : 0;
}
#else
typedef int fault_injection_is_off;
#endif
