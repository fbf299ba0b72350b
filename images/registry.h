/*
 * A registry (OCI distribution-spec 1.1), spoken to by any number of threads: one repository at one endpoint. Says who it is as
 * the registry asks for (Basic, or a Bearer token, which is renewed when it is refused), follows redirections without taking
 * the credentials along, tries again what may get better (with growing pauses, or when the registry says), goes on with a
 * blob where it was cut off, and never takes more than was promised.
 *
 * Errors begin with the host and say what was asked for; err->code is ENOENT when the registry does not have it, EACCES when it
 * does not give it, ECANCELED after http_cancel().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "images/auth.h"
#include "images/digest.h"
#include "images/http.h"
#include "images/manifest.h"
#include "images/registries.h"
#include "images/source.h"

struct registry;

enum tls_verify { TLS_AS_CONFIGURED, TLS_VERIFY, TLS_ANYTHING };

/* What the command line says. All NULL and 0: nothing. */
struct registry_settings {
    const char *authfile, *cert_dir;
    const struct credentials *credentials; /* in place of the files' */
    const struct string_list *helpers;     /* whom to ask for them: auth_find_in_order() */
    enum tls_verify tls_verify;
    unsigned retry_ms;     /* the first pause before another try; 0: half a second */
    unsigned idle_seconds; /* so long nothing may come; 0: HTTP_IDLE */
};

/** @for_push: the token has to allow it. @settings may be NULL. The endpoint's strings are copied. */
int registry_open(struct http *h, const struct registry_endpoint *e, const struct registry_settings *settings,
                  bool for_push, struct registry **out, struct error *err);
/** All its blobs are closed. NULL is fine. */
void registry_close(struct registry *r);

/** Give up after so many tries, and do not wait where the registry wants to be left alone: others have it as well. 0: try as
 * often as makes sense. To be called by the thread that opened it, before others use it. */
void registry_set_tries(struct registry *r, unsigned tries);

/** Do the credentials open this registry? For `login`. */
int registry_ping(struct registry *r, struct error *err);

/* --- pull ---------------------------------------------------------------------------------------------------------- */

enum { REGISTRY_MANIFEST_MAX = 4 << 20 };

struct registry_manifest {
    char *data;
    size_t length;
    const char *media_type;   /* as the registry says; NULL: it does not */
    char digest[DIGEST_SIZE]; /* of the data; the one asked for, if it was by digest */
};

/** A manifest or index by tag or digest; verified when it is by digest. */
int registry_manifest(struct registry *r, struct arena *a, const char *tag_or_digest,
                      struct registry_manifest *out, struct error *err);

/** Only its digest, as the registry says it. 1: here it is; 0: the registry does not say. */
int registry_manifest_digest(struct registry *r, const char *tag_or_digest, char digest[DIGEST_SIZE],
                             struct error *err);

/** A small blob, whole and verified. NUL-terminated. */
int registry_blob_read(struct registry *r, struct arena *a, const struct descriptor *d, char **data,
                       struct error *err);

/** A blob as it comes: at most d->size bytes, exactly as many when it ends without an error. Its digest is for the reader
 * to verify (struct hash_source). To be read by one thread. */
int registry_blob_open(struct registry *r, const struct descriptor *d, struct source **out,
                       struct error *err);
void registry_blob_close(struct source *blob);

/** So many bytes have been read of it; from any thread. */
uint64_t registry_blob_received(const struct source *blob);

/* --- push ---------------------------------------------------------------------------------------------------------- */

/* A blob to push. */
struct registry_upload {
    const char *digest;
    uint64_t size;
    const char *mount_from; /* a repository of the same registry that may have it; NULL */
    /** Begin at byte @offset; called again for each try. close() ends it. */
    int (*open)(void *context, uint64_t offset, struct source **out, struct error *err);
    void (*close)(void *context, struct source *s);
    void *context;
    _Atomic uint64_t *sent; /* so many bytes were, by now; NULL: nobody looks */
};

enum registry_pushed { PUSHED_SENT, PUSHED_THERE /* it was there */, PUSHED_MOUNTED };

/** enum registry_pushed, or -1. What breaks off goes on where the registry says that it was, or begins anew; a registry to which
 * it is too large at once gets it in pieces. */
int registry_push_blob(struct registry *r, struct registry_upload *u, struct error *err);

/** Have the registry take the blob from its repository @from. 1: done; 0: it does not. */
int registry_mount_blob(struct registry *r, const char *digest, const char *from);

/** @tag_or_digest: what to call it. All it speaks of has been pushed. */
int registry_push_manifest(struct registry *r, const char *tag_or_digest, const char *media_type,
                           const char *data, size_t length, struct error *err);

/** 1: the registry has this blob; 0: it has not. */
int registry_blob_exists(struct registry *r, const char *digest, struct error *err);
