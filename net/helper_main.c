/*
 * hull-net HOST-NAME CONTAINER-NAME ...: move network devices into the namespace on descriptor 3
 * (runtime-spec 1.3, config-linux.md "Network Devices"). The one program of Hull that links libmnl.
 *
 * Per device, with its permanent global addresses noted before the kernel drops them:
 *   host       RTM_SETLINK  move, under a name that is free on both sides ("hPID-N": the wanted one may be
 *                           a template)
 *   container  RTM_GETLINK  its index there
 *              RTM_SETLINK  the wanted name ("eth%d" is filled in by the kernel; a name in use is an error)
 *              RTM_NEWADDR  each address
 *              RTM_SETLINK  up
 *
 * All or none: on a failure what was moved goes back, with its name, addresses and state. The error goes to
 * stderr, for hull.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NETNS_FD = 3, MAX_DEVICES = 256, MESSAGE_SIZE = 8192 };

struct side {
    struct mnl_socket *socket;
    int netns;
    unsigned sequence;
};

/* One RTM_NEWADDR as the kernel dumped it. */
struct address {
    struct address *next;
    size_t length;
    char message[];
};

struct device {
    const char *host_name, *container_name;
    int host_index, index; /* index: in the container, once it is there */
    unsigned flags;
    char passage[IFNAMSIZ]; /* its name on the way */
    bool away;
    struct address *addresses;
};

static int fail(const char *what, const char *name, const char *kernel)
{
    fprintf(stderr, "%s %s: %s\n", what, name, kernel && *kernel ? kernel : strerror(errno));
    return -1;
}

/* --- netlink ----------------------------------------------------------------------------------------------
 */

static int side_open(struct side *s, int netns)
{
    int yes = 1;

    s->netns = netns;
    s->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!s->socket || mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0)
        return fail("open", "rtnetlink", NULL);
    mnl_socket_setsockopt(s->socket, NETLINK_EXT_ACK, &yes, sizeof(yes)); /* for better words only */
    return 0;
}

/* The kernel's own words about a refusal, where it has any. */
static const char *extended_error(const struct nlmsghdr *h, char *text, size_t size)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    size_t skip = sizeof(*e) + (h->nlmsg_flags & NLM_F_CAPPED ? 0 : e->msg.nlmsg_len - sizeof(e->msg));
    const struct nlattr *attribute;

    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || mnl_nlmsg_get_payload_len(h) < skip)
        return NULL;
    mnl_attr_for_each(attribute, h,
                      MNL_ALIGN(skip)) if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
                                           mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
    {
        snprintf(text, size, "%s: %s", strerror(-e->error), mnl_attr_get_str(attribute));
        return text;
    }
    return NULL;
}

/* Send @request and call @each for every message of the answer. -1 with errno; @words: the kernel's, or "".
 */
static int talk(struct side *s, struct nlmsghdr *request, int (*each)(const struct nlmsghdr *, void *),
                void *data, char *words, size_t words_size)
{
    char buffer[32768] __attribute__((aligned(8)));
    unsigned port = mnl_socket_get_portid(s->socket);

    words[0] = '\0';
    request->nlmsg_seq = ++s->sequence;
    if (mnl_socket_sendto(s->socket, request, request->nlmsg_len) < 0)
        return -1;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s->socket, buffer, sizeof(buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        int left = (int)n;
        for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_seq != s->sequence || (h->nlmsg_pid && h->nlmsg_pid != port))
                continue;
            if (h->nlmsg_flags & NLM_F_DUMP_INTR) {
                errno = EAGAIN;
                return -1;
            }
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
                if (e->error)
                    extended_error(h, words, words_size);
                errno = -e->error;
                return e->error ? -1 : 0;
            }
            if (each && each(h, data) < 0)
                return -1;
        }
    }
}

static struct nlmsghdr *link_request(char *buffer, int type, int index)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
    struct ifinfomsg *link;

    h->nlmsg_type = (uint16_t)type;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    link = mnl_nlmsg_put_extra_header(h, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = index;
    return h;
}

struct found_link {
    int index;
    unsigned flags;
};

static int on_link(const struct nlmsghdr *h, void *data)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(h);

    if (h->nlmsg_type == RTM_NEWLINK)
        *(struct found_link *)data = (struct found_link){link->ifi_index, link->ifi_flags};
    return 0;
}

