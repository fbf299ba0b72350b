/*
 * -v, --mount and --tmpfs of `run --image`, in the forms of podman and docker. Each becomes a mount of config.json; what can be
 * known only with the store at hand (volumes, other images) or the user namespace (owners) is left for image_volumes.c.
 *
 * Which mount options there are is the runtime's knowledge (namespaces/mount_options.h); here are those that are not the
 * kernel's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/path.h"
#include "cli/run_image.h"
#include "images/volume.h"
#include "namespaces/mount_options.h"

enum { IDMAPS_MAX = 340 /* user_namespaces(7) */ };

/* What one of the options says. */
struct words {
    struct arena *arena;
    const char *what, *text; /* the option and its value, for errors */
    const char *type, *source, *destination;
    struct string_list options; /* the kernel's, and the runtime's */
    struct id_maps uid_maps, gid_maps;
    bool chown, overlay, no_copy, no_copy_up, writable, not_recursive;
};

void image_run_add_mount(struct bundle *b, const char *destination, const char *type, const char *source,
                         const struct string_list *options)
{
    size_t size = sizeof(*b->mounts);

    b->mounts = arena_grow(b->arena, b->mounts, b->n_mounts * size, (b->n_mounts + 1) * size);
    b->mounts[b->n_mounts++] = (struct spec_mount){.destination = (char *)destination,
                                                   .type = (char *)type,
                                                   .source = (char *)source,
                                                   .options = *options};
}

struct image_mount *image_mounts_add(struct bundle *b, struct image_mounts *m, enum image_mount_kind kind,
                                     const char *destination)
{
    static const struct string_list none;
    size_t size = sizeof(*m->v);

    m->v = arena_grow(b->arena, m->v, m->n * size, (m->n + 1) * size);
    m->v[m->n] = (struct image_mount){.kind = kind, .index = b->n_mounts};
    image_run_add_mount(b, destination, "bind", NULL, &none);
    return &m->v[m->n++];
}

int image_run_check_destination(const char *what, const char *text, const char *destination,
                                struct error *err)
{
    if (destination && destination[0] == '/' && !path_has_dotdot(destination))
        return destination[strspn(destination, "/.")]
                   ? 0
                   : error_set(err, 0, "%s %s: the container's root is its image", what, text);
    return error_set(err, 0, "%s %s: the path in the container must be absolute, without \"..\"", what, text);
}

/* --- words --------------------------------------------------------------------------------------------------------- */

static int label(struct words *w, const char *word, struct error *err)
{
    if (access("/sys/fs/selinux/enforce", F_OK) < 0)
        return 0;
    return error_set(err, 0, "%s %s: option %s: hull does not change labels of files: use chcon", w->what,
                     w->text, word);
}

/* FILE-HOST-SIZE[#FILE-HOST-SIZE...] */
static int parse_ids(struct words *w, char *text, struct id_maps *out, struct error *err)
{
    char *triple;

    out->v = arena_new_n(w->arena, IDMAPS_MAX, struct id_map);
    while ((triple = strsep(&text, "#"))) {
        uint64_t n[3];

        for (size_t i = 0; i < ARRAY_SIZE(n); i++) {
            const char *number = strsep(&triple, "-");

            if (!number || number_parse_u64(number, "idmap", i == 2, UINT32_MAX - 1, &n[i], NULL) < 0 ||
                out->n == IDMAPS_MAX || (i == 2 && triple))
                return error_set(err, 0,
                                 "%s %s: idmap: ids are FILE-HOST-SIZE[#...], in the order of the file "
                                 "system's, the host's and how many",
                                 w->what, w->text);
        }
        out->v[out->n++] = (struct id_map){
            .container_id = (uint32_t)n[0], .host_id = (uint32_t)n[1], .size = (uint32_t)n[2]};
    }
    return 0;
}

/* uids=...;gids=... */
static int parse_idmap(struct words *w, const char *value, struct error *err)
{
    char *rest = arena_strdup(w->arena, value), *part;

    while ((part = strsep(&rest, ";"))) {
        bool uids = strncmp(part, "uids=", 5) == 0;

        if (!uids && strncmp(part, "gids=", 5) != 0)
            return error_set(err, 0, "%s %s: idmap takes uids=...;gids=..., got \"%s\"", w->what, w->text,
                             part);
        if (parse_ids(w, part + 5, uids ? &w->uid_maps : &w->gid_maps, err) < 0)
            return -1;
    }
    if (!w->uid_maps.n != !w->gid_maps.n)
        return error_set(err, 0, "%s %s: idmap: give both uids= and gids=", w->what, w->text);
    return 0;
}

