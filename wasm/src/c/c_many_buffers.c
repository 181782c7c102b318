// Behaviour: reads and writes of more buffers than one system call takes, of none that holds anything, and of so many that the
// list alone is large. How much one call transfers is the host's choice, as long as it is something: so each is repeated until
// all is done.
#include "suite.h"

#define COUNT 5000

static __wasi_ciovec_t out[COUNT];
static __wasi_iovec_t in[COUNT];
static uint8_t from[3 * COUNT], to[3 * COUNT];

// The list without the first `done` bytes.
static size_t rest(uint8_t *bytes, size_t done, int write) {
    size_t count = 0, at = 0;
    for (size_t i = 0; i < COUNT; i++) {
        // Many are empty: a transfer of only those would look like the end.
        size_t length = i < 2000 ? 0 : i % 4, skip = done > at ? done - at : 0;
        if (skip > length) skip = length;
        if (write) out[count++] = (__wasi_ciovec_t){bytes + at + skip, length - skip};
        else in[count++] = (__wasi_iovec_t){bytes + at + skip, length - skip};
        at += length;
    }
    return count;
}

static void transfers(const char *name, fd_t fd, int write, int positioned) {
    size_t total = 0, done = 0, bad = 0;
    for (size_t i = 2000; i < COUNT; i++) total += i % 4;
    for (int turns = 0; done < total && turns < COUNT; turns++) {
        size_t count = rest(write ? from : to, done, write);
        __wasi_size_t n = 0;
        int e = write ? positioned ? __wasi_fd_pwrite(fd, out, count, done, &n) : __wasi_fd_write(fd, out, count, &n)
                      : positioned ? __wasi_fd_pread(fd, in, count, done, &n) : __wasi_fd_read(fd, in, count, &n);
        if (e || !n || n > total - done) {
            printf("%s: errno %d after %zu of %zu, %u\n", name, e, done, total, (unsigned)n);
            return;
        }
        done += n;
    }
    for (size_t i = 0; !write && i < total; i++) bad += from[i] != to[i];
    memset(to, 0, sizeof to);
    printf("%s: %zu bytes, %zu wrong\n", name, done, bad);
}

int main(void) {
    for (size_t i = 0; i < sizeof from; i++) from[i] = 'a' + i * 7 % 26;
    for (int turn = 0; turn < 2; turn++) {
        fd_t fd = opened("a file", WORK, "buffers", CREAT | TRUNC, READ | WRITE | SEEK | TELL, 0);
        transfers("write", fd, 1, 0);
        seeks(fd, 0, __WASI_WHENCE_SET);
        transfers("read", fd, 0, 0);
        tells(fd);
        say("cut it off", __wasi_fd_filestat_set_size(fd, 0));
        transfers("pwrite", fd, 1, 1);
        transfers("pread", fd, 0, 1);
        tells(fd);
        fflush(stdout);
        transfers("stdout", 1, 1, 0);
        printf("\n");

        __wasi_size_t n = 7;
        // A million of them, all empty.
        const size_t many = 1 << 20;
        __wasi_ciovec_t *empty = calloc(many, sizeof *empty);
        say("room", empty != NULL);
        say("write nothing", __wasi_fd_write(fd, empty, many, &n));
        say("  bytes", n);
        empty[many - 1] = (__wasi_ciovec_t){from, 3};
        say("write behind them", __wasi_fd_write(fd, empty, many, &n));
        say("  bytes", n);
        say("read behind them", __wasi_fd_pread(fd, (__wasi_iovec_t *)empty, many, 0, &n));
        say("  bytes", n);
        free(empty);
        say("close", __wasi_fd_close(fd));
        say("unlink", __wasi_path_unlink_file(WORK, "buffers"));
        fflush(stdout);
        usleep(5000);
    }
    return 0;
}
