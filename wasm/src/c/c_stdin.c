// Behaviour: a dialogue: a line comes in, an answer goes out, with sleeps in between; then the end of the input.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    char line[64];
    long total = 0;
    int count = 0;
    printf("? ");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        count++;
        char *end;
        long n = strtol(line, &end, 10);
        if (end != line && *end == 0) {
            total += n;
            printf("total %ld\n? ", total);
        } else if (strcmp(line, "quit") == 0) {
            puts("leaving");
            break;
        } else {
            printf("%zu letters: %s\n? ", strlen(line), line);
        }
        fflush(stdout);
        usleep(8 * 1000);
    }
    // What comes after `quit` is still there for whoever reads on.
    int left = 0;
    for (int c; (c = getchar()) != EOF; left++)
        if (left % 10 == 5) usleep(5 * 1000);
    printf("lines %d total %ld left %d eof %d error %d\n", count, total, left, feof(stdin) != 0, ferror(stdin) != 0);
    return 0;
}
