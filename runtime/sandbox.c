/*
 * A sandbox on the host, up to the point where init is born: is one asked for, can it be given, what is it made of. All
 * that is scarce or may be missing (/dev/kvm, hull-vmm, a kernel for the guest) is opened here, by hull, with hull's rights
 * and before anything is made; init only hands the descriptors on. hull-vmm opens nothing by a path of the host's.
 *
 * Isolation is the strongest that is asked for, by whomever: --isolation, HULL_ISOLATION, the program's name, the annotation
 * org.hull.isolation, the specification's `vm` object. A sandbox that cannot be made is an error, never a container.
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/helper.h"
#include "base/log.h"
#include "namespaces/mount_fd.h"
#include "sandbox/boot/guest_kernel.h"
#include "sandbox/vmm/kvm.h"

int sandbox_asked(const struct runtime *rt, const struct spec *spec, const char **asker, struct error *err)
{
    *asker = rt->vm_asker;
    for (size_t i = 0; i < spec->n_annotations; i++) {
        const struct spec_annotation *a = &spec->annotations[i];

        if (strcmp(a->key, ISOLATION_ANNOTATION) != 0 || strcmp(a->value, "container") == 0)
            continue;
        if (strcmp(a->value, "vm") != 0)
            return error_set(err, 0,
                             "annotations[\"" ISOLATION_ANNOTATION "\"]: must be container or vm, got \"%s\"",
                             a->value);
        *asker = "annotation " ISOLATION_ANNOTATION;
    }
    if (spec->vm.json && !*asker)
        *asker = "config.json's vm object";
    return 0;
}

/* By a mount of its own that is read-only, where that may be made: whoever breaks into hull-vmm finds its file at
 * /proc/self/exe (CVE-2019-5736). */
static int open_program(struct arena *a, int *program, struct error *err)
{
    const char *path = helper_path(a, "hull-vmm");
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

    if (access(path, X_OK) < 0)
        return error_set(err, errno, "%s, which makes virtual machines, is missing from this installation",
                         path);
    *program = tree_clone(AT_FDCWD, path, 0);
    if (*program >= 0 && mount_setattr(*program, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
        return 0;
    fd_closep(program);
    *program = open(path, O_PATH | O_CLOEXEC);
    return *program < 0 ? error_set(err, errno, "open %s", path) : 0;
}

static int open_file(const char *what, const char *path, int *fd, struct error *err)
{
    struct stat st;

    *fd = file_open_regular(AT_FDCWD, path, &st, err);
    return *fd < 0 ? error_wrap(err, "%s", what) : 0;
}

/* vm.kernel.path, then --kernel, then what the host has; with an initrd of his own the user has made both. */
static int open_kernel(struct arena *a, struct sandbox *s, const char *option, struct error *err)
{
    const struct spec_vm *vm = &s->user->vm;
    const char *asker = vm->kernel_path ? "vm.kernel.path" : "--kernel";
    const char *wanted = vm->kernel_path ? vm->kernel_path : option;
    char *release = NULL;

    if (vm->kernel_path && vm->kernel_initrd)
        return open_file("vm.kernel.path", vm->kernel_path, &s->vmm.kernel, err) < 0
                   ? -1
                   : open_file("vm.kernel.initrd", vm->kernel_initrd, &s->vmm.initrd, err);
    if (guest_kernel_open(a, wanted, &s->vmm.kernel, &s->vmm.initrd, &release, err) < 0)
        return wanted ? error_wrap(err, "%s", asker) : -1;
    log_debug("sandbox: guest kernel %s", release);
    return 0;
}

/* config.json's bytes, which nobody can change any more. */
static int seal_config(const struct spec *user, int *config, struct error *err)
{
    _cleanup_(fd_closep) int fd = memfd_create("config.json", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || fd_write_all(fd, user->text, user->length) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_set(err, errno, "keep config.json for the guest");
    *config = steal_fd(&fd);
    return 0;
}

/* What is shared may be a file as well; a root may not. */
static int find_root(struct arena *a, struct sandbox *s, const char *bundle, struct error *err)
{
    const char *path = s->user->root_path;
    struct stat st;

    s->rootfs = path[0] == '/' ? path : arena_printf(a, "%s/%s", bundle, path);
    if (stat(s->rootfs, &st) == 0 && !S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "root.path: open %s", s->rootfs);
    return 0; /* one that is not there: mounting it says so */
}

static int check_options(const struct create_options *o, struct error *err)
{
    if (o->listen_fds)
        return error_set(err, 0, "LISTEN_FDS: a virtual machine cannot be passed descriptors of the host's");
    if (o->preserve_fds)
        return error_set(err, 0,
                         "--preserve-fds: a virtual machine cannot be passed descriptors of the host's");
    return 0;
}

int sandbox_plan(const struct runtime *rt, const struct create_options *o, const char *bundle,
                 const char *place, const struct spec *user, struct sandbox **out, struct spec **host,
                 struct error *err)
{
    struct sandbox *s = arena_new(rt->arena, struct sandbox);

    *s = (struct sandbox){.user = user,
                          .program = -1,
                          .devpts = -1,
                          .vmm = {.kvm = -1,
                                  .kernel = -1,
                                  .initrd = -1,
                                  .config = -1,
                                  .root = -1,
                                  .proc = -1,
                                  .sync = -1,
                                  .fifo = -1,
                                  .terminal = user->process.terminal,
                                  .console = o->kernel_messages,
                                  .debug = log_shows(LOG_DEBUG) && !log_is_file(),
                                  .no_new_keyring = o->no_new_keyring,
                                  .timing = o->timing,
                                  .id = o->id}};
    if (check_options(o, err) < 0 || sandbox_check_spec(rt->arena, user, bundle, err) < 0 ||
        find_root(rt->arena, s, bundle, err) < 0 ||
        sandbox_size(user, &s->vmm.memory, &s->vmm.cpus, err) < 0 ||
        sandbox_cpu_mask(user, &s->vmm.cpu_mask, err) < 0 || open_program(rt->arena, &s->program, err) < 0)
        return -1;
    s->vmm.kvm = kvm_open(err);
    if (s->vmm.kvm < 0 || open_kernel(rt->arena, s, o->kernel, err) < 0 ||
        seal_config(user, &s->vmm.config, err) < 0)
        return -1;
    log_debug("sandbox: %u CPUs, %llu MiB", s->vmm.cpus, (unsigned long long)s->vmm.memory >> 20);
    *host = sandbox_host_spec(rt->arena, s, place);
    *out = s;
    return 0;
}
