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

#include "base/helper.h"
#include "runtime/check_private.h"
#include "sandbox/boot/guest_kernel.h"
#include "sandbox/vmm/kvm.h"

void check_build(struct probe *p)
{
    static const char *const helpers[] = {"hull-vmm", "hull-guest"};

    for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
        const char *path = helper_path(p->arena, helpers[i]);

        if (access(path, X_OK) < 0) {
            probe_missing(p, "install all of hull: make install", "%s: %s", path, strerror(errno));
            return;
        }
    }
    probe_ok(p, "hull-vmm, hull-guest");
}

/* --- the processor --------------------------------------------------------------------------------------------------- */

#ifdef __x86_64__

/* Intel SDM volume 2, CPUID leaf 1; AMD APM volume 3, leaf 8000_000A. */
enum { SVM_EDX_NPT = 1 << 0 };
#define LEAF1_ECX_HYPERVISOR (1U << 31)

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
    enum virtualization v = kvm_processor();

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
    enum virtualization v = kvm_processor();

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

static int open_kvm(void)
{
    return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

void check_kvm(struct probe *p)
{
    _cleanup_(fd_closep) int kvm = open_kvm();
    _cleanup_(fd_closep) int vm = -1;
    const char *module;
    char words[KVM_WORDS];

    if (kvm < 0) {
        int code = errno;
        probe_missing(p, arena_strdup(p->arena, kvm_remedy(code, words)), "/dev/kvm: %s", strerror(code));
        return;
    }
    module = kvm_module();
    if (!kvm_speaks(kvm)) {
        probe_missing(p, "see what made it: ls -l /dev/kvm should say 10, 232",
                      "/dev/kvm does not speak KVM's stable API");
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

void check_kvm_capabilities(struct probe *p)
{
    char needed[KVM_WORDS], optional[KVM_WORDS];
    _cleanup_(fd_closep) int kvm = open_kvm();

    if (kvm < 0 || !kvm_speaks(kvm)) {
        probe_missing(p, "see kvm", "not known without /dev/kvm");
        return;
    }
    size_t n = kvm_lacks(kvm, true, needed) + kvm_lacks(kvm, false, optional);
    if (needed[0])
        probe_missing(p, "boot a newer kernel", "missing:%s", needed);
    else if (optional[0])
        probe_warn(p, NULL, "some devices are slower without:%s", optional);
    else
        probe_ok(p, "all %zu, up to %d vCPUs", n, ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
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

void check_guest_kernel(struct probe *p)
{
    _cleanup_(fd_closep) int kernel = -1;
    _cleanup_(fd_closep) int initrd = -1;
    struct error err = {0};
    char *release = NULL;

    if (guest_kernel_open(p->arena, NULL, &kernel, &initrd, &release, &err) < 0)
        probe_missing(p, NULL, "%s", err.message);
    else
        probe_ok(p, "Linux %s", release ? release : "of unknown release");
}
