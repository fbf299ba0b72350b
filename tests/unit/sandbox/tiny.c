/* See tiny.h. */
#include "tiny.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/vmm/boot.h"
#include "sandbox/vmm/kvm.h"
#include "sandbox/vmm/power.h"

enum { MEMORY = 32 << 20 };

static void note(struct tiny *t, bool mmio, void *data, uint32_t length, bool write)
{
    if (!write) {
        memcpy(data, &t->answer, length);
        return;
    }
    unsigned n = atomic_load(&t->n_notes);
    if (n == TINY_MAX_NOTES)
        return;
    t->notes[n] = (struct tiny_note){.length = length, .mmio = mmio};
    memcpy(&t->notes[n].value, data, length);
    atomic_store(&t->n_notes, n + 1);
    usleep(t->delay_us);
}

static void note_port(void *handler, uint64_t offset, void *data, uint32_t length, bool write)
{
    (void)offset;
    note(handler, false, data, length, write);
}

static void note_mmio(void *handler, uint64_t offset, void *data, uint32_t length, bool write)
{
    (void)offset;
    note(handler, true, data, length, write);
}

void tiny_create(struct tiny *t, unsigned n_vcpus)
{
    struct cpuid cpuid;
    struct error err = {0};

    memset(t, 0, sizeof(*t));
    t->kvm = kvm_open(&err);
    if (t->kvm < 0)
        cr_skip_test("%s", err.message);
    t->out = memfd_create("serial", MFD_CLOEXEC);
    t->n_vcpus = n_vcpus;
    t->answer = 0xfedcba9876543210;
    bool made = memory_create(&t->memory, MEMORY, &err) == 0 &&
                machine_create(&t->machine, t->kvm, &t->memory, &err) == 0 &&
                power_attach(&t->machine, &err) == 0 && serial_init(&t->serial, t->out, &err) == 0 &&
                serial_attach(&t->serial, &t->machine, &err) == 0 &&
                cpuid_supported(&cpuid, t->kvm, t->machine.tsc_deadline, &err) == 0 &&
                bus_add(&t->machine.ports, &(struct bus_range){TINY_PORT, 8, note_port, t}, &err) == 0 &&
                bus_add(&t->machine.mmio, &(struct bus_range){TINY_MMIO, 8, note_mmio, t}, &err) == 0;
    for (unsigned i = 0; made && i < n_vcpus; i++)
        made = vcpu_create(&t->vcpus[i], &t->machine, i, n_vcpus, &cpuid, &err) == 0;
    cr_assert(made, "%s", err.message);
}

/* An ELF file with the guest as its only segment. */
static int elf_file(const struct tiny_guest *guest)
{
    size_t length = (size_t)(guest->end - guest->start);
    struct {
        Elf64_Ehdr h;
        Elf64_Phdr p;
    } head = {
        .h = {.e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_entry = TINY_CODE,
              .e_phoff = sizeof(head.h),
              .e_phentsize = sizeof(head.p),
              .e_phnum = 1},
        .p = {.p_type = PT_LOAD,
              .p_offset = sizeof(head),
              .p_paddr = TINY_CODE,
              .p_filesz = length,
              .p_memsz = length},
    };
    int fd = memfd_create("guest", MFD_CLOEXEC);

    memcpy(head.h.e_ident, ELFMAG, SELFMAG);
    head.h.e_ident[EI_CLASS] = ELFCLASS64;
    head.h.e_ident[EI_DATA] = ELFDATA2LSB;
    cr_assert(fd >= 0 && write(fd, &head, sizeof(head)) == sizeof(head) &&
              write(fd, guest->start, length) == (ssize_t)length);
    return fd;
}

void tiny_boot(struct tiny *t, unsigned n_vcpus, const struct tiny_guest *guest)
{
    struct boot_entry entry;
    struct error err = {0};
    uint32_t others = n_vcpus - 1;

    tiny_create(t, n_vcpus);
    _cleanup_(fd_closep) int kernel = elf_file(guest);
    struct boot boot = {.kernel = kernel, .initrd = -1, .command_line = ""};
    cr_assert_eq(boot_load(&t->memory, &boot, &entry, &err), 0, "%s", err.message);
    cr_assert_eq(memory_write(&t->memory, TINY_AP, tiny_ap.start, (uint64_t)(tiny_ap.end - tiny_ap.start)),
                 0);
    cr_assert_eq(memory_write(&t->memory, 0x8008, &others, sizeof(others)), 0);
    cr_assert_eq(vcpu_enter(&t->vcpus[0], entry.rip, entry.rsi, &err), 0, "%s", err.message);
}

void tiny_start(struct tiny *t)
{
    struct error err = {0};
    cr_assert_eq(vcpus_start(t->vcpus, t->n_vcpus, &err), 0, "%s", err.message);
}

enum machine_end tiny_run(struct tiny *t)
{
    struct pollfd ended = {.fd = t->machine.ended, .events = POLLIN};

    tiny_start(t);
    cr_assert_eq(poll(&ended, 1, 10000), 1, "it has not ended");
    vcpus_stop(t->vcpus, t->n_vcpus);
    return (enum machine_end)atomic_load(&t->machine.end);
}

void tiny_wait_notes(struct tiny *t, unsigned n)
{
    for (unsigned i = 0; i < 10000 && atomic_load(&t->n_notes) < n; i++)
        usleep(1000);
    cr_assert_geq(atomic_load(&t->n_notes), n, "%s", t->machine.end_words);
}

const char *tiny_output(struct tiny *t)
{
    static char text[4096];
    ssize_t n = pread(t->out, text, sizeof(text) - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

void tiny_destroy(struct tiny *t)
{
    for (unsigned i = 0; i < t->n_vcpus; i++)
        vcpu_destroy(&t->vcpus[i]);
    serial_destroy(&t->serial);
    machine_destroy(&t->machine);
    memory_destroy(&t->memory);
    close(t->out);
    close(t->kvm);
}
