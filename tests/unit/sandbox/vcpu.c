/* vCPUs: every way a guest stops, starts others, is stopped, saved and loaded. */
#include "sandbox/vmm/vcpu.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "tiny.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void expect_end(const struct tiny_guest *guest, enum machine_end how, const char *words)
{
    static struct tiny t;
    tiny_boot(&t, 1, guest);
    cr_expect_eq(tiny_run(&t), how, "%s", t.machine.end_words);
    cr_expect(strstr(t.machine.end_words, words), "%s", t.machine.end_words);
    tiny_destroy(&t);
}

Test(sandbox_vcpu, power_off, .timeout = 20)
{
    expect_end(&tiny_powers_off, MACHINE_POWER_OFF, "powered off");
}

Test(sandbox_vcpu, reset_by_acpi, .timeout = 20)
{
    expect_end(&tiny_resets, MACHINE_RESET, "reset");
}

Test(sandbox_vcpu, reset_by_keyboard_controller, .timeout = 20)
{
    expect_end(&tiny_resets_by_keyboard, MACHINE_RESET, "reset");
}

Test(sandbox_vcpu, triple_fault, .timeout = 20)
{
    expect_end(&tiny_faults, MACHINE_CRASHED, "vCPU 0: triple fault");
}

Test(sandbox_vcpu, no_instructions, .timeout = 20)
{
    expect_end(&tiny_jumps_away, MACHINE_FAILED, "at 0x30000000: an instruction that KVM cannot emulate");
}

Test(sandbox_vcpu, serial_output, .timeout = 20)
{
    static struct tiny t;
    tiny_boot(&t, 1, &tiny_prints);
    cr_expect_eq(tiny_run(&t), MACHINE_POWER_OFF, "%s", t.machine.end_words);
    cr_expect_str_eq(tiny_output(&t), "hi\n", "only whole lines until the end");
    cr_expect_geq(t.vcpus[0].exits, 5);
    int out = dup(t.out);
    tiny_destroy(&t);
    t.out = out;
    cr_expect_str_eq(tiny_output(&t), "hi\n!");
}

Test(sandbox_vcpu, accesses_of_each_size, .timeout = 20)
{
    static const struct tiny_note expected[] = {
        {0x44, 1, false},
        {0x3344, 2, false},
        {0x11223344, 4, false},
        {0x88, 1, true},
        {0x7788, 2, true},
        {0x55667788, 4, true},
        {0x1122334455667788, 8, true},
        {0x76543210, 8, true},
        {0xfedcba9876543210, 8, true},
        {0xff, 8, true},
        {UINT64_MAX, 8, true},
    };
    static struct tiny t;
    tiny_boot(&t, 1, &tiny_answers);
    cr_expect_eq(tiny_run(&t), MACHINE_POWER_OFF, "%s", t.machine.end_words);
    cr_assert_eq(t.n_notes, ARRAY_SIZE(expected), "%u", t.n_notes);
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        cr_expect(t.notes[i].value == expected[i].value && t.notes[i].length == expected[i].length &&
                      t.notes[i].mmio == expected[i].mmio,
                  "%zu: %#llx, %u", i, (unsigned long long)t.notes[i].value, t.notes[i].length);
    tiny_destroy(&t);
}

Test(sandbox_vcpu, others_start_by_init_and_sipi, .timeout = 20)
{
    static struct tiny t;
    tiny_boot(&t, 4, &tiny_starts_aps);
    cr_expect_eq(tiny_run(&t), MACHINE_POWER_OFF, "%s", t.machine.end_words);
    cr_assert_eq(t.n_notes, 1);
    cr_expect_eq(t.notes[0].value, 3);
    tiny_destroy(&t);
}

static void expect_quick_stop(const struct tiny_guest *guest)
{
    static struct tiny t;
    tiny_boot(&t, 4, guest);
    for (unsigned round = 1; round <= 20; round++) {
        tiny_start(&t);
        if (round == 1)
            tiny_wait_notes(&t, 1);
        double began = now();
        vcpus_stop(t.vcpus, t.n_vcpus);
        cr_expect_lt(now() - began, 1.0);
    }
    cr_expect_not(machine_has_ended(&t.machine), "%s", t.machine.end_words);
    tiny_destroy(&t);
}

Test(sandbox_vcpu, stops_a_halted_one, .timeout = 30)
{
    expect_quick_stop(&tiny_halts);
}

Test(sandbox_vcpu, stops_a_busy_one, .timeout = 30)
{
    expect_quick_stop(&tiny_spins);
}