static int link_find(struct side *s, const char *name, struct found_link *found, char *words, size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
    struct nlmsghdr *h = link_request(buffer, RTM_GETLINK, 0);

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return talk(s, h, on_link, found, words, size);
}

/* Into the other side's namespace, with a new name in the same step. */
static int link_move(struct side *from, const struct side *to, int index, const char *name, char *words,
                     size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
    struct nlmsghdr *h = link_request(buffer, RTM_SETLINK, index);

    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)to->netns);
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return talk(from, h, NULL, NULL, words, size);
}

static int link_rename(struct side *s, int index, const char *name, char *words, size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
    struct nlmsghdr *h = link_request(buffer, RTM_SETLINK, index);

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return talk(s, h, NULL, NULL, words, size);
}

static int link_up(struct side *s, int index, char *words, size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
    struct nlmsghdr *h = link_request(buffer, RTM_SETLINK, index);
    struct ifinfomsg *link = mnl_nlmsg_get_payload(h);

    link->ifi_flags = link->ifi_change = IFF_UP;
    return talk(s, h, NULL, NULL, words, size);
}

/* --- addresses --------------------------------------------------------------------------------------------
 */

static uint32_t address_flags(const struct nlmsghdr *h)
{
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(h);
    const struct nlattr *attribute;

    mnl_attr_for_each(attribute, h, sizeof(*a)) if (mnl_attr_get_type(attribute) == IFA_FLAGS &&
                                                    mnl_attr_validate(attribute, MNL_TYPE_U32) >=
                                                        0) return mnl_attr_get_u32(attribute);
    return a->ifa_flags;
}

/* Keep permanent addresses of global scope; temporary and link-local ones the kernel makes anew. */
static int on_address(const struct nlmsghdr *h, void *data)
{
    struct device *d = data;
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(h);
    struct address *kept, **last = &d->addresses;

    if (h->nlmsg_type != RTM_NEWADDR || (int)a->ifa_index != d->host_index ||
        a->ifa_scope != RT_SCOPE_UNIVERSE || !(address_flags(h) & IFA_F_PERMANENT))
        return 0;
    kept = calloc(1, sizeof(*kept) + h->nlmsg_len);
    if (!kept)
        return -1;
    kept->length = h->nlmsg_len;
    memcpy(kept->message, h, h->nlmsg_len);
    while (*last)
        last = &(*last)->next; /* the order tells primary from secondary ones */
    *last = kept;
    return 0;
}

static int addresses_save(struct side *s, struct device *d, char *words, size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));

    for (int attempts = 0;; attempts++) {
        struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
        struct ifaddrmsg *a;

        h->nlmsg_type = RTM_GETADDR;
        h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        a = mnl_nlmsg_put_extra_header(h, sizeof(*a));
        a->ifa_family = AF_UNSPEC;
        d->addresses = NULL; /* a short-lived process: an interrupted dump is not freed */
        if (talk(s, h, on_address, d, words, size) == 0)
            return 0;
        if (errno != EAGAIN || attempts == 8)
            return -1;
    }
}

static int address_add(struct side *s, int index, const struct address *kept, char *words, size_t size)
{
    char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
    const struct nlmsghdr *from = (const struct nlmsghdr *)kept->message;
    const struct nlattr *attribute;
    struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
    struct ifaddrmsg *a;

    h->nlmsg_type = RTM_NEWADDR;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    a = mnl_nlmsg_put_extra_header(h, sizeof(*a));
    *a = *(const struct ifaddrmsg *)mnl_nlmsg_get_payload(from);
    a->ifa_index = (uint32_t)index;
    mnl_attr_for_each(attribute, from, sizeof(*a))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        /* The label holds the old name; the lifetimes of a permanent address are the default. */
        if (type == IFA_LABEL || type == IFA_CACHEINFO)
            continue;
        if (!mnl_attr_put_check(h, sizeof(buffer), type, mnl_attr_get_payload_len(attribute),
                                mnl_attr_get_payload(attribute)))
            return -1;
    }
    return talk(s, h, NULL, NULL, words, size);
}

