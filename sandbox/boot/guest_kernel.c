/*
 * A guest's kernel. Its release, which names its modules, stands in the image: bzImage's header points to it
 * (Documentation/arch/x86/boot.rst, kernel_version); a vmlinux has it only in its banner, "Linux version RELEASE (...".
 */
#include "sandbox/boot/guest_kernel.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/helper.h"
#include "sandbox/boot/initramfs.h"

#define TAILORED "vmlinux"
#define BOOT     "/boot"
#define PREFIX   "vmlinuz-"

enum {
    HEADER_MAGIC = 0x202,   /* "HdrS" */
    HEADER_VERSION = 0x20e, /* 16 bits: offset of the version's text, less 0x200 */
    RELEASE_MAX = 128,
};

/* It becomes a part of paths. */
static int release_text(struct arena *a, const char *text, size_t size, char **release, struct error *err)
{
    size_t length = 0;

    while (length < size && text[length] > ' ' && text[length] < 0x7f && text[length] != '/')
        length++;
    if (length == 0 || length >= RELEASE_MAX || length == size || text[0] == '.' ||
        (text[length] != ' ' && text[length] != '\0'))
        return error_set(err, 0, "the kernel does not say its release");
    *release = arena_strndup(a, text, length);
    return 0;
}

static int bzimage_release(struct arena *a, int fd, char **release, struct error *err)
{
    char text[RELEASE_MAX];
    uint16_t offset;
    ssize_t n;

    if (pread(fd, &offset, sizeof(offset), HEADER_VERSION) != (ssize_t)sizeof(offset) || offset == 0 ||
        (n = pread(fd, text, sizeof(text), 0x200 + (off_t)offset)) <= 0)
        return error_set(err, 0, "the kernel does not say its release");
    return release_text(a, text, (size_t)n, release, err);
}

/* The banner stands in the first constants: behind the code, which is most of the file and need not be read. */
static size_t code_end(const char *data, size_t size)
{
    Elf64_Ehdr h;
    Elf64_Shdr s;

    if (size < sizeof(h))
        return 0;
    memcpy(&h, data, sizeof(h));
    if (h.e_shentsize != sizeof(s) || h.e_shoff > size || h.e_shnum > (size - h.e_shoff) / sizeof(s))
        return 0;
    for (size_t i = 0; i < h.e_shnum; i++) {
        memcpy(&s, data + h.e_shoff + i * sizeof(s), sizeof(s));
        if (s.sh_type == SHT_PROGBITS && (s.sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) == SHF_ALLOC)
            return s.sh_offset < size ? s.sh_offset : 0;
    }
    return 0;
}

static int vmlinux_release(struct arena *a, int fd, char **release, struct error *err)
{
    static const char banner[] = "Linux version ";
    struct stat st;
    const char *data, *at;
    int result;

    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        return error_set(err, errno, "fstat");
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return error_set(err, errno, "mmap");
    size_t start = code_end(data, (size_t)st.st_size);
    at = memmem(data + start, (size_t)st.st_size - start, banner, sizeof(banner) - 1);
    result = at ? release_text(a, at + sizeof(banner) - 1,
                               (size_t)st.st_size - (size_t)(at - data) - (sizeof(banner) - 1), release, err)
                : error_set(err, 0, "the kernel does not say its release");
    munmap((void *)data, (size_t)st.st_size);
    return result;
}

int guest_kernel_release(struct arena *a, int fd, char **release, struct error *err)
{
    char magic[4];

    if (pread(fd, magic, 4, 0) == 4 && memcmp(magic, "\177ELF", 4) == 0)
        return vmlinux_release(a, fd, release, err);
    if (pread(fd, magic, 4, HEADER_MAGIC) == 4 && memcmp(magic, "HdrS", 4) == 0)
        return bzimage_release(a, fd, release, err);
    return error_set(err, 0, "is no Linux kernel: neither an ELF vmlinux nor a bzImage");
}

