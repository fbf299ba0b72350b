/*
 * The smallest program there is, so that a benchmark times the runtime and not its cargo: no libc, no
 * start-up, no stack. Built twice: as `true` it exits at once, as `pause` (-DPAUSE) it sleeps until a signal
 * ends it.
 */
#include <sys/syscall.h>

void _start(void);

void _start(void)
{
    long status;
#ifdef PAUSE
    /* PID 1 of a namespace has no default actions: SIGKILL from outside ends it. */
    __asm__ volatile("syscall" : "=a"(status) : "a"((long)SYS_pause) : "rcx", "r11", "memory");
#endif
    __asm__ volatile("syscall" : "=a"(status) : "a"((long)SYS_exit_group), "D"(0L) : "rcx", "r11", "memory");
    __builtin_unreachable();
}
