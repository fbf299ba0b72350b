/*
 * Who we are to a registry: Basic, or a Bearer token from the server that the registry names (the "token authentication" and
 * "OAuth 2" of the distribution project's specification). Without credentials the token is anonymous.
 *
 * Threads that are refused at the same time fetch one token: the first does so under the lock, and the others find that the
 * generation has moved on. User and password go to the token server over https only, unless the registry is insecure.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "images/challenge.h"
#include "images/registry_private.h"
#include "runtime/spec/decode.h"

enum { TOKEN_MAX = 64 << 10, WORDS_MAX = 300 };

/* --- what servers say ---------------------------------------------------------------------------------------------- */

struct said {
    char *message, *code;
};

struct answer {
    struct said *errors;
    size_t n_errors;
    char *token, *access_token;
    char *details, *description, *message; /* of token servers */
};

static const struct field said_table_fields[] = {
    STRING("message", struct said, message),
    STRING("code", struct said, code),
};
TABLE(said_table, ELEMENT(struct said));

static const struct field answer_table_fields[] = {
    LIST("errors", struct answer, errors, n_errors, &said_table), STRING("token", struct answer, token),
    STRING("access_token", struct answer, access_token),          STRING("details", struct answer, details),
    STRING("error_description", struct answer, description),      STRING("message", struct answer, message),
};
TABLE(answer_table);

/* What is of another type than it should be is as good as missing. */
static void decode_answer(struct arena *a, const struct http_answer *from, struct answer *out)
{
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .text = from->body, .complaints = &complaints};
    struct error ignored;
    struct json *json;

    *out = (struct answer){0};
    if (from->body_length && json_parse(a, from->body, from->body_length, "answer", &json, &ignored) == 0 &&
        json->type == JSON_OBJECT)
        decode_object(&decoder, NULL, json, &answer_table, out);
}

const char *registry_clean(struct arena *a, const char *text)
{
    size_t n = utf8_valid_prefix(text, strnlen(text, WORDS_MAX));
    char *out = arena_strndup(a, text, n);

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)out[i], next = (unsigned char)out[i + 1];
        bool c1 = c == 0xc2 && next < 0xa0; /* U+0080 to U+009F */
        if (c1)
            out[i + 1] = ' ';
        if (c1 || c < ' ' || c == 0x7f)
            out[i] = ' ';
    }
    return out;
}

const char *registry_words(struct arena *a, const struct http_answer *from)
{
    struct answer answer;
    struct buffer b = {.arena = a};

    decode_answer(a, from, &answer);
    for (size_t i = 0; i < answer.n_errors && b.length < WORDS_MAX; i++) {
        const char *words = answer.errors[i].message ? answer.errors[i].message : answer.errors[i].code;
        if (words)
            buffer_printf(&b, "%s%s", b.length ? "; " : "", registry_clean(a, words));
    }
    const char *other = answer.details       ? answer.details
                        : answer.description ? answer.description
                                             : answer.message;
    if (!b.length && other)
        buffer_puts(&b, registry_clean(a, other));
    return b.length ? arena_printf(a, " (%s)", b.data) : "";
}

/* --- tokens -------------------------------------------------------------------------------------------------------- */

static const char *basic(struct arena *a, const struct credentials *c)
{
    const char *text = arena_printf(a, "%s:%s", c->user, c->password);
    size_t n = strlen(text);
    unsigned char *base64 = arena_alloc(a, n / 3 * 4 + 5);

    EVP_EncodeBlock(base64, (const unsigned char *)text, (int)n);
    return arena_printf(a, "Authorization: Basic %s", base64);
}

static void add_parameter(struct buffer *b, const char *name, const char *value)
{
    char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;

    if (escaped)
        buffer_printf(b, "%s%s=%s", b->length ? "&" : "", name, escaped);
    curl_free(escaped);
}

/* What the registry says that its request needs; to push, one token shall do for all of it. @one: in one parameter. */
static void add_scopes(struct arena *a, const struct registry *r, const struct challenge *ch, bool one,
                       struct buffer *b)
{
    bool enough = ch->scope && (!r->for_push || strstr(ch->scope, "push"));
    char *scope = enough ? arena_strdup(a, ch->scope)
                  : *r->repository
                      ? arena_printf(a, "repository:%s:%s", r->repository, r->for_push ? "pull,push" : "pull")
                      : NULL;
    char *rest;

