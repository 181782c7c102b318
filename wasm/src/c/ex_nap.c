// For the demo: greets, naps for three seconds, and counts what it remembers.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    int sheep = 0;
    for (int i = 1; i <= 100; i++)
        sheep += i;
    printf("Good night. I have counted %d sheep.\n", sheep);
    fflush(stdout);
    sleep(3);
    printf("Good morning! It is still %d sheep.\n", sheep);
    return 0;
}