static int addresses_restore(struct side *s, int index, const struct device *d, char *words, size_t size)
{
    for (const struct address *a = d->addresses; a; a = a->next)
        if (address_add(s, index, a, words, size) < 0)
            return -1;
    return 0;
}

/* --- devices ----------------------------------------------------------------------------------------------
 */

static int device_find(struct side *host, struct side *container, struct device *d, unsigned serial)
{
    struct found_link link = {0}, taken = {0};
    char words[512];

    if (link_find(host, d->host_name, &link, words, sizeof(words)) < 0)
        return fail("find device", d->host_name, words);
    d->host_index = link.index;
    d->flags = link.flags;
    if (strcmp(d->container_name, d->host_name) != 0 && strchr(d->container_name, '%') &&
        !strstr(d->container_name, "%d")) {
        errno = EINVAL;
        return fail("name", d->container_name, NULL);
    }
    if (!strchr(d->container_name, '%') &&
        link_find(container, d->container_name, &taken, words, sizeof(words)) == 0) {
        errno = EEXIST;
        return fail("a device of the container is already called", d->container_name, NULL);
    }
    if (addresses_save(host, d, words, sizeof(words)) < 0)
        return fail("read the addresses of", d->host_name, words);
    snprintf(d->passage, sizeof(d->passage), "h%d-%u", (int)getpid() % 10000000, serial);
    return 0;
}

static int device_move(struct side *host, struct side *container, struct device *d)
{
    struct found_link link = {0};
    char words[512];

    if (link_move(host, container, d->host_index, d->passage, words, sizeof(words)) < 0)
        return fail("move device", d->host_name, words);
    d->away = true;
    if (link_find(container, d->passage, &link, words, sizeof(words)) < 0)
        return fail("find after its move device", d->host_name, words);
    d->index = link.index;
    if (link_rename(container, d->index, d->container_name, words, sizeof(words)) < 0)
        return fail("give its name in the container to device", d->container_name, words);
    if (addresses_restore(container, d->index, d, words, sizeof(words)) < 0)
        return fail("restore the addresses of", d->host_name, words);
    if (link_up(container, d->index, words, sizeof(words)) < 0)
        return fail("bring up", d->container_name, words);
    return 0;
}

/* Best effort: the error that led here is the one to report. */
static void device_return(struct side *host, struct side *container, struct device *d)
{
    struct found_link link = {0};
    char words[512];

    if (!d->away || !d->index ||
        link_move(container, host, d->index, d->host_name, words, sizeof(words)) < 0 ||
        link_find(host, d->host_name, &link, words, sizeof(words)) < 0)
        return;
    addresses_restore(host, link.index, d, words, sizeof(words));
    if (d->flags & IFF_UP)
        link_up(host, link.index, words, sizeof(words));
}

static int devices_move(struct side *host, struct side *container, struct device *devices, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (device_find(host, container, &devices[i], i) < 0)
            return -1;
    for (unsigned i = 0; i < n; i++) {
        if (device_move(host, container, &devices[i]) == 0)
            continue;
        for (unsigned k = i + 1; k-- > 0;)
            device_return(host, container, &devices[k]);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct device devices[MAX_DEVICES];
    static struct side host, container;
    unsigned n = (unsigned)(argc - 1) / 2;
    int host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (argc < 3 || argc % 2 == 0 || n > MAX_DEVICES) {
        fprintf(stderr, "hull-net is run by hull: HOST-NAME CONTAINER-NAME ..., at most %d\n", MAX_DEVICES);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        if (!*argv[i] || strlen(argv[i]) >= IFNAMSIZ) {
            errno = EINVAL;
            return fail("a device's name has 1 to 15 bytes:", argv[i], NULL), 1;
        }
    for (unsigned i = 0; i < n; i++)
        devices[i] = (struct device){.host_name = argv[1 + 2 * i], .container_name = argv[2 + 2 * i]};
    if (host_netns < 0)
        return fail("open", "/proc/self/ns/net", NULL), 1;
    /* A netlink socket stays with the namespace that it was opened in. */
    if (side_open(&host, host_netns) < 0)
        return 1;
    if (setns(NETNS_FD, CLONE_NEWNET) < 0)
        return fail("enter", "the container's network namespace", NULL), 1;
    return side_open(&container, NETNS_FD) < 0 || devices_move(&host, &container, devices, n) < 0 ? 1 : 0;
}
