// For tests/regression: each case, named by the first argument, makes calls that dormouse once answered wrongly and
// prints their errnos.
// flags: -Wno-unused-result
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define WORK 3
#define SIGWINCH 27
#define READ __WASI_RIGHTS_FD_READ
#define WRITE __WASI_RIGHTS_FD_WRITE

// wasi-libc does without it.
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_raise"))) int proc_raise(int signal);

static char bytes[1 << 16];

static void say(const char *what, long long number) {
    printf("%s %lld\n", what, number);
    fflush(stdout);
}

static void *outside(void) { return (void *)(__builtin_wasm_memory_size(0) * 65536 - 2); }

static int open_at(const char *path, int oflags, uint64_t rights, int fdflags, __wasi_fd_t *fd) {
    return __wasi_path_open(WORK, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, path, oflags, rights, 0, fdflags, fd);
}

static __wasi_fd_t made(const char *path, int fdflags) {
    __wasi_fd_t fd;
    int e = open_at(path, __WASI_OFLAGS_CREAT, READ | WRITE, fdflags, &fd);
    if (e) {
        say(path, e);
        exit(1);
    }
    return fd;
}

static int put(__wasi_fd_t fd, const char *text) {
    __wasi_ciovec_t v = {(const uint8_t *)text, strlen(text)};
    __wasi_size_t n;
    return __wasi_fd_write(fd, &v, 1, &n);
}

// Reads once and prints what came.
static void get(__wasi_fd_t fd) {
    __wasi_iovec_t v = {(uint8_t *)bytes, 100};
    __wasi_size_t n = 0;
    int e = __wasi_fd_read(fd, &v, 1, &n);
    printf("read %d: %.*s\n", e, (int)n, bytes);
    fflush(stdout);
}

static long long at(__wasi_fd_t fd) {
    __wasi_filesize_t place = 0;
    __wasi_fd_tell(fd, &place);
    return (long long)place;
}

static void readonly(void) {
    __wasi_fd_t fd;
    // Go's os.Open asks for all rights but these.
    uint64_t rights = 0x1fffffff & ~(WRITE | __WASI_RIGHTS_FD_DATASYNC | __WASI_RIGHTS_FD_ALLOCATE);
    int e = open_at("busy", 0, rights, 0, &fd);
    say("open", e);
    if (!e) say("write", put(fd, "x"));
}

static void flags(void) {
    __wasi_fd_t fd = made("a", 0);
    say("oflags", open_at("a", 1 << 4, READ, 0, &fd));
    say("fdflags", open_at("a", 0, READ, 1 << 5, &fd));
    say("lookup", __wasi_path_open(WORK, 2, "a", 0, READ, 0, 0, &fd));
    say("both", open_at("new", __WASI_OFLAGS_DIRECTORY | __WASI_OFLAGS_CREAT, READ, 0, &fd));
    fd = made("a", 0);
    say("sync", __wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_SYNC));
    fd = made("a", __WASI_FDFLAGS_SYNC);
    say("kept", __wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_SYNC | __WASI_FDFLAGS_NONBLOCK));
}

static void pointers(void) {
    __wasi_fd_t fd = made("a", 0);
    __wasi_ciovec_t out = {(const uint8_t *)"abc", 3};
    __wasi_iovec_t in = {(uint8_t *)bytes, 3};
    __wasi_filestat_t stat;
    say("write", __wasi_fd_write(fd, &out, 1, outside()));
    __wasi_fd_filestat_get(fd, &stat);
    say("size", (long long)stat.size);
    put(fd, "xyz");
    __wasi_filesize_t place;
    __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &place);
    say("read", __wasi_fd_read(fd, &in, 1, outside()));
    say("at", at(fd));
    say("seek", __wasi_fd_seek(fd, 2, __WASI_WHENCE_SET, outside()));
    say("at", at(fd));
    say("stdin", __wasi_fd_read(0, &in, 1, outside()));
    get(0);
}

static void full(void) {
    __wasi_fd_t fd;
    int e = 0;
    for (int i = 0; i < 5000 && !e; i++) e = open_at("a", __WASI_OFLAGS_CREAT, WRITE, 0, &fd);
    say("a", e);
    say("b", open_at("b", __WASI_OFLAGS_CREAT, WRITE, 0, &fd));
    usleep(10 * 1000);
}

static void dirs(void) {
    __wasi_fd_t fd, file = made("f", 0), dir;
    __wasi_path_create_directory(WORK, "d");
    say("write", open_at("d", 0, READ | WRITE, 0, &fd));
    say("file", open_at("f", __WASI_OFLAGS_DIRECTORY, READ, 0, &fd));
    say("slash", open_at("f/", 0, READ, 0, &fd));
    say("open", open_at("d", __WASI_OFLAGS_DIRECTORY, READ, 0, &dir));
    __wasi_iovec_t in = {(uint8_t *)bytes, 3};
    __wasi_size_t n;
    say("read", __wasi_fd_read(dir, &in, 1, &n));
    say("sync", __wasi_fd_sync(dir));
    say("times", __wasi_fd_filestat_set_times(dir, 0, 5000000007, __WASI_FSTFLAGS_MTIM));
    say("above", __wasi_fd_sync(WORK));
    say("escape", open_at("../x", __WASI_OFLAGS_CREAT, WRITE, 0, &fd));
    say("rename", __wasi_path_rename(WORK, "f", WORK, "../f"));
    say("close", __wasi_fd_close(file));
}

