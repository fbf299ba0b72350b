/*
 * The lists of linux.resources: one write an element, for the kernel takes one device, interface or line at a time.
 * `unified` comes last, as its user knows the kernel's files and may mean to correct what the rest made of them.
 *
 * What may stand in `unified` at all is runtime/spec/validate_resources.c's to say; here its name tells the
 * controller, which must be in the v2 hierarchy.
 */
#include <inttypes.h>
#include <string.h>

#include "cgroups/cgroup_private.h"
#include "cgroups/convert.h"
#include "cgroups/limits_private.h"

struct list {
    const char *path;
    uint16_t count; /* offset of the number of elements */
    uint8_t controller;
    const char *instead; /* of v1 only: what to do with v2; else NULL */
};

#define COUNT(m) .count = offsetof(struct spec_resources, m)
static const struct list lists[] = {
    {"linux.resources.blockIO.weightDevice", COUNT(block_io.n_weight_devices), CG_BLKIO},
    {"linux.resources.blockIO.throttleReadBpsDevice", COUNT(block_io.throttle[THROTTLE_READ_BPS].n),
     CG_BLKIO},
    {"linux.resources.blockIO.throttleWriteBpsDevice", COUNT(block_io.throttle[THROTTLE_WRITE_BPS].n),
     CG_BLKIO},
    {"linux.resources.blockIO.throttleReadIOPSDevice", COUNT(block_io.throttle[THROTTLE_READ_IOPS].n),
     CG_BLKIO},
    {"linux.resources.blockIO.throttleWriteIOPSDevice", COUNT(block_io.throttle[THROTTLE_WRITE_IOPS].n),
     CG_BLKIO},
    {"linux.resources.hugepageLimits", COUNT(n_hugepages), CG_HUGETLB},
    {"linux.resources.network.priorities", COUNT(network.n_priorities), CG_NET_PRIO,
     .instead = "let tc or nftables set the priority"},
    {"linux.resources.rdma", COUNT(n_rdma), CG_RDMA},
};

/* "cpuset.cpus.partition" -> CG_CPUSET; CG_COUNT: the core's, or one that hull does not know, where the kernel
 * decides. */
static enum cgroup_controller controller_of(const char *file)
{
    size_t n = strcspn(file, ".");
    for (int i = 0; i < CG_COUNT; i++) {
        const char *name = cgroup_controller_name((enum cgroup_controller)i, true);
        if (strlen(name) == n && strncmp(name, file, n) == 0)
            return (enum cgroup_controller)i;
    }
    return CG_COUNT;
}

static const char *unified_path(struct arena *a, const struct spec_unified *u)
{
    return arena_printf(a, "linux.resources.unified[\"%s\"]", u->file);
}

static size_t count_of(const struct list *l, const struct spec_resources *r)
{
    return *(const size_t *)((const char *)r + l->count);
}

bool limit_lists_any(const struct spec_resources *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        if (count_of(&lists[i], r))
            return true;
    return r->n_unified > 0;
}

static int check_leaf_weights(const struct cgroup *c, const struct spec_resources_block_io *b,
                              struct error *err)
{
    const struct cgroup_dir *d = cgroup_dir_of(c, CG_BLKIO);

    for (size_t i = 0; d && d->v2 && i < b->n_weight_devices; i++)
        if (b->weight_devices[i].leaf_weight.set)
            return error_set(
                err, 0,
                "linux.resources.blockIO.weightDevice[%zu].leafWeight: cannot be enforced: cgroup v2 has "
                "no such limit (controller io): remove it",
                i);
    return 0;
}

