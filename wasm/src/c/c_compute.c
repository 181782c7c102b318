// Behaviour: computes and never waits: nested loops, recursion, function pointers, doubles, allocation; a line now and then.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int ackermann(int m, int n) {
    if (m == 0)
        return n + 1;
    return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 6;
    uint64_t state = 42;
    double field[64][64] = {{0}};
    for (int round = 0; round < rounds; round++) {
        size_t count = 20000;
        uint32_t *numbers = malloc(count * sizeof *numbers);
        for (size_t i = 0; i < count; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            numbers[i] = state >> 33;
        }
        qsort(numbers, count, sizeof *numbers, ascending);
        uint64_t hash = 14695981039346656037u;
        for (size_t i = 0; i < count; i++)
            hash = (hash ^ numbers[i]) * 1099511628211u;
        free(numbers);
        for (int step = 0; step < 40; step++)
            for (int y = 1; y < 63; y++)
                for (int x = 1; x < 63; x++)
                    field[y][x] = 0.25 * (field[y - 1][x] + field[y + 1][x] + field[y][x - 1] + field[y][x + 1]) +
                                  sin(x * 0.1 + round) * 0.01;
        double sum = 0;
        for (int y = 0; y < 64; y++)
            for (int x = 0; x < 64; x++)
                sum += field[y][x];
        printf("round %d: %016llx %.12f %u %d\n", round, (unsigned long long)hash, sum, fib(20 + round % 3),
               ackermann(2, 30 + round));
        fflush(stdout);
    }
    return 0;
}
