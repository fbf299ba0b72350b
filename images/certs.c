/*
 * certs.d; see certs.h. libcurl takes authorities in place of the system's, not besides them, so both are joined here, and only for
 * the registries that have some of their own.
 */
#include "images/certs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"

enum { CERTIFICATE_MAX = 1 << 20, BUNDLE_MAX = 8 << 20 };

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);

    return n > s && strcmp(name + n - s, suffix) == 0;
}

static int is_certificate(const struct dirent *e)
{
    return e->d_name[0] != '.' &&
           (ends_with(e->d_name, ".crt") || ends_with(e->d_name, ".cert") || ends_with(e->d_name, ".key"));
}

static int add_authority(struct buffer *b, const char *path, size_t max, struct error *err)
{
    char *text;
    size_t length;

    if (file_read(AT_FDCWD, path, max, b->arena, &text, &length, err) < 0)
        return -1;
    if (!strstr(text, "-----BEGIN "))
        return error_set(err, 0, "%s: no certificate in PEM form", path);
    buffer_add(b, text, length);
    buffer_puts(b, "\n");
    return 0;
}

/* NAME.cert with NAME.key: the one without the other is a mistake that should be told. */
static int take_pair(struct arena *a, const char *directory, const char *name, struct http_tls *tls,
                     struct error *err)
{
    bool is_key = ends_with(name, ".key");
    const char *stem = arena_strndup(a, name, strlen(name) - (is_key ? 4 : 5));
    const char *certificate = arena_printf(a, "%s/%s.cert", directory, stem),
               *key = arena_printf(a, "%s/%s.key", directory, stem);

    if (access(is_key ? certificate : key, R_OK) < 0)
        return error_set(err, errno, "%s/%s needs %s beside it", directory, name, is_key ? certificate : key);
    if (!tls->certificate) {
        tls->certificate = certificate;
        tls->key = key;
    }
    return 0;
}

static int load_directory(struct arena *a, const char *directory, struct dirent **list, int n,
                          struct http_tls *tls, struct error *err)
{
    struct buffer ca = {.arena = a};
    const char *own = getenv("SSL_CERT_FILE"),
               *system = own && *own ? own : curl_version_info(CURLVERSION_NOW)->cainfo;
    struct error ignored;

    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        int result = ends_with(name, ".crt")
                         ? add_authority(&ca, arena_printf(a, "%s/%s", directory, name), CERTIFICATE_MAX, err)
                         : take_pair(a, directory, name, tls, err);
        if (result < 0)
            return -1;
    }
    if (!ca.data)
        return 0;
    if (system)
        add_authority(&ca, system, BUNDLE_MAX, &ignored); /* a system may have none */
    tls->ca = ca.data;
    return 0;
}

/* #syscalls: openat read fstat newfstatat getdents64 lseek close faccessat faccessat2 */
int certs_load(struct arena *a, const char *directory, const char *host, struct http_tls *tls,
               struct error *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    const char *places[] = {
        directory,
        config && *config == '/' ? arena_printf(a, "%s/containers/certs.d/%s", config, host)
        : home && *home == '/'   ? arena_printf(a, "%s/.config/containers/certs.d/%s", home, host)
                                 : NULL,
        arena_printf(a, "/etc/containers/certs.d/%s", host),
        arena_printf(a, "/etc/docker/certs.d/%s", host),
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct dirent **list = NULL;
        int n = places[i] ? scandir(places[i], &list, is_certificate, alphasort) : -1, result;
        if (n < 0 && (!places[i] || (i > 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))))
            continue;
        if (n < 0)
            return error_set(err, errno, "%s", places[i]);
        result = load_directory(a, places[i], list, n, tls, err);
        for (int k = 0; k < n; k++)
            free(list[k]);
        free(list);
        return result;
    }
    return 0;
}