static bool is_kernel_option(const char *word)
{
    size_t n;
    const char *const *names = mount_option_names(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(word, names[i]) == 0)
            return strcmp(word, "remount") != 0;
    return false;
}

static bool is_one_of(const char *word, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(word, *names) == 0)
            return true;
    return false;
}

/* An option of -v; of --mount a word without a value. */
static int take_option(struct words *w, const char *word, struct error *err)
{
    static const char *const ignored[] = {"", "bind", "rbind", "private", "rprivate", "copy", NULL};
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"U", &w->chown}, {"O", &w->overlay}, {"nocopy", &w->no_copy}};

    if (is_one_of(word, ignored))
        return 0;
    if (strcmp(word, "z") == 0 || strcmp(word, "Z") == 0)
        return label(w, word, err);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (strcmp(word, flags[i].name) == 0) {
            *flags[i].flag = true;
            return 0;
        }
    if (strncmp(word, "idmap=", 6) == 0) {
        string_list_add(w->arena, &w->options, "idmap");
        return parse_idmap(w, word + 6, err);
    }
    if (!is_kernel_option(word))
        return error_set(
            err, 0,
            "%s %s: unknown option %s: there are ro, rw, z, Z, U, O, nocopy, idmap and those of mount(8) "
            "for bind mounts",
            w->what, w->text, word);
    string_list_add(w->arena, &w->options, word);
    return 0;
}

/* --- what they make ------------------------------------------------------------------------------------------------ */

static bool says_propagation(const struct string_list *options)
{
    for (size_t i = 0; i < options->n; i++)
        if (mount_propagation_from_name(options->v[i]))
            return true;
    return false;
}

static struct string_list bind_options(const struct words *w)
{
    struct string_list all = {0};

    string_list_add(w->arena, &all, w->not_recursive ? "bind" : "rbind");
    if (!says_propagation(&w->options))
        string_list_add(w->arena, &all, "rprivate");
    for (size_t i = 0; i < w->options.n; i++)
        string_list_add(w->arena, &all, w->options.v[i]);
    return all;
}

static void finish(const struct words *w, struct bundle *b, struct image_mount *m)
{
    struct spec_mount *spec = &b->mounts[m->index];

    m->chown = w->chown;
    m->no_copy = w->no_copy;
    spec->options = bind_options(w);
    spec->uid_mappings = w->uid_maps;
    spec->gid_mappings = w->gid_maps;
}

static int add_bind(const struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    _cleanup_(freep) char *path = realpath(w->source, NULL);

    if (!path)
        return error_set(err, errno, "%s %s", w->what, w->text);
    struct image_mount *m =
        image_mounts_add(b, mounts, w->overlay ? IMAGE_MOUNT_OVERLAY : IMAGE_MOUNT_BIND, w->destination);
    b->mounts[m->index].source = arena_strdup(b->arena, path);
    finish(w, b, m);
    return 0;
}

static int add_named(const struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    if (w->source && volume_name_validate(w->source, err) < 0)
        return error_wrap(err, "%s %s", w->what, w->text);
    if (w->overlay)
        return error_set(err, 0, "%s %s: option O is for directories of the host's", w->what, w->text);
    struct image_mount *m = image_mounts_add(b, mounts, IMAGE_MOUNT_VOLUME, w->destination);
    m->source = w->source;
    finish(w, b, m);
    return 0;
}

static int add_image(const struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    if (!w->source)
        return error_set(err, 0, "%s %s: an image needs source=IMAGE", w->what, w->text);
    struct image_mount *m = image_mounts_add(b, mounts, IMAGE_MOUNT_IMAGE, w->destination);
    m->source = w->source;
    m->writable = w->writable;
    finish(w, b, m);
    return 0;
}

/* podman's: nothing in it is executed, a device or gives rights, and what the image has there is copied to it. */
static int add_tmpfs(const struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    static const char *const usual[] = {"nosuid", "nodev", "noexec"};
    struct image_mount *m = image_mounts_add(b, mounts, IMAGE_MOUNT_TMPFS, w->destination);
    struct spec_mount *spec = &b->mounts[m->index];

    (void)err;
    for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
        string_list_add(b->arena, &spec->options, usual[i]);
    if (!w->no_copy_up)
        string_list_add(b->arena, &spec->options, "tmpcopyup");
    for (size_t i = 0; i < w->options.n; i++)
        string_list_add(b->arena, &spec->options, w->options.v[i]);
    m->chown = w->chown;
    spec->type = spec->source = (char *)"tmpfs";
    return 0;
}

