// Listens on descriptor 3, receives what one connection sends into more buffers than one system call takes, and sends it back out
// of as many; first by sock_recv and sock_send, then by fd_read and fd_write. How much one call transfers is the host's choice, as
// long as it is something: so each is repeated until all is done.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <wasi/api.h>

#define COUNT 5000

static __wasi_iovec_t in[COUNT];
static __wasi_ciovec_t out[COUNT];
static uint8_t bytes[64 * COUNT];

// Many are empty: a transfer of only those would look like the end.
static size_t length(size_t place) { return place < 2000 ? 0 : place % 64; }

// The list without the first `done` bytes.
static void list(size_t done) {
    size_t at = 0;
    for (size_t i = 0; i < COUNT; i++) {
        size_t all = length(i), skip = done > at ? done - at : 0;
        if (skip > all) skip = all;
        in[i] = (__wasi_iovec_t){bytes + at + skip, all - skip};
        out[i] = (__wasi_ciovec_t){bytes + at + skip, all - skip};
        at += all;
    }
}

static int transfer(const char *name, __wasi_fd_t fd, int plain, int sends) {
    size_t total = 0, done = 0;
    for (size_t i = 0; i < COUNT; i++) total += length(i);
    while (done < total) {
        __wasi_size_t n = 0;
        __wasi_roflags_t flags = 0;
        list(done);
        int e = sends ? plain ? __wasi_fd_write(fd, out, COUNT, &n) : __wasi_sock_send(fd, out, COUNT, 0, &n)
                      : plain ? __wasi_fd_read(fd, in, COUNT, &n) : __wasi_sock_recv(fd, in, COUNT, 0, &n, &flags);
        if (e || !n || n > total - done) {
            printf("%s: errno %d after %zu of %zu, %u\n", name, e, done, total, (unsigned)n);
            return 1;
        }
        done += n;
    }
    printf("%s: %zu\n", name, done);
    return 0;
}

int main(void) {
    __wasi_fd_t fd = 0;
    int e = __wasi_sock_accept(3, 0, &fd);
    if (e) return printf("accept: errno %d\n", e), 1;
    for (int plain = 0; plain < 2; plain++)
        if (transfer(plain ? "fd_read" : "sock_recv", fd, plain, 0) || transfer(plain ? "fd_write" : "sock_send", fd, plain, 1))
            return 1;

    // A million of them, of which the last one alone holds something.
    const size_t many = 1 << 20;
    __wasi_ciovec_t *empty = calloc(many, sizeof *empty);
    if (!empty) return 1;
    __wasi_size_t n = 7;
    __wasi_roflags_t flags = 0;
    e = __wasi_sock_send(fd, empty, many, 0, &n);
    printf("nothing: errno %d, %u\n", e, (unsigned)n);
    empty[many - 1] = (__wasi_ciovec_t){(const uint8_t *)"end", 3};
    e = __wasi_sock_send(fd, empty, many, 0, &n);
    printf("behind nothing: errno %d, %u\n", e, (unsigned)n);
    empty[many - 1].buf = bytes;
    e = __wasi_sock_recv(fd, (__wasi_iovec_t *)empty, many, 0, &n, &flags);
    printf("received behind nothing: errno %d, %u %.*s\n", e, (unsigned)n, (int)n, (const char *)bytes);
    return 0;
}
