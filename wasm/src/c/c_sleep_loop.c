// Behaviour: many sleeps in a loop, through each of libc's ways to sleep.
#include <stdio.h>
#include <time.h>
#include <unistd.h>

// An absolute deadline was computed before the suspend and must still mean the same instant after it.
static int sleep_until(int ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec += 1;
        t.tv_nsec -= 1000000000L;
    }
    int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int early = now.tv_sec < t.tv_sec || (now.tv_sec == t.tv_sec && now.tv_nsec < t.tv_nsec);
    return error != 0 || early;
}

int main(void) {
    unsigned sum = 1;
    for (int i = 0; i < 12; i++) {
        int failed = 0;
        switch (i % 4) {
        case 0: {
            struct timespec t = {0, 6 * 1000000L};
            failed = nanosleep(&t, NULL);
            break;
        }
        case 1: failed = usleep(5 * 1000); break;
        case 2: failed = (int)sleep(0); break;
        case 3: failed = sleep_until(8); break;
        }
        sum = sum * 31 + (unsigned)i;
        printf("step %d failed %d sum %u\n", i, failed, sum);
    }
    return 0;
}
