// Leaves a trace at each node: in each round it appends the round and the time to a file, sleeps, and
// writes the round to its output.
//
// usage: appender FILE ROUNDS MILLISECONDS
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int rounds = atoi(argv[2]), milliseconds = atoi(argv[3]);
    for (int round = 0; round < rounds; round++) {
        struct timespec time;
        clock_gettime(CLOCK_REALTIME, &time);
        char line[64];
        snprintf(line, sizeof line, "%d %lld.%09ld\n", round, (long long)time.tv_sec, time.tv_nsec);
        int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (file < 0 || write(file, line, strlen(line)) != (ssize_t)strlen(line) || close(file) != 0)
            return 3;
        struct timespec sleep = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
        if (nanosleep(&sleep, NULL) != 0)
            return 4;
        printf("%d\n", round);
        fflush(stdout);
    }
    return 0;
}
