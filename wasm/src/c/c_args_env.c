// Behaviour: arguments, environment, clocks and entropy, before and after sleeps; prints only what cannot vary.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static long long read_clock(clockid_t id) {
    struct timespec t;
    if (clock_gettime(id, &t) != 0) exit(1);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static const char *ok(int yes) { return yes ? "ok" : "WRONG"; }

int main(int argc, char **argv) {
    // argv[0] is however the host calls the module.
    printf("args %d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        printf("  <%s>\n", argv[i]);
        if (i == 1) usleep(5 * 1000);
    }

    int n = 0;
    while (environ[n]) n++;
    char *sorted[64];
    if (n > 64) return 1;
    memcpy(sorted, environ, sizeof sorted[0] * (size_t)n);
    qsort(sorted, (size_t)n, sizeof sorted[0], by_text);
    usleep(5 * 1000);
    printf("env %d\n", n);
    for (int i = 0; i < n; i++) printf("  %s\n", sorted[i]);
    setenv("ADDED", "later", 1);
    usleep(5 * 1000);
    printf("added %s, missing %s\n", getenv("ADDED"), getenv("MISSING") ? "there" : "missing");

    struct timespec res = {0, 0};
    int error = clock_getres(CLOCK_MONOTONIC, &res);
    printf("monotonic resolution %s\n", ok(error == 0 && (res.tv_sec > 0 || res.tv_nsec > 0)));
    error = clock_getres(CLOCK_REALTIME, &res);
    printf("realtime resolution %s\n", ok(error == 0 && (res.tv_sec > 0 || res.tv_nsec > 0)));

    long long mono = read_clock(CLOCK_MONOTONIC), real = read_clock(CLOCK_REALTIME);
    int back = 0, early = 0, real_back = 0;
    for (int i = 0; i < 10; i++) {
        usleep(5 * 1000);
        long long m = read_clock(CLOCK_MONOTONIC), r = read_clock(CLOCK_REALTIME);
        back += m < mono;
        early += m - mono < 5000000;
        real_back += r < real;
        mono = m, real = r;
    }
    printf("monotonic never back %s, never early %s\n", ok(back == 0), ok(early == 0));
    printf("realtime %s, after 2020 %s\n", ok(real_back == 0), ok(real > 1577836800LL * 1000000000LL));

    unsigned char a[32] = {0}, b[32] = {0};
    int fine = getentropy(a, sizeof a) == 0;
    usleep(5 * 1000);
    fine = fine && getentropy(b, sizeof b) == 0;
    int same = 1;
    for (int i = 1; i < 32; i++) same &= a[i] == a[0];
    printf("entropy %s, differs after a sleep %s\n", ok(fine && !same), ok(memcmp(a, b, sizeof a) != 0));
    return 0;
}
