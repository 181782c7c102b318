// Behaviour: sleeps inside callbacks: function tables, a qsort and a bsearch whose comparators sleep.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*op)(int, int);

static int add(int a, int b) { return a + b; }
static int mul(int a, int b) { usleep(5 * 1000); return a * b; }
static int sub(int a, int b) { usleep(5 * 1000); return a - b; }

static volatile op table[] = {add, mul, sub};

static int compared;

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    if (++compared % 16 == 0) usleep(3 * 1000);
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b) {
    usleep(3 * 1000);
    return strcmp((const char *)a, *(const char *const *)b);
}

// The callback gets a pointer into the caller's frame.
static void each(const int *v, int n, void (*visit)(int, void *), void *ctx) {
    for (int i = 0; i < n; i++) visit(v[i], ctx);
}

static void gather(int x, void *ctx) {
    if (x % 50 == 0) usleep(3 * 1000);
    *(long *)ctx += x;
}

int main(void) {
    int acc = 7;
    for (int i = 0; i < 9; i++) {
        op f = table[i % 3];
        acc = f(acc, i + 1);
        printf("op %d acc %d\n", i, acc);
    }

    int v[40];
    for (int i = 0; i < 40; i++) v[i] = (i * 37 + 11) % 101;
    qsort(v, 40, sizeof v[0], by_value);
    for (int i = 0; i < 40; i++) printf("%d%c", v[i], i == 39 ? '\n' : ' ');
    // How often it compares is the library's own business, but the same library runs either way.
    printf("compared %d\n", compared);

    const char *names[] = {"ant", "bat", "cat", "dormouse", "eel", "fox", "gnu"};
    const char **found = bsearch("dormouse", names, 7, sizeof names[0], by_name);
    printf("found %s\n", found ? *found : "nothing");

    long sum = 0;
    each(v, 40, gather, &sum);
    printf("sum %ld\n", sum);
    return 0;
}
