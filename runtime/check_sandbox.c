/*
 * What a KVM sandbox needs of the host: the processor's virtualization, /dev/kvm that we may use (a VM is made and dropped),
 * the capabilities that the VMM is written against, and a kernel for the guest. A /dev/kvm alone proves nothing: kvm_pvm
 * makes one on machines that lend no VMX or SVM, and an unmodified kernel does not run there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "base/buffer.h"
#include "runtime/check_private.h"

void check_build(struct probe *p)
{
    probe_missing(p, "a later version brings them; `hull run` makes containers",
                  "this build of hull has no sandboxes yet");
}

/* --- the processor --------------------------------------------------------------------------------------------------- */

enum virtualization { VIRT_NONE, VIRT_VMX, VIRT_SVM, VIRT_OTHER };

#ifdef __x86_64__

/* Intel SDM volume 2, CPUID leaf 1; AMD APM volume 3, leaves 8000_0001 and 8000_000A. */
enum { LEAF1_ECX_VMX = 1 << 5, EXT1_ECX_SVM = 1 << 2, SVM_EDX_NPT = 1 << 0 };
#define LEAF1_ECX_HYPERVISOR (1U << 31)

static enum virtualization virtualization(void)
{
    unsigned eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & LEAF1_ECX_VMX)
        return VIRT_VMX;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & EXT1_ECX_SVM)
        return VIRT_SVM;
    return VIRT_NONE;
}

/* "KVMKVMKVM" ..., or NULL on bare metal. */
static const char *hypervisor(struct arena *a)
{
    unsigned eax, words[3], ecx;
    char name[sizeof(words) + 1] = "";

    if (!__get_cpuid(1, &eax, &words[0], &ecx, &words[1]) || !(ecx & LEAF1_ECX_HYPERVISOR))
        return NULL;
    __cpuid(0x40000000, eax, words[0], words[1], words[2]);
    memcpy(name, words, sizeof(words));
    for (char *c = name; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return arena_strdup(a, name);
}

static bool npt(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid(0x8000000a, &eax, &ebx, &ecx, &edx) && edx & SVM_EDX_NPT;
}

#else

static enum virtualization virtualization(void)
{
    return VIRT_OTHER; /* no bit that user space could read: KVM itself knows */
}

static const char *hypervisor(struct arena *a)
{
    (void)a;
    return NULL;
}

static bool npt(void)
{
    return false;
}

#endif

void check_cpu(struct probe *p)
{
    static const char *const names[] = {[VIRT_VMX] = "VMX", [VIRT_SVM] = "SVM", [VIRT_OTHER] = "see kvm"};
    const char *above = hypervisor(p->arena);
    enum virtualization v = virtualization();

    if (v == VIRT_NONE)
        probe_missing(p,
                      above ? "have the machine below lend it (nested virtualization: kvm_intel.nested=1 or "
                              "kvm_amd.nested=1 "
                              "and -cpu host; clouds: another machine type)"
                            : "switch virtualization on in the firmware's set-up",
                      "neither VMX nor SVM%s%s", above ? ": a virtual machine below " : "",
                      above ? above : "");
    else if (above)
        probe_ok(p, "%s, nested below %s", names[v], above);
    else
        probe_ok(p, "%s", names[v]);
}

/* Intel's is in an MSR that user space cannot read; the kernel says it by its module's parameter and in cpuinfo. */
static bool ept(struct arena *a)
{
    const char *parameter = check_read(a, "/sys/module/kvm_intel/parameters/ept"), *info, *line;

    if (parameter)
        return *parameter == 'Y' || *parameter == '1';
    info = check_read(a, "/proc/cpuinfo");
    for (const char *key = "vmx flags"; info; key = "flags") {
        line = strstr(info, key);
        if (line && check_has_word(arena_strndup(a, line, strcspn(line, "\n")), " \t", "ept"))
            return true;
        if (!strcmp(key, "flags"))
            return false;
    }
    return false;
}

void check_nested_paging(struct probe *p)
{
    enum virtualization v = virtualization();

    if (v == VIRT_NONE)
        probe_missing(p, "see cpu", "none without VMX or SVM");
    else if (v == VIRT_OTHER || (v == VIRT_VMX ? ept(p->arena) : npt()))
        probe_ok(p, "%s", v == VIRT_VMX ? "EPT" : v == VIRT_SVM ? "NPT" : "stage 2");
    else
        probe_missing(p,
                      "without it each page fault of a guest costs a VM exit: load kvm with ept=1 or npt=1",
                      "%s is missing", v == VIRT_VMX ? "EPT" : "NPT");
}

/* --- /dev/kvm ------------------------------------------------------------------------------------------------------- */

enum { API_VERSION = 12 }; /* Documentation/virt/kvm/api.rst 4.1: stable since 2.6.22 */

static int open_kvm(void)
{
    return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

static const char *kvm_module(void)
{
    static const char *const modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};

    for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
        char path[64];

        snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
        if (access(path, F_OK) == 0)
            return modules[i];
    }
    return NULL;
}

