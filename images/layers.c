/*
 * The pipeline. A few workers take layers, base first. In each, a thread of its own reads, counts, hashes and decompresses
 * ahead (ring.h), while the worker hashes what comes out and unpacks it.
 *
 * Two processes that want the same layer: one unpacks, under the lock of the layer's ChainID, the other waits for the
 * lock and finds the layer there. That nobody waits in a circle: a worker that holds a lock waits, if ever, for layers that
 * lie below its own (a hard link into them), and what lies below has a ChainID that was hashed before; besides, workers
 * take layers base first, so whatever anyone waits for is in some worker's hands.
 *
 * A layer that does not describe all its directories does not wait for those below while it is unpacked, but guesses what
 * they are (unpack_guess.c); where that was wrong it is fetched once more, and waits.
 *
 * Threads share the store's directory, but neither its arena nor its lock: each has a copy of both structures with an
 * arena of its own, and calls nothing that takes store_lock(); what has to, is done before they begin.
 */
#include "images/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "images/ring.h"
#include "images/store_private.h"
#include "images/unpack.h"

enum { WORKERS_MIN = 2, WORKERS_MAX = 6, RECORD_MAX = 64 << 10 };

enum layer_state { LAYER_WAITS, LAYER_THERE, LAYER_FAILED };

struct fetch {
    struct session *session;
    struct origin *origin;
    struct layer *layers;
    size_t n;
    const struct layers_options *options;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    size_t next;              /* layer that no worker has taken */
    enum layer_state *states; /* a layer's */
    bool failed;
    struct error error; /* the first one */
};

/* One worker's own. */
struct worker {
    struct fetch *fetch;
    struct arena arena;
    struct store store;
    struct session session;
    pthread_t thread;
    size_t at; /* the layer in hand */
};

int layer_chain_id(const char *below, const char *diff_id, char chain[DIGEST_SIZE], struct error *err)
{
    char text[2 * DIGEST_SIZE];

    if (!below) {
        memcpy(chain, diff_id, DIGEST_SIZE);
        return 0;
    }
    snprintf(text, sizeof(text), "%s %s", below, diff_id);
    return digest_compute(text, strlen(text), chain, err);
}

/* --- layer.json ---------------------------------------------------------------------------------------------------- */

static int write_record(struct worker *w, int dir, const struct layer *l, const struct unpack_result *r,
                        struct error *err)
{
    struct json_writer j = json_writer_begin(&w->arena, false);
    size_t length;

    json_object(&j);
    json_key(&j, "diffID");
    json_string(&j, l->seen_diff_id);
    json_key(&j, "digest");
    json_string(&j, l->seen_digest);
    json_key(&j, "size");
    json_uint(&j, l->seen_size);
    json_key(&j, "mediaType");
    json_string(&j, l->blob.media_type ? l->blob.media_type : MEDIA_OCI_LAYER);
    json_key(&j, "bytes");
    json_uint(&j, r->bytes);
    json_key(&j, "depends");
    json_bool(&j, r->depends);
    if (r->root_given) {
        json_key(&j, "root");
        json_object(&j);
        json_key(&j, "mode");
        json_uint(&j, r->root.st_mode & 07777);
        json_key(&j, "uid");
        json_uint(&j, r->root.st_uid);
        json_key(&j, "gid");
        json_uint(&j, r->root.st_gid);
        json_object_end(&j);
    }
    json_object_end(&j);
    const char *text = json_writer_end(&j, &length);
    if (store_write_synced(dir, "layer.json", text, length) < 0)
        return error_set(err, errno, "write layer.json");
    return 0;
}

int layer_record_read(const struct store *s, const char *key, struct layer_record *out, struct error *err)
{
    const char *path = arena_printf(s->arena, STORE_LAYERS "/%s/layer.json", key);
    const struct json *root;
    struct json *json;
    char *text;
    size_t length;

    if (file_read(s->dir, path, RECORD_MAX, s->arena, &text, &length, err) < 0 ||
        json_parse(s->arena, text, length, path, &json, err) < 0)
        return error_wrap(err, "image store %s", s->path);
    root = json_get(json, "root");
    *out = (struct layer_record){.diff_id = json_get_string(json, "diffID"),
                                 .digest = json_get_string(json, "digest"),
                                 .media_type = json_get_string(json, "mediaType"),
                                 .size = json_get_u64(json, "size"),
                                 .bytes = json_get_u64(json, "bytes"),
                                 .depends = json_get_bool(json, "depends"),
                                 .root_given = root != NULL,
                                 .root_mode = (uint32_t)json_get_u64(root, "mode"),
                                 .root_uid = (uint32_t)json_get_u64(root, "uid"),
                                 .root_gid = (uint32_t)json_get_u64(root, "gid")};
    if (!out->diff_id || !digest_valid(out->diff_id) || !out->digest || !digest_valid(out->digest))
        return error_set(err, 0, "image store %s: %s is damaged: remove the image and pull it again", s->path,
                         path);
    return 0;
}

