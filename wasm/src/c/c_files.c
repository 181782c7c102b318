// Behaviour: open files across sleeps: offsets, append, seek, rename and unlink while open, renumber, mkdir, sizes.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc.h>

#define WORK "/work/"

static void nap(void) { usleep(8 * 1000); }

static long size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

static void must(int ok, const char *what) {
    if (ok) return;
    printf("FAILED %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(int fd, const char *text) {
    must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), text);
}

// Reads from where the descriptor stands.
static const char *get(int fd, int n) {
    static char buf[128];
    ssize_t got = read(fd, buf, (size_t)n);
    must(got >= 0, "read");
    buf[got] = 0;
    return buf;
}

int main(void) {
    must(mkdir(WORK "sub", 0777) == 0, "mkdir");
    int w = open(WORK "log", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    must(w >= 0, "open log");
    put(w, "0123456789abcdef");
    nap();
    put(w, "GHIJ");
    printf("log size %ld\n", size_of(WORK "log"));

    int r = open(WORK "log", O_RDONLY);
    must(r >= 0, "open to read");
    printf("first %s\n", get(r, 4));
    nap();
    printf("then %s\n", get(r, 4));
    printf("at %ld\n", (long)lseek(r, 0, SEEK_CUR));
    lseek(r, -3, SEEK_END);
    nap();
    printf("tail %s\n", get(r, 10));
    printf("at the end <%s>\n", get(r, 10));

    int rw = open(WORK "log", O_RDWR);
    must(rw >= 0, "open to change");
    lseek(rw, 10, SEEK_SET);
    nap();
    put(rw, "XY");
    printf("between %s\n", get(rw, 3));

    // Appending goes to the end, wherever that is by then.
    int a = open(WORK "log", O_WRONLY | O_APPEND);
    must(a >= 0, "open to append");
    put(a, "+one");
    lseek(w, 0, SEEK_END);
    put(w, "+two");
    nap();
    put(a, "+three");
    lseek(r, 0, SEEK_SET);
    printf("log %s\n", get(r, 100));

    // A renamed file keeps its open descriptors, and its old name can be another file.
    must(rename(WORK "log", WORK "sub/moved") == 0, "rename");
    int other = open(WORK "log", O_RDWR | O_CREAT | O_EXCL, 0666);
    must(other >= 0, "create the old name again");
    put(other, "another");
    nap();
    put(a, "+four");
    printf("moved %ld, new %ld\n", size_of(WORK "sub/moved"), size_of(WORK "log"));

    // An unlinked file lives on as long as it is open, in both directions.
    int gone = open(WORK "gone", O_RDWR | O_CREAT, 0666);
    must(gone >= 0, "open gone");
    put(gone, "kept without a name");
    must(unlink(WORK "gone") == 0, "unlink");
    lseek(gone, 5, SEEK_SET);
    nap();
    printf("gone %s, by name %ld\n", get(gone, 7), size_of(WORK "gone"));
    put(gone, " ITS");
    lseek(gone, 0, SEEK_SET);
    nap();
    printf("gone %s\n", get(gone, 100));
    struct stat st;
    must(fstat(gone, &st) == 0, "fstat gone");
    printf("gone size %ld links %ld\n", (long)st.st_size, (long)st.st_nlink);

    // renumber moves a descriptor onto another, which is closed by that.
    lseek(r, 2, SEEK_SET);
    must(__wasilibc_fd_renumber(r, other) == 0, "renumber");
    nap();
    printf("renumbered %s\n", get(other, 5));
    char c;
    printf("old number: %s\n", read(r, &c, 1) < 0 ? strerror(errno) : "still open");
    // The lowest free number is taken next, after a resume too.
    int reused = open(WORK "log", O_RDONLY);
    printf("number reused: %s, %s\n", reused == r ? "yes" : "no", get(reused, 20));

    close(w), close(rw), close(a), close(gone), close(other), close(reused);

    // The same through stdio, whose buffer holds more than the descriptor's offset says.
    FILE *f = fopen(WORK "sub/lines", "w+");
    must(f != NULL, "fopen");
    for (int i = 0; i < 50; i++) fprintf(f, "line %d\n", i);
    nap();
    rewind(f);
    char line[32];
    int n = 0;
    while (fgets(line, sizeof line, f))
        if (++n % 20 == 0) {
            line[strcspn(line, "\n")] = 0;
            printf("%s at %ld\n", line, ftell(f));
            nap();
        }
    fclose(f);
    printf("lines %d size %ld\n", n, size_of(WORK "sub/lines"));

    must(unlink(WORK "sub/lines") == 0 && unlink(WORK "sub/moved") == 0, "clean");
    must(rmdir(WORK "sub") == 0, "rmdir");
    printf("sub %ld\n", size_of(WORK "sub"));
    return 0;
}
