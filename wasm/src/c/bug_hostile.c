// Takes without end whatever it is told to: `memory`, `stack`, `files`, `stdout`, `file`, `sleep`, `spin`.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// In locals alone, which take native stack and no memory of the guest's.
__attribute__((noinline)) static int deeper(int n) {
    return n < 0 ? 0 : deeper(n + 1) / (n | 1) + 1;
}

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(3);
}

static void endless_file(const char *path) {
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    if (fd < 0) fail("open");
    for (;;)
        if (write(fd, block, sizeof block) < 0) fail("write");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    puts("begun");
    fflush(stdout);
    if (!strcmp(what, "memory"))
        for (;;) {
            volatile char *more = malloc(1 << 20);
            if (!more) fail("malloc");
            for (int i = 0; i < 1 << 20; i += 4096) more[i] = 1;
        }
    if (!strcmp(what, "stack")) return deeper(0);
    if (!strcmp(what, "files"))
        for (;;)
            if (open("/work/f", O_RDWR | O_CREAT, 0666) < 0 && argc > 2) fail("open");
    if (!strcmp(what, "stdout"))
        for (;;) puts("more and more and more and more and more and more and more and more");
    if (!strcmp(what, "file")) endless_file("/work/f");
    if (!strcmp(what, "sleep"))
        for (;;) sleep(1000);
    if (!strcmp(what, "spin"))
        for (volatile uint64_t n = 0;; n++) continue;
    return 2;
}
