// For tests/sandbox/grants.rs. `write`: tries every call that writes, in the first directory and from it into the second, and
// prints what came of each. `hold`: has a file open over a sleep and writes to it, where it may. `world`: prints clocks
// and random numbers, with sleeps in between.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define DIR 3
#define OTHER 4
#define ALL (~(uint64_t)0 >> 34)
#define READ (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL)
#define WRITE (READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE)

static void say(const char *call, const char *what, int e) { printf("%s %s: %d\n", call, what, e); }

static int open_at(int dir, const char *path, int follow, int oflags, uint64_t rights, __wasi_fd_t *fd) {
    return __wasi_path_open(dir, follow ? __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW : 0, path, oflags, rights, ALL, 0, fd);
}

static void try_open(const char *path, int follow, int oflags, uint64_t rights) {
    __wasi_fd_t fd;
    int e = open_at(DIR, path, follow, oflags, rights, &fd);
    printf("open %s %d %x %s: %d\n", path, follow, oflags, rights & __WASI_RIGHTS_FD_WRITE ? "rw" : "r", e);
    if (!e)
        e = __wasi_fd_close(fd);
}

static const char *NAMES[] = {"file", "new", "sub", "sub/file", "sub/new", "none/new", "file/new", "link",
                              "dangling", "new/", "sub/", ".", ".."};
#define EACH(name) for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) for (const char *name = NAMES[i]; name; name = 0)

static void write_calls(void) {
    static const int OFLAGS[] = {0, __WASI_OFLAGS_CREAT, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, __WASI_OFLAGS_TRUNC,
                                 __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, __WASI_OFLAGS_DIRECTORY,
                                 __WASI_OFLAGS_DIRECTORY | __WASI_OFLAGS_CREAT};
    EACH(name) {
        for (unsigned f = 0; f < sizeof OFLAGS / sizeof *OFLAGS; f++)
            for (int follow = 0; follow < 2; follow++) {
                try_open(name, follow, OFLAGS[f], READ);
                try_open(name, follow, OFLAGS[f], WRITE);
            }
        say("mkdir", name, __wasi_path_create_directory(DIR, name));
        say("symlink", name, __wasi_path_symlink("target", DIR, name));
        say("rename to", name, __wasi_path_rename(DIR, "file", DIR, name));
        say("rename from", name, __wasi_path_rename(DIR, name, DIR, "renamed"));
        say("rename out", name, __wasi_path_rename(DIR, name, OTHER, "taken"));
        say("rename in", name, __wasi_path_rename(OTHER, "file", DIR, name));
        say("link to", name, __wasi_path_link(DIR, 0, "file", DIR, name));
        say("link from", name, __wasi_path_link(DIR, 0, name, DIR, "linked"));
        say("link out", name, __wasi_path_link(DIR, 0, name, OTHER, "taken"));
        say("link in", name, __wasi_path_link(OTHER, 0, "file", DIR, name));
        for (int follow = 0; follow < 2; follow++)
            say("times", name, __wasi_path_filestat_set_times(DIR, follow, name, 0, 0, __WASI_FSTFLAGS_MTIM_NOW));
        say("unlink", name, __wasi_path_unlink_file(DIR, name));
        say("rmdir", name, __wasi_path_remove_directory(DIR, name));
    }
    static const char *OPEN[] = {"file", "sub"};
    for (int i = 0; i < 2; i++) {
        __wasi_fd_t fd;
        if (open_at(DIR, OPEN[i], 1, 0, READ, &fd)) exit(1);
        __wasi_ciovec_t v = {(const uint8_t *)"no", 2};
        __wasi_size_t n;
        say("write", OPEN[i], __wasi_fd_write(fd, &v, 1, &n));
        say("pwrite", OPEN[i], __wasi_fd_pwrite(fd, &v, 1, 0, &n));
        say("set size", OPEN[i], __wasi_fd_filestat_set_size(fd, 0));
        say("set times", OPEN[i], __wasi_fd_filestat_set_times(fd, 0, 0, __WASI_FSTFLAGS_MTIM_NOW));
        say("allocate", OPEN[i], __wasi_fd_allocate(fd, 0, 10));
        say("sync", OPEN[i], __wasi_fd_sync(fd));
        // A directory below it is as it is.
        if (i) {
            say("mkdir below", "new", __wasi_path_create_directory(fd, "new"));
            say("unlink below", "file", __wasi_path_unlink_file(fd, "file"));
            __wasi_fd_t below;
            say("open below", "file", open_at(fd, "file", 1, 0, WRITE, &below));
        }
    }
}

