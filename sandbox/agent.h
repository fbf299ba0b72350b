/*
 * What the VMM and the agent in the guest (hull-guest, its PID 1) say to each other, over vsock connections that the
 * guest opens to the host (CID 2).
 *
 *     port CONTROL     messages in both directions, each a header and its payload; the conversation is below
 *     port STDIN       bytes from the VMM's descriptor 0; the end of the stream is the end of the input
 *     port STDOUT, STDERR   bytes to the VMM's descriptors 1 and 2. With a terminal there is only STDIN and STDOUT
 *
 * The conversation: the agent connects to CONTROL and says HELLO. The VMM answers CREATE. The agent builds the container
 * with the same engine as on a host and says CREATED (or ERROR, and that is the end). The VMM says START; the agent
 * answers STARTED once execve has worked (or ERROR), then EXITED when the process has ended and all it wrote has been
 * given to the streams. From CREATED on the VMM sends SIGNAL, WINDOW_SIZE and FORGET as they come. After EXITED or ERROR the
 * VMM takes what is left in the streams and ends the machine.
 *
 * Numbers are little-endian. A message that is too long, or not one that may come now, ends the conversation: the VMM
 * then ends the machine, with an error in words. `process` names the one the message is about: 0 is the container's
 * own. More processes (exec, with streams of their own), wait, update, statistics, pause, interfaces and routes, OOM and
 * the clock have room here: they are new types and ports; an agent answers a type that it does not know with ERROR.
 *
 * The VMM looks at types, lengths, and what is in a struct below; JSON passes through unread.
 */
#pragma once

#include <stdint.h>

enum agent_port {
    AGENT_PORT_CONTROL = 1024,
    AGENT_PORT_STDIN,
    AGENT_PORT_STDOUT,
    AGENT_PORT_STDERR,
};

enum agent_type {
    /* to the agent */
    AGENT_CREATE = 1,  /* struct agent_create, then config.json as the user wrote it */
    AGENT_START,       /* nothing */
    AGENT_SIGNAL,      /* uint32_t: its number */
    AGENT_WINDOW_SIZE, /* struct agent_window */
    AGENT_FORGET,      /* uint32_t, enum agent_caches: give up what the kernel keeps of files */
    /* from the agent */
    AGENT_HELLO = 64, /* struct agent_hello */
    AGENT_CREATED,    /* nothing */
    AGENT_STARTED,    /* nothing */
    AGENT_EXITED,     /* struct agent_exited */
    AGENT_ERROR,      /* struct agent_error, then words (UTF-8, no terminator) */
    AGENT_LOG,        /* uint32_t level (base/log.h), then words: for hull's log */
};

/* As the kernel numbers them (Documentation/admin-guide/sysctl/vm.rst, drop_caches). */
enum agent_caches {
    AGENT_CACHES_NAMES = 2,
    AGENT_CACHES_ALL = 3 /* and the files' contents, by which inodes stay */
};

enum {
    AGENT_VERSION = 1,
    AGENT_MAX_CONFIG = 4 << 20, /* bytes of config.json */
    AGENT_MAX_WORDS = 4096,     /* of ERROR and LOG */
};

struct agent_header {
    uint32_t length; /* of what follows, bytes */
    uint16_t type, process;
};

struct agent_hello {
    uint32_t version;
    uint32_t boot_us; /* CLOCK_BOOTTIME when the agent began */
};

/* What the engine in the guest has to know besides config.json. */
struct agent_create {
    uint32_t id_length;   /* the container's id stands between this struct and config.json */
    uint32_t flags;       /* enum agent_flags */
    uint64_t realtime_ns; /* CLOCK_REALTIME of the host, for the guest's clock */
    struct agent_window {
        uint16_t rows, columns, x, y; /* as struct winsize; all 0: not known */
    } window;
};

enum agent_flags {
    AGENT_NO_NEW_KEYRING = 1,
    AGENT_DEBUG = 2, /* LOG messages of every level */
};

struct agent_exited {
    uint32_t status; /* as a shell has it: 0..255, 128 + n for signal n */
};

struct agent_error {
    int32_t code, exit_code; /* struct error's: errno or 0, and what hull shall exit with or 0 */
};

/* In the tree that the VMM shares with the guest (virtio-fs tag AGENT_FS_TAG, mounted at AGENT_FS_MOUNT): */
#define AGENT_FS_TAG   "hull"
#define AGENT_FS_MOUNT "/hull"
#define AGENT_FS_ROOT  "rootfs" /* the container's root */
#define AGENT_FS_VOLUMES                                                                                     \
    "volumes" /* volumes/0, 1, ...: the source of config.json's i-th bind mount (counting binds only) */
