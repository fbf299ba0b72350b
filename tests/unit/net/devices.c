/* Loopback and linux.netDevices in fresh network namespaces, with veth pairs and the helper of the build
 * tree. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"

static struct error err;
static char helper[4096];

static unsigned flags_of(const char *name)
{
    struct ifreq r = {0};
    _cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    return ioctl(fd, SIOCGIFFLAGS, &r) < 0 ? 0 : (unsigned short)r.ifr_flags;
}

static void new_netns(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    if (unshare(CLONE_NEWNET) < 0)
        cr_skip_test("needs a network namespace");
}

/* "10.1.2.3/24" or "2001:db8::1" of @name, in @text. */
static bool has_address(const char *name, const char *address)
{
    struct ifaddrs *all, *a;
    bool found = false;
    char text[INET6_ADDRSTRLEN];

    cr_assert_eq(getifaddrs(&all), 0);
    for (a = all; a; a = a->ifa_next) {
        if (!a->ifa_addr || strcmp(a->ifa_name, name) != 0)
            continue;
        if (a->ifa_addr->sa_family == AF_INET)
            inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text, sizeof(text));
        else if (a->ifa_addr->sa_family == AF_INET6)
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, text, sizeof(text));
        else
            continue;
        found |= strcmp(text, address) == 0;
    }
    freeifaddrs(all);
    return found;
}

Test(loopback, comes_up)
{
    new_netns();
    cr_assert_eq(flags_of("lo") & IFF_UP, 0u);
    cr_assert_eq(net_loopback_up(&err), 0, "%s", err.message);
    cr_assert(flags_of("lo") & IFF_UP);
    cr_assert(has_address("lo", "127.0.0.1"));
}

Test(net_interface_up, sees_all_but_loopback)
{
    char name[IF_NAMESIZE];

    new_netns();
    cr_assert_eq(net_loopback_up(&err), 0, "%s", err.message);
    cr_assert_not(net_interface_up(name));
    if (system("ip link add d0 type veth peer name p0 2>/dev/null") != 0)
        cr_skip_test("needs ip(8) and veth");
    cr_assert_not(net_interface_up(name));
    cr_assert_eq(system("ip link set p0 up"), 0);
    cr_assert(net_interface_up(name));
    cr_assert_str_eq(name, "p0");
}

struct namespaces {
    int host, container;
};

/* Two new namespaces, the host's one entered, with veth pairs d0 and d1 of which d0 is up and has addresses.
 */
static struct namespaces set_up(void)
{
    struct namespaces n;
    char self[4000];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    new_netns();
    cr_assert_gt(length, 0);
    self[length] = '\0';
    for (int i = 0; i < 3; i++) /* BUILD/tests/unit/unit */
        *strrchr(self, '/') = '\0';
    snprintf(helper, sizeof(helper), "%s/hull-net", self);
    if (access(helper, X_OK) < 0)
        cr_skip_test("%s is not built", helper);
    n.container = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(unshare(CLONE_NEWNET), 0);
    n.host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (system("ip link add d0 type veth peer name p0 2>/dev/null && ip link add d1 type veth peer name p1 &&"
               "ip link set d0 up && ip addr add 10.1.2.3/24 dev d0 && ip addr add 10.1.2.4/24 dev d0 &&"
               "ip addr add 2001:db8::1/64 dev d0 nodad && ip addr add 169.254.7.7/16 scope link dev d0") !=
        0)
        cr_skip_test("needs ip(8) and veth");
    return n;
}

Test(net_devices, moved_renamed_and_configured)
{
    struct namespaces n = set_up();
    struct spec_net_device devices[] = {{"d0", "eth0"}, {"d1", NULL}};

    cr_assert_eq(net_devices_move_with(helper, devices, 2, n.container, &err), 0, "%s", err.message);
    cr_assert(if_nametoindex("d0") == 0 && if_nametoindex("d1") == 0);
    cr_assert_eq(setns(n.container, CLONE_NEWNET), 0);
    cr_assert(flags_of("eth0") & IFF_UP);
    cr_assert(flags_of("d1") & IFF_UP);
    cr_assert(has_address("eth0", "10.1.2.3") && has_address("eth0", "10.1.2.4") &&
              has_address("eth0", "2001:db8::1"));
    cr_assert_not(has_address("eth0", "169.254.7.7"), "only global addresses go along");
}

Test(net_devices, template_names)
{
    struct namespaces n = set_up();
    struct spec_net_device devices[] = {{"d0", "eth%d"}, {"d1", "eth%d"}};

    cr_assert_eq(net_devices_move_with(helper, devices, 2, n.container, &err), 0, "%s", err.message);
    cr_assert_eq(setns(n.container, CLONE_NEWNET), 0);
    cr_assert(flags_of("eth0") & IFF_UP && flags_of("eth1") & IFF_UP);
    cr_assert(has_address("eth0", "10.1.2.3"));
}

Test(net_devices, all_or_none)
{
    struct namespaces n = set_up();
    struct spec_net_device conflict[] = {{"d0", "same"}, {"d1", "same"}};
    struct spec_net_device missing[] = {{"d0", NULL}, {"nowhere", NULL}};
    struct spec_net_device taken[] = {{"d1", "lo"}};

    cr_assert_eq(net_devices_move_with(helper, conflict, 2, n.container, &err), -1);
    cr_assert(strstr(err.message, "same"), "%s", err.message);
    cr_assert(if_nametoindex("d0") && if_nametoindex("d1"), "both are back");
    cr_assert(flags_of("d0") & IFF_UP);
    cr_assert_eq(flags_of("d1") & IFF_UP, 0u);
    cr_assert(has_address("d0", "10.1.2.3") && has_address("d0", "2001:db8::1"));
    cr_assert_eq(net_devices_move_with(helper, missing, 2, n.container, &err), -1);
    cr_assert(strstr(err.message, "nowhere"), "%s", err.message);
    cr_assert(if_nametoindex("d0"));
    cr_assert_eq(net_devices_move_with(helper, taken, 1, n.container, &err), -1);
    cr_assert(strstr(err.message, "already called"), "%s", err.message);
    struct spec_net_device odd[] = {{"d1", "a-name-of-more-than-15-bytes"}};
    cr_assert_eq(net_devices_move_with(helper, odd, 1, n.container, &err), -1);
    cr_assert(if_nametoindex("d1"));
}

Test(net_devices, a_helper_that_is_not_there)
{
    struct spec_net_device device = {"d0", NULL};

    cr_assert_eq(net_devices_move_with("/nonexistent/hull-net", &device, 1, 0, &err), -1);
    cr_assert(strstr(err.message, "/nonexistent/hull-net"), "%s", err.message);
}
