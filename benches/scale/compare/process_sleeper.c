/* The same sleep as a native process: prints a line, sleeps, prints how late it woke. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    double length = argc > 1 ? atof(argv[1]) : 1;
    struct timespec start, end, sleep = {(time_t)length, (long)((length - (time_t)length) * 1e9)};
    clock_gettime(CLOCK_MONOTONIC, &start);
    nanosleep(&sleep, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("late %.3f\n", ((end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) * 1e-9 - length) * 1e3);
    return 0;
}
