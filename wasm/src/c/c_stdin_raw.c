// Behaviour: stdin read without stdio, a few bytes at a time, into buffers that live across the read.
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void) {
    char a[3], b[4];
    unsigned sum = 0;
    long bytes = 0;
    for (int round = 0;; round++) {
        struct iovec v[2] = {{a, sizeof a}, {b, sizeof b}};
        ssize_t n = readv(0, v, 2);
        if (n < 0) return 1;
        if (n == 0) break;
        for (ssize_t i = 0; i < n; i++) sum = sum * 33 + (unsigned char)(i < 3 ? a[i] : b[i - 3]);
        bytes += n;
        if (round % 3 == 0) usleep(5 * 1000);
    }
    // How many rounds it took depends on how the input arrived, so it is not printed.
    printf("bytes %ld sum %08x\n", bytes, sum);
    char c;
    usleep(5 * 1000);
    printf("again %zd\n", read(0, &c, 1));
    return 0;
}
