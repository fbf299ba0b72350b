/* The container's first process, from its birth in new namespaces to its execve; see init.c. */
#pragma once

#include "namespaces/rootfs.h"
#include "runtime/launch.h"
#include "runtime/sandbox.h"

struct init {
    struct arena *arena;
    const struct spec *spec;
    const struct create_options *options;
    struct rootfs *rootfs;
    struct seccomp_filter seccomp;
    struct sandbox *sandbox;     /* NULL: a container */
    struct container *container; /* as hooks see it */
    int console_socket;          /* -1: the master goes to hull */
    int state_dir;       /* hull's, with the container's lock on it: init lets go of its copy at once */
    int fifo;            /* create: where to wait for start; -1 for run */
    uint64_t namespaces; /* CLONE_NEW* that the container has */
};

/** Runs in the child; returns only on failure. @argument is a struct init. */
int init_main(void *argument, int sync, struct error *err);
