/*
 * The host's KVM: is it there, may we use it, can it do what sandboxes need, and if not, what would help. For hull, which
 * opens /dev/kvm before it jails hull-vmm, for `hull check`, and for hull-vmm.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum virtualization { VIRT_NONE, VIRT_VMX, VIRT_SVM, VIRT_OTHER };

enum { KVM_WORDS = 256 };

/** What the processor offers, by CPUID. VIRT_OTHER: no bit that user space could read, KVM itself knows. */
enum virtualization kvm_processor(void);

/** The loaded module that makes /dev/kvm ("kvm_amd"), or NULL. */
const char *kvm_module(void);

/** /dev/kvm did not open, for the reason @code: what would help. Returns @words. */
char *kvm_remedy(int code, char words[KVM_WORDS]);

/** True when @kvm speaks the stable API (KVM_GET_API_VERSION). */
bool kvm_speaks(int kvm);

/** The names of the capabilities that @kvm lacks, each after a space: the @needed ones, or those that make a sandbox
 * faster. The number of those that were looked for. */
size_t kvm_lacks(int kvm, bool needed, char words[KVM_WORDS]);

/** Open descriptors' check: is @kvm a KVM that sandboxes can use? The error says what it lacks. */
int kvm_check(int kvm, struct error *err);

/** Open /dev/kvm and check it. The descriptor, or -1. */
int kvm_open(struct error *err);