/* --- one layer's way ----------------------------------------------------------------------------------------------- */

/* Counts for the display, stops at a byte too many, and when another layer has failed. */
struct counted_source {
    struct source source, *from;
    struct fetch *fetch;
    struct layer *layer;
};

static bool has_failed(struct fetch *f)
{
    pthread_mutex_lock(&f->mutex);
    bool failed = f->failed;
    pthread_mutex_unlock(&f->mutex);
    return failed;
}

static ssize_t counted_read(struct source *s, const void **data, struct error *err)
{
    struct counted_source *c = (struct counted_source *)s;
    ssize_t n = has_failed(c->fetch) ? error_set(err, ECANCELED, "%s", c->layer->what)
                                     : c->from->read(c->from, data, err);

    if (n <= 0)
        return n;
    uint64_t done = atomic_fetch_add(&c->layer->bar.done, (uint64_t)n) + (uint64_t)n;
    if (c->layer->blob.digest && done > c->layer->blob.size)
        return error_set(err, 0, "more came than the %llu bytes that the manifest says",
                         (unsigned long long)c->layer->blob.size);
    return n;
}

struct pipeline {
    struct counted_source counted;
    struct hash_source compressed, tar;
    struct decompress_source plain;
    struct ring_source ring;
};

static int pipeline_start(struct pipeline *p, struct fetch *f, struct layer *l, struct source *from,
                          struct error *err)
{
    p->counted = (struct counted_source){.source.read = counted_read, .from = from, .fetch = f, .layer = l};
    if (hash_source_init(&p->compressed, &p->counted.source, err) < 0 ||
        decompress_source_init(&p->plain, &p->compressed.source, err) < 0 ||
        ring_source_init(&p->ring, &p->plain.source, err) < 0)
        return -1;
    return hash_source_init(&p->tar, &p->ring.source, err);
}

static void pipeline_stop(struct pipeline *p)
{
    ring_source_stop(&p->ring);
    hash_source_destroy(&p->tar);
    decompress_source_destroy(&p->plain);
    hash_source_destroy(&p->compressed);
}

static int check_promise(const char *kind, const char *seen, const char *promised, struct error *err)
{
    if (promised && strcmp(seen, promised) != 0)
        return error_set(err, 0, "what came has %s %s, but %s was promised: it is damaged or forged", kind,
                         seen, promised);
    return 0;
}

/* Unpacking failed: if the bytes were not those that the manifest means, that is the reason to tell. */
static int blame(struct pipeline *p, struct layer *l, struct error *err)
{
    struct error other;
    const void *data;
    ssize_t n;

    ring_source_stop(&p->ring);
    if (!l->blob.digest || p->ring.failed)
        return -1;
    do {
        n = p->compressed.source.read(&p->compressed.source, &data, &other);
    } while (n > 0);
    if (n == 0 && hash_source_digest(&p->compressed, l->seen_digest, &other) == 0 &&
        check_promise("digest", l->seen_digest, l->blob.digest, &other) < 0)
        *err = other;
    return -1;
}

/* Whoever stops before the end of a stream that goes on has not hashed all of it. */
static int verify(struct pipeline *p, struct layer *l, struct error *err)
{
    ring_source_stop(&p->ring);
    l->seen_size = p->compressed.bytes;
    if (hash_source_digest(&p->compressed, l->seen_digest, err) < 0 ||
        hash_source_digest(&p->tar, l->seen_diff_id, err) < 0 ||
        check_promise("digest", l->seen_digest, l->blob.digest, err) < 0)
        return -1;
    if (!l->blob.digest) { /* nobody asked for these bytes as they were compressed: a plain tar, then */
        memcpy(l->seen_digest, l->seen_diff_id, DIGEST_SIZE);
        l->seen_size = p->tar.bytes;
    }
    return check_promise("diff_id", l->seen_diff_id, l->diff_id, err);
}

