/*
 * Inside runtime/spec/ only: the decoder's field tables, the places it speaks of, and the list of complaints.
 *
 * A table describes one JSON object: a row a field says its name, what JSON may stand there, where the value
 * goes in the C structure, and what is required of it. decode_object() walks the JSON once, and is the only
 * code that looks at types. What a row cannot say (relations between fields) is said by the table's done() or
 * by validate_*.c.
 *
 * null counts as missing, as it does for Go's decoder: engines write it. Unknown fields are passed over.
 */
#pragma once

#include "runtime/spec/spec.h"

/* --- complaints
 * ------------------------------------------------------------------------------------------------- */

/** Add a complaint; its text begins with the JSON path. Beyond a bound they are only counted. */
void complain(struct spec_complaints *c, const char *fmt, ...) _printf_(2, 3);

/** True when something at or below @path was complained of ("linux:": at it only): what follows from that
 * needs no complaint of its own. */
bool complained_of(const struct spec_complaints *c, const char *path);

/** A string of the user's for a message: in double quotes, control characters escaped, cut when it is long.
 */
const char *quoted(struct arena *a, const char *s);

/** All complaints as one error, 0 when there is none. */
int complaints_to_error(const struct spec_complaints *c, const char *name, struct error *err);

/* --- the decoder
 * ------------------------------------------------------------------------------------------------- */

struct decoder {
    struct arena *arena;
    const char *text; /* the input, for sections that are wanted raw */
    struct spec_complaints *complaints;
};

/* A place in the document: a chain from the field up to the root, spelt out only when a message needs it. */
struct place {
    const struct place *up;
    const char *key; /* a field; NULL: an element of a list */
    size_t index;
    bool map_key; /* the key is the user's: written ["key"] */
};

enum field_kind {
    FIELD_STRING,  /* char *; "" counts as missing */
    FIELD_BOOL,    /* bool */
    FIELD_U32,     /* uint32_t, min..max */
    FIELD_I32,     /* int32_t */
    FIELD_U64,     /* uint64_t */
    FIELD_I64,     /* int64_t */
    FIELD_STRINGS, /* struct string_list */
    FIELD_U32S,    /* uint32_t *, count in aux */
    FIELD_OBJECT,  /* the table's structure, embedded at offset */
    FIELD_LIST,    /* pointer to structures, count in aux */
    FIELD_MAP,     /* the same from an object: table->key_offset takes the key */
    FIELD_JSON,    /* const struct json *: an object that someone else decodes */
    FIELD_CUSTOM,  /* ->custom() does it */
};

enum {
    REQUIRED = 1,      /* must be there */
    NOT_EMPTY = 2,     /* a list must have an element */
    ABSOLUTE = 4,      /* the string (each of the list) starts with '/' */
    NAMES = 8,         /* the string (each of the list) is one of ->names */
    MAY_BE_EMPTY = 16, /* "" is a value, not a missing one */
};

enum {
    ID_MAPS_MAX = 340, /* UID_GID_MAP_MAX_EXTENTS of the kernel */
    LIST_MAX = 65536,  /* other lists of objects: a 64 MiB file of "{}," may not ask for gigabytes */
};

struct field {
    const char *name;
    uint8_t kind, flags;
    uint16_t offset;
    uint16_t aux; /* 1 + offset of the bool "it is there", or of the list's count; 0: none */
    int64_t min;
    uint64_t max; /* of a number (0 and 0: what the type holds); of a list's length (0: LIST_MAX) */
    union {
        const struct table *table;
        const char *const *names; /* NULL-terminated */
        void (*custom)(struct decoder *d, const struct place *at, const struct json *json, void *target);
    };
};

struct table {
    const struct field *fields;
    uint16_t n;
    uint16_t size;       /* of an element, for lists and maps */
    uint16_t key_offset; /* maps: where the key (char *) goes */
    bool closed;         /* an unknown key is a complaint */
    bool value_is_field; /* maps: the member's value is the one field itself, not an object */
    void (*done)(struct decoder *d, const struct place *at, const struct json *json, void *object);
};

void decode_object(struct decoder *d, const struct place *at, const struct json *json,
                   const struct table *table, void *object);
/** A whole document that needs no validation beyond its table: all complaints as one error that begins with @name. */
int decode_document(struct arena *a, const struct json *json, const char *text, const struct table *table,
                    const char *name, void *out, struct error *err);
void decode_field(struct decoder *d, const struct place *at, const struct json *json,
                  const struct field *field, void *object);
void complain_at(struct decoder *d, const struct place *at, const char *fmt, ...) _printf_(3, 4);

/* Rows. Each checks at compile time that the member has the type which the kind writes. */
#define MEMBER_(t, m, want)                                                                                  \
    (offsetof(t, m) + 0 * sizeof(struct {                                                                    \
                          int d;                                                                             \
                          _Static_assert(__builtin_types_compatible_p(__typeof__(((t *)0)->m), want),        \
                                         "a member of another type");                                        \
                      }))
