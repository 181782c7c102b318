// Behaviour: many locals of every type, vectors among them, alive across sleeps inside nested loops.
// flags: -msimd128
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <wasm_simd128.h>

// Reads through volatile keep the compiler from knowing any value in advance.
static volatile int32_t one = 1;

__attribute__((noinline)) static void mixed(void) {
    int32_t a = one * 3, b = one * -5, c = one * 7;
    int64_t d = one * 0x100000001LL, e = one * -0x7fffffffffLL, f = one;
    float g = (float)one * 1.25f, h = (float)one * -0.1f;
    double i = one * 3.14159265358979, j = one * 1e-300, k = one * 1e300;
    v128_t u = wasm_i32x4_make(one, one + 1, one + 2, one + 3);
    v128_t v = wasm_f64x2_make(one * 0.5, one * -2.5);
    v128_t w = wasm_i8x16_splat((int8_t)(one * 17));
    for (int x = 0; x < 3; x++) {
        for (int y = 0; y < 3; y++) {
            a = a * 31 + b, b ^= c + x, c += y * a;
            d = d * 7 + a, e ^= d >> 3, f += e;
            g = g * 1.5f + (float)x, h = h - g;
            i = i * 1.01 + g, j = j * 2, k = k / 2;
            u = wasm_i32x4_add(wasm_i32x4_mul(u, wasm_i32x4_splat(3)), wasm_i32x4_splat(a));
            v = wasm_f64x2_add(v, wasm_f64x2_splat(i));
            w = wasm_i8x16_add(w, wasm_v128_xor(u, v));
            usleep(5 * 1000);
            printf("%d%d %d %d %d\n", x, y, a, b, c);
        }
        i += x;
    }
    printf("i64 %lld %lld %lld\n", (long long)d, (long long)e, (long long)f);
    printf("f32 %a %a\n", g, h);
    printf("f64 %a %a %a\n", i, j, k);
    printf("v128 %016llx%016llx %016llx%016llx %016llx%016llx\n", (unsigned long long)wasm_i64x2_extract_lane(u, 1),
           (unsigned long long)wasm_i64x2_extract_lane(u, 0), (unsigned long long)wasm_i64x2_extract_lane(v, 1),
           (unsigned long long)wasm_i64x2_extract_lane(v, 0), (unsigned long long)wasm_i64x2_extract_lane(w, 1),
           (unsigned long long)wasm_i64x2_extract_lane(w, 0));
}

// Forty values that are all needed after the sleep.
__attribute__((noinline)) static uint64_t crowd(uint64_t s) {
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) \
    X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) \
    X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) \
    X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39)
#define MAKE(n) s = s * 6364136223846793005ull + 1442695040888963407ull; uint64_t l##n = s ^ (s >> n);
#define USE(n) s = (s ^ l##n) * 1099511628211ull; l##n += s;
    EACH(MAKE)
    for (int round = 0; round < 4; round++) {
        usleep(5 * 1000);
        EACH(USE)
    }
    return s;
}

// Values that only some paths have, in a state machine that is left in the middle.
__attribute__((noinline)) static int machine(int steps) {
    int state = 0, acc = one;
    while (steps-- > 0) {
        switch (state) {
        case 0: acc += 3; state = acc % 5; break;
        case 1: usleep(3 * 1000); acc *= 2; state = 3; break;
        case 2: acc -= 7; state = 4; break;
        case 3: {
            double part = acc * 0.25;
            usleep(3 * 1000);
            acc = (int)(part * 3) + 1;
            state = acc & 3;
            break;
        }
        default: acc = acc % 97 + 2; state = acc % 3; break;
        }
    }
    return acc * 10 + state;
}

int main(void) {
    mixed();
    printf("crowd %016llx\n", (unsigned long long)crowd(42));
    printf("machine %d\n", machine(40));
    return 0;
}
