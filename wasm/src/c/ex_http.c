// A small HTTP server: answers each request with its number, the path, and how many bytes came with it. Serves many
// connections at once, and keeps them open. As a guest it finds its listener at descriptor 3; natively (cc ex_http.c) it
// makes one for the address 127.0.0.1 and the port in argv[1].
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#ifndef __wasi__
#include <arpa/inet.h>
#include <netinet/in.h>
#endif

enum { MAX = 256, ROOM = 16384 };

struct client {
    int fd;
    size_t used;
    char data[ROOM];
};

static struct client clients[MAX];
static int count;
static long requests;

static int listener(int argc, char **argv) {
#ifdef __wasi__
    (void)argc, (void)argv;
    return 3;
#else
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) {
        perror("listen");
        exit(1);
    }
    return fd;
#endif
}

static int answer(int fd, const char *text, size_t length) {
    while (length > 0) {
#ifdef MSG_NOSIGNAL
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
#else
        ssize_t sent = send(fd, text, length, 0);
#endif
        if (sent < 0)
            return -1;
        text += sent;
        length -= (size_t)sent;
    }
    return 0;
}

// The value of a header, or NULL.
static const char *header(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0)
            return line + 2 + strlen(name);
    return NULL;
}

// Answers the whole requests that have arrived; says whether the connection stays.
static int serve(struct client *c) {
    for (;;) {
        c->data[c->used] = 0;
        char *end = strstr(c->data, "\r\n\r\n");
        if (!end)
            return c->used < ROOM - 1;
        *end = 0;
        const char *value = header(c->data, "content-length:");
        unsigned long body = value ? strtoul(value, NULL, 10) : 0;
        size_t head = (size_t)(end - c->data) + 4;
        if (body > ROOM - 1 - head)
            return 0;
        if (c->used < head + body) {
            *end = '\r';
            return 1;
        }
        value = header(c->data, "connection:");
        int stays = !(value && strncasecmp(value + strspn(value, " "), "close", 5) == 0);
        char path[200] = "?", text[400], reply[600];
        sscanf(c->data, "%*9s %199s", path);
        int length = snprintf(text, sizeof text, "%ld %s %lu\n", ++requests, path, body);
        int total = snprintf(reply, sizeof reply,
                             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s", length,
                             stays ? "" : "Connection: close\r\n", text);
        if (answer(c->fd, reply, (size_t)total) || !stays)
            return 0;
        memmove(c->data, c->data + head + body, c->used - head - body);
        c->used -= head + body;
    }
}

static void drop(int place) {
    close(clients[place].fd);
    clients[place] = clients[--count];
}

int main(int argc, char **argv) {
    int fd = listener(argc, argv);
    for (;;) {
        struct pollfd wanted[MAX + 1] = {{.fd = fd, .events = POLLIN}};
        for (int i = 0; i < count; i++)
            wanted[i + 1] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        if (poll(wanted, (nfds_t)count + 1, -1) < 0) {
            perror("poll");
            return 1;
        }
        for (int i = count - 1; i >= 0; i--) {
            if (!wanted[i + 1].revents)
                continue;
            struct client *c = &clients[i];
            ssize_t got = recv(c->fd, c->data + c->used, ROOM - 1 - c->used, 0);
            if (got > 0)
                c->used += (size_t)got;
            if (got <= 0 || !serve(c))
                drop(i);
        }
        if (wanted[0].revents && count < MAX) {
            int new = accept(fd, NULL, NULL);
            if (new < 0) {
                perror("accept");
                return 1;
            }
            clients[count].fd = new;
            clients[count++].used = 0;
        }
    }
}
