/*
 * Compiled filters on disk: one file a profile, named by a hash of what the program depends on, which the
 * file also holds whole. A hit is open, fstat, read, close.
 *
 *   header | context (versions) | profile, as written | program
 *
 * A filter from the wrong hands would be no filter, so a file counts only if it is a regular one of our own
 * uid that no one else may write: then we wrote it, wherever it was moved, and its whole key and a checksum
 * must agree. Everything else is as if it were not there, and written anew. Files are replaced by rename, so
 * no one reads half of one. The cache is never a reason to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "runtime/seccomp_private.h"

enum { CACHE_FILE_MAX = 1 << 20, NAME_SIZE = 32 };

struct cache_header {
    char magic[8];
    uint64_t checksum; /* of all that follows the header, and of the sizes */
    uint32_t context_length, profile_length, instructions, reserved;
};

static const char magic[8] = "HULLBPF";

/* Eight bytes a step: a start hashes the profile, 15 KB or more. */
static uint64_t hash(uint64_t h, const void *data, size_t length)
{
    const unsigned char *p = data;
    uint64_t word;

    for (; length >= sizeof(word); p += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    word = length;
    memcpy(&word, p, length);
    h = (h ^ word ^ (uint64_t)length << 56) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static uint64_t key_hash(const struct seccomp_cache_key *key)
{
    return hash(hash(0, key->context, key->context_length), key->profile, key->profile_length);
}

static uint64_t checksum(const struct cache_header *header, uint64_t key, const struct sock_filter *code)
{
    return hash(hash(key, &header->context_length, 4 * sizeof(uint32_t)), code,
                header->instructions * sizeof(*code));
}

static size_t file_size(const struct cache_header *h)
{
    return sizeof(*h) + (size_t)h->context_length + h->profile_length +
           h->instructions * sizeof(struct sock_filter);
}

static struct cache_header header_for(const struct seccomp_cache_key *key, unsigned instructions)
{
    struct cache_header h = {.context_length = (uint32_t)key->context_length,
                             .profile_length = (uint32_t)key->profile_length,
                             .instructions = instructions};
    memcpy(h.magic, magic, sizeof(magic));
    return h;
}

static bool is_ours(const struct stat *st, mode_t type)
{
    return (st->st_mode & S_IFMT) == type && st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

bool seccomp_cache_load(struct arena *a, const struct seccomp_cache_key *key, struct sock_fprog *out)
{
    char path[PATH_MAX], *data;
    struct cache_header want, have;
    struct stat st;
    uint64_t name;

    if (!key->dir)
        return false;
    name = key_hash(key);
    if (snprintf(path, sizeof(path), "%s/%016llx.bpf", key->dir, (unsigned long long)name) >=
        (int)sizeof(path))
        return false;
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || !is_ours(&st, S_IFREG) || st.st_size < (off_t)sizeof(have) ||
        st.st_size > CACHE_FILE_MAX)
        return false;
    data = arena_alloc(a, (size_t)st.st_size);
    if (read(fd, data, (size_t)st.st_size) != st.st_size)
        return false;

    memcpy(&have, data, sizeof(have));
    if (have.instructions == 0 || have.instructions > BPF_MAXINSNS)
        return false;
    want = header_for(key, have.instructions);
    want.checksum = have.checksum;
    if (memcmp(&have, &want, sizeof(have)) != 0 || file_size(&have) != (size_t)st.st_size)
        return false;
    const char *context = data + sizeof(have), *profile = context + key->context_length;
    if (memcmp(context, key->context, key->context_length) != 0 ||
        memcmp(profile, key->profile, key->profile_length) != 0)
        return false;
    struct sock_filter *code = arena_new_n(a, have.instructions, struct sock_filter);
    memcpy(code, profile + key->profile_length, have.instructions * sizeof(*code));
    if (checksum(&have, name, code) != have.checksum)
        return false;
    *out = (struct sock_fprog){.len = (unsigned short)have.instructions, .filter = code};
    return true;
}

/* The directory, made if missing (only the last component's mode matters: what is above is the caller's). */
static int cache_open_dir(const char *path)
{
    struct stat st;

    if (file_mkdir_parents(path, 0700, NULL) < 0)
        return -1;
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (!is_ours(&st, S_IFDIR)) {
        log_debug("seccomp: %s is not a directory that only its owner may write to; filters are not cached",
                  path);
        return -1;
    }
    return steal_fd(&fd);
}

void seccomp_cache_store(const struct seccomp_cache_key *key, const struct sock_fprog *program)
{
    struct cache_header h = header_for(key, program->len);
    char name[NAME_SIZE], *data, *p;
    struct error ignored = {0};
    uint64_t hashed;

    if (!key->dir || file_size(&h) > CACHE_FILE_MAX || !(data = malloc(file_size(&h))))
        return;
    _cleanup_(freep) char *owned = data;
    _cleanup_(fd_closep) int dir = cache_open_dir(key->dir);
    if (dir < 0)
        return;
    hashed = key_hash(key);
    h.checksum = checksum(&h, hashed, program->filter);
    p = mempcpy(data, &h, sizeof(h));
    p = mempcpy(p, key->context, key->context_length);
    p = mempcpy(p, key->profile, key->profile_length);
    memcpy(p, program->filter, program->len * sizeof(*program->filter));
    snprintf(name, sizeof(name), "%016llx.bpf", (unsigned long long)hashed);
    if (file_replace(dir, name, 0600, data, file_size(&h), &ignored) < 0)
        log_debug("seccomp: cannot cache the filter in %s: %s", key->dir, ignored.message);
}