/* /dev/kvm does not open, for the reason @code. */
static void kvm_refused(struct probe *p, int code)
{
    static const char *const load[] = {[VIRT_NONE] = "see cpu: without VMX or SVM no module will load",
                                       [VIRT_VMX] = "as root: modprobe kvm_intel",
                                       [VIRT_SVM] = "as root: modprobe kvm_amd",
                                       [VIRT_OTHER] = "boot a kernel with KVM"};
    const char *module = kvm_module(), *remedy;

    if (code == EACCES || code == EPERM)
        remedy = "have the user in the group of /dev/kvm (as root: usermod -aG kvm USER, chgrp kvm /dev/kvm, "
                 "chmod 0660 "
                 "/dev/kvm), then log in again";
    else if (code == ENOENT && module)
        remedy = arena_printf(p->arena,
                              "%s is loaded: pass the device into this container, or mknod /dev/kvm c 10 232",
                              module);
    else
        remedy = load[virtualization()];
    probe_missing(p, remedy, "/dev/kvm: %s", strerror(code));
}

void check_kvm(struct probe *p)
{
    _cleanup_(fd_closep) int kvm = open_kvm();
    _cleanup_(fd_closep) int vm = -1;
    const char *module;
    int version;

    if (kvm < 0) {
        kvm_refused(p, errno);
        return;
    }
    module = kvm_module();
    version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    if (version != API_VERSION) {
        probe_missing(p, "see what made it: ls -l /dev/kvm should say 10, 232",
                      "/dev/kvm does not speak KVM's API %d", API_VERSION);
        return;
    }
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm >= 0)
        probe_ok(p, "a VM was made%s%s", module ? " by " : "", module ? module : "");
    else
        probe_missing(
            p, errno == EBUSY ? "another hypervisor holds the processor's virtualization: stop it" : NULL,
            "KVM_CREATE_VM: %s", strerror(errno));
}

/* sandbox/vmm is written against these. */
static const struct {
    const char *name;
    int number;
    bool needed;
} capabilities[] = {
    {"USER_MEMORY", KVM_CAP_USER_MEMORY, true},
    {"NR_MEMSLOTS", KVM_CAP_NR_MEMSLOTS, true},
    {"READONLY_MEM", KVM_CAP_READONLY_MEM, false},
    {"IRQFD", KVM_CAP_IRQFD, true},
    {"IOEVENTFD", KVM_CAP_IOEVENTFD, true},
    {"IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, true},
#ifdef __x86_64__
    {"IRQCHIP", KVM_CAP_IRQCHIP, true},
    {"SPLIT_IRQCHIP", KVM_CAP_SPLIT_IRQCHIP, false},
    {"TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER, true},
    {"EXT_CPUID", KVM_CAP_EXT_CPUID, true},
    {"XSAVE", KVM_CAP_XSAVE, true},
    {"XCRS", KVM_CAP_XCRS, true},
    {"VCPU_EVENTS", KVM_CAP_VCPU_EVENTS, true},
    {"MP_STATE", KVM_CAP_MP_STATE, true},
    {"ADJUST_CLOCK", KVM_CAP_ADJUST_CLOCK, false},
    {"SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR, true},
#endif
};

void check_kvm_capabilities(struct probe *p)
{
    struct buffer lacks[2] = {{.arena = p->arena}, {.arena = p->arena}}; /* optional, needed */
    _cleanup_(fd_closep) int kvm = open_kvm();

    if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != API_VERSION) {
        probe_missing(p, "see kvm", "not known without /dev/kvm");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (ioctl(kvm, KVM_CHECK_EXTENSION, capabilities[i].number) <= 0)
            buffer_printf(&lacks[capabilities[i].needed], " %s", capabilities[i].name);
    if (lacks[true].length)
        probe_missing(p, "boot a newer kernel", "missing:%s", lacks[true].data);
    else if (lacks[false].length)
        probe_warn(p, NULL, "some devices are slower without:%s", lacks[false].data);
    else
        probe_ok(p, "all %zu, up to %d vCPUs", ARRAY_SIZE(capabilities),
                 ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
}

/* --- vhost, the guest's kernel ------------------------------------------------------------------------------------- */

static void check_vhost(struct probe *p, const char *path, const char *module)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        probe_ok(p, "%s opens", path);
    else
        probe_missing(p,
                      errno == EACCES ? "have the user in the device's group"
                                      : arena_printf(p->arena, "as root: modprobe %s", module),
                      "%s: %s; hull's own device does without", path, strerror(errno));
}

void check_vhost_net(struct probe *p)
{
    check_vhost(p, "/dev/vhost-net", "vhost_net");
}

void check_vhost_vsock(struct probe *p)
{
    check_vhost(p, "/dev/vhost-vsock", "vhost_vsock");
}

/* The newest by version of the files in @directory that are called @prefix..., or NULL. */
static const char *newest(struct arena *a, const char *directory, const char *prefix)
{
    _cleanup_(closedirp) DIR *entries = opendir(directory);
    const char *best = NULL;
    const struct dirent *e;

    while (entries && (e = readdir(entries)))
        if (!strncmp(e->d_name, prefix, strlen(prefix)) && (!best || strverscmp(e->d_name, best) > 0))
            best = arena_strdup(a, e->d_name);
    return best ? arena_printf(a, "%s/%s", directory, best) : NULL;
}

void check_guest_kernel(struct probe *p)
{
    static const char *const places[][2] = {
        {LIBEXECDIR, "vmlinux"}, {LIBEXECDIR, "bzImage"}, {"/boot", "vmlinuz-"}};
    const char *path = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(places) && !path; i++)
        path = newest(p->arena, places[i][0], places[i][1]);
    if (!path)
        probe_missing(p, "install a distribution's kernel (Debian: apt install linux-image-cloud-amd64)",
                      "none in " LIBEXECDIR " or /boot");
    else if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
        probe_missing(p, arena_printf(p->arena, "as root: chmod 0644 %s", path), "%s: %s", path,
                      strerror(errno));
    else
        probe_ok(p, "%s", path);
}