Test(sandbox_vcpu, an_end_from_outside, .timeout = 20)
{
    static struct tiny t;
    tiny_boot(&t, 2, &tiny_spins);
    tiny_start(&t);
    machine_end(&t.machine, MACHINE_STOPPED, "enough of %s", "it");
    machine_end(&t.machine, MACHINE_FAILED, "too late");
    vcpus_stop(t.vcpus, t.n_vcpus);
    cr_expect_str_eq(t.machine.end_words, "enough of it");
    cr_expect_eq(t.machine.end, MACHINE_STOPPED);
    struct pollfd ended = {.fd = t.machine.ended, .events = POLLIN};
    cr_expect_eq(poll(&ended, 1, 0), 1);
    tiny_destroy(&t);
}

static int refuse(struct error *err)
{
    return error_set(err, 0, "no fence");
}

Test(sandbox_vcpu, a_thread_that_cannot_be_prepared, .timeout = 20)
{
    static struct tiny t;
    tiny_boot(&t, 1, &tiny_powers_off);
    t.vcpus[0].prepare = refuse;
    cr_expect_eq(tiny_run(&t), MACHINE_FAILED);
    cr_expect_str_eq(t.machine.end_words, "vCPU 0: no fence");
    tiny_destroy(&t);
}

/* --- exits that no guest can be made to cause ---------------------------------------------------------------------- */

static enum machine_end forged(struct kvm_run run, char *words, size_t size)
{
    struct machine m = {.kvm = -1, .vm = -1, .ended = -1};
    struct vcpu v = {.machine = &m, .id = 3, .fd = -1, .run = &run};

    cr_expect_eq(vcpu_handle_exit(&v), m.end == MACHINE_RUNS);
    snprintf(words, size, "%s", m.end_words);
    return (enum machine_end)m.end;
}

Test(sandbox_vcpu, each_exit_has_words)
{
    static const struct {
        struct kvm_run run;
        enum machine_end end;
        const char *words;
    } cases[] = {
        {{.exit_reason = KVM_EXIT_INTR}, MACHINE_RUNS, ""},
        {{.exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN}, MACHINE_RUNS, ""},
        {{.exit_reason = KVM_EXIT_HLT}, MACHINE_FAILED, "vCPU 3: KVM left a halted"},
        {{.exit_reason = KVM_EXIT_SHUTDOWN}, MACHINE_CRASHED, "vCPU 3: triple fault"},
        {{.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN},
         MACHINE_POWER_OFF,
         "powered off"},
        {{.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_RESET},
         MACHINE_RESET,
         "reset"},
        {{.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = KVM_SYSTEM_EVENT_CRASH},
         MACHINE_CRASHED,
         "crashed"},
        {{.exit_reason = KVM_EXIT_SYSTEM_EVENT, .system_event.type = 77}, MACHINE_FAILED, "system event 77"},
        {{.exit_reason = KVM_EXIT_FAIL_ENTRY,
          .fail_entry = {.hardware_entry_failure_reason = 0x80000021, .cpu = 1}},
         MACHINE_FAILED,
         "reason 0x80000021, CPU 1"},
        {{.exit_reason = KVM_EXIT_INTERNAL_ERROR, .internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV},
         MACHINE_FAILED,
         "internal error 3 at 0: an event that KVM could not deliver"},
        {{.exit_reason = KVM_EXIT_INTERNAL_ERROR, .internal.suberror = 99},
         MACHINE_FAILED,
         "internal error 99 at 0: of an unknown kind"},
        {{.exit_reason = KVM_EXIT_INTERNAL_ERROR,
          .emulation_failure = {.suberror = KVM_INTERNAL_ERROR_EMULATION,
                                .ndata = 3,
                                .flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
                                .insn_size = 200,
                                .insn_bytes = {0x0f, 0xc7, 0x0e}}},
         MACHINE_FAILED,
         "cannot emulate, bytes 0f c7 0e 00 00 00 00 00 00 00 00 00 00 00 00"},
        {{.exit_reason = KVM_EXIT_DEBUG}, MACHINE_FAILED, "KVM's exit 4 at 0"},
        {{.exit_reason = UINT32_MAX}, MACHINE_FAILED, "KVM's exit 4294967295"},
    };
    char words[512];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cr_expect_eq(forged(cases[i].run, words, sizeof(words)), cases[i].end, "%zu: %s", i, words);
        cr_expect(strstr(words, cases[i].words), "%zu: %s", i, words);
    }
}

/* --- state --------------------------------------------------------------------------------------------------------- */

enum { COUNT = 300 }; /* tiny_counts */

static struct tiny before, after;
static struct vcpu_state states[2];
static struct machine_state machine_states;
static struct serial_state serial_states;

