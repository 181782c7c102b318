// Behaviour: poll_oneoff called directly: clocks of every kind, files, stdout, several at once, none at all.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wasi/api.h>

#define MS 1000000ull
#define HOUR (3600ull * 1000 * MS)

static __wasi_subscription_t in[16];
static __wasi_event_t out[16];
static unsigned count;

static void clock_sub(uint64_t user, __wasi_clockid_t id, uint64_t ns, int absolute) {
    in[count++] = (__wasi_subscription_t){
        .userdata = user,
        .u = {.tag = __WASI_EVENTTYPE_CLOCK,
              .u = {.clock = {.id = id,
                              .timeout = ns,
                              .flags = absolute ? __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME : 0}}},
    };
}

static void fd_sub(uint64_t user, int fd, int write) {
    in[count] = (__wasi_subscription_t){.userdata = user};
    in[count].u.tag = write ? __WASI_EVENTTYPE_FD_WRITE : __WASI_EVENTTYPE_FD_READ;
    if (write)
        in[count].u.u.fd_write.file_descriptor = (__wasi_fd_t)fd;
    else
        in[count].u.u.fd_read.file_descriptor = (__wasi_fd_t)fd;
    count++;
}

static int by_user(const void *a, const void *b) {
    uint64_t x = ((const __wasi_event_t *)a)->userdata, y = ((const __wasi_event_t *)b)->userdata;
    return (x > y) - (x < y);
}

// Events may come in any order, so they are sorted by what the program called them.
static void run(const char *what) {
    __wasi_size_t n = 99;
    __wasi_errno_t error = __wasi_poll_oneoff(in, out, count, &n);
    printf("%s: ", what);
    if (error != 0) {
        printf("errno %d\n", error);
    } else {
        qsort(out, n, sizeof out[0], by_user);
        printf("%u of %u:", (unsigned)n, count);
        for (unsigned i = 0; i < n; i++)
            printf(" %llu/type%d/err%d", (unsigned long long)out[i].userdata, out[i].type, out[i].error);
        printf("\n");
    }
    count = 0;
}

static uint64_t now(__wasi_clockid_t id) {
    __wasi_timestamp_t t = 0;
    if (__wasi_clock_time_get(id, 1, &t) != 0) exit(1);
    return t;
}

int main(void) {
    const __wasi_clockid_t mono = __WASI_CLOCKID_MONOTONIC, real = __WASI_CLOCKID_REALTIME;

    run("no subscriptions");

    clock_sub(1, mono, 10 * MS, 0);
    run("monotonic, relative");
    clock_sub(2, real, 10 * MS, 0);
    run("realtime, relative");
    clock_sub(3, mono, now(mono) + 10 * MS, 1);
    run("monotonic, absolute");
    clock_sub(4, real, now(real) + 10 * MS, 1);
    run("realtime, absolute");

    // Deadlines that are over, and waits of nothing.
    clock_sub(5, mono, 0, 0);
    run("zero, relative");
    clock_sub(6, mono, 1, 1);
    run("long ago, absolute");
    clock_sub(7, real, 1, 1);
    run("long ago, realtime");

    // Only deadlines far apart are compared: a suspended program may wake late, but not an hour late.
    clock_sub(11, mono, HOUR, 0);
    clock_sub(0xffffffffffffff0cull, mono, 12 * MS, 0);
    clock_sub(13, real, now(real) + HOUR, 1);
    run("first of three clocks");
    clock_sub(14, mono, now(mono) + HOUR, 1);
    clock_sub(15, real, 12 * MS, 0);
    run("relative before absolute");

    int fd = open("/work/polled", O_RDWR | O_CREAT, 0666);
    if (fd < 0 || write(fd, "text", 4) != 4) return 1;
    lseek(fd, 0, SEEK_SET);
    fd_sub(21, fd, 0);
    run("file, read");
    fd_sub(22, fd, 1);
    run("file, write");
    fd_sub(23, 1, 1);
    run("stdout, write");
    fd_sub(24, fd, 1);
    fd_sub(25, 1, 1);
    clock_sub(26, mono, HOUR, 0);
    run("two that can be written before a clock");
    // On its own: beside something that is ready at once, a host may or may not see that a file can be read.
    fd_sub(27, fd, 0);
    clock_sub(28, mono, HOUR, 0);
    run("a file that can be read before a clock");

    // The same memory as what goes in and what comes out: the answer must not be written too early.
    clock_sub(31, mono, 10 * MS, 0);
    __wasi_size_t n = 0;
    __wasi_errno_t error = __wasi_poll_oneoff(in, (__wasi_event_t *)(void *)in, 1, &n);
    __wasi_event_t got = *(__wasi_event_t *)(void *)in;
    printf("in place: errno %d, %u, %llu/type%d\n", error, (unsigned)n, (unsigned long long)got.userdata, got.type);
    count = 0;

    // It never ends early.
    int early = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t start = now(mono);
        clock_sub(41, mono, 5 * MS, 0);
        __wasi_size_t m;
        if (__wasi_poll_oneoff(in, out, 1, &m) != 0) return 1;
        early += now(mono) - start < 5 * MS;
        count = 0;
    }
    printf("early %d\n", early);
    return 0;
}