static void streams(void) {
    __wasi_filesize_t place;
    __wasi_iovec_t in = {(uint8_t *)bytes, 3};
    __wasi_size_t n;
    say("tell", __wasi_fd_tell(0, &place));
    say("seek", __wasi_fd_seek(1, 0, __WASI_WHENCE_SET, &place));
    say("sync", __wasi_fd_sync(1));
    say("advise", __wasi_fd_advise(1, 0, 0, 0));
    say("read", __wasi_fd_read(1, &in, 1, &n));
    say("write", put(0, "x"));
    say("winch", proc_raise(SIGWINCH));
}

static void many(void) {
    const size_t count = 100000;
    __wasi_subscription_t *in = calloc(count, sizeof *in);
    __wasi_event_t *out = calloc(count, sizeof *out);
    __wasi_size_t n;
    say("poll", __wasi_poll_oneoff(in, out, count, &n));
}

// Four GiB out of four MiB.
static void huge(void) {
    static __wasi_ciovec_t list[1023];
    const uint8_t *same = calloc(1, 4 << 20);
    for (size_t i = 0; i < 1023; i++) list[i] = (__wasi_ciovec_t){same, 4 << 20};
    __wasi_size_t n = 0;
    int e = __wasi_fd_write(1, list, 1023, &n);
    fprintf(stderr, "errno %d\n", e);
    sleep(60);
}

static void append(void) {
    __wasi_fd_t fd = made("a", __WASI_FDFLAGS_APPEND);
    put(fd, "one ");
    say("unlink", __wasi_path_unlink_file(WORK, "a"));
    usleep(10 * 1000);
    __wasi_filesize_t place;
    // To the end all the same.
    __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &place);
    put(fd, "two ");
    usleep(10 * 1000);
    put(fd, "three");
    __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &place);
    get(fd);
}

static void moved(void) {
    __wasi_fd_t fd = made("a", 0);
    put(fd, "one ");
    say("made", 0);
    sleep(30);
    say("write", put(fd, "two"));
}

static void gone(void) {
    __wasi_fd_t dir;
    __wasi_path_create_directory(WORK, "d");
    say("open", open_at("d", __WASI_OFLAGS_DIRECTORY, READ, 0, &dir));
    say("remove", __wasi_path_remove_directory(WORK, "d"));
    usleep(10 * 1000);
}

static void pipes(void) {
    __wasi_fd_t fd;
    say("open", open_at("pipe", 0, READ, 0, &fd));
    get(fd);
}

// A named pipe opened to write to, as the second argument says: what is asked of preview1, and what came of it.
static const char *way;
static void writer(void) {
    __wasi_fd_t fd;
    int create = !strcmp(way, "fopen"), nonblocking = !strcmp(way, "nonblock"), both = !strcmp(way, "both");
    int oflags = create ? __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC : !strcmp(way, "directory") ? __WASI_OFLAGS_DIRECTORY : 0;
    say("opens", 0);
    int e = open_at("pipe", oflags, both ? READ | WRITE : WRITE, nonblocking ? __WASI_FDFLAGS_NONBLOCK : 0, &fd);
    say("open", e);
    if (e) return;
    say("write", put(fd, "from the guest"));
    say("close", __wasi_fd_close(fd));
}

// Times of a pipe, which nobody opens for that.
static void pipe_times(void) {
    say("followed", __wasi_path_filestat_set_times(WORK, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "pipe", 0, 5000000007, __WASI_FSTFLAGS_MTIM));
    say("not followed", __wasi_path_filestat_set_times(WORK, 0, "pipe", 0, 6000000007, __WASI_FSTFLAGS_MTIM));
}

static void rename_slash(void) {
    __wasi_fd_close(made("f", 0));
    __wasi_fd_close(made("g", 0));
    (void)!__wasi_path_symlink("g", WORK, "l");
    say("to a new name", __wasi_path_rename(WORK, "f", WORK, "new/"));
    say("a link over a file", __wasi_path_rename(WORK, "l", WORK, "f/"));
    say("with two", __wasi_path_rename(WORK, "f", WORK, "new//"));
    say("over a file", __wasi_path_rename(WORK, "f", WORK, "g/"));
    say("from a slash", __wasi_path_rename(WORK, "f/", WORK, "new"));
}

static void renumber(void) {
    __wasi_fd_t fd = made("a", 0);
    say("renumber", __wasi_fd_renumber(0, fd));
    get(fd);
}

static void closed(void) {
    for (int i = 0; i < 3; i++) fprintf(stderr, "write %d\n", put(1, "x"));
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"readonly", readonly}, {"flags", flags},       {"pointers", pointers}, {"full", full},
                 {"dirs", dirs},         {"streams", streams},   {"many", many},         {"huge", huge},
                 {"append", append},     {"moved", moved},       {"gone", gone},         {"pipe", pipes},
                 {"closed", closed},     {"renumber", renumber}, {"writer", writer},     {"pipe_times", pipe_times},
                 {"rename_slash", rename_slash}};
    way = argc > 2 ? argv[2] : "";
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    return 2;
}
