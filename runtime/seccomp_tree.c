/*
 * A faster shape for a filter: loading one costs what its instructions cost to check and to translate, and
 * what it costs the kernel to run it once for every system call number (that is how it learns which calls are
 * always allowed). libseccomp's program compares numbers one by one, a thousand instructions or more; its
 * decisions are a few ranges of numbers.
 *
 * A filter's decision depends on the architecture, the number and the arguments. Architecture and number are
 * compared only with constants
 * (==, >=, >), so between two neighbouring constants all numbers behave alike: for one number of each such
 * span the program is run with the two known, and what is left is a leaf: `ret K`, or a little program over
 * the arguments. Neighbouring spans with equal leaves become one range, and the ranges of an architecture a
 * balanced tree of >= comparisons.
 *
 *   ld arch;  jeq A1 -> section 1;  jeq A2 -> section 2;  ...  section of any other architecture
 *   section:  ld nr;  tree of jge and jeq;  leaves
 *
 * This is exact over all 2^32 numbers and all architectures; the unit test runs both programs against each
 * other. A program that has a form which this file does not know is left as it is.
 */
#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/seccomp_private.h"

enum { ARCHITECTURES = 16, EXCEPTIONS = 4 };
enum { NR = offsetof(struct seccomp_data, nr), ARCH = offsetof(struct seccomp_data, arch), JUMP_MAX = 255 };

enum {
    LOAD = BPF_LD | BPF_W | BPF_ABS,
    RETURN = BPF_RET | BPF_K,
    AND = BPF_ALU | BPF_AND | BPF_K,
    JUMP = BPF_JMP | BPF_JA,
    JEQ = BPF_JMP | BPF_JEQ | BPF_K,
    JGE = BPF_JMP | BPF_JGE | BPF_K,
    JGT = BPF_JMP | BPF_JGT | BPF_K,
    JSET = BPF_JMP | BPF_JSET | BPF_K,
};

struct leaf {
    const struct sock_filter *code;
    unsigned n;
};

struct span { /* numbers from `first` up to the next span's */
    uint32_t first;
    unsigned leaf;
};

/* 1 + 2 * exceptions spans: a range with one leaf, but for single numbers in it, the spans at odd places. */
struct segment {
    const struct span *spans;
    unsigned exceptions;
};

struct section {
    uint32_t arch;
    struct span *spans;
    struct segment *segments;
    unsigned n_spans, n;
};

struct builder {
    struct arena *arena;
    const struct sock_filter *in;
    unsigned in_n;
    const struct seccomp_ranges *enosys;
    uint32_t *firsts; /* where spans may begin, sorted */
    unsigned n_firsts;
    uint32_t archs[ARCHITECTURES]; /* that the program knows, the native one first */
    unsigned n_archs;
    struct leaf *leaves;
    unsigned n_leaves;
    unsigned *leaf_at; /* scratch of block_layout() */
    struct sock_filter *out;
    unsigned n;
    bool failed;
};

/* Where a run of the program stands. `known`: the accumulator is `a`, else it came from an argument. */
struct cursor {
    unsigned pc;
    bool known, is_arch;
    uint32_t a;
};

/* --- run with a known architecture and number -------------------------------------------------------------
 */

static bool is_conditional(const struct sock_filter *i)
{
    return BPF_CLASS(i->code) == BPF_JMP && i->code != JUMP;
}

static bool knows_arch(const struct builder *b, uint32_t arch)
{
    for (unsigned i = 0; i < b->n_archs; i++)
        if (b->archs[i] == arch)
            return true;
    return false;
}

/* Advance over all that is decided already, to the next instruction that is not (or a return). */
static bool run(const struct builder *b, uint32_t arch, uint32_t nr, struct cursor *c)
{
    while (c->pc < b->in_n) {
        const struct sock_filter *i = &b->in[c->pc];
        bool taken;

        switch (i->code) {
        case LOAD:
            if (i->k != NR && i->k != ARCH)
                return true;
            *c = (struct cursor){c->pc + 1, true, i->k == ARCH, i->k == NR ? nr : arch};
            continue;
        case JUMP:
            c->pc += 1 + i->k;
            continue;
        case JEQ:
            taken = c->a == i->k;
            break;
        case JGE:
            taken = c->a >= i->k;
            break;
        case JGT:
            taken = c->a > i->k;
            break;
        case RETURN:
            return true;
        case JSET:
        case AND: /* of a number: not made of ranges */
            return !c->known;
        default:
            return false;
        }
        if (!c->known)
            return true;
        if (c->is_arch && (i->code != JEQ || !knows_arch(b, i->k)))
            return false;
        c->pc += 1u + (taken ? i->jt : i->jf);
    }
    return false;
}

