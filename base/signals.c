/*
 * Signal names. One table for the ordinary signals, arithmetic for the real-time ones. Aliases stand after
 * the name that signal_name() gives. 0 is accepted: to kill(2) it means "is it there?".
 */
#include "base/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"

/* The kernel's last one. glibc's SIGRTMAX is the same, but a function call. */
enum { LAST_SIGNAL = 64 };

#define NAME(name)                                                                                           \
    {                                                                                                        \
        "SIG" #name, SIG##name                                                                               \
    }
static const struct {
    const char name[10];
    int sig;
} names[] = {
    NAME(HUP),  NAME(INT),    NAME(QUIT),  NAME(ILL),  NAME(TRAP), NAME(ABRT),   NAME(BUS),
    NAME(FPE),  NAME(KILL),   NAME(USR1),  NAME(SEGV), NAME(USR2), NAME(PIPE),   NAME(ALRM),
    NAME(TERM), NAME(STKFLT), NAME(CHLD),  NAME(CONT), NAME(STOP), NAME(TSTP),   NAME(TTIN),
    NAME(TTOU), NAME(URG),    NAME(XCPU),  NAME(XFSZ), NAME(PROF), NAME(VTALRM), NAME(IO),
    NAME(PWR),  NAME(SYS),    NAME(WINCH), NAME(CLD),  NAME(IOT),  NAME(POLL),
};
#undef NAME

static bool parse_realtime(const char *text, int *sig)
{
    bool from_max = strncasecmp(text, "RTMAX", 5) == 0;
    if (!from_max && strncasecmp(text, "RTMIN", 5) != 0)
        return false;

    int base = from_max ? SIGRTMAX : SIGRTMIN;
    uint64_t distance = 0;
    text += 5;
    if (*text && (*text != (from_max ? '-' : '+') ||
                  number_parse_u64(text + 1, "", 0, (uint64_t)(SIGRTMAX - SIGRTMIN), &distance, NULL)))
        return false;
    *sig = from_max ? base - (int)distance : base + (int)distance;
    return true;
}

int signal_parse(const char *text, int *sig, struct error *err)
{
    uint64_t number;
    if (number_parse_u64(text, "", 0, LAST_SIGNAL, &number, NULL) == 0) {
        *sig = (int)number;
        return 0;
    }
    const char *bare = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(bare, names[i].name + 3) == 0) {
            *sig = names[i].sig;
            return 0;
        }
    if (parse_realtime(bare, sig))
        return 0;
    return error_set(err, 0, "unknown signal \"%.32s\": want a name as SIGTERM or TERM, or a number up to %d",
                     text, LAST_SIGNAL);
}

const char *signal_name(int sig)
{
    static char realtime[sizeof("SIGRTMIN+00")];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].sig == sig)
            return names[i].name;
    if (sig < SIGRTMIN || sig > SIGRTMAX)
        return NULL;
    if (sig == SIGRTMIN)
        return "SIGRTMIN";
    snprintf(realtime, sizeof(realtime), "SIGRTMIN+%d", (sig - SIGRTMIN) & 63);
    return realtime;
}
