/*
 * What hull and the half-born container say to each other: one SOCK_SEQPACKET pair, one named message a
 * packet.
 *
 *   init -> hull   SYNC_CGROUP (move me there), SYNC_PID (an intermediate's child), SYNC_MAP_IDS, SYNC_HOOKS, SYNC_TERMINAL (+fd),
 *                  SYNC_LISTENER (value: fd number in init), SYNC_READY, SYNC_ERROR (text);
 *                  end of file after READY: execve worked
 *   hull -> init   SYNC_CONTINUE answers each message that waits for one
 *
 * A peer that is gone is seen as end of file: neither side can wait for ever.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum sync_type {
    SYNC_CONTINUE = 1,
    SYNC_CGROUP,
    SYNC_PID,
    SYNC_MAP_IDS,
    SYNC_HOOKS,
    SYNC_TERMINAL,
    SYNC_LISTENER,
    SYNC_READY,
    SYNC_ERROR,
};

struct sync_message {
    uint32_t type;
    int32_t code, exit_code; /* SYNC_ERROR: struct error's */
    int32_t value;
    char text[sizeof(((struct error *)0)->message)]; /* SYNC_ERROR; only what is used is sent */
};

int sync_pair(int pair[2], struct error *err);
/** Plain write(2), so that a seccomp filter that is loaded already does not stand in the way. */
int sync_send(int sock, enum sync_type type, int value, struct error *err);
int sync_send_fd(int sock, enum sync_type type, int fd, struct error *err);
int sync_send_error(int sock, const struct error *e);
/** A signal that would end a program (INT, TERM, HUP, QUIT) ends the creation in an orderly way: an error,
 * with 128+signal as exit code. 0 for any other: they wait until there is someone to forward them to. */
int sync_check_signals(int signal_fd, struct error *err);
/** init's side: wait for SYNC_CONTINUE. */
int sync_wait_continue(int sock, struct error *err);

/** hull's side: wait for a message or, when @signal_fd >= 0, a terminating signal (an error then). Returns
 * the type, 0 at end of file, -1 on failure (SYNC_ERROR included: *err says what init said). *fd: a
 * descriptor that came along, or -1. */
int sync_receive(int sock, int signal_fd, struct sync_message *message, int *fd, struct error *err);
