/* WWW-Authenticate (RFC 9110, section 11.6.1): which way of saying who one is a registry wants. */
#pragma once

#include "base/arena.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    const char *realm, *service, *scope, *error; /* NULL: not said */
};

enum { CHALLENGE_MAX = 4096 /* bytes of a header */ };

/** The best of the challenges in one header's value (Bearer before Basic); those of other schemes are passed over.
 * CHALLENGE_NONE: there is none that can be understood. */
struct challenge challenge_parse(struct arena *a, const char *text);
