/*
 * Order matters here, and is runc's where profiles in the wild depend on it: limits while there are rights to
 * raise them; the bounding set before the user changes; the filter before the capabilities go when
 * noNewPrivileges is off (loading then needs CAP_SYS_ADMIN), and as the very last step when it is on, so that
 * it need not allow what Hull itself calls.
 *
 * Messages about the executable are Go's, letter for letter ("executable file not found in $PATH", lower-case
 * errno texts): docker, containerd and conmon turn them into exit codes 126 and 127.
 */
#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/procfs.h"
#include "base/sync.h"
#include "base/syscalls.h"
#include "runtime/env.h"
#include "runtime/fault.h"
#include "runtime/process.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* errno as Go prints it. */
static const char *go_error(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or directory";
    case EACCES:
        return "permission denied";
    case ENOTDIR:
        return "not a directory";
    case EISDIR:
        return "is a directory";
    case ENOEXEC:
        return "exec format error";
    case ELOOP:
        return "too many levels of symbolic links";
    default:
        return strerror(code);
    }
}

/* 0 when @path is a file that may be executed, else an errno value. */
static int check_executable(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    /* access(2) answers by the real ids, which are the effective ones, but without ambient capabilities; what
     * can tell those is newer, and an outer container's filter may forbid it with EPERM. */
    if (access(path, X_OK) == 0 || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
        return 0;
    return errno == EPERM ? EACCES : errno;
}

static int search_path(struct launch *l, const char *name, struct error *err)
{
    const char *dirs = env_get(l->env, "PATH");
    bool denied = false;

    if (!dirs)
        dirs = default_path;
    while (true) {
        size_t length = strcspn(dirs, ":");
        const char *candidate = length ? arena_printf(l->arena, "%.*s/%s", (int)length, dirs, name)
                                       : arena_printf(l->arena, "./%s", name);
        int code = check_executable(candidate);

        if (code == 0) {
            l->path = candidate;
            return 0;
        }
        denied |= code == EACCES;
        dirs += length;
        if (*dirs++ == '\0')
            break;
    }
    if (denied)
        return error_set(err, 0, "exec: \"%s\": permission denied", name);
    return error_set(err, 0, "exec: \"%s\": executable file not found in $PATH", name);
}

static int find_executable(struct launch *l, struct error *err)
{
    const char *name = l->process->args.v[0];
    int code;

    if (!strchr(name, '/'))
        return search_path(l, name, err);
    code = check_executable(name);
    if (code == ENOENT || code == ENOTDIR)
        return error_set(err, 0, "exec: \"%s\": stat %s: %s", name, name, go_error(code));
    if (code != 0)
        return error_set(err, 0, "exec: \"%s\": %s", name, go_error(code));
    l->path = name;
    return 0;
}

static int enter_cwd(const struct launch *l, struct error *err)
{
    const char *cwd = l->process->cwd;
    _cleanup_(fd_closep) int root = -1;
    _cleanup_(fd_closep) int dir = -1;

    if (chdir(cwd) == 0)
        return 0;
    if (errno == ENOENT && l->make_cwd) {
        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || path_mkdirs(root, cwd, 0755, &dir, err) < 0)
            return error_wrap(err, "process.cwd: make %s", cwd);
        if (fchdir(dir) == 0)
            return 0;
    }
    return error_set(err, 0, "process.cwd: chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
                     go_error(errno));
}

/* A cwd like /proc/self/fd/7 may lie outside of the root: getcwd says so by "(unreachable)" or ENOENT
 * (CVE-2024-21626). */
static int check_cwd(const struct launch *l, struct error *err)
{
    char path[4096];
    long n = syscall(SYS_getcwd, path, sizeof(path));

    if (n < 0 && errno == ENOENT)
        return error_set(
            err, 0, "process.cwd: %s: current working directory was deleted or is outside of the container",
            l->process->cwd);
    if (n > 0 && path[0] != '/')
        return error_set(
            err, 0,
            "process.cwd: %s: current working directory is outside of container mount namespace root -- "
            "possible container breach detected",
            l->process->cwd);
    return 0;
}

int launch_set_limits(const struct spec_process *p, pid_t pid, struct error *err)
{
    return rlimits_apply(p, pid, err) < 0 || oom_score_adj_apply(p, pid, err) < 0 ? -1 : 0;
}

/* The label files of a non-dumpable process belong to the host's root, whom a user namespace does not map. */
static int apply_label(const struct launch *l, struct error *err)
{
    int result;

    if (!l->process->apparmor_profile && !l->process->selinux_label)
        return 0;
    if (l->user_namespace)
        prctl(PR_SET_DUMPABLE, 1);
    result = lsm_apply_exec_label(l->process, err);
    prctl(PR_SET_DUMPABLE, 0);
    return result;
}

