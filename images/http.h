/*
 * HTTP exchanges, carried out by one thread with libcurl's multi interface (so that connections, HTTP/2 streams and names
 * looked up are shared), and awaited by any number of others. This is mechanism only: who may see what, when to try again and where a
 * redirection may lead is decided in registry*.c.
 *
 * The life of an exchange, all in the thread that owns it:
 *     http_exchange_init    begin -> (write ... write_end) -> wait -> (read ... until 0) -> again, or    destroy
 * Bodies that are streamed pass through a ring of HTTP_RING bytes: when it is full the transfer pauses, and TCP tells the peer.
 * That holds for HTTP/1.1 only (in HTTP/2 libcurl takes in megabytes for a stream that is paused), so streams use that.
 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum { HTTP_RING = 1 << 20, HTTP_BODY_MAX = 8 << 20, HTTP_CHALLENGE_MAX = 4096, HTTP_URL_MAX = 8192 };

struct http; /* the thread */

int http_start(struct http **out, struct error *err);
/** All exchanges have been destroyed. NULL is fine. */
void http_stop(struct http *h);

/** From any thread: all exchanges fail from now on with ECANCELED, and nobody sleeps any more. */
void http_cancel(struct http *h);
bool http_cancelled(struct http *h);
/** Sleep; cut short by http_cancel(). */
void http_sleep(struct http *h, uint64_t ms);

/* How to know a server, and to be known by it. */
struct http_tls {
    bool unverified;               /* any certificate will do */
    const char *ca;                /* PEM of the authorities, in place of the system's; may be NULL */
    const char *certificate, *key; /* files, PEM; NULL: none */
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH };

struct http_request {
    enum http_method method;
    const char *url;
    const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
    const struct http_tls *tls;
    const char *form;     /* of POST: the body; NULL: an empty one */
    uint64_t upload_size; /* of PUT and PATCH: as much is written after begin */
    size_t max_body; /* a longer answer is an error (of an error's text the rest is left out); 0: no matter */
    bool stream;     /* the body of 200 and 206 is read by http_read() */
    unsigned idle_seconds; /* without anything to hear; 0: HTTP_IDLE */
};

enum { HTTP_IDLE = 30, HTTP_CONNECT_SECONDS = 20 };

/* What came back. */
struct http_answer {
    int status;     /* 0: nothing */
    CURLcode code;  /* of the transfer, once it is over */
    bool too_large; /* max_body, or the headers, were exceeded */
    char problem[CURL_ERROR_SIZE];
    char content_type[160], content_range[80], content_digest[160], range[80], location[HTTP_URL_MAX],
        challenge[HTTP_CHALLENGE_MAX];
    int64_t content_length; /* -1: not said */
    uint64_t retry_after;   /* seconds; 0: not said */
    char *body;             /* NUL-terminated; until the next begin */
    size_t body_length;
};

struct http_exchange {
    struct http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct http_answer answer;
    struct http_request request;
    /* Under the thread's lock: */
    pthread_cond_t changed;
    struct http_exchange *next, *next_running; /* in the list of those with commands; in the thread's */
    unsigned commands;
    bool running, answered /* the headers are here */, paused, ended /* nothing more to send */;
    size_t header_bytes, body_capacity;
    unsigned char *ring;
    size_t head, used, lent;
};

int http_exchange_init(struct http *h, struct http_exchange *x, struct error *err);
void http_exchange_destroy(struct http_exchange *x);

/** Send it off; what an earlier one was doing is broken off. The request's strings may go after this call. */
int http_begin(struct http_exchange *x, const struct http_request *request, struct error *err);

/** Of PUT and PATCH: the body's next bytes. -1 when the exchange is over already: its answer says why. */
int http_write(struct http_exchange *x, const void *data, size_t length);

/** Wait until it is over; of a stream, until its headers are here. */
void http_wait(struct http_exchange *x);

/** The next block of a stream; it stays until the next call. 0: it is over, answer.code says how. */
size_t http_read(struct http_exchange *x, const void **data);

/** Break off. */
void http_abort(struct http_exchange *x);
