/*
 * The thread: takes commands (start, resume, abort) from the list that others put exchanges on, lets libcurl work, and tells those who
 * wait. libcurl's handles are touched by this thread only while `running`; by the owner else. One lock guards all that
 * both sides touch; libcurl's callbacks take it, so the thread never holds it while it calls libcurl.
 */
#include "images/http.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum {
    RING_LOW = HTTP_RING / 2,   /* a paused transfer goes on when as much is free */
    READ_MIN = 128 << 10,       /* a reader is not woken for less, unless there is no more */
    RECEIVE_BUFFER = 128 << 10, /* libcurl's, a transfer */
    HEADERS_MAX = 64 << 10,
    ERROR_BODY_MAX = 64 << 10,
    SPEED_MIN = 64, /* bytes a second: slower is idle */
};

enum command { START = 1, RESUME = 2, ABORT = 4 };

struct http {
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cancelling;
    struct http_exchange *commanded; /* all of them are running */
    struct http_exchange *running;   /* the thread's own */
    bool stop, cancelled;
};

/* --- commands ------------------------------------------------------------------------------------------------------ */

/* Under the lock. */
static void command(struct http_exchange *x, enum command c)
{
    struct http *h = x->http;

    if (!x->commands) {
        x->next = h->commanded;
        h->commanded = x;
    }
    x->commands |= c;
    curl_multi_wakeup(h->multi);
}

static void unlink_from(struct http_exchange **list, struct http_exchange *x, size_t next)
{
    for (; *list; list = (struct http_exchange **)((char *)*list + next))
        if (*list == x) {
            *list = *(struct http_exchange **)((char *)x + next);
            return;
        }
}

/* After this the exchange is its owner's, who may free it: no list may hold it any more. */
static void finish(struct http *h, struct http_exchange *x, CURLcode code)
{
    curl_off_t retry_after = 0;

    unlink_from(&h->running, x, offsetof(struct http_exchange, next_running));
    curl_multi_remove_handle(h->multi, x->easy);
    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &retry_after);
    pthread_mutex_lock(&h->lock);
    x->answer.code = code;
    x->answer.retry_after = retry_after > 0 ? (uint64_t)retry_after : 0;
    x->running = false;
    unlink_from(&h->commanded, x, offsetof(struct http_exchange, next));
    x->commands = 0;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&h->lock);
}

static void obey(struct http *h, struct http_exchange *x, unsigned commands)
{
    bool failed = false;

    if (commands & START) {
        failed = curl_multi_add_handle(h->multi, x->easy) != CURLM_OK;
        x->next_running = h->running;
        h->running = x;
    }
    if (failed || (commands & ABORT))
        finish(h, x, failed ? CURLE_FAILED_INIT : CURLE_ABORTED_BY_CALLBACK);
    else if (commands & RESUME)
        curl_easy_pause(x->easy, CURLPAUSE_CONT);
}

static void take_commands(struct http *h, bool *stop)
{
    for (bool cancelled;;) {
        pthread_mutex_lock(&h->lock);
        struct http_exchange *x = h->commanded;
        unsigned commands = 0;
        *stop = h->stop;
        cancelled = h->cancelled;
        if (x) {
            h->commanded = x->next;
            commands = x->commands;
            x->commands = 0;
        }
        pthread_mutex_unlock(&h->lock);
        while (!x && cancelled && h->running)
            finish(h, h->running, CURLE_ABORTED_BY_CALLBACK);
        if (!x)
            return;
        obey(h, x, commands);
    }
}

/* #syscalls: epoll_wait poll socket connect sendto recvfrom sendmsg recvmsg getsockopt setsockopt getsockname getpeername
   fcntl eventfd2 pipe2 clone3 rt_sigprocmask futex read write close openat mmap munmap */
static void *serve(void *context)
{
    struct http *h = context;
    bool stop = false;

    for (;;) {
        CURLMsg *message;
        int n;

        take_commands(h, &stop);
        if (stop)
            return NULL;
        curl_multi_perform(h->multi, &n);
        while ((message = curl_multi_info_read(h->multi, &n))) {
            struct http_exchange *x = NULL;
            CURLcode code = message->data.result;
            if (message->msg != CURLMSG_DONE)
                continue;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
            finish(h, x, code);
        }
        curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
    }
}

