// Behaviour: pread, pwrite, readv, writev, ftruncate, links, times and flags of files across sleeps.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WORK "/work/"

static void nap(void) { usleep(8 * 1000); }

static void must(int ok, const char *what) {
    if (ok) return;
    printf("FAILED %s: %s\n", what, strerror(errno));
    exit(1);
}

// A host may take only a part of the vectors, so this goes on until all is done.
static void all(ssize_t (*move)(int, const struct iovec *, int), int fd, struct iovec *v, int n) {
    while (n > 0) {
        if (v->iov_len == 0) {
            v++, n--;
            continue;
        }
        ssize_t did = move(fd, v, n);
        must(did > 0, "readv or writev");
        for (int i = 0; did > 0 && i < n; i++) {
            size_t part = (size_t)did < v[i].iov_len ? (size_t)did : v[i].iov_len;
            v[i].iov_base = (char *)v[i].iov_base + part;
            v[i].iov_len -= part;
            did -= (ssize_t)part;
        }
    }
}

int main(void) {
    char buf[64] = {0};
    int fd = open(WORK "p", O_RDWR | O_CREAT | O_TRUNC, 0666);
    must(fd >= 0, "open");
    struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
    all(writev, fd, out, 3);
    must(pwrite(fd, "ZZ", 2, 20) == 2, "pwrite");
    nap();
    // Neither of the two moved the offset past what writev wrote.
    printf("at %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    must(pread(fd, buf, 4, 18) == 4, "pread");
    printf("hole %d %d then %c%c\n", buf[0], buf[1], buf[2], buf[3]);

    lseek(fd, 0, SEEK_SET);
    char a[3] = {0}, b[5] = {0};
    struct iovec in[2] = {{a, 2}, {b, 4}};
    all(readv, fd, in, 2);
    nap();
    printf("readv %s %s at %ld\n", a, b, (long)lseek(fd, 0, SEEK_CUR));

    struct stat st;
    must(ftruncate(fd, 5) == 0, "truncate");
    nap();
    must(fstat(fd, &st) == 0, "fstat");
    printf("short %ld\n", (long)st.st_size);
    must(ftruncate(fd, 4000) == 0, "grow");
    nap();
    must(fsync(fd) == 0 && fdatasync(fd) == 0, "sync");

    // Times that the program set itself are the only ones that it can know.
    struct timespec t[2] = {{1000000000, 0}, {1234567890, 0}};
    must(futimens(fd, t) == 0, "futimens");
    must(link(WORK "p", WORK "q") == 0, "link");
    nap();
    must(stat(WORK "q", &st) == 0, "stat");
    printf("links %ld atime %lld mtime %lld regular %d\n", (long)st.st_nlink, (long long)st.st_atim.tv_sec,
           (long long)st.st_mtim.tv_sec, S_ISREG(st.st_mode));
    must(unlink(WORK "p") == 0, "unlink");
    must(fstat(fd, &st) == 0, "fstat");
    printf("links %ld\n", (long)st.st_nlink);

    // The append flag belongs to the open file and must be there after a sleep.
    int flags = fcntl(fd, F_GETFL);
    must(fcntl(fd, F_SETFL, flags | O_APPEND) == 0, "setfl");
    nap();
    printf("append %d\n", (fcntl(fd, F_GETFL) & O_APPEND) != 0);
    must(ftruncate(fd, 3) == 0, "truncate");
    lseek(fd, 0, SEEK_SET);
    must(write(fd, "end", 3) == 3, "write");
    must(pread(fd, buf, 6, 0) == 6, "pread");
    printf("%.6s at %ld\n", buf, (long)lseek(fd, 0, SEEK_CUR));

    // A relative symlink inside the directory is followed, and can be read as itself.
    must(symlink("q", WORK "s") == 0, "symlink");
    nap();
    memset(buf, 0, sizeof buf);
    must(readlink(WORK "s", buf, sizeof buf) == 1, "readlink");
    must(lstat(WORK "s", &st) == 0, "lstat");
    printf("link %s is a link: %d\n", buf, S_ISLNK(st.st_mode));
    must(stat(WORK "s", &st) == 0, "stat");
    printf("followed size %ld\n", (long)st.st_size);
    return 0;
}
