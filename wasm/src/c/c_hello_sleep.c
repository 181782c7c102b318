// Behaviour: the smallest program that blocks once. One line, one sleep, one line.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    puts("hello");
    usleep(30 * 1000);
    puts("bye");
    return 0;
}
