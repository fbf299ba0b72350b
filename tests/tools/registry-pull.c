/*
 * The registry client by itself, for tests/integration/registry.bats: pull into and push from a directory in which each blob is a
 * file called by its digest's digits, and the manifest is "manifest".
 *
 *     registry-pull [-a AUTHFILE] [-c CERT_DIR] [-k] [-r RETRY_MS] [-t IDLE_SECONDS] [-m MOUNT_FROM]
 *                   pull REFERENCE DIR | push REFERENCE DIR | login HOST USER <PASSWORD | logout HOST
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "images/auth.h"
#include "images/remote.h"

static struct arena arena;
static struct remote remote;
static struct registry_settings settings;
static const char *mount_from;

/* --- pull ---------------------------------------------------------------------------------------------------------- */

struct download {
    struct remote_image *image;
    const struct descriptor *blob;
    const char *directory;
    pthread_t thread;
    struct error error;
    int result;
};

static int copy_blob(struct hash_source *h, int fd, const struct descriptor *blob, struct error *err)
{
    char digest[DIGEST_SIZE];
    const void *data;
    ssize_t n;

    while ((n = h->source.read(&h->source, &data, err)) > 0)
        if (fd_write_all(fd, data, (size_t)n) < 0)
            return error_set(err, errno, "write");
    if (n < 0 || hash_source_digest(h, digest, err) < 0)
        return -1;
    if (strcmp(digest, blob->digest) != 0)
        return error_set(err, 0, "blob %s came with the digest %s", blob->digest, digest);
    return 0;
}

