/* OOM events: over fake directories, and from a real cgroup of this host in which a process takes too much. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "fake.h"

static struct arena arena;
static struct error err;
static struct cgroup_oom w;
static uint64_t kills;
static bool gone;

static bool is_readable(int timeout_ms)
{
    struct pollfd p = {.fd = w.fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void watch(struct cgroup *c)
{
    cr_assert_eq(cgroup_oom_watch(c, &w, &err), 0, "%s", err.message);
}

static void read_events(struct cgroup *c)
{
    cr_assert_eq(cgroup_oom_read(c, &w, &kills, &gone, &err), 0, "%s", err.message);
}

Test(cgroup_oom, v1)
{
    struct cgroup_dir d =
        fake_dir(false, CG_BIT(CG_MEMORY),
                 (const char *const[]){"memory.oom_control", "", "cgroup.event_control", "", NULL});
    struct cgroup c = fake_cgroup(&arena, &d, 1);
    int event = -1, control = -1;
    char *text;

    watch(&c);
    cr_expect(!w.v2);
    cr_assert_eq(file_read(d.fd, "cgroup.event_control", 100, &arena, &text, NULL, &err), 0);
    cr_assert_eq(sscanf(text, "%d %d", &event, &control), 2, "%s", text);
    cr_expect_eq(event, w.fd);
    cr_expect(!is_readable(0));
    read_events(&c);
    cr_expect_eq(kills, 0);

    cr_assert_eq(write(event, &(uint64_t){2}, 8), 8);
    cr_expect(is_readable(0));
    read_events(&c);
    cr_expect_eq(kills, 2);
    cr_expect(!gone);

    /* The kernel counts the removal as well. */
    cr_assert_eq(unlinkat(d.fd, "memory.oom_control", 0), 0);
    cr_assert_eq(write(event, &(uint64_t){2}, 8), 8);
    read_events(&c);
    cr_expect_eq(kills, 1);
    cr_expect(gone);
    cgroup_oom_close(&w);
    cr_expect_eq(w.fd, -1);
    fake_remove(&d);
}

Test(cgroup_oom, v2)
{
    struct cgroup_dir d = fake_dir(true, CG_BIT(CG_MEMORY),
                                   (const char *const[]){"memory.events", "oom 3\noom_kill 3\n",
                                                         "cgroup.events", "populated 1\nfrozen 0\n", NULL});
    struct cgroup c = fake_cgroup(&arena, &d, 1);

    watch(&c);
    cr_expect(w.v2);
    cr_expect_eq(w.seen, 3);
    cr_expect(!is_readable(0));

    fake_file(&d, "memory.events", "oom 4\noom_kill 5\noom_group_kill 0\n");
    cr_expect(is_readable(1000));
    read_events(&c);
    cr_expect_eq(kills, 2);
    cr_expect(!gone);
    cr_expect(!is_readable(0));

    fake_file(&d, "cgroup.events", "populated 1\nfrozen 1\n"); /* no news of ours */
    read_events(&c);
    cr_expect_eq(kills, 0);
    cr_expect(!gone);

    fake_file(&d, "memory.events", "oom 5\noom_kill 6\n");
    fake_file(&d, "cgroup.events", "populated 0\nfrozen 0\n");
    read_events(&c);
    cr_expect_eq(kills, 1);
    cr_expect(gone);

    cr_assert_eq(unlinkat(d.fd, "cgroup.events", 0), 0);
    cr_assert_eq(unlinkat(d.fd, "memory.events", 0), 0);
    read_events(&c);
    cr_expect_eq(kills, 0);
    cr_expect(gone);
    cgroup_oom_close(&w);
    fake_remove(&d);
}

/* The end of the processes is told without the memory controller, too. */
Test(cgroup_oom, v2_without_memory)
{
    struct cgroup_dir d = fake_dir(true, 0, (const char *const[]){"cgroup.events", "populated 1\n", NULL});
    struct cgroup c = fake_cgroup(&arena, &d, 1);

    watch(&c);
    fake_file(&d, "cgroup.events", "populated 0\n");
    cr_expect(is_readable(1000));
    read_events(&c);
    cr_expect(gone);
    cgroup_oom_close(&w);
    fake_remove(&d);
}

