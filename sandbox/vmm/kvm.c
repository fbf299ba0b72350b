/*
 * What is asked of /dev/kvm (Documentation/virt/kvm/api.rst, 4.1 and 4.4) and of the processor below it (Intel SDM volume
 * 2, CPUID leaf 1; AMD APM volume 3, leaf 8000_0001). A /dev/kvm alone proves nothing: kvm_pvm makes one on machines
 * that lend no VMX or SVM.
 */
#include "sandbox/vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

enum { API_VERSION = 12 }; /* stable since 2.6.22 */

#ifdef __x86_64__

enum { LEAF1_ECX_VMX = 1 << 5, EXT1_ECX_SVM = 1 << 2 };

enum virtualization kvm_processor(void)
{
    unsigned eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & LEAF1_ECX_VMX)
        return VIRT_VMX;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & EXT1_ECX_SVM)
        return VIRT_SVM;
    return VIRT_NONE;
}

#else

enum virtualization kvm_processor(void)
{
    return VIRT_OTHER;
}

#endif

/* #syscalls: access */
const char *kvm_module(void)
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

char *kvm_remedy(int code, char words[KVM_WORDS])
{
    static const char *const load[] = {
        [VIRT_NONE] = "this processor offers neither VMX nor SVM (CPUID), so no module will load: switch "
                      "virtualization on in the firmware, or nested virtualization in the machine below",
        [VIRT_VMX] = "as root: modprobe kvm_intel",
        [VIRT_SVM] = "as root: modprobe kvm_amd",
        [VIRT_OTHER] = "boot a kernel with KVM"};
    const char *module = kvm_module();

    if (code == EACCES || code == EPERM)
        snprintf(words, KVM_WORDS,
                 "have the user in the group of /dev/kvm (as root: usermod -aG kvm USER, chgrp kvm /dev/kvm, "
                 "chmod 0660 /dev/kvm), then log in again; in a container, its device cgroup has to allow "
                 "c 10:232 rw");
    else if (code == ENOENT && module)
        snprintf(words, KVM_WORDS,
                 "%s is loaded: pass the device into this container, or mknod /dev/kvm c 10 232", module);
    else
        snprintf(words, KVM_WORDS, "%s", load[kvm_processor()]);
    return words;
}

/* The VMM is written against these. All that are needed are in Linux 5.4. */
static const struct {
    const char *name;
    int number;
    bool needed;
} capabilities[] = {
    {"USER_MEMORY", KVM_CAP_USER_MEMORY, true},
    {"IRQFD", KVM_CAP_IRQFD, true},
    {"IOEVENTFD", KVM_CAP_IOEVENTFD, true},
    {"MP_STATE", KVM_CAP_MP_STATE, true},
    {"IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, true},
    {"READONLY_MEM", KVM_CAP_READONLY_MEM, false},
#ifdef __x86_64__
    {"IRQCHIP", KVM_CAP_IRQCHIP, true},
    {"SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR, true},
    {"SET_IDENTITY_MAP_ADDR", KVM_CAP_SET_IDENTITY_MAP_ADDR, true},
    {"EXT_CPUID", KVM_CAP_EXT_CPUID, true},
    {"ADJUST_CLOCK", KVM_CAP_ADJUST_CLOCK, true},
    {"VCPU_EVENTS", KVM_CAP_VCPU_EVENTS, true},
    {"DEBUGREGS", KVM_CAP_DEBUGREGS, true},
    {"XSAVE", KVM_CAP_XSAVE, true},
    {"XCRS", KVM_CAP_XCRS, true},
    {"GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ, true},
    {"TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER, false},
#endif
};

/* #syscalls: ioctl */
bool kvm_speaks(int kvm)
{
    return ioctl(kvm, KVM_GET_API_VERSION, 0) == API_VERSION;
}

size_t kvm_lacks(int kvm, bool needed, char words[KVM_WORDS])
{
    size_t looked = 0;

    words[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
        size_t n = strlen(words);

        if (capabilities[i].needed != needed)
            continue;
        looked++;
        if (ioctl(kvm, KVM_CHECK_EXTENSION, capabilities[i].number) <= 0)
            snprintf(words + n, KVM_WORDS - n, " %s", capabilities[i].name);
    }
    return looked;
}

int kvm_check(int kvm, struct error *err)
{
    char words[KVM_WORDS];

    if (!kvm_speaks(kvm))
        return error_set(err, 0, "/dev/kvm does not speak KVM's API %d: is it c 10:232?", API_VERSION);
    kvm_lacks(kvm, true, words);
    if (words[0])
        return error_set(err, 0, "the kernel's KVM lacks what a sandbox needs:%s", words);
    return 0;
}

/* #syscalls: openat close */
int kvm_open(struct error *err)
{
    _cleanup_(fd_closep) int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    char words[KVM_WORDS];

    if (kvm < 0) {
        int code = errno;
        return error_set(err, code, "open /dev/kvm (%s)", kvm_remedy(code, words));
    }
    return kvm_check(kvm, err) ? -1 : steal_fd(&kvm);
}
