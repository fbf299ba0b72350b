/*
 * The container's terminal. init allocates it in the container's own devpts, so that the slave's name means
 * the same inside; the master goes to the engine's console socket or back to a foreground `run`/`exec`, which
 * relays it.
 */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/** In the container: a new pty from dev/pts/ptmx below the current root, or from the devpts @devpts (else -1). The slave comes by TIOCGPTPEER,
 * never by its name (CVE-2025-52565). Sets the size if the specification gives one. */
int terminal_open(const struct spec_process *p, int devpts, int *master, int *slave, struct error *err);
/** Make @slave the controlling terminal and stdin, stdout, stderr. */
int terminal_attach(int slave, struct error *err);
/** Send the master to an engine's console socket, as runc does (name of the pty as data). */
int terminal_send(int console_socket, int master, struct error *err);

/* Foreground relay */
struct terminal_relay {
    int master;
    bool raw; /* stdin was a terminal and is raw now */
    bool stdin_open;
    struct termios *saved;
};
int terminal_relay_begin(struct arena *a, int master, struct terminal_relay *r, struct error *err);
/** Copy what is there; 1 while the master is open, 0 when it is gone. */
int terminal_relay_step(struct terminal_relay *r, short master_events, short stdin_events);
/** Hand the size of stdin's terminal on. */
void terminal_resize(int master);
/** The master has come, before the process runs, which may look at once: it gets that size; and, as whoever relays it makes his
 * own terminal raw (if stdin is one, or @raw says so), ends of lines with CR. */
void terminal_take(int master, bool raw);
void terminal_relay_end(struct terminal_relay *r);
