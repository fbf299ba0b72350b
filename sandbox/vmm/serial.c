/*
 * The 16550A's registers (National Semiconductor's PC16550D) as a driver needs them to believe in one: divisor latch,
 * FIFO bits in the interrupt identification, loopback of the modem lines and of a byte. The transmitter is always empty:
 * what is written has been sent. So its interrupt is pending from the moment that it is enabled, or a byte was written,
 * until the identification register has been read.
 *
 * A descriptor that takes no more holds the vCPU up, which is what a serial line does; but a signal (the machine is to
 * stop) ends that, and what then is left of the line is dropped.
 */
#include "sandbox/vmm/serial.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sandbox/vmm/layout.h"

enum {
    DATA,
    INTERRUPT_ENABLE,
    IDENTIFY_OR_FIFO,
    LINE_CONTROL,
    MODEM_CONTROL,
    LINE_STATUS,
    MODEM_STATUS,
    SCRATCH
};
enum { PORTS = 8 };
enum { ENABLE_DATA = 1, ENABLE_EMPTY = 2, ENABLE_ALL = 0xf };
enum { ID_NONE = 1, ID_EMPTY = 2, ID_DATA = 4, ID_FIFOS = 0xc0 };
enum { FIFO_ENABLE = 1 };
enum { LATCH = 0x80 };
enum { DTR = 1, RTS = 2, OUT1 = 4, OUT2 = 8, LOOP = 0x10, MODEM_ALL = 0x1f };
enum { STATUS_DATA = 1, STATUS_EMPTY = 0x60 };
enum { CTS = 0x10, DSR = 0x20, RI = 0x40, DCD = 0x80 };

/* #syscalls: eventfd2 */
int serial_init(struct serial *s, int out, struct error *err)
{
    *s = (struct serial){.out = out, .interrupt = -1};
    s->state = (struct serial_state){
        .version = SERIAL_STATE_VERSION, .length = sizeof(s->state), .divisor = {12, 0} /* 9600 baud */};
    pthread_mutex_init(&s->lock, NULL);
    s->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->interrupt < 0 ? error_set(err, errno, "eventfd") : 0;
}

