/*
 * hull-monitor's command line and its conversation with `hull attach`.
 *
 *     hull-monitor PID EXIT DIR INPUT OUTPUT ERRORS TERMINAL LOG-FILES LOG-SIZE COMMAND...
 *
 * PID is its child, the container's process. The others are descriptors (-1: none) that it inherits: EXIT the locked file
 * exit, DIR the container's directory (images/snapshot.h), the ends of the container's pipes, or its terminal's master.
 * LOG-FILES is how many files the log may have (0: there is none), LOG-SIZE how large each may grow in bytes (0: without end).
 * COMMAND is what it becomes in the end: hull, to take the rest away; it inherits EXIT, and with it the lock.
 *
 * `attach` is a stream socket in DIR. Messages begin with four bytes: type, zero, length (16 bits, the machine's order).
 */
#pragma once

#include <stdint.h>

enum { MONITOR_ARGUMENTS = 10 /* argv[0] to LOG-SIZE */, MONITOR_DATA_MAX = 8192 };

enum monitor_message {
    MONITOR_INPUT = 'i', /* from attach; length 0: the end of it */
    MONITOR_SIZE = 'w',  /* from attach: rows, columns, 16 bits each */
    MONITOR_OUTPUT = 'o',
    MONITOR_ERRORS = 'e',
    MONITOR_EXIT = 'x', /* the exit status, 32 bits; the last one */
};

struct monitor_header {
    uint8_t type, zero;
    uint16_t length;
};

/* log: a line each of the container's (P: the line goes on), in the form of Kubernetes' container runtime interface:
 * "2026-11-21T17:30:00.123456789Z stdout F text\n". One that is full is renamed log.N, with N one more than ever before: who
 * follows the log knows by the names which file comes next, even if he was slow and some are gone. */
#define MONITOR_LOG "log"