Test(cgroup_oom, nothing_to_watch)
{
    struct cgroup_dir d = fake_dir(false, CG_BIT(CG_PIDS), (const char *const[]){NULL});
    struct cgroup c = fake_cgroup(&arena, &d, 1);

    watch(&c);
    cr_expect_eq(w.fd, -1);
    read_events(&c);
    cr_expect(!gone && kills == 0);
    cgroup_oom_close(&w);

    d.controllers = CG_BIT(CG_MEMORY); /* a kernel that is built without OOM events for v1 */
    cr_expect_eq(cgroup_oom_watch(&c, &w, &err), -1);
    cr_expect(strstr(err.message, "memory.oom_control"), "%s", err.message);
    cr_expect_eq(w.fd, -1);
    fake_remove(&d);
}

/* --- a real one --- */

enum { LIMIT = 8 << 20, TAKEN = 64 << 20 };

static struct cgroup_dir make_real(void)
{
    struct cgroup own = {.arena = &arena};
    struct cgroup_dir *memory, d;
    const char *path;

    cr_assert_eq(cgroup_layout(&arena, &own.dirs, &own.n_dirs, &err), 0, "%s", err.message);
    memory = cgroup_dir_of(&own, CG_MEMORY);
    if (!memory)
        cr_skip_test("no memory controller");
    d = *memory;
    d.path = arena_printf(&arena, "%s/hull-unit-oom.%d", strcmp(d.path, "/") == 0 ? "" : d.path, getpid());
    path = arena_printf(&arena, "%s%s", d.mount, d.path);
    if (mkdir(path, 0755) < 0)
        cr_skip_test("may make no cgroup");
    d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d;
}

static void limit(const struct cgroup_dir *d, const char *file)
{
    const char *text = arena_printf(&arena, "%d", LIMIT);

    file_write(d->fd, file, text, strlen(text), NULL);
}

static void take_too_much(int dir)
{
    char *memory = mmap(NULL, TAKEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || file_write(dir, "cgroup.procs", "0", 1, NULL) < 0)
        _exit(1);
    for (size_t i = 0; i < TAKEN; i += 4096)
        memory[i] = 1;
    _exit(0);
}

Test(cgroup_oom, real_kill_and_removal, .timeout = 60)
{
    struct cgroup_dir d = make_real();
    struct cgroup c = fake_cgroup(&arena, &d, 1);
    char *path = arena_printf(&arena, "%s%s", d.mount, d.path);
    struct cgroup_stats s;
    int status;
    pid_t pid;

    limit(&d, d.v2 ? "memory.max" : "memory.limit_in_bytes");
    if (d.v2)
        file_write(d.fd, "memory.swap.max", "0", 1, NULL);
    else
        limit(&d, "memory.memsw.limit_in_bytes");
    if (cgroup_stats(&c, &s, &err) < 0 || s.memory.usage.limit.value != LIMIT) {
        rmdir(path);
        cr_skip_test("memory cannot be limited below our own cgroup");
    }
    watch(&c);
    pid = fork();
    if (pid == 0)
        take_too_much(d.fd);
    cr_assert_gt(pid, 0);
    cr_expect(is_readable(20000));
    read_events(&c);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
    cr_expect_eq(kills, 1);
    cr_expect_eq(cgroup_stats(&c, &s, &err), 0);
    cr_expect_eq(s.memory.oom_kill.value, 1);
    cr_expect_geq(s.memory.usage.max_usage.value, LIMIT / 2);

    cr_assert_eq(rmdir(path), 0, "%s", strerror(errno));
    cr_expect(is_readable(20000));
    read_events(&c);
    cr_expect(gone);
    cr_expect_eq(kills, 0);
    cgroup_oom_close(&w);
}