/* The program that is left from @pc on, which only looks at arguments. The accumulator is unknown at each
 * successor. */
struct rest {
    bool needed[BPF_MAXINSNS];
    unsigned next[BPF_MAXINSNS][2]; /* successors (of a jump: not taken, taken) */
    unsigned position[BPF_MAXINSNS];
};

/* Mark what can be reached; jumps only lead forward, so one pass in order finds all. */
static bool rest_mark(const struct builder *b, uint32_t arch, uint32_t nr, unsigned entry, struct rest *r)
{
    memset(r->needed, 0, sizeof(r->needed));
    r->needed[entry] = true;
    for (unsigned pc = entry; pc < b->in_n; pc++) {
        const struct sock_filter *i = &b->in[pc];
        if (!r->needed[pc] || i->code == RETURN)
            continue;
        for (unsigned way = 0; way < 1u + is_conditional(i); way++) {
            struct cursor c = {.pc = pc + 1 + (is_conditional(i) ? (way ? i->jt : i->jf) : 0u)};
            if (!run(b, arch, nr, &c))
                return false;
            r->needed[c.pc] = true;
            r->next[pc][way] = c.pc;
        }
    }
    return true;
}

/* True when the instruction at @pc does not fall through to the one it needs next. */
static bool needs_jump(const struct builder *b, const struct rest *r, unsigned pc)
{
    if (b->in[pc].code == RETURN || is_conditional(&b->in[pc]))
        return false;
    for (unsigned next = pc + 1; next < b->in_n; next++)
        if (r->needed[next])
            return next != r->next[pc][0];
    return false;
}

static bool rest_emit(struct builder *b, uint32_t arch, uint32_t nr, unsigned entry, struct leaf *out)
{
    struct rest *r = malloc(sizeof(*r));
    struct sock_filter *code = NULL;
    unsigned n = 0;
    bool good = r && rest_mark(b, arch, nr, entry, r);

    for (unsigned pc = entry; good && pc < b->in_n; pc++)
        if (r->needed[pc]) {
            r->position[pc] = n;
            n += 1u + needs_jump(b, r, pc);
        }
    if (good)
        code = arena_new_n(b->arena, n, struct sock_filter);
    for (unsigned pc = entry; good && pc < b->in_n; pc++) {
        if (!r->needed[pc])
            continue;
        unsigned at = r->position[pc];
        code[at] = b->in[pc];
        if (is_conditional(&b->in[pc])) {
            unsigned not_taken = r->position[r->next[pc][0]] - at - 1,
                     taken = r->position[r->next[pc][1]] - at - 1;
            good = not_taken <= JUMP_MAX && taken <= JUMP_MAX;
            code[at].jf = (uint8_t)not_taken;
            code[at].jt = (uint8_t)taken;
        } else if (needs_jump(b, r, pc)) {
            code[at + 1] = (struct sock_filter)BPF_STMT(JUMP, r->position[r->next[pc][0]] - at - 2);
        }
    }
    free(r);
    *out = (struct leaf){code, n};
    return good;
}

/* --- leaves and spans -------------------------------------------------------------------------------------
 */

static unsigned leaf_intern(struct builder *b, struct leaf leaf)
{
    for (unsigned i = b->n_leaves; i-- > 0;)
        if (b->leaves[i].n == leaf.n &&
            memcmp(b->leaves[i].code, leaf.code, leaf.n * sizeof(*leaf.code)) == 0)
            return i;
    b->leaves[b->n_leaves] = leaf;
    return b->n_leaves++;
}