/* --- callbacks, in the thread -------------------------------------------------------------------------------------- */

/* Which headers are kept, and where. */
static const struct {
    const char *name;
    size_t offset, size;
} kept_headers[] = {
#define KEPT(n, m)                                                                                           \
    {                                                                                                        \
        n, offsetof(struct http_answer, m), sizeof(((struct http_answer *)0)->m)                             \
    }
    KEPT("content-type", content_type),
    KEPT("content-range", content_range),
    KEPT("docker-content-digest", content_digest),
    KEPT("range", range),
    KEPT("location", location),
    KEPT("www-authenticate", challenge),
#undef KEPT
};

/* Several headers of one name are one with commas (RFC 9110, section 5.3). */
static bool keep_header(char *field, size_t size, const char *value, size_t n)
{
    size_t length = strlen(field), comma = length ? 2 : 0;

    if (length + comma + n + 1 > size)
        return false;
    memcpy(field + length, ", ", comma);
    memcpy(field + length + comma, value, n);
    field[length + comma + n] = '\0';
    return true;
}

/* An answer of 1xx comes before the one that counts; of each a status line comes first. */
static void status_line(struct http_exchange *x)
{
    char *body = x->answer.body;

    x->answer = (struct http_answer){.content_length = -1, .body = body};
    x->header_bytes = 0;
}

static size_t on_header(char *text, size_t one, size_t n, void *context)
{
    struct http_exchange *x = context;
    size_t length = n * one, name;
    const char *value;

    if (x->answered) /* a trailer: nobody waits for it, and the owner reads what is kept */
        return length;
    if (length > 5 && memcmp(text, "HTTP/", 5) == 0)
        status_line(x);
    x->header_bytes += length;
    if (x->header_bytes > HEADERS_MAX) {
        x->answer.too_large = true;
        return 0;
    }
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r' || text[length - 1] == ' '))
        length--;
    if (!(value = memchr(text, ':', length)))
        return n * one;
    name = (size_t)(value - text);
    for (value++; value < text + length && (*value == ' ' || *value == '\t');)
        value++;
    for (size_t i = 0; i < sizeof(kept_headers) / sizeof(kept_headers[0]); i++)
        if (strlen(kept_headers[i].name) == name && strncasecmp(text, kept_headers[i].name, name) == 0 &&
            !keep_header((char *)&x->answer + kept_headers[i].offset, kept_headers[i].size, value,
                         (size_t)(text + length - value))) {
            x->answer.too_large = true;
            return 0;
        }
    return n * one;
}

static void headers_are_here(struct http_exchange *x)
{
    long status = 0;
    curl_off_t length = -1;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    x->answer.status = (int)status;
    x->answer.content_length = length;
}

static bool streams(const struct http_exchange *x)
{
    return x->request.stream && (x->answer.status == 200 || x->answer.status == 206);
}

/* Into memory, which grows to its limit. */
static size_t collect(struct http_exchange *x, const char *data, size_t n)
{
    struct http_answer *r = &x->answer;
    bool good = r->status >= 200 && r->status < 300 && x->request.max_body;
    size_t limit = good ? x->request.max_body : ERROR_BODY_MAX, take = n;

    if (n > limit - r->body_length) {
        take = limit - r->body_length;
        if (good) {
            r->too_large = true;
            return 0;
        }
    }
    if (r->body_length + take + 1 > x->body_capacity) {
        size_t capacity = 2 * x->body_capacity + take + 1;
        char *body = realloc(r->body, capacity);
        if (!body)
            return 0;
        r->body = body;
        x->body_capacity = capacity;
    }
    memcpy(r->body + r->body_length, data, take);
    r->body_length += take;
    r->body[r->body_length] = '\0';
    return n;
}

static void ring_put(struct http_exchange *x, const char *data, size_t n)
{
    size_t tail = (x->head + x->used) % HTTP_RING, first = HTTP_RING - tail < n ? HTTP_RING - tail : n;

    memcpy(x->ring + tail, data, first);
    memcpy(x->ring, data + first, n - first);
    x->used += n;
}

