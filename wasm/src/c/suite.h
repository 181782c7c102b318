// What the guests c_suite_* share: each makes the calls that the tests of WebAssembly/wasi-testsuite for preview1 make,
// directly and not by wasi-libc, and prints every errno and every result.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define WORK 3
#define FOLLOW __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW
#define CREAT __WASI_OFLAGS_CREAT
#define DIRECTORY __WASI_OFLAGS_DIRECTORY
#define EXCL __WASI_OFLAGS_EXCL
#define TRUNC __WASI_OFLAGS_TRUNC
#define READ __WASI_RIGHTS_FD_READ
#define WRITE __WASI_RIGHTS_FD_WRITE
#define SEEK __WASI_RIGHTS_FD_SEEK
#define TELL __WASI_RIGHTS_FD_TELL
#define STAT __WASI_RIGHTS_FD_FILESTAT_GET

typedef __wasi_fd_t fd_t;

// Descriptors are numbered differently where a host has given more of them, so that they are never printed.
static void part(const char *name) { printf("-- %s\n", name); }

static void say(const char *what, long long number) { printf("%s: %lld\n", what, number); }

// An errno that the tests leave open between several: only another one is printed.
static void one_of(const char *what, int got, int count, ...) {
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++)
        if (va_arg(list, int) == got) {
            printf("%s: as allowed\n", what);
            va_end(list);
            return;
        }
    va_end(list);
    say(what, got);
}

static int open_in(fd_t dir, int lookup, const char *path, int oflags, uint64_t rights, int fdflags, fd_t *fd) {
    return __wasi_path_open(dir, lookup, path, oflags, rights, 0, fdflags, fd);
}

// Opens, prints the errno and closes again.
static void opens(const char *what, fd_t dir, int lookup, const char *path, int oflags, uint64_t rights) {
    fd_t fd;
    int e = open_in(dir, lookup, path, oflags, rights, 0, &fd);
    say(what, e);
    if (!e) {
        say("  is none of the streams", fd > 2);
        say("  close", __wasi_fd_close(fd));
    }
}

static fd_t opened(const char *what, fd_t dir, const char *path, int oflags, uint64_t rights, int fdflags) {
    fd_t fd = 0;
    say(what, open_in(dir, 0, path, oflags, rights, fdflags, &fd));
    return fd;
}

static void file_made(fd_t dir, const char *path) { opens("a file", dir, 0, path, CREAT, 0); }

// A new directory, with the rights that the tests ask for.
static fd_t scratch(fd_t above, const char *name) {
    fd_t fd = 0;
    say("mkdir", __wasi_path_create_directory(above, name));
    say("open it", __wasi_path_open(above, 0, name, DIRECTORY, 0x3ffffff & ~(READ | WRITE | SEEK | TELL), 0xfffffff, 0, &fd));
    return fd;
}

static void scratch_done(fd_t above, fd_t fd, const char *name) {
    say("close it", __wasi_fd_close(fd));
    say("rmdir", __wasi_path_remove_directory(above, name));
}

static int put_at(fd_t fd, const void *bytes, size_t length, long long at) {
    __wasi_ciovec_t v = {bytes, length};
    __wasi_size_t n = 0;
    int e = at < 0 ? __wasi_fd_write(fd, &v, 1, &n) : __wasi_fd_pwrite(fd, &v, 1, at, &n);
    printf("  wrote %u, errno %d\n", (unsigned)n, e);
    return e;
}

static int put(fd_t fd, const void *bytes, size_t length) { return put_at(fd, bytes, length, -1); }

// What is there, as numbers: each byte of it and how many there are of it in a row.
static int get_at(fd_t fd, size_t length, long long at) {
    static unsigned char bytes[4096];
    __wasi_iovec_t v = {bytes, length};
    __wasi_size_t n = 0;
    int e = at < 0 ? __wasi_fd_read(fd, &v, 1, &n) : __wasi_fd_pread(fd, &v, 1, at, &n);
    printf("  read %u, errno %d:", (unsigned)n, e);
    for (size_t i = 0, run = 1; i < n; i++, run++)
        if (i + 1 == n || bytes[i] != bytes[i + 1]) {
            printf(" %dx%zu", bytes[i], run);
            run = 0;
        }
    printf("\n");
    return e;
}

static int get(fd_t fd, size_t length) { return get_at(fd, length, -1); }

static void size_is(fd_t fd) {
    __wasi_filestat_t stat = {0};
    int e = __wasi_fd_filestat_get(fd, &stat);
    printf("  fstat %d, size %llu\n", e, (unsigned long long)stat.size);
}

static void kind_is(fd_t dir, int lookup, const char *path) {
    __wasi_filestat_t stat = {0};
    int e = __wasi_path_filestat_get(dir, lookup, path, &stat);
    printf("  stat %s %d: %d, type %d\n", path, lookup, e, stat.filetype);
}

static void seeks(fd_t fd, long long by, int whence) {
    __wasi_filesize_t at = 0;
    int e = __wasi_fd_seek(fd, by, whence, &at);
    printf("  seek %lld %d: %d, at %llu\n", by, whence, e, (unsigned long long)at);
}

static void tells(fd_t fd) {
    __wasi_filesize_t at = 0;
    int e = __wasi_fd_tell(fd, &at);
    printf("  tell %d, at %llu\n", e, (unsigned long long)at);
}

// Some of these are not used by every guest.
void suite_unused(void) {
    (void)put, (void)get, (void)size_is, (void)kind_is, (void)seeks, (void)tells, (void)scratch, (void)scratch_done;
    (void)file_made, (void)opened, (void)one_of, (void)part;
}
