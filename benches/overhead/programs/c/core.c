// Integer work like that of an embedded benchmark: a linked list (search and merge sort through a comparison that is
// passed in), a small matrix, a state machine over text, a CRC over all of it. The line in the middle is read by the
// comparison, in the middle of a sort.
#include <stdint.h>
#include <string.h>

#include "midway.h"

// As in files of their own: the compiler must not make one function of everything.
#define APART __attribute__((noinline)) static

static uint16_t crc16(uint16_t crc, uint32_t value) {
    for (int i = 0; i < 32; i++) {
        uint16_t bit = (uint16_t)((value & 1) ^ (crc & 1));
        value >>= 1;
        crc >>= 1;
        if (bit) crc ^= 0xA001;
    }
    return crc;
}

struct item {
    struct item *next;
    int32_t key, value;
};

typedef int compare(const struct item *, const struct item *);

APART struct item *merge_sort(struct item *list, compare *less) {
    for (int width = 1;; width *= 2) {
        struct item *p = list, *tail = NULL;
        int merges = 0;
        list = NULL;
        while (p) {
            merges++;
            struct item *q = p;
            int left = 0, right = width;
            while (left < width && q) left++, q = q->next;
            while (left > 0 || (right > 0 && q)) {
                struct item *next;
                if (left == 0) next = q, q = q->next, right--;
                else if (right == 0 || !q || less(p, q) <= 0) next = p, p = p->next, left--;
                else next = q, q = q->next, right--;
                if (tail) tail->next = next;
                else list = next;
                tail = next;
            }
            p = q;
        }
        tail->next = NULL;
        if (merges <= 1) return list;
    }
}

static long long compared, wait_at = -1;

static int by_key(const struct item *a, const struct item *b) {
    if (++compared == wait_at) midway();
    return a->key - b->key;
}

static int by_value(const struct item *a, const struct item *b) {
    ++compared;
    return a->value - b->value;
}

APART struct item *find(struct item *list, int32_t key) {
    while (list && list->key != key) list = list->next;
    return list;
}

APART uint16_t lists(uint16_t crc, uint32_t seed) {
    static struct item items[600];
    for (int i = 0; i < 600; i++) {
        seed = seed * 1664525u + 1013904223u;
        items[i] = (struct item){i < 599 ? &items[i + 1] : NULL, (int32_t)(seed >> 20), i};
    }
    struct item *list = merge_sort(items, by_key);
    for (int i = 0; i < 40; i++) {
        struct item *found = find(list, (int32_t)((seed >> i) & 0xFFF));
        crc = crc16(crc, found ? (uint32_t)found->value : 0);
    }
    list = merge_sort(list, by_value);
    for (; list; list = list->next) crc = crc16(crc, (uint32_t)list->key);
    return crc;
}

#define N 24

APART uint16_t matrix(uint16_t crc, int32_t seed) {
    static int16_t a[N][N], b[N][N];
    static int32_t c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (int16_t)(seed + i * j), b[i][j] = (int16_t)(seed - i + j);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int32_t sum = 0;
            for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    uint32_t total = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) total += (uint32_t)((c[i][j] >> 2) & 0xF) * (uint32_t)((c[i][j] >> 5) & 0x7F);
    return crc16(crc, total);
}

enum state { START, SIGN, INTEGER, FRACTION, EXPONENT, SCIENTIFIC, INVALID, STATES };

APART uint16_t machine(uint16_t crc, int seed) {
    static const char *const texts[] = {"5012", "1234", "-874", "+122", "35.54400", ".1234500", "-110.700", "+0.64400",
                                        "5.500e+3", "-.123e-2", "-87e+832", "+0.6e-12", "T0.3e-1F", "-T.T++Tq", "1T3.4e4z"};
    uint32_t counts[STATES] = {0};
    for (int round = 0; round < 40; round++)
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            enum state state = START;
            for (const char *p = texts[(t + (size_t)seed) % 15]; *p && state != INVALID; p++) {
                int digit = *p >= '0' && *p <= '9';
                switch (state) {
                case START: state = digit ? INTEGER : *p == '+' || *p == '-' ? SIGN : *p == '.' ? FRACTION : INVALID; break;
                case SIGN: state = digit ? INTEGER : *p == '.' ? FRACTION : INVALID; break;
                case INTEGER: state = digit ? INTEGER : *p == '.' ? FRACTION : *p == 'e' ? EXPONENT : INVALID; break;
                case FRACTION: state = digit ? FRACTION : *p == 'e' ? EXPONENT : INVALID; break;
                case EXPONENT: state = *p == '+' || *p == '-' || digit ? SCIENTIFIC : INVALID; break;
                case SCIENTIFIC: state = digit ? SCIENTIFIC : INVALID; break;
                default: break;
                }
                counts[state]++;
            }
        }
    for (int i = 0; i < STATES; i++) crc = crc16(crc, counts[i]);
    return crc;
}

APART uint16_t iterate(uint16_t crc, int round) {
    crc = lists(crc, (uint32_t)round * 2654435761u);
    crc = matrix(crc, round);
    return machine(crc, round);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1000;
    unsigned long long checksum = 0;
    uint16_t crc = 0xFFFF;
    started();
    for (int i = 0; i < 2 * rounds; i++) {
        if (i == rounds) wait_at = compared + 2000;
        crc = iterate(crc, i);
        checksum = checksum * 31 + crc;
    }
    finished(checksum);
    return 0;
}
