/*
 * linux.sysctl: kernel parameters of the container's own namespaces (validate has refused the others).
 *
 * A key is written as sysctl(8) takes it: the first separator decides. "net.ipv4.ip_forward" has dots for
 * separators, and a
 * '/' in it stands for a dot inside a name ("net.ipv4.conf.eth0/100.forwarding");
 * "net/ipv4/conf/eth0.100/forwarding" is taken as it stands. The path is made of plain components only, and
 * procfs_write() does not leave the real procfs.
 */
#include "runtime/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/procfs.h"

/* @path gets "sys/net/ipv4/ip_forward". */
static int sysctl_path(const char *key, char *path, size_t size)
{
    const char *separator = strpbrk(key, "./");
    bool swap = separator && *separator == '.';
    int length = snprintf(path, size, "sys/%s", key);

    if (length < 0 || (size_t)length >= size)
        return -1;
    for (char *c = path + strlen("sys/"); swap && *c; c++)
        *c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
    for (const char *part = path; part;) {
        const char *end = strchrnul(part, '/');
        size_t n = (size_t)(end - part);
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return -1;
        part = *end ? end + 1 : NULL;
    }
    return 0;
}

int sysctl_apply(const struct spec_sysctl *sysctl, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        char path[512];

        if (sysctl_path(sysctl[i].key, path, sizeof(path)) < 0)
            return error_set(err, 0, "linux.sysctl: \"%s\" is not a kernel parameter's name", sysctl[i].key);
        if (procfs_write(path, sysctl[i].value, err) < 0)
            return error_wrap(err, "linux.sysctl: set %s to \"%s\"", sysctl[i].key, sysctl[i].value);
    }
    return 0;
}
