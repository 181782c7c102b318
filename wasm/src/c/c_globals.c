// Behaviour: constructors run once, one of them sleeps; a resume must run neither them nor main's beginning again.
#include <stdio.h>
#include <unistd.h>

static int constructed, destroyed;
static int table[8] = {1, 2, 3};
static int *into = &table[2];

__attribute__((constructor(200))) static void early(void) {
    printf("early constructor, number %d\n", ++constructed);
    table[0] += 10;
}

__attribute__((constructor(300))) static void late(void) {
    printf("late constructor, number %d\n", ++constructed);
    usleep(10 * 1000);
    *into *= 7;
    printf("late constructor slept\n");
}

__attribute__((destructor)) static void end(void) {
    usleep(5 * 1000);
    printf("destructor, number %d\n", ++destroyed);
}

static int *once(void) {
    static int value;
    static int made;
    if (!made++) {
        usleep(5 * 1000);
        value = constructed * 100;
    }
    value++;
    return &value;
}

int main(void) {
    printf("main, constructed %d, table %d %d %d\n", constructed, table[0], table[1], table[2]);
    for (int i = 0; i < 3; i++) {
        usleep(5 * 1000);
        printf("once %d\n", *once());
    }
    return 0;
}