/* What unpack_layer() needs of the layers below: all of them, so it waits for them. */
static int give_below(void *context, struct stack *below, struct error *err)
{
    struct worker *w = context;
    struct fetch *f = w->fetch;
    bool failed = false;

    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < w->at; i++)
        while (!(failed = f->failed) && f->states[i] == LAYER_WAITS)
            pthread_cond_wait(&f->changed, &f->mutex);
    pthread_mutex_unlock(&f->mutex);
    if (failed)
        return error_set(err, ECANCELED, "%s", f->layers[w->at].what);
    for (size_t i = w->at; i-- > 0;) {
        const char *path = arena_printf(&w->arena, STORE_LAYERS "/%s/tree", f->layers[i].key);

        if (below->n == STACK_MAX_TREES)
            return error_set(err, 0, "more than %d layers", STACK_MAX_TREES);
        below->trees[below->n] = openat(w->store.dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (below->trees[below->n] < 0)
            return error_set(err, errno, "open %s", path);
        below->n++;
    }
    return 0;
}

/* *wrong: it failed, but may not without guesses. */
static int unpack_into(struct worker *w, struct layer *l, struct source *from, int dir, bool may_guess,
                       bool *wrong, struct error *err)
{
    _cleanup_(fd_closep) int skeleton = -1;
    struct unpack_options o = {.user_namespace = w->fetch->options->user_namespace,
                               .below = give_below,
                               .context = w,
                               .may_guess = may_guess,
                               .keep_skeleton = true};
    struct unpack_result result = {0};
    struct pipeline p = {0};
    _cleanup_(fd_closep) int tree = -1;
    int rc;

    *wrong = false;
    if (mkdirat(dir, "tree", 0755) < 0 ||
        (tree = openat(dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_set(err, errno, "make the layer's directory");
    if (mkdirat(dir, "skeleton", 0700) < 0 ||
        (skeleton = openat(dir, "skeleton", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_set(err, errno, "make the layer's directory");
    o.skeleton = skeleton;
    rc = pipeline_start(&p, w->fetch, l, from, err);
    if (rc == 0 && (rc = unpack_layer(&p.tar.source, tree, &o, &result, err)) < 0)
        rc = blame(&p, l, err);
    *wrong = rc < 0 && result.guessed_wrong;
    if (rc == 0)
        rc = verify(&p, l, err);
    pipeline_stop(&p);
    if (rc < 0 || write_record(w, dir, l, &result, err) < 0)
        return -1;
    if (!result.depends || w->at == 0) /* else it stays what prepare() made it: the ChainID's digits */
        memcpy(l->key, digest_hex(l->seen_diff_id), DIGEST_HEX + 1);
    return 0;
}

/* A layer that does not describe all its directories fits nowhere but where it was unpacked; at the base, its diff_id is
 * its ChainID. */
static bool is_present(struct worker *w, struct layer *l)
{
    struct layer_record record;
    const char *own = digest_hex(l->diff_id);

    if (store_layer_exists(&w->store, own) && layer_record_read(&w->store, own, &record, NULL) == 0 &&
        (w->at == 0 || !record.depends)) {
        memcpy(l->key, own, DIGEST_HEX + 1);
        return true;
    }
    return store_layer_exists(&w->store, l->key);
}

/* Into the session's directory @name, which is made. */
static int fetch_into(struct worker *w, struct layer *l, const char *name, bool may_guess, bool *wrong,
                      struct error *err)
{
    struct origin *origin = w->fetch->origin;
    struct source *from;
    int rc;

    *wrong = false;
    if (mkdirat(w->session.dir, name, 0700) < 0)
        return error_set(err, errno, "make the layer's directory");
    _cleanup_(fd_closep) int dir = openat(w->session.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set(err, errno, "open the layer's directory");
    if (origin->open(origin, &l->blob, &from, err) < 0)
        return -1;
    rc = unpack_into(w, l, from, dir, may_guess, wrong, err);
    origin->close(origin, from);
    return rc;
}

static int fetch_unlocked(struct worker *w, struct layer *l, struct error *err)
{
    char name[32];
    bool wrong;
    int rc;

    if (l->diff_id && is_present(w, l)) {
        atomic_store(&l->bar.state, BAR_PRESENT);
        return 0;
    }
    snprintf(name, sizeof(name), "layer-%zu", w->at);
    rc = fetch_into(w, l, name, w->at > 0, &wrong, err);
    if (wrong) {
        log_debug("%s: %s", l->what, err->message);
        atomic_store(&l->bar.done, 0);
        rc = file_remove_tree(w->session.dir, name, err);
        if (rc == 0)
            rc = fetch_into(w, l, name, false, &wrong, err);
    }
    if (rc == 0 && !l->diff_id) /* such a layer comes alone, so no other thread has the store's lock */
        rc = session_use(&w->session, l->key, err);
    if (rc == 0)
        rc = session_commit_layer(&w->session, name, l->key, err);
    return rc;
}

static int fetch_layer(struct worker *w, struct layer *l, struct error *err)
{
    _cleanup_(fd_closep) int lock = -1;

    if (l->diff_id && session_lock_layer(&w->session, l->key, &lock, err) < 0)
        return -1;
    atomic_store(&l->bar.state, BAR_WORKS);
    if (fetch_unlocked(w, l, err) < 0)
        return error_wrap(err, "%s (%s)", l->what, l->bar.name);
    if (atomic_load(&l->bar.state) == BAR_WORKS)
        atomic_store(&l->bar.state, BAR_DONE);
    return 0;
}

/* --- the workers --------------------------------------------------------------------------------------------------- */

static bool take(struct worker *w)
{
    struct fetch *f = w->fetch;
    bool found;

    pthread_mutex_lock(&f->mutex);
    found = !f->failed && f->next < f->n;
    if (found)
        w->at = f->next++;
    pthread_mutex_unlock(&f->mutex);
    return found;
}

static void finish(struct worker *w, int rc, const struct error *e)
{
    struct fetch *f = w->fetch;
    bool first = false;

    pthread_mutex_lock(&f->mutex);
    f->states[w->at] = rc < 0 ? LAYER_FAILED : LAYER_THERE;
    if (rc < 0 && !f->failed) {
        first = f->failed = true;
        f->error = *e;
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    if (first && f->origin->cancel)
        f->origin->cancel(f->origin);
}

static void *work(void *argument)
{
    struct worker *w = argument;

    while (take(w)) {
        struct error e = {0};
        int rc = fetch_layer(w, &w->fetch->layers[w->at], &e);

        if (rc < 0)
            atomic_store(&w->fetch->layers[w->at].bar.state, BAR_FAILED);
        finish(w, rc, &e);
    }
    arena_free(&w->arena);
    return NULL;
}

/* Names, keys and marks of use: what needs the store's lock or is simpler alone. */
static int prepare(struct fetch *f, struct error *err)
{
    struct arena *a = f->session->store->arena;
    char chain[DIGEST_SIZE], next[DIGEST_SIZE];

    for (size_t i = 0; i < f->n; i++) {
        struct layer *l = &f->layers[i];
        const char *name = l->blob.digest ? l->blob.digest : l->diff_id;

        l->what = arena_printf(a, "layers[%zu]", i);
        snprintf(l->bar.name, sizeof(l->bar.name), "%.12s", name ? digest_hex(name) : "tar");
        l->bar.total = l->blob.size;
        if (!l->diff_id)
            continue;
        if (layer_chain_id(i ? chain : NULL, l->diff_id, next, err) < 0 ||
            session_use(f->session, digest_hex(l->diff_id), err) < 0 ||
            session_use(f->session, digest_hex(next), err) < 0)
            return -1;
        memcpy(chain, next, DIGEST_SIZE);
        memcpy(l->key, digest_hex(chain), DIGEST_HEX + 1);
    }
    return 0;
}

static size_t count_workers(size_t n)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN) + 1;
    size_t workers = cpus < WORKERS_MIN ? WORKERS_MIN : cpus > WORKERS_MAX ? WORKERS_MAX : (size_t)cpus;

    return workers < n ? workers : n;
}

static int run_workers(struct fetch *f, struct error *err)
{
    struct worker workers[WORKERS_MAX];
    size_t n = count_workers(f->n), started = 0;

    for (; started < n; started++) {
        struct worker *w = &workers[started];

        *w = (struct worker){.fetch = f, .store = *f->session->store, .session = *f->session};
        w->store.arena = &w->arena;
        w->session.store = &w->store;
        int rc = pthread_create(&w->thread, NULL, work, w);
        if (rc && started == 0)
            return error_set(err, rc, "start a thread");
        if (rc)
            break; /* fewer will do */
    }
    while (started-- > 0)
        pthread_join(workers[started].thread, NULL);
    if (!f->failed)
        return 0;
    *err = f->error;
    return -1;
}

int layers_fetch(struct session *session, struct origin *origin, struct layer *layers, size_t n,
                 const struct layers_options *o, struct error *err)
{
    struct arena *a = session->store->arena;
    struct fetch f = {.session = session,
                      .origin = origin,
                      .layers = layers,
                      .n = n,
                      .options = o,
                      .mutex = PTHREAD_MUTEX_INITIALIZER,
                      .changed = PTHREAD_COND_INITIALIZER,
                      .states = arena_new_n(a, n, enum layer_state)};
    struct bar **bars = arena_new_n(a, n, struct bar *);
    struct progress *progress;
    int rc;

    if (prepare(&f, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        bars[i] = &layers[i].bar;
    progress = progress_begin(o->progress, "unpacked", bars, n);
    rc = n ? run_workers(&f, err) : 0;
    progress_end(progress);
    return rc;
}