static bool in_ranges(const struct seccomp_ranges *ranges, uint32_t arch, uint32_t nr)
{
    for (size_t i = 0; i < ranges->n; i++)
        if (ranges->v[i].arch == arch && nr >= ranges->v[i].first && nr <= ranges->v[i].last)
            return true;
    return false;
}

static bool leaf_of(struct builder *b, uint32_t arch, uint32_t nr, unsigned *index)
{
    static const struct sock_filter enosys = BPF_STMT(RETURN, SECCOMP_RET_ERRNO | ENOSYS);
    struct cursor c = {0};
    struct leaf leaf = {&enosys, 1};

    if (!in_ranges(b->enosys, arch, nr)) {
        if (!run(b, arch, nr, &c))
            return false;
        if (b->in[c.pc].code == RETURN)
            leaf = (struct leaf){&b->in[c.pc], 1};
        else if (!rest_emit(b, arch, nr, c.pc, &leaf))
            return false;
    }
    *index = leaf_intern(b, leaf);
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void add_first(struct builder *b, uint32_t first)
{
    b->firsts[b->n_firsts++] = first;
}

/* Every constant of the program, whatever it is compared with: one too many costs nothing, the spans are
 * merged. */
static void find_firsts(struct builder *b)
{
    unsigned n = 0;

    b->firsts = arena_new_n(b->arena, 2 * ((size_t)b->in_n + b->enosys->n) + 1, uint32_t);
    add_first(b, 0);
    for (unsigned i = 0; i < b->in_n; i++) {
        const struct sock_filter *f = &b->in[i];
        if (f->code == JEQ || f->code == JGE)
            add_first(b, f->k);
        if ((f->code == JEQ || f->code == JGT) && f->k != UINT32_MAX)
            add_first(b, f->k + 1);
    }
    for (size_t i = 0; i < b->enosys->n; i++) {
        add_first(b, b->enosys->v[i].first);
        add_first(b, b->enosys->v[i].last + 1); /* 0 after the last number of all: there already */
    }
    qsort(b->firsts, b->n_firsts, sizeof(*b->firsts), compare_numbers);
    for (unsigned i = 0; i < b->n_firsts; i++)
        if (n == 0 || b->firsts[n - 1] != b->firsts[i])
            b->firsts[n++] = b->firsts[i];
    b->n_firsts = n;
}

static bool section_find(struct builder *b, struct section *s)
{
    s->spans = arena_new_n(b->arena, b->n_firsts, struct span);
    for (unsigned i = 0; i < b->n_firsts; i++) {
        unsigned leaf;
        if (!leaf_of(b, s->arch, b->firsts[i], &leaf))
            return false;
        if (s->n_spans == 0 || s->spans[s->n_spans - 1].leaf != leaf)
            s->spans[s->n_spans++] = (struct span){b->firsts[i], leaf};
    }
    return true;
}

/* A single number costs one == comparison instead of two >=; but a chain of them is walked one by one. */
static void section_segment(struct builder *b, struct section *s)
{
    s->segments = arena_new_n(b->arena, s->n_spans, struct segment);
    for (unsigned i = 0; i < s->n_spans; s->n++) {
        const struct span *spans = s->spans + i;
        unsigned left = s->n_spans - i, n = 0;
        while (n < EXCEPTIONS && 2 * n + 2 < left && spans[2 * n + 2].leaf == spans->leaf &&
               spans[2 * n + 2].first - spans[2 * n + 1].first == 1)
            n++;
        s->segments[s->n] = (struct segment){spans, n};
        i += 1 + 2 * n;
    }
}

/* --- the new program --------------------------------------------------------------------------------------
 */

static void emit(struct builder *b, struct sock_filter i)
{
    if (b->n < BPF_MAXINSNS)
        b->out[b->n] = i;
    b->n++;
}

static unsigned comparisons(const struct segment *segments, unsigned n)
{
    unsigned count = n - 1;

    for (unsigned i = 0; i < n; i++)
        count += segments[i].exceptions;
    return count;
}

/* The spans of all of @segments; they lie side by side. */
static unsigned span_count(const struct segment *segments, unsigned n)
{
    return (unsigned)(segments[n - 1].spans - segments[0].spans) + 1 + 2 * segments[n - 1].exceptions;
}

#define NOWHERE UINT_MAX

/* A block is a tree whose every jump reaches: its comparisons in preorder, then each of its leaves once.
 * Returns its size; leaf_at[leaf] becomes the place of the leaf in it. */
static unsigned block_layout(struct builder *b, const struct segment *segments, unsigned n)
{
    const struct span *spans = segments->spans;
    unsigned size = comparisons(segments, n), n_spans = span_count(segments, n);

    for (unsigned i = 0; i < n_spans; i++)
        b->leaf_at[spans[i].leaf] = NOWHERE;
    for (unsigned i = 0; i < n_spans; i++) {
        unsigned leaf = spans[i].leaf;
        if (b->leaf_at[leaf] != NOWHERE)
            continue;
        b->leaf_at[leaf] = size;
        size += b->leaves[leaf].n;
    }
    return size;
}

/* Where the tree begins whose comparisons would stand at @position: at its one leaf, if it has no comparison.
 */
static unsigned subtree_at(const struct builder *b, const struct segment *segments, unsigned n,
                           unsigned position)
{
    return comparisons(segments, n) ? position : b->leaf_at[segments->spans->leaf];
}

/* All but leaves of hundreds of instructions are in reach; with those the program stays as it is. */
static void emit_comparison(struct builder *b, uint16_t code, uint32_t k, unsigned position, unsigned yes,
                            unsigned no)
{
    unsigned jt = yes - position - 1, jf = no - position - 1;

    b->failed |= jt > JUMP_MAX || jf > JUMP_MAX;
    emit(b, (struct sock_filter)BPF_JUMP(code, k, (uint8_t)jt, (uint8_t)jf));
}

/* jge FIRST-OF-RIGHT -> right half, else left half; in the end, jeq EXCEPTION -> its leaf. */
static void block_emit_tree(struct builder *b, const struct segment *segments, unsigned n, unsigned position)
{
    const struct span *spans = segments->spans;
    unsigned half = n / 2;

    if (n == 1) {
        for (unsigned e = 1, last = segments->exceptions; e <= last; e++, position++)
            emit_comparison(b, JEQ, spans[2 * e - 1].first, position, b->leaf_at[spans[2 * e - 1].leaf],
                            e < last ? position + 1 : b->leaf_at[spans->leaf]);
        return;
    }
    unsigned left = position + 1, right = left + comparisons(segments, half);
    emit_comparison(b, JGE, segments[half].spans->first, position,
                    subtree_at(b, segments + half, n - half, right), subtree_at(b, segments, half, left));
    block_emit_tree(b, segments, half, left);
    block_emit_tree(b, segments + half, n - half, right);
}

static void block_emit(struct builder *b, const struct segment *segments, unsigned n)
{
    const struct span *spans = segments->spans;
    unsigned position = comparisons(segments, n), n_spans = span_count(segments, n);

    block_emit_tree(b, segments, n, 0);
    for (unsigned i = 0; i < n_spans; i++) {
        const struct leaf *leaf = &b->leaves[spans[i].leaf];
        if (b->leaf_at[spans[i].leaf] != position)
            continue; /* it stands before, for an earlier span */
        for (unsigned k = 0; k < leaf->n; k++)
            emit(b, leaf->code[k]);
        position += leaf->n;
    }
}

/* Trees that are too large for one block are split, and may need a long jump over their left half. */
static unsigned tree_size(struct builder *b, const struct segment *segments, unsigned n)
{
    unsigned block = block_layout(b, segments, n), left;

    if (n == 1 || block <= JUMP_MAX + 1)
        return block;
    left = tree_size(b, segments, n / 2);
    return (left <= JUMP_MAX ? 1 : 2) + left + tree_size(b, segments + n / 2, n - n / 2);
}

static void tree_emit(struct builder *b, const struct segment *segments, unsigned n)
{
    unsigned left, half = n / 2;

    if (block_layout(b, segments, n) <= JUMP_MAX + 1 || n == 1) {
        block_emit(b, segments, n);
        return;
    }
    left = tree_size(b, segments, half);
    if (left <= JUMP_MAX) {
        emit_comparison(b, JGE, segments[half].spans->first, 0, left + 1, 1);
    } else {
        emit_comparison(b, JGE, segments[half].spans->first, 0, 1, 2);
        emit(b, (struct sock_filter)BPF_STMT(JUMP, left));
    }
    tree_emit(b, segments, half);
    tree_emit(b, segments + half, n - half);
}

static unsigned section_size(struct builder *b, const struct section *s)
{
    return (s->n_spans > 1) + tree_size(b, s->segments, s->n);
}

static void section_emit(struct builder *b, const struct section *s)
{
    if (s->n_spans > 1)
        emit(b, (struct sock_filter)BPF_STMT(LOAD, NR));
    tree_emit(b, s->segments, s->n);
}

/* Sections in order, the one of any other architecture last; @n counts it. Jumps may have to be long. */
static void program_emit(struct builder *b, const struct section *sections, unsigned n)
{
    unsigned ahead = 0; /* size of the sections before the one that is jumped to */

    emit(b, (struct sock_filter)BPF_STMT(LOAD, ARCH));
    for (unsigned i = 0; i + 1 < n; i++) {
        unsigned jumps_left = 2 * (n - 2 - i) + 1; /* two for each further architecture, one for the rest */
        emit(b, (struct sock_filter)BPF_JUMP(JEQ, sections[i].arch, 0, 1));
        emit(b, (struct sock_filter)BPF_STMT(JUMP, jumps_left + ahead));
        ahead += section_size(b, &sections[i]);
    }
    emit(b, (struct sock_filter)BPF_STMT(JUMP, ahead));
    for (unsigned i = 0; i < n; i++)
        section_emit(b, &sections[i]);
}

/* Every constant that the architecture may be compared with: follow it forward from where it is loaded. */
static bool find_architectures(struct builder *b)
{
    bool is_arch[2 * BPF_MAXINSNS] = {
        0}; /* the accumulator may hold it here; no jump of one byte leads past the end */

    for (unsigned pc = 0; pc < b->in_n; pc++) {
        const struct sock_filter *f = &b->in[pc];
        bool loaded = f->code == LOAD ? f->k == ARCH : is_arch[pc];
        if (!loaded || f->code == RETURN)
            continue;
        if (is_conditional(f)) {
            is_arch[pc + 1 + f->jt] = is_arch[pc + 1 + f->jf] = true;
        } else {
            unsigned next = pc + 1 + (f->code == JUMP ? f->k : 0);
            if (next >= b->in_n)
                return false;
            is_arch[next] = true;
        }
        if (f->code != JEQ || knows_arch(b, f->k))
            continue;
        if (b->n_archs == ARCHITECTURES)
            return false;
        b->archs[b->n_archs++] = f->k;
    }
    return b->n_archs > 0;
}

/* Some value that the program compares nothing with stands for all architectures that it does not know. */
static uint32_t other_architecture(const struct builder *b)
{
    uint32_t other = 1;

    while (bsearch(&other, b->firsts, b->n_firsts, sizeof(*b->firsts), compare_numbers))
        other++;
    return other;
}

bool seccomp_tree_build(struct arena *a, const struct sock_fprog *in, const struct seccomp_ranges *enosys,
                        struct sock_fprog *out)
{
    struct builder b = {.arena = a, .in = in->filter, .in_n = in->len, .enosys = enosys};
    struct section sections[ARCHITECTURES + 1] = {0};
    unsigned n;

    if (in->len == 0 || in->len > BPF_MAXINSNS || in->filter[0].code != LOAD || !find_architectures(&b))
        return false;
    find_firsts(&b);
    n = b.n_archs + 1;
    b.leaves = arena_new_n(a, (size_t)b.n_firsts * n, struct leaf);
    for (unsigned i = 0; i < n; i++) {
        sections[i].arch = i < b.n_archs ? b.archs[i] : other_architecture(&b);
        if (!section_find(&b, &sections[i]))
            return false;
        section_segment(&b, &sections[i]);
    }
    b.leaf_at = arena_new_n(a, b.n_leaves, unsigned);
    b.out = arena_new_n(a, BPF_MAXINSNS, struct sock_filter);
    program_emit(&b, sections, n);
    if (b.failed || b.n > BPF_MAXINSNS)
        return false;
    *out = (struct sock_fprog){.len = (unsigned short)b.n, .filter = b.out};
    return true;
}
