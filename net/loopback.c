/*
 * `lo` of a new network namespace: one ioctl on any socket (netdevice(7)). A Unix socket is the cheapest one,
 * and exists on kernels without IPv4. The flags need not be read first: a new `lo` has none of those that can
 * be set.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/net.h"

int net_loopback_up(struct error *err)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_set(err, errno, "open a socket to bring lo up");
    if (ioctl(fd, SIOCSIFFLAGS, &request) == 0)
        return 0;
    if (errno == EPERM) {
        /* Nested, under a profile that denies it: the network stays isolated, only 127.0.0.1 cannot be used.
         */
        log_warning(
            "lo stays down in the container's network namespace: setting it up is denied around Hull");
        return 0;
    }
    return error_set(err, errno, "bring lo up");
}

bool net_interface_up(char *name)
{
    struct if_nameindex *all = if_nameindex();
    _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = false;

    for (struct if_nameindex *i = all; i && i->if_name && !found; i++) {
        struct ifreq request = {0};

        memcpy(request.ifr_name, i->if_name, strnlen(i->if_name, IF_NAMESIZE - 1));
        found = ioctl(fd, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_UP &&
                !(request.ifr_flags & IFF_LOOPBACK);
        if (found)
            memcpy(name, request.ifr_name, IF_NAMESIZE);
    }
    if_freenameindex(all);
    return found;
}
