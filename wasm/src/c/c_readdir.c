// Behaviour: a directory is read half, the program sleeps, and reads on; rewinddir, telldir and seekdir as well.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// More entries than libc's buffer takes at once, so that a cookie is used after a sleep.
#define COUNT 150

static char seen[COUNT + 1];

static void create(int i) {
    char path[128];
    snprintf(path, sizeof path, "/work/many/a-rather-long-name-for-an-entry-%03d", i);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

// Some hosts list `.` and `..`, others do not.
static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

// The order is the host's own affair: count each name, never print in this order.
static int note(const struct dirent *e) {
    if (!visible(e)) return 0;
    int i = atoi(strrchr(e->d_name, '-') + 1);
    if (i < 0 || i >= COUNT) {
        printf("stranger %s\n", e->d_name);
        exit(1);
    }
    seen[i]++;
    return 1;
}

static void report(const char *what) {
    int once = 0, other = 0;
    for (int i = 0; i < COUNT; i++) {
        once += seen[i] == 1;
        other += seen[i] > 1;
    }
    printf("%s: once %d, more than once %d\n", what, once, other);
}

int main(void) {
    if (mkdir("/work/many", 0777) != 0) return 1;
    for (int i = 0; i < COUNT; i++) create(i);

    DIR *d = opendir("/work/many");
    if (!d) return 1;
    struct dirent *e;
    int n = 0;
    while ((e = readdir(d)) != NULL)
        if (note(e) && ++n % 25 == 0) usleep(5 * 1000);
    report("read with sleeps");

    memset(seen, 0, sizeof seen);
    rewinddir(d);
    usleep(5 * 1000);
    for (n = 0; n < 70 && (e = readdir(d)) != NULL;) n += note(e);
    long here = telldir(d);
    char next[64];
    e = readdir(d);
    strcpy(next, e ? e->d_name : "end");
    usleep(5 * 1000);
    seekdir(d, here);
    usleep(5 * 1000);
    e = readdir(d);
    printf("same entry after seekdir: %s\n", strcmp(next, e ? e->d_name : "end") == 0 ? "yes" : "no");
    if (e) note(e);
    while ((e = readdir(d)) != NULL) note(e);
    report("rewound and sought");

    // Sleeps at the end of the directory: the end stays the end.
    usleep(5 * 1000);
    printf("at the end: %s\n", readdir(d) == NULL ? "yes" : "no");
    closedir(d);

    struct dirent **list;
    int found = scandir("/work/many", &list, visible, alphasort);
    usleep(5 * 1000);
    for (int i = 0; i < found; i += 30) printf("%d %s\n", i, list[i]->d_name);
    printf("found %d\n", found);
    return 0;
}
