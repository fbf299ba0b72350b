/* Device rules as the kernel has them: real cgroups of the host (v1 and v2), and processes in them that try. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/file.h"
#include "cgroups/devices.h"

static struct error err;

/* --- a cgroup of our own ----------------------------------------------------------------------------------------- */

struct host {
    struct arena arena;
    struct cgroup_dir dirs[2];
    struct cgroup cgroup;
    char name[64], paths[2][128], nodes[64];
};

static const struct node {
    const char *name;
    mode_t type;
    unsigned major, minor;
} nodes[] = {{"null", S_IFCHR, 1, 3},  {"zero", S_IFCHR, 1, 5}, {"full", S_IFCHR, 1, 7},
             {"kmsg", S_IFCHR, 1, 11}, {"loop", S_IFBLK, 7, 0}, {"fuse", S_IFCHR, 10, 229}};

static void host_remove(struct host *h)
{
    for (size_t i = 0; i < h->cgroup.n_dirs; i++) {
        close(h->dirs[i].fd);
        cr_expect_eq(rmdir(h->paths[i]), 0, "%s: %m", h->paths[i]);
    }
    file_remove_tree(AT_FDCWD, h->nodes, NULL);
    arena_free(&h->arena);
}

/* Below @parent ("" or "/name"); false when the host has no such hierarchy. */
static bool host_make(struct host *h, bool v2, const char *parent)
{
    static const char *const v1_mounts[] = {"/sys/fs/cgroup/devices", "/sys/fs/cgroup/freezer"};
    const char *v2_mount = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified"
                                                                                    : "/sys/fs/cgroup";
    size_t n = v2 || *parent ? 1 : 2;
    static int count;

    *h = (struct host){.nodes = "/tmp/hull-devices.XXXXXX"};
    snprintf(h->name, sizeof(h->name), "%s/hull-test-%d-%d", parent, getpid(), count++);
    for (size_t i = 0; i < n; i++) {
        const char *mount = v2 ? v2_mount : v1_mounts[i], *have = v2 ? "cgroup.controllers" : "tasks";
        char probe[128];
        snprintf(probe, sizeof(probe), "%s/%s", mount, have);
        if (access(probe, F_OK) < 0)
            return false;
        snprintf(h->paths[i], sizeof(h->paths[i]), "%s%s", mount, h->name);
        if (mkdir(h->paths[i], 0755) < 0)
            return false;
        uint32_t controllers =
            v2 ? CG_BIT(CG_DEVICES) | CG_BIT(CG_FREEZER) : CG_BIT(i == 0 ? CG_DEVICES : CG_FREEZER);
        h->dirs[i] = (struct cgroup_dir){.v2 = v2,
                                         .controllers = controllers,
                                         .mount = mount,
                                         .path = h->name,
                                         .made = true,
                                         .fd = open(h->paths[i], O_PATH | O_DIRECTORY | O_CLOEXEC)};
        h->cgroup.n_dirs++;
    }
    h->cgroup.arena = &h->arena;
    h->cgroup.dirs = h->dirs;
    h->cgroup.helper = -1;
    cr_assert(mkdtemp(h->nodes));
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", h->nodes, nodes[i].name);
        cr_assert_eq(mknod(path, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor)), 0, "%m");
    }
    return true;
}

static void enter(const struct host *h)
{
    for (size_t i = 0; i < h->cgroup.n_dirs; i++)
        if (file_write(h->dirs[i].fd, "cgroup.procs", "0", 1, NULL) < 0)
            _exit(99);
}

/* What open(2), or with @flags -1 mknod(2), of @name says in the cgroup: true unless it is EPERM. */
static bool may(const struct host *h, const char *name, int flags)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char path[160];
        int result = -1;

        enter(h);
        if (flags >= 0) {
            snprintf(path, sizeof(path), "%s/%s", h->nodes, name);
            result = open(path, flags | O_NONBLOCK | O_CLOEXEC);
        }
        for (size_t i = 0; flags < 0 && i < ARRAY_SIZE(nodes); i++)
            if (strcmp(nodes[i].name, name) == 0) {
                snprintf(path, sizeof(path), "%s/%s.new", h->nodes, name);
                result = mknod(path, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor));
                unlink(path);
            }
        _exit(result < 0 && errno == EPERM ? 1 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2, "could not enter the cgroup");
    return WEXITSTATUS(status) == 0;
}