static int download_blob(struct download *d, int directory, struct error *err)
{
    struct source *s = NULL;
    struct hash_source hash = {0};
    _cleanup_(fd_closep) int fd =
        openat(directory, digest_hex(d->blob->digest), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int result;

    if (fd < 0)
        return error_set(err, errno, "%s/%s", d->directory, digest_hex(d->blob->digest));
    if (d->image->origin.open(&d->image->origin, d->blob, &s, err) < 0)
        return -1;
    result = hash_source_init(&hash, s, err) < 0 ? -1 : copy_blob(&hash, fd, d->blob, err);
    if (result == 0 && registry_blob_received(s) != d->blob->size)
        result = error_set(err, 0, "%llu bytes counted", (unsigned long long)registry_blob_received(s));
    hash_source_destroy(&hash);
    d->image->origin.close(&d->image->origin, s);
    if (result < 0)
        unlinkat(directory, digest_hex(d->blob->digest), 0);
    return result;
}

static void *download(void *context)
{
    struct download *d = context;
    _cleanup_(fd_closep) int directory = open(d->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    d->result = directory < 0 ? error_set(&d->error, errno, "%s", d->directory)
                              : download_blob(d, directory, &d->error);
    if (d->result < 0)
        http_cancel(remote.http); /* the others need not go on */
    return NULL;
}

static int save(const char *directory, const char *name, const char *data, size_t length, struct error *err)
{
    return file_replace(AT_FDCWD, arena_printf(&arena, "%s/%s", directory, name), 0644, data, length, err);
}

static int download_layers(struct remote_image *r, const struct manifest *m, const char *directory,
                           struct error *err)
{
    struct download *list = arena_new_n(&arena, m->n_layers + 1, struct download);
    int result = 0;

    for (size_t i = 0; i < m->n_layers; i++) {
        list[i] = (struct download){.image = r, .blob = &m->layers[i], .directory = directory};
        pthread_create(&list[i].thread, NULL, download, &list[i]);
    }
    for (size_t i = 0; i < m->n_layers; i++) {
        pthread_join(list[i].thread, NULL);
        if (list[i].result < 0 && (result == 0 || err->code == ECANCELED)) {
            *err = list[i].error;
            result = -1;
        }
    }
    return result;
}

static int pull_into(struct remote_image *r, const char *directory, struct error *err)
{
    const struct platform host = platform_host();
    const struct descriptor *chosen;
    char *text = r->manifest.data, *config;
    size_t length = r->manifest.length;
    struct manifest m;

    if (manifest_parse(&arena, text, length, r->manifest.media_type, &m, err) < 0)
        return -1;
    if (m.is_index) {
        if (!(chosen = manifest_choose(&arena, &m, &host, err)) ||
            r->origin.document(&r->origin, &arena, chosen, &text, &length, err) < 0 ||
            manifest_parse(&arena, text, length, chosen->media_type, &m, err) < 0)
            return -1;
    }
    if (save(directory, "manifest", text, length, err) < 0 ||
        r->origin.document(&r->origin, &arena, &m.config, &config, &length, err) < 0 ||
        save(directory, digest_hex(m.config.digest), config, length, err) < 0 ||
        download_layers(r, &m, directory, err) < 0)
        return -1;
    printf("%s %s\n", reference_format(&arena, &r->reference), r->manifest.digest);
    return 0;
}

static int pull(char *const *argv, struct error *err)
{
    struct remote_image image;
    int result;

    if (remote_find(&remote, argv[0], NULL, &image, err) < 0)
        return -1;
    result = pull_into(&image, argv[1], err);
    remote_image_close(&image);
    return result;
}

/* --- push ---------------------------------------------------------------------------------------------------------- */

struct upload_file {
    const char *path;
    struct file_source file;
};

static int open_file(void *context, uint64_t offset, struct source **out, struct error *err)
{
    struct upload_file *u = context;
    int fd = open(u->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || lseek(fd, (off_t)offset, SEEK_SET) < 0)
        return error_set(err, errno, "%s", u->path);
    *out = &u->file.source;
    return file_source_init(&u->file, fd, err);
}

static void close_file(void *context, struct source *s)
{
    struct upload_file *u = context;

    (void)s;
    close(u->file.fd);
    file_source_destroy(&u->file);
}

static int push_blob(struct registry *r, const struct descriptor *d, const char *directory, struct error *err)
{
    static const char *const words[] = {"sent", "there", "mounted"};
    struct upload_file file = {.path = arena_printf(&arena, "%s/%s", directory, digest_hex(d->digest))};
    struct registry_upload upload = {.digest = d->digest,
                                     .size = d->size,
                                     .mount_from = mount_from,
                                     .open = open_file,
                                     .close = close_file,
                                     .context = &file};
    int result = registry_push_blob(r, &upload, err);

    if (result >= 0)
        printf("%s %s\n", d->digest, words[result]);
    return result < 0 ? -1 : 0;
}

static int push_from(struct registry *r, const char *tag, const char *directory, struct error *err)
{
    struct manifest m;
    char *text;
    size_t length;

    if (file_read(AT_FDCWD, arena_printf(&arena, "%s/manifest", directory), REGISTRY_MANIFEST_MAX, &arena,
                  &text, &length, err) < 0 ||
        manifest_parse(&arena, text, length, NULL, &m, err) < 0 ||
        push_blob(r, &m.config, directory, err) < 0)
        return -1;
    for (size_t i = 0; i < m.n_layers; i++)
        if (push_blob(r, &m.layers[i], directory, err) < 0)
            return -1;
    return registry_push_manifest(r, tag, m.media_type, text, length, err);
}

static int push(char *const *argv, struct error *err)
{
    struct reference ref;
    struct registry *r;
    int result;

    if (remote_open_for_push(&remote, argv[0], &ref, &r, err) < 0)
        return -1;
    result = push_from(r, ref.tag, argv[1], err);
    registry_close(r);
    return result;
}

/* --- login --------------------------------------------------------------------------------------------------------- */

static int login(char *const *argv, struct error *err)
{
    char password[256] = "";
    struct credentials c = {.user = argv[1], .password = password};

    if (!fgets(password, sizeof(password), stdin))
        return error_set(err, 0, "no password on standard input");
    password[strcspn(password, "\n")] = '\0';
    remote.settings.credentials = &c;
    if (remote_check_login(&remote, argv[0], err) < 0)
        return -1;
    return auth_store(&arena, settings.authfile, argv[0], &c, err);
}

static int logout(char *const *argv, struct error *err)
{
    int found = auth_erase(&arena, settings.authfile, argv[0], err);

    if (found >= 0)
        puts(found ? "removed" : "not there");
    return found < 0 ? -1 : 0;
}

/* ------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int arguments;
    int (*run)(char *const *argv, struct error *err);
} commands[] = {{"pull", 2, pull}, {"push", 2, push}, {"login", 2, login}, {"logout", 1, logout}};

static int run(int argc, char **argv, struct error *err)
{
    for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(commands); i++)
        if (strcmp(argv[0], commands[i].name) == 0 && argc == 1 + commands[i].arguments)
            return commands[i].run(argv + 1, err);
    return error_set(err, 0,
                     "pull REFERENCE DIR, push REFERENCE DIR, login HOST USER or logout HOST is expected");
}

int main(int argc, char **argv)
{
    static struct error err;
    int option, result;

    while ((option = getopt(argc, argv, "a:c:kr:t:m:")) != -1) {
        if (option == 'a')
            settings.authfile = optarg;
        else if (option == 'c')
            settings.cert_dir = optarg;
        else if (option == 'k')
            settings.tls_verify = TLS_ANYTHING;
        else if (option == 'r')
            settings.retry_ms = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 't')
            settings.idle_seconds = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'm')
            mount_from = optarg;
        else
            return 2;
    }
    result =
        remote_start(&remote, &arena, &settings, &err) < 0 ? -1 : run(argc - optind, argv + optind, &err);
    remote_stop(&remote);
    arena_free(&arena);
    if (result < 0)
        fprintf(stderr, "registry-pull: %s\n", err.message);
    return result < 0;
}
