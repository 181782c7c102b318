// Behaviour: exit code 42 after a sleep, with atexit handlers that sleep too and stdio that is flushed by exit.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int order;

static void first(void) { printf("registered first, runs as number %d\n", ++order); }

static void second(void) {
    printf("registered second, runs as number %d", ++order);
    usleep(10 * 1000);
    printf(" and slept\n");
}

int main(void) {
    atexit(first);
    atexit(second);
    usleep(10 * 1000);
    printf("leaving with 42\n");
    exit(42);
}