int limit_lists_check(const struct cgroup *c, const struct spec_resources *r, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct cgroup_dir *d = cgroup_dir_of(c, lists[i].controller);
        if (count_of(&lists[i], r) == 0 || (d && !(d->v2 && lists[i].instead)))
            continue;
        if (lists[i].instead && c->n_dirs && c->dirs[0].v2)
            return error_set(
                err, 0, "%s: cannot be enforced: cgroup v2 has no such limit (controller %s): %s",
                lists[i].path, cgroup_controller_name(lists[i].controller, false), lists[i].instead);
        return limit_without_controller(c, lists[i].path, lists[i].controller, false, err);
    }
    for (size_t i = 0; i < r->n_unified; i++) {
        enum cgroup_controller controller = controller_of(r->unified[i].file);
        const struct cgroup_dir *d = cgroup_dir_v2(c);
        if (!d || (controller != CG_COUNT && !(d->controllers & CG_BIT(controller))))
            return limit_without_controller(c, unified_path(c->arena, &r->unified[i]), controller, true, err);
    }
    return check_leaf_weights(c, &r->block_io, err);
}

/* --- block devices ------------------------------------------------------------------------------------------------ */

static void add_weights(struct limit_writes *w, const struct cgroup_dir *d)
{
    const struct spec_resources_block_io *b = &w->r->block_io;
    struct arena *a = w->c->arena;

    for (size_t i = 0; i < b->n_weight_devices; i++) {
        const struct spec_weight_device *v = &b->weight_devices[i];
        const char *device = arena_printf(a, "%" PRId64 ":%" PRId64, v->major, v->minor);
        const char *plain = arena_printf(a, "%s %" PRId64, device, v->weight.value);
        struct limit_write weight = {
            .path = arena_printf(a, "%s[%zu].weight", lists[0].path, i),
            .dir = d,
            .file = d->v2 ? "io.bfq.weight" : "blkio.bfq.weight_device",
            .text = plain,
            .other_file = d->v2 ? "io.weight" : "blkio.weight_device",
            .other_text =
                d->v2 ? arena_printf(a, "%s %s", device, text_of_weight(a, v->weight.value)) : plain,
            .since = "the BFQ scheduler (module bfq) or, on v2, io.cost"};
        struct limit_write leaf = {.path = arena_printf(a, "%s[%zu].leafWeight", lists[0].path, i),
                                   .dir = d,
                                   .file = "blkio.leaf_weight_device",
                                   .text = arena_printf(a, "%s %" PRId64, device, v->leaf_weight.value),
                                   .since = "the CFQ scheduler (gone since Linux 5.0)"};
        if (v->weight.set)
            limit_write_add(w, &weight);
        if (v->leaf_weight.set)
            limit_write_add(w, &leaf);
    }
}

/* No rate is 0 in v1, "max" in v2. */
static void add_throttles(struct limit_writes *w, const struct cgroup_dir *d)
{
    static const struct {
        const char *v1, *key;
    } kinds[THROTTLE_COUNT] = {
        [THROTTLE_READ_BPS] = {"blkio.throttle.read_bps_device", "rbps"},
        [THROTTLE_WRITE_BPS] = {"blkio.throttle.write_bps_device", "wbps"},
        [THROTTLE_READ_IOPS] = {"blkio.throttle.read_iops_device", "riops"},
        [THROTTLE_WRITE_IOPS] = {"blkio.throttle.write_iops_device", "wiops"},
    };
    struct arena *a = w->c->arena;

    for (size_t kind = 0; kind < THROTTLE_COUNT; kind++) {
        const struct spec_throttles *t = &w->r->block_io.throttle[kind];
        for (size_t i = 0; i < t->n; i++) {
            const struct spec_throttle_device *v = &t->v[i];
            const char *rate = d->v2 && v->rate == 0 ? "max" : text_plain(a, v->rate);
            struct limit_write one = {.path = arena_printf(a, "%s[%zu]", lists[1 + kind].path, i),
                                      .dir = d,
                                      .file = d->v2 ? "io.max" : kinds[kind].v1,
                                      .text = arena_printf(a, "%" PRId64 ":%" PRId64 " %s%s%s", v->major,
                                                           v->minor, d->v2 ? kinds[kind].key : "",
                                                           d->v2 ? "=" : "", rate),
                                      .since = "CONFIG_BLK_DEV_THROTTLING"};
            limit_write_add(w, &one);
        }
    }
}