/* NULL: the kernel has no modules directory. Beside it is where a package has been unpacked; newer ones have /usr. */
static const char *modules_of(struct arena *a, const char *path, const char *release)
{
    static const char *const below[] = {"/../lib/modules/", "/../usr/lib/modules/"};
    const char *slash = strrchr(path, '/'), *modules;

    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        modules = arena_printf(a, "%.*s%s%s", slash ? (int)(slash - path) : 1, slash ? path : ".", below[i],
                               release);
        if (access(modules, F_OK) == 0)
            return modules;
    }
    modules = arena_printf(a, "/lib/modules/%s", release);
    return access(modules, F_OK) == 0 ? modules : NULL;
}

static const char *cache_directory(struct arena *a)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (geteuid() == 0)
        return "/var/cache/hull";
    if (xdg && *xdg == '/')
        return arena_printf(a, "%s/hull", xdg);
    return home && *home == '/' ? arena_printf(a, "%s/.cache/hull", home) : NULL;
}

/* @must_have_modules: one of a distribution, which is nothing without them. */
static int try_kernel(struct arena *a, const char *path, bool must_have_modules, int *kernel, int *initrd,
                      char **release, struct error *err)
{
    struct initramfs_request q = {.cache = cache_directory(a), .agent = helper_path(a, "hull-guest")};
    struct stat st;
    _cleanup_(fd_closep) int fd = file_open_regular(AT_FDCWD, path, &st, err);
    char *text;

    if (fd < 0)
        return error_wrap(err, "guest kernel");
    if (guest_kernel_release(a, fd, &text, err) < 0)
        return error_wrap(err, "guest kernel %s", path);
    q.release = text;
    q.modules = modules_of(a, path, text);
    if (must_have_modules && !q.modules)
        return error_set(err, 0, "guest kernel %s: /lib/modules/%s is missing", path, text);
    if (initramfs_open(a, &q, initrd, err) < 0)
        return error_wrap(err, "guest kernel %s", path);
    *kernel = steal_fd(&fd);
    if (release)
        *release = text;
    return 0;
}

/* The newest name in /boot that is older than @below (NULL: the newest of all), or NULL. */
static const char *newest_in_boot(struct arena *a, const char *below)
{
    _cleanup_(closedirp) DIR *dir = opendir(BOOT);
    const char *best = NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            (below && strverscmp(entry->d_name, below) >= 0))
            continue;
        if (!best || strverscmp(entry->d_name, best) > 0)
            best = arena_strdup(a, entry->d_name);
    }
    return best;
}

static int search_boot(struct arena *a, int *kernel, int *initrd, char **release, struct error *err)
{
    struct error why = {0};
    const char *name = newest_in_boot(a, NULL);

    for (; name; name = newest_in_boot(a, name)) {
        struct error this = {0};

        if (try_kernel(a, arena_printf(a, BOOT "/%s", name), true, kernel, initrd, release, &this) == 0)
            return 0;
        if (!why.message[0])
            why = this;
    }
    if (!why.message[0])
        return error_set(err, 0,
                         "there is no kernel for a virtual machine: neither %s nor one in " BOOT
                         " (make guest-kernel, or apt install linux-image-cloud-amd64)",
                         helper_path(a, TAILORED));
    return error_set(err, 0,
                     "no kernel in " BOOT
                     " can be a guest (%s): make guest-kernel, or apt install linux-image-cloud-amd64",
                     why.message);
}

int guest_kernel_open(struct arena *a, const char *wanted, int *kernel, int *initrd, char **release,
                      struct error *err)
{
    const char *tailored = helper_path(a, TAILORED);

    *kernel = *initrd = -1;
    if (wanted)
        return try_kernel(a, wanted, false, kernel, initrd, release, err);
    if (access(tailored, F_OK) == 0)
        return try_kernel(a, tailored, false, kernel, initrd, release, err);
    return search_boot(a, kernel, initrd, release, err);
}
