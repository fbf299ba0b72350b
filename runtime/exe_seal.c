/*
 * The binary's protection. A container that can make the runtime execute `#!/proc/self/exe`, or that opens
 * /proc/PID/exe of a process which is joining it, holds a reference to the host's binary and can overwrite it
 * once nobody runs it.
 *
 * Others run from a copy or a read-only clone of themselves, which costs a second execve (0.7 ms here, as
 * much as the whole start of this program). Instead the forked child lets go of the file and points
 * /proc/self/exe to an empty memfd with prctl(PR_SET_MM_MAP). The kernel allows that only when no mapping of
 * the old file is left (it compares mount and dentry), so success is the proof. The mappings are replaced in
 * place, contents unchanged, each in one step, so that code may replace itself:
 *
 *   - in a new mount namespace the binary's path leads to the same inode by another mount, ours alone and
 * soon detached: text and constants are mapped from there, no page is copied. What is left of them shows in
 * /proc/PID/map_files, which takes CAP_SYS_ADMIN over the host to open.
 *   - elsewhere (exec), and for what is writable, pages are copied to anonymous memory and moved (mremap).
 */
#include "runtime/exe_seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

extern char **environ;

struct move {
    int binary; /* the same file by another mount, or -1 */
    uintptr_t code_start, code_end, data_start, data_end;
    int error;
};

static uintptr_t page_down(uintptr_t address)
{
    return address & ~(uintptr_t)(getpagesize() - 1);
}

static uintptr_t page_up(uintptr_t address)
{
    return page_down(address + (uintptr_t)getpagesize() - 1);
}

static int protection_of(const ElfW(Phdr) * ph)
{
    return (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
           (ph->p_flags & PF_X ? PROT_EXEC : 0);
}

/* memcpy that sanitizers do not take for an overflow of the program's variables. */
__attribute__((no_sanitize("address", "undefined"), optimize("no-tree-loop-distribute-patterns"))) static void
copy_words(uint64_t *to, const uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(*to); i++)
        to[i] = from[i];
}

static int move_to_memory(uintptr_t start, uintptr_t end, int protection)
{
    size_t length = end - start;
    void *copy =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (copy == MAP_FAILED)
        return errno;
    copy_words(copy, (const uint64_t *)start, length);
    if (protection != (PROT_READ | PROT_WRITE) && mprotect(copy, length, protection) < 0)
        return errno;
    if (mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED)
        return errno;
    return 0;
}

static int move_segment(const struct move *m, const ElfW(Phdr) * ph, uintptr_t at)
{
    uintptr_t start = page_down(at), end = page_up(at + ph->p_filesz);

    if (m->binary < 0 || ph->p_flags & PF_W)
        return move_to_memory(start, end, protection_of(ph));
    if (mmap((void *)start, end - start, protection_of(ph), MAP_PRIVATE | MAP_FIXED, m->binary,
             (off_t)page_down(ph->p_offset)) == MAP_FAILED)
        return errno;
    return 0;
}

/* The first object is the program itself; libraries (in a dynamic build) are files of their own and stay. */
static int move_program(struct dl_phdr_info *info, size_t size, void *data)
{
    struct move *m = data;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum && m->error == 0; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + ph->p_vaddr, end = at + ph->p_filesz;

        if (ph->p_type != PT_LOAD)
            continue;
        if (ph->p_flags & PF_X)
            m->code_start = at, m->code_end = end;
        if (ph->p_flags & PF_W)
            m->data_start = at, m->data_end = end;
        m->error = move_segment(m, ph, at);
    }
    return 1;
}

/* The running binary, found again by its path; -1 when something else is there now (an upgrade, an
 * overmount). */
static int open_binary(void)
{
    char path[PATH_MAX];
    struct stat running, found;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    int fd;

    if (n <= 0)
        return -1;
    path[n] = '\0';
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, &found) < 0 || stat("/proc/self/exe", &running) < 0 ||
                    found.st_dev != running.st_dev || found.st_ino != running.st_ino))
        fd_closep(&fd);
    return fd;
}

static int open_empty_memfd(void)
{
    int fd = memfd_create("hull", MFD_CLOEXEC | MFD_EXEC);

    return fd >= 0 || errno != EINVAL ? fd : memfd_create("hull", MFD_CLOEXEC);
}

int exe_seal(bool new_mount_namespace, struct error *err)
{
    _cleanup_(fd_closep) int exe = open_empty_memfd();
    _cleanup_(fd_closep) int binary = new_mount_namespace ? open_binary() : -1;
    struct move m = {.binary = binary};

    if (exe < 0)
        return error_set(err, errno, "protect the hull binary: memfd_create");
    dl_iterate_phdr(move_program, &m);
    if (m.error)
        return error_set(err, m.error, "protect the hull binary: let go of it");

    /* The kernel wants start_brk above end_data and every address mappable; the values otherwise only feed
     * /proc. */
    uintptr_t brk_now = (uintptr_t)sbrk(0);
    uintptr_t words = (uintptr_t)(environ && environ[0] ? environ[0] : (char *)&m);
    struct prctl_mm_map map = {.start_code = m.code_start,
                               .end_code = m.code_end,
                               .start_data = m.data_start,
                               .end_data = m.data_end,
                               .start_brk = brk_now,
                               .brk = brk_now,
                               .start_stack = (uintptr_t)&m,
                               .arg_start = words,
                               .arg_end = words,
                               .env_start = words,
                               .env_end = words,
                               .exe_fd = (uint32_t)exe};

    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0)
        return error_set(err, errno, "protect the hull binary: PR_SET_MM_MAP");
    return 0;
}

static const char reexec_mark[] = "HULL_EXE_SEALED=1";

static int run_from_copy(char **argv, struct error *err)
{
    _cleanup_(fd_closep) int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    _cleanup_(fd_closep) int copy = -1;
    struct stat st;

    if (self < 0 || fstat(self, &st) < 0)
        return error_set(err, errno, "/proc/self/exe");
    copy = memfd_create("hull", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL)
        copy = memfd_create("hull", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return error_set(err, errno, "memfd_create");
    for (off_t done = 0; done < st.st_size;) {
        if (sendfile(copy, self, &done, (size_t)(st.st_size - done)) <= 0)
            return error_set(err, errno, "copy the hull binary to memory");
    }
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_set(err, errno, "seal the copy of the hull binary");
    putenv((char *)reexec_mark);
    fexecve(copy, argv, environ);
    return error_set(err, errno, "run the sealed copy of hull");
}

int exe_seal_prepare(char **argv, struct error *err)
{
    unsigned size;

    if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0)
        return 0;
    return run_from_copy(argv, err);
}
