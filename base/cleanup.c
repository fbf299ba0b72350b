/* What _cleanup_() calls when a scope ends. Each keeps errno, so that `return -1` still says why. */
#include "base/cleanup.h"

#include <errno.h>

void fd_closep(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    close(*fd);
    *fd = -1; /* closed by hand before its scope ends, it is not closed twice */
    errno = saved;
}

void freep(void *pointer_to_pointer)
{
    int saved = errno;
    free(*(void **)pointer_to_pointer);
    errno = saved;
}

void closedirp(DIR **dir)
{
    if (!*dir)
        return;
    int saved = errno;
    closedir(*dir);
    errno = saved;
}

void fclosep(FILE **file)
{
    if (!*file)
        return;
    int saved = errno;
    fclose(*file);
    errno = saved;
}