#define AUX(t, m)     .aux = 1 + offsetof(t, m)
#define RANGE(lo, hi) .min = (lo), .max = (hi)

/* clang-format off */
#define ROW_(n, k, ...)         {.name = n, .kind = FIELD_##k, ##__VA_ARGS__}
#define TYPED_(n, k, t, m, want, ...) ROW_(n, k, .offset = MEMBER_(t, m, want), ##__VA_ARGS__)
#define STRING(n, t, m, ...)    TYPED_(n, STRING, t, m, char *, ##__VA_ARGS__)
#define BOOL(n, t, m, ...)      TYPED_(n, BOOL, t, m, bool, ##__VA_ARGS__)
#define U32(n, t, m, ...)       TYPED_(n, U32, t, m, uint32_t, ##__VA_ARGS__)
#define I32(n, t, m, ...)       TYPED_(n, I32, t, m, int32_t, ##__VA_ARGS__)
#define U64(n, t, m, ...)       TYPED_(n, U64, t, m, uint64_t, ##__VA_ARGS__)
#define I64(n, t, m, ...)       TYPED_(n, I64, t, m, int64_t, ##__VA_ARGS__)
#define STRINGS(n, t, m, ...)   TYPED_(n, STRINGS, t, m, struct string_list, ##__VA_ARGS__)
#define JSON(n, t, m, ...)      TYPED_(n, JSON, t, m, const struct json *, ##__VA_ARGS__)
#define COUNT_(t, c)            .aux = 1 + MEMBER_(t, c, size_t)
#define U32S(n, t, m, c, ...)   TYPED_(n, U32S, t, m, uint32_t *, COUNT_(t, c), ##__VA_ARGS__)
#define LIST(n, t, m, c, tab, ...) ROW_(n, LIST, .offset = offsetof(t, m), COUNT_(t, c), .table = tab, ##__VA_ARGS__)
#define MAP(n, t, m, c, tab, ...)  ROW_(n, MAP, .offset = offsetof(t, m), COUNT_(t, c), .table = tab, ##__VA_ARGS__)
#define OBJECT(n, t, m, tab, ...)  ROW_(n, OBJECT, .offset = offsetof(t, m), .table = tab, ##__VA_ARGS__)
#define INLINE(n, tab, ...)        ROW_(n, OBJECT, .table = tab, ##__VA_ARGS__) /* its fields stand in the outer structure */
#define CUSTOM(n, t, m, fn, ...)   ROW_(n, CUSTOM, .offset = offsetof(t, m), .custom = fn, ##__VA_ARGS__)
/* clang-format on */

#define TABLE(name, ...) static const struct table name = {TABLE_(name##_fields), ##__VA_ARGS__}
#define TABLE_(rows)     .fields = rows, .n = ARRAY_SIZE(rows)
#define ELEMENT(type)    .size = sizeof(type)
#define KEYED(type, m)   .size = sizeof(type), .key_offset = offsetof(type, m)

/* The tables that more than one file needs. */
extern const struct table spec_process_table, spec_linux_table, spec_id_map_table, spec_resources_table;

/* --- validation: what a row cannot say
 * ---------------------------------------------------------------------------- */

void validate_spec(struct spec_complaints *c, const struct spec *spec);
/** @at is "process." or "" and goes in front of each path. */
void validate_process(struct spec_complaints *c, const struct spec_process *p, const char *at);
void validate_linux(struct spec_complaints *c, const struct spec *spec);
void validate_seccomp(struct spec_complaints *c, const struct spec_seccomp *s);
/** @at is "linux.resources." or "". */
void validate_resources(struct spec_complaints *c, const struct spec_resources *r, const char *at);
/** One list of id maps, at @path. */
void validate_id_maps(struct spec_complaints *c, const struct id_maps *maps, const char *path);
/** "0-3,7", as the kernel's bitmap lists but without white space and empty elements. */
bool is_cpu_list(const char *s);
/** The name of a network device: 1 to 15 bytes; no '/', ':', '%' or white space. */
bool is_device_name(const char *s);

/* --- names
 * -----------------------------------------------------------------------------------------------------------
 */

/** Index of @name in a list that ends with NULL; -1 when it is NULL or not there. */
int name_index(const char *const *names, const char *name);

/* In each list the index is what the kernel's interface needs, as names.c says. */
extern const char *const namespace_names[],
    *const rlimit_names[], *const scheduler_policy_names[],
                               *const scheduler_flag_names[],
                                   *const io_priority_class_names[],
                                       *const seccomp_action_names[],
                                           *const seccomp_operator_names[],
                                               *const seccomp_architecture_names[],
                                                   *const seccomp_flag_names[],
                                                       *const memory_policy_modes[],
                                                           *const memory_policy_flags[],
                                                               *const personality_domains[],
                                                                   *const propagation_names[],
                                                                       *const device_types[];
