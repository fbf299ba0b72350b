/*
 * The grammar of references, read from the end: the digest after "@", the tag after the last ":" that no "/" follows,
 * then domain and path. Each part is checked by its own rule, so that the error can name the part.
 *
 * Sizes: path and domain 255 bytes together, tag 128.
 */
#include "images/reference.h"

#include <ctype.h>
#include <string.h>

#include "images/digest.h"

#define DOCKER "docker.io"

enum { TAG_MAX = 128 };

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* One component of a path: letters and digits with separators between: one ".", one or two "_", or any number of "-". */
static bool component_valid(const char *c, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t word = strspn(c + i, LOWER DIGITS);
        if (word == 0)
            return false;
        i += word;
        if (i >= n)
            return true;
        size_t dashes = strspn(c + i, "-"), underscores = strspn(c + i, "_");
        i += c[i] == '.' ? 1 : dashes ? dashes : underscores <= 2 ? underscores : 0;
        if (i >= n)
            return false;
    }
    return false;
}

static int check_path(const char *path, const char *text, struct error *err)
{
    for (const char *c = path;; c++) {
        size_t n = strcspn(c, "/");
        bool upper = strcspn(c, UPPER) < n;

        if (!component_valid(c, n))
            return error_set(
                err, 0,
                "image reference \"%.300s\": %s in \"%.*s\": a name is of a-z and 0-9, with . _ __ "
                "or - between%s",
                text, n ? "what is not allowed" : "nothing where a name should be", (int)n, c,
                upper ? " (no capital letters)" : "");
        c += n;
        if (!*c)
            return 0;
    }
}

static bool host_valid(const char *h, size_t n)
{
    bool letter_before = false;

    for (size_t i = 0; i < n; i++) {
        bool letter = isalnum((unsigned char)h[i]);
        bool joins = (h[i] == '-' || h[i] == '.') && letter_before && i + 1 < n;
        if (!letter && !joins && !(h[i] == '-' && i > 0 && h[i - 1] == '-'))
            return false;
        letter_before = letter;
    }
    return n > 0;
}

static bool ipv6_valid(const char *h, size_t n)
{
    return n > 2 && h[0] == '[' && h[n - 1] == ']' && strspn(h + 1, "0123456789abcdefABCDEF:") == n - 2;
}

static int check_domain(const char *domain, const char *text, struct error *err)
{
    const char *bracket = strchr(domain, ']');
    const char *port = strchr(bracket ? bracket : domain, ':');
    size_t n = port ? (size_t)(port - domain) : strlen(domain);
    size_t digits = port ? strspn(port + 1, DIGITS) : 0;

    if (!host_valid(domain, n) && !ipv6_valid(domain, n))
        return error_set(err, 0, "image reference \"%.300s\": \"%.*s\" is no registry's host name", text,
                         (int)n, domain);
    if (port && (digits == 0 || digits > 5 || port[1 + digits]))
        return error_set(err, 0, "image reference \"%.300s\": \"%s\" is no port", text, port + 1);
    return 0;
}

static int check_tag(const char *tag, const char *text, struct error *err)
{
    size_t n = strspn(tag, LOWER UPPER DIGITS "_.-");

    if (n == 0 || tag[n] || n > TAG_MAX || tag[0] == '.' || tag[0] == '-')
        return error_set(
            err, 0,
            "image reference \"%.300s\": \"%.140s\" is no tag: up to 128 of letters, digits and _ . -, "
            "not beginning with . or -",
            text, tag);
    return 0;
}

/* "alpine/git" is a path, "a.b/git", "a:1/git" and "localhost/git" begin with a domain. */
static bool is_domain(const char *first, size_t n)
{
    return memchr(first, '.', n) || memchr(first, ':', n) || (n == 9 && memcmp(first, "localhost", n) == 0) ||
           strcspn(first, UPPER) < n;
}

static void normalize(struct arena *a, struct reference *r)
{
    if (strcmp(r->domain, "index." DOCKER) == 0)
        r->domain = DOCKER;
    if (strcmp(r->domain, DOCKER) == 0 && !strchr(r->path, '/'))
        r->path = arena_printf(a, "library/%s", r->path);
}

int reference_parse(struct arena *a, const char *text, struct reference *out, struct error *err)
{
    struct reference r = {0};
    char *name = arena_strdup(a, text), *at = strchr(name, '@'), *slash, *colon;

    if (!*text)
        return error_set(err, 0,
                         "image reference: there is none: give a name like alpine or ghcr.io/o/n:tag");
    if (at) {
        *at = '\0';
        r.digest = at + 1;
        if (digest_check(r.digest, arena_printf(a, "image reference \"%.300s\"", text), err) < 0)
            return -1;
    }
    slash = strrchr(name, '/');
    colon = strrchr(slash ? slash : name, ':');
    if (colon) {
        *colon = '\0';
        r.tag = colon + 1;
        if (check_tag(r.tag, text, err) < 0)
            return -1;
    }
    if (strlen(name) > REFERENCE_MAX)
        return error_set(err, 0, "image reference \"%.300s\": the name is longer than %d bytes", text,
                         REFERENCE_MAX);
    slash = strchr(name, '/');
    r.path = name;
    if (slash && is_domain(name, (size_t)(slash - name))) {
        *slash = '\0';
        r.domain = name;
        r.path = slash + 1;
    }
    if ((r.domain && check_domain(r.domain, text, err) < 0) || check_path(r.path, text, err) < 0)
        return -1;
    if (!r.domain && strlen(r.path) == DIGEST_HEX && strspn(r.path, DIGITS "abcdef") == DIGEST_HEX)
        return error_set(
            err, 0, "image reference \"%.300s\": 64 hexadecimal digits are an image's id, not a name", text);
    if (r.domain)
        normalize(a, &r);
    *out = r;
    return 0;
}

struct reference reference_at(struct arena *a, const struct reference *r, const char *domain)
{
    struct reference full = *r;

    full.domain = domain;
    normalize(a, &full);
    return full;
}

void reference_default_tag(struct reference *r)
{
    if (!r->tag && !r->digest)
        r->tag = "latest";
}

char *reference_name(struct arena *a, const struct reference *r)
{
    return r->domain ? arena_printf(a, "%s/%s", r->domain, r->path) : arena_strdup(a, r->path);
}

char *reference_format(struct arena *a, const struct reference *r)
{
    return arena_printf(a, "%s%s%s%s%s", reference_name(a, r), r->tag ? ":" : "", r->tag ? r->tag : "",
                        r->digest ? "@" : "", r->digest ? r->digest : "");
}
