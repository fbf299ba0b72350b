/* Signals by name, as kill(1) and engines write them: "TERM", "SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1". */
#pragma once

#include "base/error.h"

int signal_parse(const char *text, int *sig, struct error *err);
/** "SIGTERM"; "SIGRTMIN+3"; NULL for no signal. Static storage. */
const char *signal_name(int sig);
