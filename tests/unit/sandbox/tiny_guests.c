/* The guests of tiny.h, in assembly. */
#include "tiny.h"

#define GUEST(name, code)                                                                                    \
    extern const unsigned char guest_##name[], guest_##name##_end[];                                         \
    __asm__(".pushsection .rodata\n"                                                                         \
            ".globl guest_" #name ", guest_" #name "_end\n"                                                  \
            "guest_" #name ":\n" code "\n"                                                                   \
            "guest_" #name "_end:\n"                                                                         \
            ".code64\n.popsection\n");                                                                       \
    const struct tiny_guest tiny_##name = {guest_##name, guest_##name##_end}

/* byte @value to port @port */
#define OUT(port, value) "mov $" value ", %al; mov $" port ", %dx; out %al, %dx\n"
#define POWER_OFF        OUT("0x600", "0x34") "1: hlt; jmp 1b\n"

GUEST(powers_off, POWER_OFF);
GUEST(resets, OUT("0x600", "0x14") OUT("0x602", "0") OUT("0x602", "1") "1: hlt; jmp 1b\n");
GUEST(resets_by_keyboard, OUT("0x64", "0xd1") OUT("0x60", "0xfe") OUT("0x64", "0xfe") "1: hlt; jmp 1b\n");
GUEST(halts, OUT("0x500", "1") "1: cli; hlt; jmp 1b\n");
GUEST(spins, OUT("0x500", "1") "1: jmp 1b\n");

/* A read where no page is, without an interrupt descriptor table: three faults. */
GUEST(faults, "mov $0x7f0000000000, %rax; mov (%rax), %rax\n" POWER_OFF);

/* Instructions from where no memory is: KVM cannot fetch them. */
GUEST(jumps_away, "mov $0x30000000, %rax; jmp *%rax\n" POWER_OFF);

GUEST(prints, OUT("0x3f8", "'h'") OUT("0x3f8", "'i'") OUT("0x3f8", "10") OUT("0x3f8", "'!'") POWER_OFF);

/* Notes, in order: port 1, 2, 4 bytes; MMIO 1, 2, 4, 8 bytes; what is read at each; what nobody answers. */
GUEST(answers, "mov $0x500, %dx; mov $0x11223344, %eax\n"
               "out %al, %dx; out %ax, %dx; out %eax, %dx\n"
               "mov $0x30000000, %rbx; mov $0x1122334455667788, %rax\n"
               "mov %al, (%rbx); mov %ax, (%rbx); mov %eax, (%rbx); mov %rax, (%rbx)\n"
               "xor %eax, %eax; in %dx, %eax; mov %rax, (%rbx)\n"
               "mov (%rbx), %rax; mov %rax, (%rbx)\n"
               "mov $0x9000, %dx; xor %eax, %eax; in %dx, %al; mov %rax, (%rbx)\n"
               "out %al, %dx; mov 0x1000(%rbx), %rax; mov %rax, (%rbx)\n" POWER_OFF);

/* By x2APIC: INIT and SIPI to all but itself; waits until the others have counted themselves at 0x8000 (as many as
 * the harness has put at 0x8008). */
GUEST(starts_aps, "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr\n"
                  "mov $0x830, %ecx; xor %edx, %edx; mov $0xc4500, %eax; wrmsr\n"
                  "mov $0xc4610, %eax; wrmsr\n"
                  "mov $0x8000, %rbx\n"
                  "1: mov (%rbx), %eax; cmp 8(%rbx), %eax; jne 1b\n"
                  "mov $0x500, %dx; out %eax, %dx\n" POWER_OFF);
GUEST(ap, ".code16\n"
          "xor %ax, %ax; mov %ax, %ds\n"
          "lock incl 0x8000\n"
          "1: cli; hlt; jmp 1b\n");

/* Counts to 300 in a register and tells each number; what it put into LSTAR and memory before is told at the end. */
GUEST(counts, "mov $0xc0000082, %ecx; mov $0x1234, %edx; mov $0x56789abc, %eax; wrmsr\n"
              "movl $0x600d, 0x8000\n"
              "mov $0x500, %dx; xor %eax, %eax\n"
              "1: inc %eax; out %eax, %dx; cmp $300, %eax; jne 1b\n"
              "mov $0xc0000082, %ecx; rdmsr; mov %edx, %ebx; mov $0x500, %dx\n"
              "out %eax, %dx; mov %ebx, %eax; out %eax, %dx; mov 0x8000, %eax; out %eax, %dx\n" POWER_OFF);