/* --- the options --------------------------------------------------------------------------------------------------- */

/* [HOST|NAME:]CONTAINER[:OPTION,...] */
static int parse_volume(struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    char *rest = arena_strdup(b->arena, w->text), *first = strsep(&rest, ":"), *second = strsep(&rest, ":"),
         *word;

    w->source = second ? first : NULL;
    w->destination = second ? second : first;
    if (rest && strchr(rest, ':'))
        return error_set(err, 0, "--volume must be [HOST|NAME:]CONTAINER[:OPTION,...], got \"%s\"", w->text);
    if (image_run_check_destination(w->what, w->text, w->destination, err) < 0)
        return -1;
    while ((word = strsep(&rest, ",")))
        if (take_option(w, word, err) < 0)
            return -1;
    return w->source && strchr("/.", w->source[0]) ? add_bind(w, b, mounts, err)
                                                   : add_named(w, b, mounts, err);
}

static bool has_prefix(const char *word, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(word, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

/* CONTAINER[:OPTION,...] */
static int parse_tmpfs(struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    static const char *const known[] = {
        "size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "huge=", NULL};
    char *rest = arena_strdup(b->arena, w->text), *word;

    w->destination = strsep(&rest, ":");
    if (image_run_check_destination(w->what, w->text, w->destination, err) < 0)
        return -1;
    while ((word = strsep(&rest, ","))) {
        if (strcmp(word, "notmpcopyup") == 0)
            w->no_copy_up = true;
        else if (strcmp(word, "U") == 0)
            w->chown = true;
        else if (has_prefix(word, known) || is_kernel_option(word))
            string_list_add(b->arena, &w->options, word);
        else if (*word)
            return error_set(
                err, 0,
                "--tmpfs %s: unknown option %s: there are size, mode, uid, gid, nr_inodes, U, notmpcopyup "
                "and those of mount(8)",
                w->text, word);
    }
    return add_tmpfs(w, b, mounts, err);
}

static const struct {
    const char *name;
    int (*add)(const struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err);
} types[] = {{"bind", add_bind}, {"volume", add_named}, {"tmpfs", add_tmpfs}, {"image", add_image}};

enum { T_BIND = 1, T_VOLUME = 2, T_TMPFS = 4, T_IMAGE = 8, T_ALL = 15 };

/* How a key's value is taken: as text, as true or false, as a file system's or kernel's option. */
enum key_kind {
    KEY_TYPE,
    KEY_SOURCE,
    KEY_DESTINATION,
    KEY_READ_ONLY,
    KEY_FLAG,
    KEY_OPTION,
    KEY_LABEL,
    KEY_IDMAP
};

static const struct key {
    const char *name;
    unsigned types;
    enum key_kind kind;
    size_t flag;        /* KEY_FLAG: in struct words */
    const char *prefix; /* KEY_OPTION */
} keys[] = {
    {"type", T_ALL, KEY_TYPE, 0, NULL},
    {"source", T_BIND | T_VOLUME | T_IMAGE, KEY_SOURCE, 0, NULL},
    {"src", T_BIND | T_VOLUME | T_IMAGE, KEY_SOURCE, 0, NULL},
    {"destination", T_ALL, KEY_DESTINATION, 0, NULL},
    {"dst", T_ALL, KEY_DESTINATION, 0, NULL},
    {"target", T_ALL, KEY_DESTINATION, 0, NULL},
    {"ro", T_BIND | T_VOLUME | T_TMPFS, KEY_READ_ONLY, 0, NULL},
    {"readonly", T_BIND | T_VOLUME | T_TMPFS, KEY_READ_ONLY, 0, NULL},
    {"rw", T_IMAGE, KEY_FLAG, offsetof(struct words, writable), NULL},
    {"readwrite", T_IMAGE, KEY_FLAG, offsetof(struct words, writable), NULL},
    {"U", T_BIND | T_VOLUME | T_TMPFS, KEY_FLAG, offsetof(struct words, chown), NULL},
    {"chown", T_BIND | T_VOLUME | T_TMPFS, KEY_FLAG, offsetof(struct words, chown), NULL},
    {"bind-nonrecursive", T_BIND, KEY_FLAG, offsetof(struct words, not_recursive), NULL},
    {"bind-propagation", T_BIND, KEY_OPTION, 0, ""},
    {"relabel", T_BIND, KEY_LABEL, 0, NULL},
    {"idmap", T_BIND | T_VOLUME, KEY_IDMAP, 0, NULL},
    {"volume-nocopy", T_VOLUME, KEY_FLAG, offsetof(struct words, no_copy), NULL},
    {"tmpfs-size", T_TMPFS, KEY_OPTION, 0, "size="},
    {"tmpfs-mode", T_TMPFS, KEY_OPTION, 0, "mode="},
    {"notmpcopyup", T_TMPFS, KEY_FLAG, offsetof(struct words, no_copy_up), NULL},
};

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static int take_flag(struct words *w, const struct key *k, const char *value, bool *flag, struct error *err)
{
    static const char *const yes[] = {"true", "1", "yes", NULL}, *const no[] = {"false", "0", "no", NULL};

    *flag = !value || is_one_of(value, yes);
    return *flag || is_one_of(value, no)
               ? 0
               : error_set(err, 0, "--mount %s: %s must be true or false, got \"%s\"", w->text, k->name,
                           value);
}

static int take_value(struct words *w, const struct key *k, const char *value, struct error *err)
{
    bool flag;

    switch (k->kind) {
    case KEY_TYPE: /* taken before */
        return 0;
    case KEY_SOURCE:
        w->source = value && *value ? value : NULL;
        return 0;
    case KEY_DESTINATION:
        w->destination = value;
        return 0;
    case KEY_READ_ONLY:
        if (take_flag(w, k, value, &flag, err) < 0)
            return -1;
        string_list_add(w->arena, &w->options, flag ? "ro" : "rw");
        return 0;
    case KEY_FLAG:
        return take_flag(w, k, value, (bool *)((char *)w + k->flag), err);
    case KEY_LABEL:
        return label(w, k->name, err);
    case KEY_IDMAP:
        string_list_add(w->arena, &w->options, "idmap");
        return value && *value && strcmp(value, "true") != 0 ? parse_idmap(w, value, err) : 0;
    case KEY_OPTION:
        if (!value || (!*k->prefix && !mount_propagation_from_name(value)))
            return error_set(err, 0, "--mount %s: %s=%s is not known", w->text, k->name, value ? value : "");
        string_list_add(w->arena, &w->options, arena_printf(w->arena, "%s%s", k->prefix, value));
        return 0;
    }
    return 0;
}

static int find_type(struct words *w, unsigned *type, struct error *err)
{
    char *rest = arena_strdup(w->arena, w->text), *word;

    w->type = "volume";
    while ((word = strsep(&rest, ",")))
        if (strncmp(word, "type=", 5) == 0)
            w->type = word + 5;
    for (*type = 0; *type < ARRAY_SIZE(types); ++*type)
        if (strcmp(types[*type].name, w->type) == 0)
            return 0;
    return error_set(err, 0, "--mount %s: type must be bind, volume, tmpfs or image", w->text);
}

static int parse_mount(struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err)
{
    char *rest = arena_strdup(b->arena, w->text), *value;
    unsigned type;

    if (find_type(w, &type, err) < 0)
        return -1;
    while ((value = strsep(&rest, ","))) {
        const char *name = strsep(&value, "=");
        const struct key *k = find_key(name);

        if (k && k->types & 1U << type) {
            if (take_value(w, k, value, err) < 0)
                return -1;
        } else if (k || value || type == 3) {
            return error_set(err, 0, "--mount %s: a mount of type %s has no key %s", w->text, w->type, name);
        } else if (take_option(w, name, err) < 0) {
            return -1;
        }
    }
    if (image_run_check_destination(w->what, w->text, w->destination, err) < 0)
        return -1;
    if (types[type].add == add_bind && !w->source)
        return error_set(err, 0, "--mount %s: a bind mount needs source=PATH", w->text);
    return types[type].add(w, b, mounts, err);
}

int image_run_mounts(const struct image_run_options *o, struct bundle *b, struct image_mounts *mounts,
                     struct error *err)
{
    const struct {
        const char *what;
        const struct string_list *list;
        int (*parse)(struct words *w, struct bundle *b, struct image_mounts *mounts, struct error *err);
    } all[] = {{"--mount", &o->mounts, parse_mount},
               {"--volume", &o->volumes, parse_volume},
               {"--tmpfs", &o->tmpfs, parse_tmpfs}};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t k = 0; k < all[i].list->n; k++) {
            struct words w = {.arena = b->arena, .what = all[i].what, .text = all[i].list->v[k]};

            if (all[i].parse(&w, b, mounts, err) < 0)
                return -1;
        }
    return 0;
}
