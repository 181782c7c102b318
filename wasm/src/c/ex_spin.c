// Computes and never waits: ROUNDS times a hundred million steps, with a line after each.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    uint64_t state = 1;
    for (int round = 0; round < rounds; round++) {
        for (int step = 0; step < 100000000; step++)
            state = state * 6364136223846793005u + 1442695040888963407u;
        printf("round %d: %llu\n", round, (unsigned long long)state);
        fflush(stdout);
    }
    return 0;
}
