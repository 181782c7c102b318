// Behaviour: more output than a pipe holds, in large writes and many small ones, between sleeps.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char big[128 * 1024];

// A write may take only a part.
static int write_all(const char *p, size_t n) {
    while (n > 0) {
        ssize_t did = write(1, p, n);
        if (did <= 0) return 1;
        p += did;
        n -= (size_t)did;
    }
    return 0;
}

int main(void) {
    for (size_t i = 0; i < sizeof big; i++) big[i] = i % 64 == 63 ? '\n' : (char)('A' + i / 64 % 26);
    if (write_all(big, sizeof big)) return 1;
    usleep(10 * 1000);
    for (int i = 0; i < 200; i++)
        if (write_all("small\n", 6)) return 1;
    usleep(10 * 1000);
    if (write_all(big, sizeof big)) return 1;
    return write_all("end\n", 4);
}
