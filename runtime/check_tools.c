/*
 * What networks and checkpoints need: nftables is asked of the kernel itself, in a network namespace of a child's own;
 * programs are looked for where hull would look.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/helper.h"
#include "runtime/check_private.h"

/* Ask for the rule set's generation: the shortest question that only nf_tables answers. */
static int ask_nftables(void *data)
{
    struct {
        struct nlmsghdr header;
        struct nfgenmsg message;
    } question = {.header = {.nlmsg_len = sizeof(question),
                             .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                             .nlmsg_flags = NLM_F_REQUEST}};
    union {
        struct nlmsghdr header;
        char bytes[1024];
    } reply;
    _cleanup_(fd_closep) int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    ssize_t n;

    (void)data;
    if (sock < 0 || send(sock, &question, sizeof(question), 0) < 0)
        return -1;
    n = recv(sock, &reply, sizeof(reply), 0);
    if (n < (ssize_t)sizeof(reply.header)) {
        errno = n < 0 ? errno : EBADMSG;
        return -1;
    }
    if (reply.header.nlmsg_type != NLMSG_ERROR)
        return 0;
    errno = -((const struct nlmsgerr *)NLMSG_DATA(&reply.header))->error;
    return -1;
}

void check_nftables(struct probe *p)
{
    if (check_in_child(check_userns_flag(p->host) | CLONE_NEWNET, ask_nftables, NULL, NULL) == 0)
        probe_ok(p, "the kernel answers");
    else if (errno == EINVAL || errno == EOPNOTSUPP || errno == EPROTONOSUPPORT)
        probe_missing(p, "as root: modprobe nf_tables", "the kernel has none, or its module is not loaded");
    else
        probe_missing(p, "see namespace.network", "%s", strerror(errno));
}

void check_tun(struct probe *p)
{
    _cleanup_(fd_closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        probe_ok(p, "/dev/net/tun opens");
    else if (errno == EACCES || errno == EPERM)
        probe_missing(p, "as root: chmod 0666 /dev/net/tun (it gives no rights by itself)",
                      "/dev/net/tun: %s", strerror(errno));
    else
        probe_missing(
            p, "as root: modprobe tun; no /dev/net/tun afterwards: mknod -m 0666 /dev/net/tun c 10 200",
            "/dev/net/tun: %s", strerror(errno));
}

/* What hull runs its helpers for. */
static const struct {
    const char *name, *purpose, *remedy;
} helpers[] = {
    [CHECK_HULL_NET] = {"hull-net", "linux.netDevices", "make install"},
    [CHECK_HULL_SYSTEMD] = {"hull-systemd", "--cgroup-manager=systemd",
                            "configure with libsystemd's headers there, make install"},
};

void check_helper(struct probe *p)
{
    const char *path = helper_path(p->arena, helpers[p->row->number].name);

    if (access(path, X_OK) == 0)
        probe_ok(p, "%s", path);
    else
        probe_missing(p, helpers[p->row->number].remedy, "%s: %s; %s needs it", path, strerror(errno),
                      helpers[p->row->number].purpose);
}

/* --- criu ---------------------------------------------------------------------------------------------------------- */

static const char *find_in_path(struct arena *a, const char *name)
{
    const char *path = getenv("PATH");
    size_t n;

    for (path = path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"; *path; path += n + (path[n] == ':')) {
        n = strcspn(path, ":");
        const char *candidate = arena_printf(a, "%.*s/%s", (int)n, path, name);
        if (*candidate == '/' && access(candidate, X_OK) == 0)
            return candidate;
    }
    return NULL;
}

/* The first line that `@path --version` prints within half a second, or NULL. */
static char *first_line_of(struct arena *a, const char *path)
{
    char *const argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t) "--version", NULL};
    char *const environment[] = {NULL};
    char text[128];
    posix_spawn_file_actions_t actions;
    struct pollfd ready;
    ssize_t n = -1;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0 || posix_spawn_file_actions_init(&actions))
        return NULL;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawn(&pid, path, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (rc == 0) {
        ready = (struct pollfd){.fd = ends[0], .events = POLLIN};
        if (poll(&ready, 1, 500) > 0)
            n = read(ends[0], text, sizeof(text) - 1);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    return arena_strndup(a, text, strcspn(text, "\n"));
}

void check_criu(struct probe *p)
{
    const char *path = find_in_path(p->arena, "criu"), *version = path ? first_line_of(p->arena, path) : NULL;

    if (!path)
        probe_missing(p, "install criu, where checkpoints are wanted", "not in PATH");
    else if (!version)
        probe_missing(p, NULL, "%s does not say its version", path);
    else
        probe_ok(p, "%s: %s", path, version);
}
