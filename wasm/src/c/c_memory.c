// Behaviour: globals change and the heap grows by several MiB (memory.grow) before and after sleeps.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t counter = 5;
static char bss[200000];
static char data[] = "initial contents of a data segment";

static uint32_t checksum(const unsigned char *p, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static void fill(unsigned char *p, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (unsigned char)(seed >> 24);
    }
}

int main(void) {
    unsigned char *block[5];
    size_t pages = __builtin_wasm_memory_size(0);
    for (int i = 0; i < 5; i++) {
        size_t n = 700000 + 131072 * (size_t)i;
        block[i] = malloc(n);
        if (!block[i]) return 1;
        // Half is written, half stays as fresh memory: zero pages must stay zero.
        memset(block[i], 0, n);
        fill(block[i], n / 2, counter);
        counter = counter * 3 + (uint32_t)i;
        data[i] ^= 0x20;
        bss[i * 40000] = (char)('a' + i);
        usleep(8 * 1000);
        printf("block %d sum %08x counter %u\n", i, checksum(block[i], n), counter);
    }
    printf("grown: %s\n", __builtin_wasm_memory_size(0) >= pages + 50 ? "yes" : "no");

    // Freed memory is used again; a realloc moves what is in it.
    free(block[1]);
    free(block[3]);
    usleep(5 * 1000);
    unsigned char *big = realloc(block[0], 3 << 20);
    if (!big) return 1;
    memset(big + 350000, 0x5a, (3 << 20) - 350000);
    usleep(5 * 1000);
    printf("big sum %08x\n", checksum(big, 3 << 20));

    // Grown by hand past the heap, and written at its very end.
    size_t old = __builtin_wasm_memory_grow(0, 3);
    if (old == (size_t)-1) return 1;
    volatile unsigned char *last = (unsigned char *)(old * 65536 + 3 * 65536 - 1);
    *last = 0xa5;
    size_t now = __builtin_wasm_memory_size(0);
    usleep(5 * 1000);
    printf("last byte %02x, size kept: %s\n", *last, __builtin_wasm_memory_size(0) == now ? "yes" : "no");

    printf("block 2 sum %08x\n", checksum(block[2], 700000 + 131072 * 2));
    printf("block 4 sum %08x\n", checksum(block[4], 700000 + 131072 * 4));
    printf("data %s bss %08x counter %u\n", data, checksum((unsigned char *)bss, sizeof bss), counter);
    return 0;
}
