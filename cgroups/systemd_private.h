/*
 * What hull and its helper hull-systemd say to each other, and what both need of D-Bus.
 *
 * A message is its length (uint32_t, of this machine) and that many bytes of JSON. Requests are objects, "do" says what:
 *
 *   start   unit, properties      the scope exists, with the helper in it    -> cgroup: its path by /proc/self/cgroup
 *   attach  unit, pid             the process is in the scope
 *   set     unit, properties      the properties are changed, until the unit ends
 *   stop    unit                  the unit is gone
 *
 * all with user: true for the user's manager. The answer is {} with what is said above, or {"error": "..."}. The helper
 * answers until hull closes the socket or kills it.
 *
 * A property is [name, signature, value] or [name, signature, value, version]: one with a version is left out by a
 * systemd that is older. Its value is JSON by the D-Bus signature: numbers, strings, booleans, arrays for arrays and for
 * structs.
 */
#pragma once

#include "cgroups/cgroup.h"

enum { SYSTEMD_SOCKET = 3 /* of the helper */, SYSTEMD_MESSAGE_MAX = 4 << 20 };

/* --- systemd_message.c: both sides --- */
int systemd_send(int sock, const char *text, size_t length); /* 0, or -1 with errno */
/** 1; 0: the other side is gone; -1 with errno, ETIMEDOUT after @timeout_ms (-1: none). */
int systemd_receive(int sock, struct arena *a, int timeout_ms, char **text, size_t *length);

/** The length of the first complete type of the D-Bus signature @s, as "a(ss)" in "a(ss)u"; 0 when it begins with
 * none that a unit's property can have (variants and dictionaries are none). */
size_t signature_first(const char *s);
/** The whole numbers that fit the basic type @type ('y' 'n' 'q' 'i' 'u' 'x' 't'); false for another type. */
bool signature_range(char type, int64_t *min, uint64_t *max);

/* --- systemd_annotations.c --- */
/** A value in GVariant's text form (docs.gtk.org/glib/gvariant-text-format.html; no maybes, variants, dictionaries,
 * byte strings): its signature, and JSON by it. @what for messages. */
int gvariant_parse(struct arena *a, const char *text, const char *what, const char **signature,
                   struct json **value, struct error *err);
/** Write those annotations that are properties; names in seconds ("TimeoutStopSec") become D-Bus's in us. @w NULL: check
 * only. */
int systemd_annotation_properties(struct arena *a, const struct spec_annotation *v, size_t n,
                                  struct json_writer *w, struct error *err);

/* --- systemd_properties.c --- */
/** "0-3,7" as a bit mask, the lowest in the first byte; *used bytes of it have bits. False when it is no such list, or has
 * more than fits. */
bool systemd_cpu_list(const char *list, uint8_t *mask, size_t size, size_t *used);
/** What the limits of @r are as properties. */
int systemd_limit_properties(const struct cgroup *c, const struct spec_resources *r, struct json_writer *w,
                             struct error *err);
/** Those with which a scope is made: all but PIDs. */
int systemd_scope_properties(const struct cgroup *c, const struct cgroup_request *q,
                             const struct spec_resources *r, struct json_writer *w, struct error *err);
