// Behaviour: sched_yield many times, which may or may not let others run but never changes anything here.
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    unsigned sum = 0;
    for (int i = 0; i < 100; i++) {
        if (sched_yield() != 0) return 1;
        sum = sum * 17 + (unsigned)i;
        if (i % 25 == 24) {
            usleep(5 * 1000);
            printf("yielded %d sum %u\n", i + 1, sum);
        }
    }
    return 0;
}
