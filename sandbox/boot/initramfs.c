/*
 * The cache's file is initramfs-RELEASE-KEY. KEY is made of what identifies the inputs (inode, size and times of hull-guest and
 * of modules.dep, which every change of the modules rewrites), so a hit costs three system calls and looks at no content. A file
 * becomes visible by rename(2), whole; two that make it at the same time make the same. Earlier ones of the release go then.
 *
 * Only the cache's owner may have written there: what is opened has to be his, and nobody else's to write.
 */
#include "sandbox/boot/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/boot/cpio.h"
#include "sandbox/boot/modules.h"

enum { FORMAT = 1 }; /* of the archive: another one has another key */

/* In the manner of FNV-1a, by words: it names a file, and protects nothing. */
static uint64_t mix_file(uint64_t key, const struct stat *st)
{
    const uint64_t identity[] = {st->st_dev,
                                 st->st_ino,
                                 (uint64_t)st->st_size,
                                 (uint64_t)st->st_mtim.tv_sec,
                                 (uint64_t)st->st_mtim.tv_nsec,
                                 (uint64_t)st->st_ctim.tv_sec,
                                 (uint64_t)st->st_ctim.tv_nsec};

    for (size_t i = 0; i < ARRAY_SIZE(identity); i++)
        key = (key ^ identity[i]) * 0x100000001b3ULL;
    return key;
}

static int make_name(struct arena *a, const struct initramfs_request *q, char **name, struct error *err)
{
    const char *dep = q->modules ? arena_printf(a, "%s/modules.dep", q->modules) : NULL;
    uint64_t key = 0xcbf29ce484222325ULL + FORMAT;
    struct stat st = {0};

    if (dep && stat(dep, &st) < 0)
        return error_set(err, errno, "%s (made by depmod)", dep);
    if (dep)
        key = mix_file(key, &st);
    if (stat(q->agent, &st) < 0)
        return error_set(err, errno, "%s, which a virtual machine runs, is missing from this installation",
                         q->agent);
    key = mix_file(key, &st);
    *name = arena_printf(a, "initramfs-%s-%016llx", q->release, (unsigned long long)key);
    return 0;
}

static int add_file(struct cpio *c, const char *name, mode_t mode, const char *path, struct error *err)
{
    _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, errno, "open %s", path);
    return cpio_file(c, name, mode, fd, (uint64_t)st.st_size, err);
}

static int add_modules(struct arena *a, struct cpio *c, const char *directory, struct error *err)
{
    struct string_list files;
    struct buffer list = {.arena = a};

    if (modules_for_guest(a, directory, &files, err) < 0 || cpio_directory(c, "modules", err) < 0)
        return -1;
    for (size_t i = 0; i < files.n; i++) {
        const char *base = strrchr(files.v[i], '/');
        const char *name = arena_printf(a, "modules/%s", base ? base + 1 : files.v[i]);

        buffer_printf(&list, "/%s\n", name);
        if (add_file(c, name, 0644, arena_printf(a, "%s/%s", directory, files.v[i]), err) < 0)
            return -1;
    }
    return files.n ? cpio_data(c, "modules/list", list.data, list.length, err) : 0;
}

static int write_archive(struct arena *a, const struct initramfs_request *q, int fd, struct error *err)
{
    struct cpio c = {.fd = fd};

    if (cpio_directory(&c, "dev", err) < 0 || cpio_console(&c, "dev/console", err) < 0 ||
        add_file(&c, "init", 0755, q->agent, err) < 0 ||
        (q->modules && add_modules(a, &c, q->modules, err) < 0) || cpio_end(&c, err) < 0)
        return error_wrap(err, "make the guest's initramfs");
    return 0;
}

/* 0: *fd is it; 1: there is none. */
static int open_kept(int dir, const char *name, int *fd, struct error *err)
{
    struct stat st;

    *fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return errno == ENOENT ? 1 : error_set(err, errno, "open %s in the cache", name);
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022))
        return 0;
    fd_closep(fd);
    return error_set(err, 0, "%s in the cache is somebody else's, or others may write to it", name);
}

static void remove_older(int dir, const char *release, const char *kept)
{
    _cleanup_(closedirp) DIR *d = NULL;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct arena a = {0};
    const char *prefix = arena_printf(&a, "initramfs-%s-", release);
    struct dirent *entry;

    if (fd < 0 || !(d = fdopendir(fd)))
        fd_closep(&fd);
    while (d && (entry = readdir(d)))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strcmp(entry->d_name, kept) != 0 &&
            strlen(entry->d_name) == strlen(kept))
            unlinkat(dir, entry->d_name, 0);
    arena_free(&a);
}

static int make_kept(struct arena *a, const struct initramfs_request *q, int dir, const char *name, int *fd,
                     struct error *err)
{
    const char *temporary = arena_printf(a, ".%s.%d", name, getpid());
    int made = openat(dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = made < 0 ? error_set(err, errno, "make %s", temporary) : write_archive(a, q, made, err);

    fd_closep(&made);
    if (result == 0 && renameat(dir, temporary, dir, name) < 0)
        result = error_set(err, errno, "rename %s", temporary);
    if (result < 0) {
        unlinkat(dir, temporary, 0);
        return -1;
    }
    remove_older(dir, q->release, name);
    return open_kept(dir, name, fd, err) == 0 ? 0 : -1;
}

static int make_in_memory(struct arena *a, const struct initramfs_request *q, int *fd, struct error *err)
{
    *fd = memfd_create("initramfs", MFD_CLOEXEC);
    if (*fd < 0)
        return error_set(err, errno, "memfd_create");
    if (write_archive(a, q, *fd, err) == 0 && lseek(*fd, 0, SEEK_SET) == 0)
        return 0;
    fd_closep(fd);
    return -1;
}

static int open_cache(const char *path)
{
    if (!path || file_mkdir_parents(path, 0700, NULL) < 0)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int initramfs_open(struct arena *a, const struct initramfs_request *q, int *fd, struct error *err)
{
    _cleanup_(fd_closep) int dir = -1;
    struct error why = {0};
    char *name = NULL;

    if (make_name(a, q, &name, err) < 0)
        return -1;
    dir = open_cache(q->cache);
    if (dir < 0 || faccessat(dir, ".", W_OK, AT_EACCESS) < 0)
        return make_in_memory(a, q, fd, err);
    switch (open_kept(dir, name, fd, &why)) {
    case 0:
        return 0;
    case 1:
        if (make_kept(a, q, dir, name, fd, &why) == 0)
            return 0;
    }
    log_warning("%s: %s: the initramfs is made anew for this start", q->cache, why.message);
    return make_in_memory(a, q, fd, err);
}