static struct spec_resources rules(struct spec_device_rule *v, size_t n)
{
    return (struct spec_resources){.present = true, .has_devices = true, .devices = v, .n_devices = n};
}

#define RULES(...)                                                                                           \
    rules((struct spec_device_rule[]){__VA_ARGS__},                                                          \
          sizeof((struct spec_device_rule[]){__VA_ARGS__}) / sizeof(struct spec_device_rule))

/* The first time as create does it, later as update does. */
static void set(struct host *h, const struct spec_resources *r)
{
    cr_assert_eq(cgroup_write_devices(&h->cgroup, r, &err), 0, "%s", err.message);
    h->dirs[0].made = false;
}

static uint32_t programs(const struct host *h, bool effective)
{
    union bpf_attr attr;
    uint32_t ids[64];

    memset(&attr, 0, sizeof(attr));
    attr.query.target_fd = (uint32_t)h->dirs[0].fd;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.query_flags = effective ? BPF_F_QUERY_EFFECTIVE : 0;
    attr.query.prog_ids = (uintptr_t)ids;
    attr.query.prog_cnt = 64;
    cr_assert_eq(syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)), 0, "%m");
    return attr.query.prog_cnt;
}

/* Both versions that the host has, or the test is skipped. */
#define ON_EACH_VERSION(h)                                                                                   \
    int versions_ = 0;                                                                                       \
    if (geteuid() != 0)                                                                                      \
        cr_skip_test("needs root");                                                                          \
    for (int v2 = 0; v2 < 2 || (versions_ == 0 && (cr_skip_test("no cgroups to write"), 0)); v2++)           \
        for (bool there_ = host_make(&h, v2, ""); there_; host_remove(&h), there_ = false, versions_++)

/* --- the tests --------------------------------------------------------------------------------------------------- */

Test(devices_host, open_and_mknod)
{
    struct host h;

    ON_EACH_VERSION(h)
    {
        cr_assert(may(&h, "kmsg", O_RDONLY));
        set(&h, NULL);
        cr_expect(may(&h, "null", O_RDWR));
        cr_expect(may(&h, "zero", O_RDWR));
        cr_expect(may(&h, "full", O_RDWR));
        cr_expect_not(may(&h, "kmsg", O_RDONLY));
        cr_expect_not(may(&h, "loop", O_RDONLY));
        cr_expect(may(&h, "kmsg", -1), "a node may be made where it cannot be opened");
        cr_expect(may(&h, "loop", -1));

        struct spec_resources r =
            RULES({false, 'a', -1, -1, 7}, {true, 'c', 1, 11, 1}, {true, 'b', 7, -1, 0});
        set(&h, &r);
        cr_expect(may(&h, "kmsg", O_RDONLY));
        cr_expect_not(may(&h, "kmsg", O_WRONLY));
        cr_expect_not(may(&h, "kmsg", O_RDWR));
        cr_expect(may(&h, "loop", O_RDONLY));
        cr_expect_not(may(&h, "fuse", O_RDWR));

        r = RULES({true, 'a', -1, -1, 0});
        set(&h, &r);
        cr_expect(may(&h, "fuse", O_RDWR));
        cr_expect(!v2 || programs(&h, false) == 0);

        r = RULES({true, 'a', -1, -1, 0}, {false, 'c', 10, 229, 0});
        set(&h, &r);
        cr_expect(may(&h, "kmsg", O_RDWR));
        cr_expect_not(may(&h, "fuse", O_RDONLY));
        r = RULES({true, 'a', -1, -1, 0}, {false, 'c', 1, 11, 2});
        set(&h, &r);
        cr_expect(may(&h, "fuse", O_RDWR));
        cr_expect(may(&h, "kmsg", O_RDONLY));
        cr_expect_not(may(&h, "kmsg", O_WRONLY));

        set(&h, NULL);
        cr_expect_not(may(&h, "kmsg", O_RDONLY));
        cr_expect(may(&h, "null", O_RDWR));
        cr_expect(!v2 || programs(&h, false) == 1);
    }
}

