/*
 * The guest's initramfs: /init is hull-guest, /modules what the kernel needs to load. Made on first use and kept, uncompressed (it is
 * unpacked at every start), in a cache directory of the caller's.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct initramfs_request {
    const char *
        cache; /* directory, made when missing; NULL or not writable: the archive is made in memory each time */
    const char *agent;   /* hull-guest */
    const char *release; /* of the kernel; for the file's name */
    const char *modules; /* their directory ("/lib/modules/RELEASE"); NULL: the kernel has all it needs */
};

/** A descriptor of the archive, at its start. */
int initramfs_open(struct arena *a, const struct initramfs_request *q, int *fd, struct error *err);