/* --- the others --------------------------------------------------------------------------------------------------- */

/* What is mapped, and what is reserved (Linux 5.7): a process that reserved more than it may map would get SIGBUS. */
static void add_hugepages(struct limit_writes *w, const struct cgroup_dir *d)
{
    static const char *const kinds[] = {"", "rsvd."};
    struct arena *a = w->c->arena;

    for (size_t i = 0; i < w->r->n_hugepages; i++)
        for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
            const struct spec_hugepage_limit *h = &w->r->hugepages[i];
            struct limit_write one = {.path = arena_printf(a, "linux.resources.hugepageLimits[%zu]", i),
                                      .dir = d,
                                      .file = arena_printf(a, "hugetlb.%s.%s%s", h->page_size, kinds[kind],
                                                           d->v2 ? "max" : "limit_in_bytes"),
                                      .text = text_plain(a, h->limit),
                                      .optional = kind > 0,
                                      .since = "pages of that size (see /sys/kernel/mm/hugepages)"};
            limit_write_add(w, &one);
        }
}

static void add_priorities(struct limit_writes *w, const struct cgroup_dir *d)
{
    const struct spec_resources_network *n = &w->r->network;
    struct arena *a = w->c->arena;

    for (size_t i = 0; i < n->n_priorities; i++) {
        struct limit_write one = {
            .path = arena_printf(a, "linux.resources.network.priorities[%zu]", i),
            .dir = d,
            .file = "net_prio.ifpriomap",
            .text = arena_printf(a, "%s %" PRIu32, n->priorities[i].name, n->priorities[i].priority)};
        limit_write_add(w, &one);
    }
}

static void add_rdma(struct limit_writes *w, const struct cgroup_dir *d)
{
    struct arena *a = w->c->arena;

    for (size_t i = 0; i < w->r->n_rdma; i++) {
        const struct spec_rdma *v = &w->r->rdma[i];
        const char *handles =
            v->hca_handles.set ? arena_printf(a, " hca_handle=%" PRId64, v->hca_handles.value) : "";
        const char *objects =
            v->hca_objects.set ? arena_printf(a, " hca_object=%" PRId64, v->hca_objects.value) : "";
        struct limit_write one = {.path = arena_printf(a, "linux.resources.rdma[\"%s\"]", v->device),
                                  .dir = d,
                                  .file = "rdma.max",
                                  .text = arena_printf(a, "%s%s%s", v->device, handles, objects),
                                  .rule = "is there such a device?"};
        limit_write_add(w, &one);
    }
}

/* Files of several keys (io.max, hugetlb.*, rdma.max) take a line at a time. */
static void add_unified(struct limit_writes *w, const struct cgroup_dir *d)
{
    struct arena *a = w->c->arena;

    for (size_t i = 0; i < w->r->n_unified; i++) {
        const struct spec_unified *u = &w->r->unified[i];
        for (const char *line = u->value; *line;) {
            size_t n = strcspn(line, "\n");
            struct limit_write one = {
                .path = unified_path(a, u), .dir = d, .file = u->file, .text = arena_strndup(a, line, n)};
            if (n > 0)
                limit_write_add(w, &one);
            line += n + (line[n] == '\n');
        }
    }
}

void limit_lists_add(struct limit_writes *w)
{
    static const struct {
        enum cgroup_controller controller;
        void (*add)(struct limit_writes *w, const struct cgroup_dir *d);
    } parts[] = {{CG_BLKIO, add_weights},
                 {CG_BLKIO, add_throttles},
                 {CG_HUGETLB, add_hugepages},
                 {CG_NET_PRIO, add_priorities},
                 {CG_RDMA, add_rdma}};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct cgroup_dir *d = cgroup_dir_of(w->c, parts[i].controller);
        if (d)
            parts[i].add(w, d);
    }
    if (cgroup_dir_v2(w->c))
        add_unified(w, cgroup_dir_v2(w->c));
}
