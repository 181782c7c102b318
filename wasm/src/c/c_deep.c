// Behaviour: a sleep at the bottom of a deep recursion; each frame keeps integers, a double and a pointer alive.
// flags: -Wl,-z,stack-size=1048576 -Wl,--stack-first
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

struct link {
    const struct link *up;
    int64_t tag;
};

static int wrong;

// Follows the chain of frames: every pointer into the stack must still be right after a resume.
static int64_t chain(const struct link *at, int most) {
    int64_t sum = 0;
    for (int i = 0; at && i < most; i++, at = at->up) sum += at->tag;
    return sum;
}

__attribute__((noinline)) static double dive(int depth, int64_t big, double x, const struct link *up) {
    struct link here = {up, big ^ depth};
    if (depth == 0) {
        printf("bottom, chain %lld\n", (long long)chain(&here, 100));
        usleep(10 * 1000);
        printf("up again, chain %lld\n", (long long)chain(&here, 100));
        return x;
    }
    float half = (float)depth * 0.5f;
    int64_t next = big * 6364136223846793005LL + depth;
    double below = dive(depth - 1, next, x * 1.0009765625 + depth, &here);
    // All of these were alive across the call.
    if (here.tag != (big ^ depth) || here.up != up) wrong++;
    if (half != (float)depth * 0.5f) wrong++;
    if (next != big * 6364136223846793005LL + depth) wrong++;
    return below + (double)(next & 0xff) - half;
}

int main(void) {
    static const int depths[] = {1, 200, 2000, 700};
    for (int i = 0; i < 4; i++) {
        double got = dive(depths[i], 0x123456789abcdefLL + i, 1.5, NULL);
        printf("depth %d gives %.6f wrong %d\n", depths[i], got, wrong);
    }
    return wrong != 0;
}
