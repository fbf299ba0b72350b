/* Options of the commands that speak to registries. */
#pragma once

#include "cli/images/command.h"
#include "images/remote.h"

struct remote_options {
    const char *authfile, *cert_dir, *tls_verify;
};

/* Rows for a struct that has a member `remote`. */
#define REMOTE_OPTIONS(type)                                                                                 \
    OPTION(type, "authfile", 0, "FILE", remote.authfile, option_string,                                      \
           "credentials, as login writes them"),                                                             \
        OPTION(type, "cert-dir", 0, "DIR", remote.cert_dir, option_string,                                   \
               "certificates for the registry: ca.crt, client.cert, client.key"),                            \
        OPTION(type, "tls-verify", 0, "true|false", remote.tls_verify, option_string,                        \
               "verify certificates (default: as registries.conf says)")

int remote_settings(const struct remote_options *o, struct registry_settings *out, struct error *err);
