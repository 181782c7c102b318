// Requests over HTTP, one after the other on each of some connections: how many in a second.
//
// usage: load PORT CONNECTIONS SECONDS
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 64;
    int count = atoi(argv[2]), on = 1;
    double end = now() + atof(argv[3]);
    long answers = 0;
    struct pollfd *fds = calloc((size_t)count, sizeof *fds);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
        if (connect(fds[i].fd, (struct sockaddr *)&address, sizeof address))
            fail("connect");
        setsockopt(fds[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (send(fds[i].fd, request, sizeof request - 1, 0) < 0)
            fail("send");
    }
    while (now() < end) {
        poll(fds, (nfds_t)count, 1000);
        for (int i = 0; i < count; i++) {
            char buffer[4096];
            if (!fds[i].revents)
                continue;
            // An answer is one segment.
            if (recv(fds[i].fd, buffer, sizeof buffer, 0) <= 0)
                fail("recv");
            answers++;
            if (send(fds[i].fd, request, sizeof request - 1, 0) < 0)
                fail("send");
        }
    }
    printf("%.0f\n", answers / atof(argv[3]));
    return 0;
}
