/*
 * Certificates for one registry, from the directories that container tools share (containers-certs.d(5)): in HOST[:PORT]/ each
 * NAME.crt is an authority to trust besides the system's, NAME.cert with NAME.key is who we are. The first directory that there
 * is counts: @directory (--cert-dir, itself, not below it), $XDG_CONFIG_HOME/containers/certs.d (~/.config),
 * /etc/containers/certs.d, /etc/docker/certs.d.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "images/http.h"

int certs_load(struct arena *a, const char *directory, const char *host, struct http_tls *tls,
               struct error *err);
