// Behaviour: stack frames of 64 KiB and more (on the stack in linear memory) across a sleep.
// flags: -Wl,-z,stack-size=4194304 -Wl,--stack-first
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t sum(const uint32_t *p, int n) {
    uint32_t s = 2166136261u;
    for (int i = 0; i < n; i++) s = (s ^ p[i]) * 16777619u;
    return s;
}

__attribute__((noinline)) static uint32_t level(int depth, uint32_t seed) {
    uint32_t room[16 * 1024];
    for (int i = 0; i < 16 * 1024; i++) room[i] = seed = seed * 1664525 + 1013904223;
    uint32_t before = sum(room, 16 * 1024);
    uint32_t below = 0;
    if (depth == 0)
        usleep(10 * 1000);
    else
        below = level(depth - 1, seed ^ (uint32_t)depth);
    // Changed by its own frame and checked again after another sleep on the way up.
    if (sum(room, 16 * 1024) != before) printf("level %d lost its frame\n", depth);
    room[depth] ^= below;
    if (depth % 7 == 0) usleep(5 * 1000);
    return sum(room, 16 * 1024);
}

// The size is only known when it runs.
__attribute__((noinline)) static int variable(int n) {
    char room[n];
    memset(room, 'v', (size_t)n);
    room[n - 1] = 0;
    usleep(5 * 1000);
    return (int)strlen(room);
}

int main(void) {
    for (int depth = 0; depth <= 24; depth += 8) printf("depth %d sum %08x\n", depth, level(depth, 99));
    for (int n = 10; n < 300000; n *= 8) printf("room %d length %d\n", n, variable(n));
    return 0;
}