static size_t on_body(char *data, size_t one, size_t n, void *context)
{
    struct http_exchange *x = context;
    size_t taken = n * one;

    pthread_mutex_lock(&x->http->lock);
    if (!x->answered)
        headers_are_here(x);
    if (!streams(x)) {
        taken = collect(x, data, taken);
    } else if (HTTP_RING - x->used < taken) {
        x->paused = true;
        taken = CURL_WRITEFUNC_PAUSE;
    } else {
        ring_put(x, data, taken);
    }
    if (streams(x) && (!x->answered || x->paused || x->used >= READ_MIN))
        pthread_cond_broadcast(&x->changed);
    x->answered = true;
    pthread_mutex_unlock(&x->http->lock);
    return taken;
}

static size_t on_upload(char *data, size_t one, size_t n, void *context)
{
    struct http_exchange *x = context;
    size_t room = n * one, given = 0;

    pthread_mutex_lock(&x->http->lock);
    while (given < room && x->used) {
        size_t part = HTTP_RING - x->head < x->used ? HTTP_RING - x->head : x->used;
        if (part > room - given)
            part = room - given;
        memcpy(data + given, x->ring + x->head, part);
        x->head = (x->head + part) % HTTP_RING;
        x->used -= part;
        given += part;
    }
    if (given == 0 && !x->ended) {
        x->paused = true;
        given = CURL_READFUNC_PAUSE;
    }
    if (HTTP_RING - x->used >= RING_LOW)
        pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->http->lock);
    return given;
}

/* --- exchanges ----------------------------------------------------------------------------------------------------- */

int http_exchange_init(struct http *h, struct http_exchange *x, struct error *err)
{
    *x = (struct http_exchange){.http = h, .easy = curl_easy_init()};
    pthread_cond_init(&x->changed, NULL);
    if (x->easy)
        return 0;
    http_exchange_destroy(x);
    return error_set(err, ENOMEM, "http");
}

void http_exchange_destroy(struct http_exchange *x)
{
    if (!x->http)
        return;
    http_abort(x);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    free(x->ring);
    free(x->answer.body);
    pthread_cond_destroy(&x->changed);
    *x = (struct http_exchange){0};
}

static const char *from_environment(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value == '/' ? value : NULL;
}

static void set_tls(CURL *easy, const struct http_tls *tls)
{
    const char *file = from_environment("SSL_CERT_FILE"), *directory = from_environment("SSL_CERT_DIR");

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->unverified ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->unverified ? 0L : 2L);
    if (file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    if (directory)
        curl_easy_setopt(easy, CURLOPT_CAPATH, directory);
    if (tls->ca) {
        struct curl_blob blob = {.data = (void *)tls->ca, .len = strlen(tls->ca), .flags = CURL_BLOB_COPY};
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (tls->certificate)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
    if (tls->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
}

/* No program that is run meanwhile shall have it. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)context, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Has the request a body that is written to it? */
static bool sends(const struct http_request *r)
{
    return r->method == HTTP_PUT || r->method == HTTP_PATCH;
}

static void set_method(CURL *easy, const struct http_request *r)
{
    switch (r->method) {
    case HTTP_GET:
        break;
    case HTTP_HEAD:
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        break;
    case HTTP_POST:
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)(r->form ? strlen(r->form) : 0));
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, r->form ? r->form : "");
        break;
    case HTTP_PATCH:
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PATCH");
        /* fall through */
    case HTTP_PUT:
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->upload_size);
        break;
    }
}

static int set_options(struct http_exchange *x, const struct http_request *r)
{
    CURL *easy = x->easy;

    curl_easy_reset(easy);
    curl_slist_free_all(steal_ptr(&x->headers));
    for (const char *const *header = r->headers; header && *header; header++) {
        struct curl_slist *more = curl_slist_append(x->headers, *header);
        if (!more)
            return -1;
        x->headers = more;
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, r->url) != CURLE_OK)
        return -1;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->answer.problem);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(easy, CURLOPT_READDATA, x);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hull");
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(r->stream || sends(r) ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SPEED_MIN);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(r->idle_seconds ? r->idle_seconds : HTTP_IDLE));
    set_tls(easy, r->tls);
    set_method(easy, r);
    return 0;
}

