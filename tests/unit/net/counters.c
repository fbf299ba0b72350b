/* Counters of another network namespace, from outside. */
#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/counters.h"

static struct arena arena;
static struct net_counters *counters;

/* A child in a new network namespace where @commands were run; it ends with the test. */
static pid_t spawn_netns(const char *commands)
{
    int ready[2];
    char byte;
    pid_t pid;

    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) < 0 || system(commands) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        cr_skip_test("needs a network namespace with a veth pair");
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

Test(net_counters, of_a_namespace)
{
    pid_t pid =
        spawn_netns("ip link add out type veth peer name in && ip link set lo up && ip link set out up && "
                    "ip link set in up && ip addr add 10.9.8.1/24 dev out && "
                    "{ busybox ping -q -c 1 -W 1 10.9.8.2 >/dev/null 2>&1 || true; }");
    size_t n = net_counters_read(&arena, pid, &counters), out = 2;

    cr_assert_eq(n, 2, "%zu interfaces", n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(counters[i].name, "out") == 0)
            out = i;
    cr_assert_neq(out, 2, "no interface \"out\"");
    /* ARP asked for the neighbour that is not there; what one end sends the other receives. */
    cr_expect_gt(counters[out].tx_bytes, 0);
    cr_expect_gt(counters[out].tx_packets, 0);
    cr_expect_gt(counters[!out].rx_packets, 0);
    end(pid);
}

Test(net_counters, loopback_alone_is_none)
{
    pid_t pid = spawn_netns("ip link set lo up");

    cr_expect_eq(net_counters_read(&arena, pid, &counters), 0);
    end(pid);
}

Test(net_counters, our_own_namespace_is_not_the_containers)
{
    cr_expect_eq(net_counters_read(&arena, getpid(), &counters), 0);
    cr_expect_eq(net_counters_read(&arena, 0x7fffffff, &counters), 0);
}