/* #syscalls(main vcpu): write */
static void flush(struct serial *s)
{
    size_t done = 0;

    while (done < s->n) {
        ssize_t n = write(s->out, s->line + done, s->n - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    s->n = 0;
}

void serial_destroy(struct serial *s)
{
    flush(s);
    fd_closep(&s->interrupt);
    s->interrupt = -1;
    pthread_mutex_destroy(&s->lock);
}

int serial_attach(struct serial *s, struct machine *m, struct error *err)
{
    const struct bus_range range = {LAYOUT_PORT_SERIAL, PORTS, serial_access, s};

    return bus_add(&m->ports, &range, err) || machine_irqfd(m, s->interrupt, LAYOUT_GSI_SERIAL, err) ? -1 : 0;
}

/* --- registers ----------------------------------------------------------------------------------------------------- */

static uint8_t identification(const struct serial_state *r)
{
    if (r->data_ready && r->interrupt_enable & ENABLE_DATA)
        return ID_DATA;
    if (r->transmitter_empty_pending && r->interrupt_enable & ENABLE_EMPTY)
        return ID_EMPTY;
    return ID_NONE;
}

static void interrupt(struct serial *s)
{
    static const uint64_t one = 1;

    if (identification(&s->state) == ID_NONE)
        return;
    ssize_t n = write(s->interrupt, &one, sizeof(one)); /* fails only when 2^64 - 2 edges are unseen */
    (void)n;
}

static void transmit(struct serial *s, uint8_t byte)
{
    if (s->state.modem_control & LOOP) {
        s->state.received = byte;
        s->state.data_ready = true;
    } else {
        s->line[s->n++] = (char)byte;
        if (byte == '\n' || s->n == sizeof(s->line))
            flush(s);
    }
    s->state.transmitter_empty_pending = true;
    interrupt(s);
}

static void enable_interrupts(struct serial *s, uint8_t bits)
{
    if (bits & ~s->state.interrupt_enable & ENABLE_EMPTY)
        s->state.transmitter_empty_pending = true;
    s->state.interrupt_enable = bits & ENABLE_ALL;
    interrupt(s);
}

static uint8_t modem_status(const struct serial_state *r)
{
    uint8_t c = r->modem_control;

    if (!(c & LOOP))
        return CTS | DSR | DCD; /* there is always somebody */
    return (uint8_t)((c & RTS ? CTS : 0) | (c & DTR ? DSR : 0) | (c & OUT1 ? RI : 0) | (c & OUT2 ? DCD : 0));
}

static void write_register(struct serial *s, unsigned reg, uint8_t value)
{
    struct serial_state *r = &s->state;

    if (r->line_control & LATCH && reg <= INTERRUPT_ENABLE)
        r->divisor[reg] = value;
    else if (reg == DATA)
        transmit(s, value);
    else if (reg == INTERRUPT_ENABLE)
        enable_interrupts(s, value);
    else if (reg == IDENTIFY_OR_FIFO)
        r->fifo_control = value;
    else if (reg == LINE_CONTROL)
        r->line_control = value;
    else if (reg == MODEM_CONTROL)
        r->modem_control = value & MODEM_ALL;
    else if (reg == SCRATCH)
        r->scratch = value;
}

static uint8_t read_identification(struct serial_state *r)
{
    uint8_t id = identification(r);

    if (id == ID_EMPTY)
        r->transmitter_empty_pending = false;
    return r->fifo_control & FIFO_ENABLE ? id | ID_FIFOS : id;
}

static uint8_t read_register(struct serial_state *r, unsigned reg)
{
    if (r->line_control & LATCH && reg <= INTERRUPT_ENABLE)
        return r->divisor[reg];
    switch (reg) {
    case DATA:
        r->data_ready = false;
        return r->received;
    case INTERRUPT_ENABLE:
        return r->interrupt_enable;
    case IDENTIFY_OR_FIFO:
        return read_identification(r);
    case LINE_CONTROL:
        return r->line_control;
    case MODEM_CONTROL:
        return r->modem_control;
    case LINE_STATUS:
        return r->data_ready ? STATUS_EMPTY | STATUS_DATA : STATUS_EMPTY;
    case MODEM_STATUS:
        return modem_status(r);
    default:
        return r->scratch;
    }
}

void serial_access(void *serial, uint64_t offset, void *data, uint32_t length, bool write)
{
    struct serial *s = serial;
    uint8_t *byte = data;

    if (length != 1) { /* byte registers: a wider access is nobody's */
        if (!write)
            memset(data, 0xff, length);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (write)
        write_register(s, (unsigned)offset, *byte);
    else
        *byte = read_register(&s->state, (unsigned)offset);
    pthread_mutex_unlock(&s->lock);
}

/* --- state --------------------------------------------------------------------------------------------------------- */

void serial_save(struct serial *s, struct serial_state *to)
{
    pthread_mutex_lock(&s->lock);
    flush(s);
    *to = s->state;
    pthread_mutex_unlock(&s->lock);
}

/* An interrupt that was on its way when the state was saved is raised again: a driver that waits for one that never comes
 * is stuck for good. */
int serial_load(struct serial *s, const struct serial_state *from, struct error *err)
{
    if (from->version != SERIAL_STATE_VERSION || from->length != sizeof(*from))
        return error_set(err, 0, "a serial port's state of version %u and %u bytes, not %d and %zu",
                         from->version, from->length, SERIAL_STATE_VERSION, sizeof(*from));
    pthread_mutex_lock(&s->lock);
    s->state = *from;
    if (s->state.interrupt_enable & ENABLE_EMPTY)
        s->state.transmitter_empty_pending = true;
    interrupt(s);
    pthread_mutex_unlock(&s->lock);
    return 0;
}