    if (one)
        add_parameter(b, "scope", scope);
    else if (scope)
        for (char *s = strtok_r(scope, " ", &rest); s; s = strtok_r(NULL, " ", &rest))
            add_parameter(b, "scope", s);
}

static void set_authorization(struct registry *r, const char *header)
{
    pthread_mutex_lock(&r->lock);
    free(r->authorization);
    r->authorization = strdup(header);
    r->generation++;
    pthread_mutex_unlock(&r->lock);
}

/* Characters that a header may hold, and no end of line. */
static bool is_token(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return false;
    return *text && strlen(text) < TOKEN_MAX;
}

static int take_token(struct registry *r, struct arena *a, const struct http_exchange *x, const char *realm,
                      struct error *err)
{
    struct answer answer;
    const char *token;

    decode_answer(a, &x->answer, &answer);
    token = answer.token ? answer.token : answer.access_token;
    if (!token || !is_token(token))
        return error_set(err, 0, "%s: no usable token in its answer", registry_clean(a, realm));
    set_authorization(r, arena_printf(a, "Authorization: Bearer %s", token));
    return 0;
}

static int call_token_server(struct registry *r, struct arena *a, const char *realm, struct call *c,
                             struct error *err)
{
    struct http_exchange x;
    struct retry retry = {0};
    enum outcome outcome;
    int result = -1;

    if (http_exchange_init(r->http, &x, err) < 0)
        return -1;
    while ((outcome = registry_try(r, &x, c, err)) == OUTCOME_AGAIN && registry_pause(r, &retry, c, err) == 0)
        ;
    if (outcome == OUTCOME_OK)
        result = take_token(r, a, &x, realm, err);
    http_exchange_destroy(&x);
    return result;
}

static int fetch_token(struct registry *r, struct arena *a, const struct challenge *ch, struct error *err)
{
    struct buffer parameters = {.arena = a};
    const char *realm = ch->realm;
    bool exchange = r->has_credentials && r->credentials.identity_token;
    struct call c = {.what = arena_printf(a, "token of %s", registry_clean(a, ch->realm)),
                     .token = true,
                     .max_body = TOKEN_MAX};

    if (strncasecmp(realm, "https://", 8) != 0 && !(r->insecure && strncasecmp(realm, "http://", 7) == 0))
        return error_set(err, 0,
                         "its token server %s is not at https://, which only an insecure registry's may be",
                         registry_clean(a, realm));
    if (exchange) {
        add_parameter(&parameters, "grant_type", "refresh_token");
        add_parameter(&parameters, "refresh_token", r->credentials.identity_token);
        add_parameter(&parameters, "client_id", "hull");
    }
    add_parameter(&parameters, "service", ch->service);
    add_scopes(a, r, ch, exchange, &parameters);
    if (exchange) {
        c.method = HTTP_POST;
        c.url = realm;
        c.form = parameters.data;
    } else {
        if (r->has_credentials) {
            add_parameter(&parameters, "account", r->credentials.user);
            c.authorization = basic(a, &r->credentials);
        }
        c.url = parameters.length
                    ? arena_printf(a, "%s%s%s", realm, strchr(realm, '?') ? "&" : "?", parameters.data)
                    : realm;
    }
    return call_token_server(r, a, realm, &c, err);
}

static int become_basic(struct registry *r, struct arena *a, struct error *err)
{
    if (!r->has_credentials || !r->credentials.user) {
        error_set(err, 0, "it wants a user and a password; see hull login");
        err->code = EACCES;
        return -1;
    }
    set_authorization(r, basic(a, &r->credentials));
    return 0;
}

static int authenticate(struct registry *r, struct arena *a, const char *text, struct error *err)
{
    struct challenge ch = challenge_parse(a, text);

    switch (ch.scheme) {
    case CHALLENGE_BASIC:
        return become_basic(r, a, err);
    case CHALLENGE_BEARER:
        return fetch_token(r, a, &ch, err);
    default:
        return error_set(err, 0, "401, without a WWW-Authenticate that says Basic or Bearer");
    }
}

int registry_authenticate(struct registry *r, const char *challenge, unsigned seen, struct error *err)
{
    struct arena a = {0};
    int result = 0;

    pthread_mutex_lock(&r->authenticating);
    pthread_mutex_lock(&r->lock);
    bool stale = r->generation == seen;
    pthread_mutex_unlock(&r->lock);
    if (stale)
        result = authenticate(r, &a, challenge, err);
    pthread_mutex_unlock(&r->authenticating);
    arena_free(&a);
    return result;
}
