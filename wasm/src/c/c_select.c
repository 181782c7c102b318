// Behaviour: libc's poll() and select() as sleeps and on files, with their results in the caller's frame.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/select.h>
#include <unistd.h>

int main(void) {
    int fd = open("/work/selected", O_RDWR | O_CREAT, 0666);
    if (fd < 0) return 1;
    if (write(fd, "abc", 3) != 3) return 1;
    lseek(fd, 0, SEEK_SET);

    for (int i = 0; i < 3; i++) {
        struct timeval t = {0, 8 * 1000};
        int n = select(0, NULL, NULL, NULL, &t);
        printf("select as a sleep: %d\n", n);
    }

    // Reading and writing apart: beside something that is ready at once, a host may or may not see the other.
    fd_set r, w;
    FD_ZERO(&r);
    FD_SET(fd, &r);
    int n = select(fd + 1, &r, NULL, NULL, NULL);
    printf("select to read: %d, file %d\n", n, FD_ISSET(fd, &r) != 0);
    FD_ZERO(&w);
    FD_SET(fd, &w);
    FD_SET(1, &w);
    n = select(fd + 1, NULL, &w, NULL, NULL);
    printf("select to write: %d, file %d, stdout %d\n", n, FD_ISSET(fd, &w) != 0, FD_ISSET(1, &w) != 0);

    struct pollfd p[2] = {{fd, POLLOUT, 0}, {1, POLLOUT, 0}};
    n = poll(p, 2, 1000 * 1000);
    printf("poll to write: %d, file %d, stdout %d\n", n, (p[0].revents & POLLOUT) != 0, (p[1].revents & POLLOUT) != 0);
    usleep(8 * 1000);
    p[0].events = POLLIN;
    n = poll(p, 1, -1);
    printf("poll without a timeout: %d, file %d\n", n, (p[0].revents & POLLIN) != 0);
    for (int i = 0; i < 3; i++) printf("poll as a sleep: %d\n", poll(NULL, 0, 8));

    char buf[8] = {0};
    n = (int)read(fd, buf, sizeof buf);
    printf("read %d %s\n", n, buf);
    return 0;
}