int http_begin(struct http_exchange *x, const struct http_request *request, struct error *err)
{
    struct http *h = x->http;
    char *body = x->answer.body;

    http_abort(x);
    x->answer = (struct http_answer){.content_length = -1, .body = body};
    if (body)
        *body = '\0';
    x->request = *request;
    x->answered = x->paused = x->ended = false;
    x->head = x->used = x->lent = x->header_bytes = 0;
    if ((request->stream || sends(request)) && !x->ring && !(x->ring = malloc(HTTP_RING)))
        return error_set(err, ENOMEM, "http");
    if (set_options(x, request) < 0)
        return error_set(err, 0, "\"%.200s\" is no URL", request->url);
    x->request.url = x->request.form = NULL;
    x->request.headers = NULL;
    x->request.tls = NULL;
    x->ended = !sends(request) || request->upload_size == 0;
    pthread_mutex_lock(&h->lock);
    if (h->cancelled) {
        pthread_mutex_unlock(&h->lock);
        return error_set(err, ECANCELED, "%s", "given up");
    }
    x->running = true;
    command(x, START);
    pthread_mutex_unlock(&h->lock);
    return 0;
}

/* Under the lock. */
static void resume(struct http_exchange *x)
{
    if (x->paused && x->running) {
        x->paused = false;
        command(x, RESUME);
    }
}

int http_write(struct http_exchange *x, const void *data, size_t length)
{
    const char *p = data;

    pthread_mutex_lock(&x->http->lock);
    while (length && x->running) {
        size_t n = HTTP_RING - x->used < length ? HTTP_RING - x->used : length;
        if (n == 0) {
            pthread_cond_wait(&x->changed, &x->http->lock);
            continue;
        }
        ring_put(x, p, n);
        p += n;
        length -= n;
        resume(x);
    }
    bool running = x->running;
    pthread_mutex_unlock(&x->http->lock);
    return running ? 0 : -1;
}

void http_wait(struct http_exchange *x)
{
    pthread_mutex_lock(&x->http->lock);
    x->ended = true;
    resume(x);
    while (x->running && !(x->answered && streams(x)))
        pthread_cond_wait(&x->changed, &x->http->lock);
    if (!x->answered && !x->running) { /* an answer without a body */
        headers_are_here(x);
        x->answered = true;
    }
    pthread_mutex_unlock(&x->http->lock);
}

size_t http_read(struct http_exchange *x, const void **data)
{
    pthread_mutex_lock(&x->http->lock);
    x->head = (x->head + x->lent) % HTTP_RING;
    x->used -= x->lent;
    if (HTTP_RING - x->used >= RING_LOW)
        resume(x);
    while (x->running && !x->paused && x->used < READ_MIN)
        pthread_cond_wait(&x->changed, &x->http->lock);
    x->lent = HTTP_RING - x->head < x->used ? HTTP_RING - x->head : x->used;
    *data = x->ring + x->head;
    size_t n = x->lent;
    pthread_mutex_unlock(&x->http->lock);
    return n;
}

void http_abort(struct http_exchange *x)
{
    pthread_mutex_lock(&x->http->lock);
    if (x->running)
        command(x, ABORT);
    while (x->running)
        pthread_cond_wait(&x->changed, &x->http->lock);
    pthread_mutex_unlock(&x->http->lock);
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

int http_start(struct http **out, struct error *err)
{
    struct http *h = calloc(1, sizeof(*h));
    pthread_condattr_t monotonic;
    sigset_t all, before;
    int code;

    if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(h->multi = curl_multi_init())) {
        free(h);
        return error_set(err, ENOMEM, "http");
    }
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->cancelling, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Signals are for the program's own threads; SIGPIPE, which TLS gets when a peer has gone, is for nobody. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&h->thread, NULL, serve, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code) {
        curl_multi_cleanup(h->multi);
        free(h);
        return error_set(err, code, "thread for http");
    }
    *out = h;
    return 0;
}

void http_cancel(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    h->cancelled = true;
    curl_multi_wakeup(h->multi);
    pthread_cond_broadcast(&h->cancelling);
    pthread_mutex_unlock(&h->lock);
}

bool http_cancelled(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    bool cancelled = h->cancelled;
    pthread_mutex_unlock(&h->lock);
    return cancelled;
}

void http_sleep(struct http *h, uint64_t ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(ms / 1000);
    end.tv_nsec += (long)(ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&h->lock);
    while (!h->cancelled && pthread_cond_timedwait(&h->cancelling, &h->lock, &end) == 0)
        ;
    pthread_mutex_unlock(&h->lock);
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    curl_multi_wakeup(h->multi);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    curl_multi_cleanup(h->multi);
    pthread_cond_destroy(&h->cancelling);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