/* What v1 cannot: denied in the middle of what is allowed. And the verifier takes the longest program there may be. */
Test(devices_host, v2_takes_any_rules)
{
    struct host h;
    static struct spec_device_rule many[4000];
    struct spec_resources r = RULES({true, 'c', 1, -1, 3}, {false, 'c', 1, 11, 2}, {true, 'c', -1, 229, 3});

    if (geteuid() != 0 || !host_make(&h, true, ""))
        cr_skip_test("needs root and cgroup v2");
    set(&h, &r);
    cr_expect(may(&h, "kmsg", O_RDONLY));
    cr_expect_not(may(&h, "kmsg", O_WRONLY));
    cr_expect(may(&h, "fuse", O_RDWR));

    for (int i = 0; i < 4000; i++)
        many[i] = (struct spec_device_rule){true, 'c', i % 4 + 1, i + 12, (uint32_t)i % 7 + 1};
    many[3999] = (struct spec_device_rule){true, 'c', 10, 229, 3};
    r = rules(many, 4000);
    set(&h, &r);
    cr_expect(may(&h, "fuse", O_RDWR));
    cr_expect_not(may(&h, "kmsg", O_RDONLY));
    cr_expect_eq(programs(&h, false), 1);
    host_remove(&h);
}

static int load_foreign(const char *name)
{
    const struct bpf_insn allow[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
                                     {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uintptr_t)allow;
    attr.insn_cnt = 2;
    attr.license = (uintptr_t) "";
    snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int attach_foreign(const struct host *h, int program)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)h->dirs[0].fd;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr));
}

/* systemd's program stays; two of ours, as a killed update leaves them, become one. */
Test(devices_host, v2_foreign_programs_stay)
{
    struct host h;
    struct spec_resources all = RULES({true, 'a', -1, -1, 0});

    if (geteuid() != 0 || !host_make(&h, true, ""))
        cr_skip_test("needs root and cgroup v2");
    _cleanup_(fd_closep) int foreign = load_foreign("sd_devices"), stale = load_foreign("hull_devices");
    cr_assert_eq(attach_foreign(&h, foreign), 0, "%m");
    set(&h, NULL);
    cr_assert_eq(attach_foreign(&h, stale), 0, "%m");
    cr_assert_eq(programs(&h, false), 3);
    set(&h, NULL);
    cr_expect_eq(programs(&h, false), 2);
    cr_expect_not(may(&h, "kmsg", O_RDONLY));
    set(&h, &all);
    cr_expect_eq(programs(&h, false), 1);
    cr_expect(may(&h, "kmsg", O_RDONLY));
    host_remove(&h);
}

struct watched {
    atomic_int opened, refused, leaked;
};

