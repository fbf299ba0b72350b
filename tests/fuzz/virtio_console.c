/* libFuzzer target for the console. The stream has no thread: the program says when its bytes are written. */
#include "sandbox/virtio/console.h"
#include "tests/fuzz/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct console console;

static void write_out(struct fuzz_guest *g)
{
    uint32_t n = fuzz_take(g, 2), held = console.out.tail - console.out.head;

    fuzz_check(held <= CONSOLE_BUFFER);
    console.out.head += n < held ? n : held;
    console.out.ended |= n == UINT16_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_guest guest;
    struct error err;

    if (!guest.memory.n) {
        fuzz_check(console_init(&console, -1, &err) == 0);
        fuzz_guest_open(&guest, &console.device);
    }
    console.out.head = console.out.tail = size ? data[0] << 8 : 0; /* the end of the ring is somewhere */
    console.out.ended = false;
    console.lost = 0;
    guest.mmio.complaints = 1000; /* none is written */
    fuzz_guest_run(&guest, data, size, write_out);
    return 0;
}
