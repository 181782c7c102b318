// Takes memory: ROUNDS times (once if left out) fills SIZE MiB that no page of repeats, sleeps for SECONDS, and says
// whether every word is still what it was.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t word(uint64_t place, uint64_t round) {
    uint64_t x = (place + 1) * 0x9e3779b97f4a7c15u + round * 0xbf58476d1ce4e5b9u;
    x ^= x >> 31;
    return x * 0x94d049bb133111ebu;
}

int main(int argc, char **argv) {
    uint64_t words = (uint64_t)(argc > 1 ? atoi(argv[1]) : 16) << 17;
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    int rounds = argc > 3 ? atoi(argv[3]) : 1;
    // In steps of a MiB, as a program grows that does not know how much it will need.
    uint64_t **steps = calloc(words >> 17, sizeof *steps);
    if (!steps)
        return 1;
    for (uint64_t step = 0; step < words >> 17; step++) {
        steps[step] = malloc(1 << 20);
        if (!steps[step]) {
            printf("no memory after %u MiB\n", (unsigned)step);
            return 2;
        }
        for (uint64_t place = 0; place < 1 << 17; place++)
            steps[step][place] = word(step << 17 | place, 0);
    }
    for (int round = 1; round <= rounds; round++) {
        printf("full %d\n", round);
        fflush(stdout);
        sleep(seconds);
        for (uint64_t step = 0; step < words >> 17; step++)
            for (uint64_t place = 0; place < 1 << 17; place++) {
                if (steps[step][place] != word(step << 17 | place, (uint64_t)(round - 1)))
                    return 3;
                steps[step][place] = word(step << 17 | place, (uint64_t)round);
            }
    }
    printf("as it was\n");
    return 0;
}