static int apply_attributes(struct launch *l, struct error *err)
{
    const struct spec_process *p = l->process;

    if (!l->user_namespace && launch_set_limits(p, 0, err) < 0)
        return -1;
    if (scheduler_apply(&p->scheduler, err) < 0 || io_priority_apply(&p->io_priority, err) < 0 ||
        memory_policy_apply(l->memory_policy, err) < 0 || personality_apply(l->personality, err) < 0 ||
        apply_label(l, err) < 0)
        return -1;
    umask(p->user.has_umask ? p->user.umask : 0022);
    return 0;
}

/* The listener's descriptor number goes to hull, which takes it by pidfd_getfd: only write(2) is needed under
 * the filter. */
static int load_filter(struct launch *l, struct error *err)
{
    int listener = -1;

    if (!l->seccomp->present)
        return 0;
    if (seccomp_filter_load(l->seccomp, &listener, err) < 0)
        return -1;
    if (listener < 0)
        return 0;
    if (sync_send(l->sync, SYNC_LISTENER, listener, err) < 0 || sync_wait_continue(l->sync, err) < 0)
        return -1;
    close(listener);
    return 0;
}

/* One that notifies is loaded while hull still listens, to pass the listener on. */
static bool filter_is_deferred(const struct launch *l)
{
    return l->process->no_new_privileges && !l->seccomp->notify;
}

/* A user namespace that an unprivileged user mapped himself has setgroups denied (user_namespaces(7)). */
static bool may_setgroups(const struct launch *l)
{
    char answer[8] = "";
    _cleanup_(fd_closep) int fd = l->user_namespace ? procfs_open("self/setgroups", O_RDONLY) : -1;

    return fd < 0 || read(fd, answer, sizeof(answer) - 1) <= 0 || strncmp(answer, "deny", 4) != 0;
}

bool launch_keeps_groups(const struct spec *spec)
{
    for (size_t i = 0; i < spec->n_annotations; i++)
        if (!strcmp(spec->annotations[i].key, KEEP_GROUPS_ANNOTATION))
            return !strcmp(spec->annotations[i].value, "1");
    return false;
}

static int become_user(const struct launch *l, struct error *err)
{
    struct spec_user user = l->process->user;

    if (l->keep_groups && user.n_additional_gids) {
        log_warning("process.user.additionalGids: left out, annotation " KEEP_GROUPS_ANNOTATION
                    " keeps the caller's groups");
        user.n_additional_gids = 0;
    }
    return identity_apply(&user, !l->keep_groups && may_setgroups(l), err);
}

int launch_prepare(struct launch *l, struct error *err)
{
    const struct spec_process *p = l->process;
    bool cwd_done;
    struct error later = {0};

    l->env = env_make(l->arena, p, l->listen_fds);
    if (apply_attributes(l, err) < 0 || FAULT_POINT("process-attributes", err) < 0)
        return -1;
    /* Root may be kept out where the user is not (NFS), and the user where root is not: one of the two has to
     * get in. */
    cwd_done = enter_cwd(l, &later) == 0;
    if (capabilities_drop_bounding(&p->capabilities, err) < 0)
        return -1;
    if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "process.noNewPrivileges");
    if (!filter_is_deferred(l) && load_filter(l, err) < 0)
        return -1;
    if (become_user(l, err) < 0)
        return -1;
    if (capabilities_apply(&p->capabilities, err) < 0)
        return -1;
    if (!cwd_done && chdir(p->cwd) < 0) {
        *err = later;
        return -1;
    }
    if (check_cwd(l, err) < 0 || FAULT_POINT("cwd", err) < 0)
        return -1;
    return l->program ? 0 : find_executable(l, err);
}

static int execute_program(const struct launch *l, struct error *err)
{
    const struct launch_program *p = l->program;

    for (size_t i = 0; i < ARRAY_SIZE(p->keep); i++)
        if (p->keep[i] >= 0 && fcntl(p->keep[i], F_SETFD, 0) < 0)
            return error_set(err, errno, "keep descriptor %d for %s", p->keep[i], p->argv[0]);
    execveat(p->fd, "", p->argv, l->env, AT_EMPTY_PATH);
    return error_set(err, errno, "exec %s", p->argv[0]);
}

int launch_exec(struct launch *l, struct error *err)
{
    if (FAULT_POINT("execve", err) < 0)
        return -1;
    if (syscall(SYS_close_range, 3 + l->preserve_fds, ~0U, 4 /* CLOSE_RANGE_CLOEXEC, 5.11 */) < 0) {
        struct rlimit r = {.rlim_cur = 1024};

        getrlimit(RLIMIT_NOFILE, &r);
        for (unsigned fd = 3 + l->preserve_fds; fd < r.rlim_cur && fd < 1048576; fd++)
            fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    }
    if (filter_is_deferred(l) && load_filter(l, err) < 0)
        return -1;
    if (l->program)
        return execute_program(l, err);
    execve(l->path, l->process->args.v, l->env);
    return error_set(err, 0, "exec %s: %s", l->path, go_error(errno));
}