static void sleep_ms(uint64_t ms) {
    __wasi_subscription_t in = {.u = {.tag = __WASI_EVENTTYPE_CLOCK}};
    in.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    in.u.u.clock.timeout = ms * 1000000;
    __wasi_event_t out;
    __wasi_size_t n;
    if (__wasi_poll_oneoff(&in, &out, 1, &n)) exit(1);
}

static void hold(const char *how) {
    __wasi_fd_t fd;
    say("open", how, open_at(DIR, "file", 1, 0, *how == 'w' ? WRITE : READ, &fd));
    for (int i = 0; i < 2; i++) {
        __wasi_fdstat_t stat;
        if (__wasi_fd_fdstat_get(DIR, &stat)) exit(1);
        printf("may make: %d\n", !!(stat.fs_rights_base & __WASI_RIGHTS_PATH_CREATE_DIRECTORY));
        say("mkdir", "made", __wasi_path_create_directory(DIR, i ? "made2" : "made"));
        __wasi_ciovec_t v = {(const uint8_t *)"new", 3};
        __wasi_size_t n;
        say("write", "file", __wasi_fd_write(fd, &v, 1, &n));
        if (!i) sleep_ms(300);
    }
}

static void world(void) {
    for (int i = 0; i < 4; i++) {
        __wasi_timestamp_t now, wall;
        uint64_t number = 0;
        if (__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &now)) exit(1);
        if (__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &wall)) exit(1);
        // An odd number of bytes, so that pieces matter.
        if (__wasi_random_get((uint8_t *)&number, 7)) exit(1);
        printf("%llu %llu %014llx\n", (unsigned long long)now, (unsigned long long)wall, (unsigned long long)number);
        // Two times in one wait, of which only the first counts; then one on the wall clock.
        __wasi_subscription_t in[2] = {{.u = {.tag = __WASI_EVENTTYPE_CLOCK}}, {.u = {.tag = __WASI_EVENTTYPE_CLOCK}}};
        in[0].u.u.clock.id = in[1].u.u.clock.id = i == 1 ? __WASI_CLOCKID_REALTIME : __WASI_CLOCKID_MONOTONIC;
        in[0].u.u.clock.timeout = 200000000 + (i == 1 ? wall : 0);
        in[1].u.u.clock.timeout = in[0].u.u.clock.timeout + 1000;
        in[0].u.u.clock.flags = in[1].u.u.clock.flags = i == 1 ? __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME : 0;
        __wasi_event_t out[2];
        __wasi_size_t n;
        if (__wasi_poll_oneoff(in, out, 2, &n)) exit(1);
        printf("%u\n", (unsigned)n);
    }
    // Comes to an end whatever the clock tells.
    __wasi_timestamp_t begun, now;
    unsigned reads = 0;
    if (__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &begun)) exit(1);
    do {
        if (__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &now)) exit(1);
        reads++;
    } while (now < begun + 20000000);
    printf("read %s\n", reads > 1 ? "often" : "once");
}

// Asks for a file as large as none can be in memory.
static void far(void) {
    __wasi_fd_t fd;
    say("create", "f", open_at(DIR, "f", 1, __WASI_OFLAGS_CREAT, WRITE, &fd));
    say("set size", "f", __wasi_fd_filestat_set_size(fd, (uint64_t)1 << 60));
    __wasi_ciovec_t v = {(const uint8_t *)"x", 1};
    __wasi_size_t n;
    say("write far", "f", __wasi_fd_pwrite(fd, &v, 1, (uint64_t)1 << 60, &n));
    say("write", "f", __wasi_fd_write(fd, &v, 1, &n));
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "write")) write_calls();
    if (!strcmp(what, "hold")) hold(argc > 2 ? argv[2] : "r");
    if (!strcmp(what, "world")) world();
    if (!strcmp(what, "far")) far();
}
