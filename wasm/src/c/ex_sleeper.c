// One of many: sleeps for BASE seconds and up to SPREAD more, COUNT times, and says how late it woke.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    double base = argc > 1 ? atof(argv[1]) : 1;
    double spread = argc > 2 ? atof(argv[2]) : 0;
    int count = argc > 3 ? atoi(argv[3]) : 1;
    for (int round = 0; round < count; round++) {
        uint32_t random;
        if (getentropy(&random, sizeof random) != 0)
            return 1;
        double length = base + spread * (random / 4294967296.0);
        double due = now() + length;
        struct timespec sleep = {
            .tv_sec = (time_t)length,
            .tv_nsec = (long)((length - (time_t)length) * 1e9),
        };
        if (nanosleep(&sleep, NULL) != 0)
            return 2;
        printf("round %d late by %.3f ms\n", round, (now() - due) * 1e3);
        fflush(stdout);
    }
    return 0;
}
