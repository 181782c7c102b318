// Listens on descriptor 3: answers each line with its number, whoever sent it. Ends at the line "end".
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int greeted;

// Answers the lines of one connection; says whether to go on.
static int serve(int connection) {
    char buffer[4096];
    size_t used = 0;
    for (;;) {
        ssize_t count = recv(connection, buffer + used, sizeof buffer - used, 0);
        if (count <= 0) {
            printf("%s\n", count == 0 ? "closed" : strerror(errno));
            fflush(stdout);
            return 1;
        }
        used += (size_t)count;
        char *end;
        while ((end = memchr(buffer, '\n', used)) != NULL) {
            char answer[5000];
            *end = 0;
            if (strcmp(buffer, "end") == 0)
                return 0;
            int length = snprintf(answer, sizeof answer, "%d: %s\n", ++greeted, buffer);
            if (send(connection, answer, (size_t)length, 0) != length)
                return 1;
            size_t line = (size_t)(end - buffer) + 1;
            memmove(buffer, end + 1, used - line);
            used -= line;
        }
        if (used == sizeof buffer)
            return 1;
    }
}

int main(void) {
    int go_on = 1;
    while (go_on) {
        int connection = accept(3, NULL, NULL);
        if (connection < 0) {
            perror("accept");
            return 1;
        }
        go_on = serve(connection);
        close(connection);
    }
    printf("greeted %d\n", greeted);
    return 0;
}