/* `before`, as it stands, into `after`. */
static void carry_over(void)
{
    struct error err = {0};

    cr_assert_eq(machine_save(&before.machine, &machine_states, &err), 0, "%s", err.message);
    serial_save(&before.serial, &serial_states);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(vcpu_save(&before.vcpus[i], &states[i], &err), 0, "%s", err.message);

    tiny_create(&after, 2);
    memcpy(after.memory.regions[0].host, before.memory.regions[0].host, 2 << 20); /* it uses no more */
    cr_assert_eq(machine_load(&after.machine, &machine_states, &err), 0, "%s", err.message);
    cr_assert_eq(serial_load(&after.serial, &serial_states, &err), 0, "%s", err.message);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(vcpu_load(&after.vcpus[i], &states[i], &err), 0, "%s", err.message);
}

Test(sandbox_vcpu, state_is_saved_and_loaded, .timeout = 30)
{
    tiny_boot(&before, 2, &tiny_counts);
    before.delay_us = 1000;
    tiny_start(&before);
    tiny_wait_notes(&before, 20);
    vcpus_stop(before.vcpus, 2);
    cr_assert_not(machine_has_ended(&before.machine), "too fast for this test");
    unsigned n = before.n_notes;
    carry_over();
    cr_expect_eq(states[1].mp_state.mp_state, KVM_MP_STATE_UNINITIALIZED);
    tiny_destroy(&before);

    cr_expect_eq(tiny_run(&after), MACHINE_POWER_OFF, "%s", after.machine.end_words);
    cr_assert_eq(after.n_notes, COUNT - n + 3, "%u, then %u", n, after.n_notes);
    for (unsigned i = 0; i < COUNT - n; i++)
        cr_assert_eq(after.notes[i].value, n + 1 + i, "no number twice, none left out");
    cr_expect_eq(after.notes[COUNT - n].value, 0x56789abc);
    cr_expect_eq(after.notes[COUNT - n + 1].value, 0x1234);
    cr_expect_eq(after.notes[COUNT - n + 2].value, 0x600d);
    tiny_destroy(&after);
}

Test(sandbox_vcpu, states_that_are_refused, .timeout = 20)
{
    struct error err = {0};
    struct vcpu_state *s = &states[0], good;

    tiny_create(&before, 1);
    cr_assert_eq(vcpu_save(&before.vcpus[0], s, &err), 0, "%s", err.message);
    good = *s;
    s->version++;
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    *s = good;
    s->length--;
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    *s = good;
    s->id = 1;
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    *s = good;
    s->n_msrs = VCPU_MAX_MSRS + 1;
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    *s = good;
    s->cpuid.n = CPUID_MAX_ENTRIES + 1;
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    *s = good;
    s->msrs[s->n_msrs - 1] = (struct kvm_msr_entry){.index = 0x12345678, .data = 1};
    cr_expect_eq(vcpu_load(&before.vcpus[0], s, &err), -1);
    cr_expect(strstr(err.message, "0x12345678"), "%s", err.message);
    cr_expect_eq(vcpu_load(&before.vcpus[0], &good, &err), 0, "%s", err.message);
    tiny_destroy(&before);
}

Test(sandbox_vcpu, the_deadline_of_a_timer_that_just_went_off, .timeout = 20)
{
    enum { LVT_TIMER = 0x320, MSR_TSC_DEADLINE = 0x6e0 };
    static const uint32_t deadline_mode = 2 << 17 | 0x40, masked = 1 << 16;
    struct error err = {0};
    struct vcpu *v = &before.vcpus[0];
    uint64_t deadlines[2] = {0, 0};

    tiny_create(&before, 1);
    if (!before.machine.tsc_deadline)
        cr_skip_test("no TSC deadline timer");
    for (size_t round = 0; round < 2; round++) {
        cr_assert_eq(vcpu_save(v, &states[0], &err), 0, "%s", err.message);
        memcpy(&states[0].lapic.regs[LVT_TIMER], round ? &deadline_mode : &masked, sizeof(masked));
        cr_assert_eq(vcpu_load(v, &states[0], &err), 0, "%s", err.message);
        cr_assert_eq(vcpu_save(v, &states[0], &err), 0, "%s", err.message);
        for (uint32_t i = 0; i < states[0].n_msrs; i++)
            if (states[0].msrs[i].index == MSR_TSC_DEADLINE)
                deadlines[round] = states[0].msrs[i].data;
    }
    cr_expect_eq(deadlines[0], 0, "no timer runs");
    cr_expect_neq(deadlines[1], 0, "it goes off once more");
    tiny_destroy(&before);
}
