// What every program of the benchmark does in the middle of its work: it waits for a line.
//
// `started` is called at the start, `midway` once, deep in the call stack, `finished` at the end.
#ifndef MIDWAY_H
#define MIDWAY_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long midway_start, midway_asked, midway_answered;

static long long midway_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// As a component, the adapter from preview1 takes memory at the first call. It is to ask for it: this libc's heap takes all
// that there is when it begins.
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t had, size_t align, size_t size) {
    (void)had, (void)align;
    return realloc(old, size);
}

static void started(void) { midway_start = midway_now(); }

static void midway(void) {
    char line[64];
    midway_asked = midway_now();
    if (!fgets(line, sizeof line, stdin)) {
        fprintf(stderr, "no line on standard input\n");
        exit(1);
    }
    // Programs that read also wait for a while now and then.
    if (line[0] == 'n') {
        struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    midway_answered = midway_now();
}

static void finished(unsigned long long checksum) {
    long long end = midway_now();
    printf("checksum %016llx\nfirst %lld\nsecond %lld\n", checksum, midway_asked - midway_start, end - midway_answered);
}

#endif
