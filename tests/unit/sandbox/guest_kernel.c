/* What a guest boots: releases read from kernel images, modules in order, the archive and its cache. */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "sandbox/boot/guest_kernel.h"
#include "sandbox/boot/initramfs.h"
#include "sandbox/boot/modules.h"

static struct arena arena;
static struct error err;
static char top[] = "/tmp/hull-boot.XXXXXX";

static void setup(void)
{
    cr_assert_not_null(mkdtemp(top));
    cr_assert_eq(chdir(top), 0);
}

static void teardown(void)
{
    file_remove_tree(AT_FDCWD, top, NULL);
}

TestSuite(sandbox_guest_kernel, .init = setup, .fini = teardown);

static void put(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);

    cr_assert_eq(fd_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static const char *dep = "kernel/fs/fuse/fuse.ko:\n"
                         "kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko kernel/drivers/virtio/virtio.ko "
                         "kernel/drivers/virtio/virtio_ring.ko\n"
                         "kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko "
                         "kernel/drivers/virtio/virtio_ring.ko\n"
                         "kernel/drivers/virtio/virtio_mmio_more.ko:\n"
                         "kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko\n";
static const char *builtin = "kernel/net/vmw_vsock/vmw_vsock_virtio_transport.ko\nkernel/fs/ext4/ext4.ko\n";

Test(sandbox_guest_kernel, modules_in_order)
{
    static const char *const order[] = {
        "kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko",
        "kernel/drivers/virtio/virtio_mmio.ko", "kernel/fs/fuse/fuse.ko",
        "kernel/fs/fuse/virtiofs.ko",           "kernel/drivers/char/hw_random/virtio-rng.ko.xz"};
    struct string_list files;

    put("modules.dep", dep);
    put("modules.builtin", builtin);
    cr_assert_eq(modules_for_guest(&arena, top, &files, &err), 0, "%s", err.message);
    cr_assert_eq(files.n, ARRAY_SIZE(order));
    for (size_t i = 0; i < files.n; i++)
        cr_expect_str_eq(files.v[i], order[i]);
}

Test(sandbox_guest_kernel, a_module_that_is_missing)
{
    struct string_list files;

    cr_expect_eq(modules_for_guest(&arena, top, &files, &err), -1);
    cr_expect(strstr(err.message, "depmod"), "%s", err.message);
    put("modules.dep", dep);
    put("modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    cr_expect_eq(modules_for_guest(&arena, top, &files, &err), -1);
    cr_expect(strstr(err.message, "vmw_vsock_virtio_transport"), "%s", err.message);
}

static void try_image(const char *data, size_t length, const char *release)
{
    int fd = memfd_create("kernel", 0);
    char *got = NULL;

    cr_assert_eq(fd_write_all(fd, data, length), 0);
    cr_expect_eq(guest_kernel_release(&arena, fd, &got, &err), release ? 0 : -1);
    if (release)
        cr_expect_str_eq(got, release);
    close(fd);
}

/* Headers, code, constants: @first and @second are where the sections table says that code and constants are. */
static void try_sections(uint64_t table, uint64_t first, uint64_t second, const char *release)
{
    struct image {
        Elf64_Ehdr h;
        char code[64], constants[64];
        Elf64_Shdr s[3];
    } image = {
        .h = {.e_ident = "\177ELF",
              .e_shoff = table ? table : offsetof(struct image, s),
              .e_shentsize = sizeof(Elf64_Shdr),
              .e_shnum = 3},
        .code = "Linux version 6.0.0-code (",
        .constants = "Linux version 6.1.0-constants (",
        .s = {[1] = {.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR, .sh_offset = first},
              [2] = {.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_offset = second}}};

    try_image((const char *)&image, sizeof(image), release);
}

Test(sandbox_guest_kernel, the_banner_of_a_vmlinux_is_looked_for_behind_its_code)
{
    uint64_t code = sizeof(Elf64_Ehdr), constants = code + 64;

    try_sections(0, code, constants, "6.1.0-constants");
    try_sections(0, code, constants + 1, NULL);
    try_sections(0, code, UINT64_MAX, "6.0.0-code");
    try_sections(UINT64_MAX - 64, code, constants, "6.0.0-code");
    try_sections(constants + 128, code, constants, "6.0.0-code");
}

Test(sandbox_guest_kernel, releases)
{
    static const char elf[] = "\177ELF....Linux version 6.1.0-hull (root@x) #1";
    char bz[0x300] = "";

    try_image(elf, sizeof(elf), "6.1.0-hull");
    try_image(elf, 28, NULL);
    try_image(elf, 20, NULL);
    try_image("\177ELF", 4, NULL);
    try_image("MZ", 2, NULL);
    memcpy(bz + 0x202, "HdrS", 4);
    try_image(bz, sizeof(bz), NULL);
    bz[0x20e] = (char)0x80;
    try_image(bz, sizeof(bz), NULL);
    strcpy(bz + 0x280, "6.1.0-9-cloud-amd64 (debian-kernel)");
    try_image(bz, sizeof(bz), "6.1.0-9-cloud-amd64");
    try_image(bz, 0x285, NULL);
    strcpy(bz + 0x280, "../../../tmp/x y");
    try_image(bz, sizeof(bz), NULL);
    bz[0x20e] = bz[0x20f] = (char)0xff;
    try_image(bz, sizeof(bz), NULL);
}

static ino_t open_archive(const char *cache, char *text, size_t size)
{
    struct initramfs_request q = {.cache = cache, .agent = "agent", .release = "6.1", .modules = top};
    struct stat st;
    ssize_t n;
    int fd;

    cr_assert_eq(initramfs_open(&arena, &q, &fd, &err), 0, "%s", err.message);
    n = read(fd, text, size - 1);
    cr_assert_gt(n, 512);
    cr_assert_eq(n % 4, 0);
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = '.';
    text[n] = '\0';
    fstat(fd, &st);
    close(fd);
    return st.st_ino;
}

static unsigned count(const char *directory)
{
    _cleanup_(closedirp) DIR *d = opendir(directory);
    struct dirent *e;
    unsigned n = 0;

    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    return n;
}

static void make_inputs(void)
{
    put("agent", "the agent");
    put("a.ko", "module");
    put("modules.dep", "a/virtio_mmio.ko:\na/virtiofs.ko:\na/vmw_vsock_virtio_transport.ko:\n");
    put("modules.builtin", "");
    cr_assert_eq(mkdir("a", 0755), 0);
    put("a/virtio_mmio.ko", "first module");
    put("a/virtiofs.ko", "second");
    put("a/vmw_vsock_virtio_transport.ko", "third");
}

Test(sandbox_guest_kernel, an_archive_the_kernel_understands)
{
    static char text[1 << 16];
    char list[256] = "";
    FILE *f;

    make_inputs();
    open_archive(NULL, text, sizeof(text));
    cr_expect(strstr(text, "TRAILER!!!"));
    open_archive("cache", text, sizeof(text));
    if (access("/bin/busybox", X_OK) < 0)
        cr_skip_test("no /bin/busybox (apt install busybox-static)");
    f = popen("mkdir x; cd x; cat ../cache/initramfs-6.1-* | busybox cpio -i 2>&1; cat init modules/list "
              "modules/virtiofs.ko; "
              "stat -c %a init",
              "r");
    cr_assert_gt(fread(list, 1, sizeof(list) - 1, f), 0);
    cr_expect_eq(pclose(f), 0);
    cr_expect(strstr(list, "the agent/modules/virtio_mmio.ko\n/modules/virtiofs.ko\n"
                           "/modules/vmw_vsock_virtio_transport.ko\nsecond755\n"),
              "%s", list);
}

Test(sandbox_guest_kernel, kept_until_an_input_changes)
{
    static char text[1 << 16];
    ino_t first;

    make_inputs();
    first = open_archive("cache", text, sizeof(text));
    cr_expect_eq(open_archive("cache", text, sizeof(text)), first);
    put("agent", "another agent");
    cr_expect_neq(open_archive("cache", text, sizeof(text)), first);
    cr_expect(strstr(text, "another agent"));
    cr_expect_eq(count("cache"), 1, "the one before is gone");
    put("modules.dep", "a/virtio_mmio.ko:\na/virtiofs.ko: a/../a.ko\na/vmw_vsock_virtio_transport.ko:\n");
    open_archive("cache", text, sizeof(text));
    cr_expect(strstr(text, "modules/a.ko"));
}

Test(sandbox_guest_kernel, nobody_else_may_have_put_it_there)
{
    static char text[1 << 16];

    make_inputs();
    open_archive("cache", text, sizeof(text));
    cr_assert_eq(system("for f in cache/*; do echo evil >$f; chmod 666 $f; done"), 0);
    open_archive("cache", text, sizeof(text));
    cr_expect(strstr(text, "the agent"));
    cr_assert_eq(system("for f in cache/*; do rm $f; ln -s /etc/passwd $f; done"), 0);
    open_archive("cache", text, sizeof(text));
    cr_expect(strstr(text, "the agent"));
}

/* As `dpkg -x` leaves it, of a distribution whose /lib is /usr/lib. */
Test(sandbox_guest_kernel, modules_of_an_unpacked_package)
{
    static const char *const below[] = {"lib/modules/9.9-x", "usr/lib/modules/9.9-x"};
    int kernel, initrd;

    cr_assert_eq(system("mkdir -p boot && printf '\\177ELF Linux version 9.9-x (root@x) #1' >boot/vmlinuz"),
                 0);
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        char found[128];

        snprintf(found, sizeof(found), "boot/../%s/modules.dep (made by depmod)", below[i]);
        cr_assert_eq(file_mkdir_parents(below[i], 0755, &err), 0, "%s", err.message);
        cr_expect_eq(guest_kernel_open(&arena, "boot/vmlinuz", &kernel, &initrd, NULL, &err), -1);
        cr_expect(strstr(err.message, found), "%s", err.message);
        cr_assert_eq(system("rm -r lib usr 2>/dev/null; true"), 0);
    }
}

Test(sandbox_guest_kernel, no_kernel)
{
    int kernel, initrd;

    put("vmlinux", "this is text");
    cr_expect_eq(guest_kernel_open(&arena, "vmlinux", &kernel, &initrd, NULL, &err), -1);
    cr_expect(strstr(err.message, "vmlinux: is no Linux kernel"), "%s", err.message);
    /* Not waited for, whoever may write into it one day. */
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_expect_eq(guest_kernel_open(&arena, "fifo", &kernel, &initrd, NULL, &err), -1);
    cr_expect(strstr(err.message, "fifo is not a regular file"), "%s", err.message);
    cr_expect_eq(guest_kernel_open(&arena, ".", &kernel, &initrd, NULL, &err), -1);
    cr_expect(strstr(err.message, ". is not a regular file"), "%s", err.message);
    cr_expect_eq(guest_kernel_open(&arena, "/nonexistent/vmlinux", &kernel, &initrd, NULL, &err), -1);
    cr_expect(strstr(err.message, "/nonexistent/vmlinux"), "%s", err.message);
}
