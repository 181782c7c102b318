// Behaviour: a trap after a sleep, deep in calls that were suspended: what was written stays, the rest never comes.
#include <stdio.h>
#include <unistd.h>

static volatile int zero;

__attribute__((noinline)) static int divide(int a) {
    usleep(10 * 1000);
    printf("dividing %d\n", a);
    fflush(stdout);
    // The machine instruction traps; libc has no say in it.
    return a / zero;
}

int main(void) {
    puts("before");
    fflush(stdout);
    usleep(10 * 1000);
    int r = divide(100);
    printf("never %d\n", r);
    return 0;
}