/* Opens kmsg, which all rules allow, and fuse, which none does, until it is killed. */
static pid_t watch(const struct host *h, struct watched *w)
{
    pid_t pid = fork();
    char kmsg[128], fuse[128];

    if (pid != 0)
        return pid;
    enter(h);
    snprintf(kmsg, sizeof(kmsg), "%s/kmsg", h->nodes);
    snprintf(fuse, sizeof(fuse), "%s/fuse", h->nodes);
    for (;;) {
        int fd = open(kmsg, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        atomic_fetch_add(fd >= 0 ? &w->opened : &w->refused, 1);
        fd_closep(&fd);
        fd = open(fuse, O_RDWR | O_CLOEXEC);
        if (fd >= 0 || errno != EPERM)
            atomic_fetch_add(&w->leaked, 1);
        fd_closep(&fd);
    }
}

Test(devices_host, updates_are_atomic, .timeout = 60)
{
    struct host h;
    struct spec_resources lists[] = {
        RULES({true, 'c', 1, 11, 3}, {true, 'b', 7, -1, 7}),
        RULES({true, 'c', 1, 11, 3}, {true, 'c', 10, 1, 7}),
        RULES({true, 'c', 1, 11, 1}),
        /* on v1 these hide their exceptions, and so the container is frozen while they come and go */
        RULES({true, 'a', -1, -1, 0}, {false, 'c', 10, 229, 3}),
        RULES({true, 'a', -1, -1, 0}, {false, 'c', 10, -1, 3}, {false, 'b', 7, 1, 3},
              {true, 'c', 10, 200, 3}),
    };
    struct watched *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ON_EACH_VERSION(h)
    {
        size_t n = ARRAY_SIZE(lists) - (v2 ? 0 : 1); /* the last is one that v1 refuses */
        atomic_store(&w->opened, 0);
        set(&h, &lists[0]);
        pid_t pid = watch(&h, w);
        for (int i = 0; i < 5000 && atomic_load(&w->opened) == 0; i++)
            usleep(1000);
        for (int i = 0; i < 300; i++)
            set(&h, &lists[(size_t)i * 7 % n]);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        cr_expect_gt(w->opened, 100);
        cr_expect_eq(w->refused, 0, "v%d: %d of %d", v2 + 1, w->refused, w->opened);
        cr_expect_eq(w->leaked, 0, "v%d: %d of %d", v2 + 1, w->leaked, w->opened);
        cr_expect(!v2 || programs(&h, false) == 1);
    }
}

/* What the cgroup above lacks: an error, and none for the default devices. */
Test(devices_host, v1_parent_without_the_device)
{
    struct host above, h;
    struct spec_resources r = RULES({true, 'c', 10, 229, 3}, {true, 'c', 1, 11, 3});

    if (geteuid() != 0 || !host_make(&above, false, ""))
        cr_skip_test("needs root and cgroup v1");
    struct spec_resources few = RULES({true, 'c', 10, 229, 3});
    set(&above, &few);
    cr_assert_eq(file_write(above.dirs[0].fd, "devices.deny", "c 10:200 rwm", 12, &err), 0);
    cr_assert(host_make(&h, false, above.name));
    cr_expect_eq(cgroup_write_devices(&h.cgroup, &r, &err), -1);
    cr_expect(strstr(err.message, "linux.resources.devices[1]: allow \"c 1:11 rwm\": the cgroup above"), "%s",
              err.message);
    set(&h, &few);
    cr_expect(may(&h, "fuse", O_RDWR));
    cr_expect(may(&h, "null", O_RDWR));
    r = RULES({true, 'a', -1, -1, 0});
    cr_expect_eq(cgroup_write_devices(&h.cgroup, &r, &err), -1);
    cr_expect(strstr(err.message, "the cgroup above does not allow all devices"), "%s", err.message);
    host_remove(&h);
    host_remove(&above);
}

/* Neither bpf(2) nor devices.deny is for user namespaces, where there are no device nodes to be made either. */
Test(devices_host, user_namespace_does_without)
{
    struct host h;

    ON_EACH_VERSION(h)
    {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            if (unshare(CLONE_NEWUSER) < 0)
                _exit(2);
            _exit(cgroup_write_devices(&h.cgroup, NULL, &err) < 0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect(status == 0 || WEXITSTATUS(status) == 2, "v%d: %x", v2 + 1, status);
        cr_expect(may(&h, "kmsg", O_RDONLY));
    }
}

/* The same lack of rights as root of the host is an error. */
Test(devices_host, root_without_rights)
{
    struct host h;

    if (geteuid() != 0 || !host_make(&h, true, ""))
        cr_skip_test("needs root and cgroup v2");
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (setresuid(1000, 1000, 1000) < 0)
            _exit(2);
        _exit(cgroup_write_devices(&h.cgroup, NULL, &err) < 0 && strstr(err.message, "CAP_BPF") ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0, "%x", status);
    host_remove(&h);
}
