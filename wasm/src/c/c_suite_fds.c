// Behaviour: the calls of wasi-testsuite's tests of descriptors, directories, polls, clocks and random numbers. Closes its
// own directory and its own streams in the end.
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

// wasi-libc does without it.
__attribute__((import_module("wasi_snapshot_preview1"), import_name("sock_shutdown"))) int raw_shutdown(int, int);

static void no_file(fd_t dir) {
    part("a directory is no file");
    __wasi_prestat_t prestat;
    __wasi_filestat_t stat = {0};
    uint8_t name[64];
    say("fstat", __wasi_fd_filestat_get(dir, &stat));
    say("  type", stat.filetype);
    say("prestat", __wasi_fd_prestat_get(WORK, &prestat));
    one_of("no room", __wasi_fd_prestat_dir_name(WORK, name, 0), 2, __WASI_ERRNO_INVAL, __WASI_ERRNO_NAMETOOLONG);
    say("more room", __wasi_fd_prestat_dir_name(WORK, name, prestat.u.dir.pr_name_len + 1));
    get(dir, 128);
    get_at(dir, 128, 0);
    put(dir, name, 64);
    put_at(dir, name, 64, 0);
    seeks(dir, 0, __WASI_WHENCE_CUR);
    seeks(dir, 0, __WASI_WHENCE_SET);
    seeks(dir, 0, __WASI_WHENCE_END);
    tells(dir);
    say("allocate", __wasi_fd_allocate(dir, 0, 1));
    one_of("set the size", __wasi_fd_filestat_set_size(dir, 0), 4, __WASI_ERRNO_ISDIR, __WASI_ERRNO_INVAL, __WASI_ERRNO_BADF,
           __WASI_ERRNO_NOTCAPABLE);
    say("mkdir", __wasi_path_create_directory(dir, "seek"));
    fd_t fd = opened("to seek", dir, "seek", DIRECTORY, SEEK, 0);
    seeks(fd, 0, __WASI_WHENCE_CUR);
    __wasi_fdstat_t status = {0};
    say("fdstat", __wasi_fd_fdstat_get(fd, &status));
    printf("  type %d, seeks %d\n", status.fs_filetype, (status.fs_rights_base & SEEK) != 0);
    say("close", __wasi_fd_close(fd));
    say("rmdir", __wasi_path_remove_directory(dir, "seek"));
}

// One fd_readdir of a small buffer: how many whole entries, the last cookie, whether it was the end.
static int entries(fd_t dir, uint64_t *cookie, int *ends, int print) {
    static uint8_t buffer[256];
    __wasi_size_t used = 0, at = 0;
    int e = __wasi_fd_readdir(dir, buffer, sizeof buffer, *cookie, &used), count = 0;
    if (e) say("readdir", e);
    while (used - at >= sizeof(__wasi_dirent_t)) {
        __wasi_dirent_t entry;
        memcpy(&entry, buffer + at, sizeof entry);
        if (used - at < sizeof entry + entry.d_namlen) break;
        __wasi_filestat_t stat = {0};
        char name[64] = {0};
        memcpy(name, buffer + at + sizeof entry, entry.d_namlen);
        // What is above is not the guest's to look at.
        int e = strcmp(name, "..") ? __wasi_path_filestat_get(dir, 0, name, &stat) : 0;
        if (e) say(name, e);
        if (print) printf("  %s: type %d, inode %d\n", name, entry.d_type, !strcmp(name, "..") || stat.ino == entry.d_ino);
        *cookie = entry.d_next;
        at += sizeof entry + entry.d_namlen;
        count++;
    }
    *ends = used < sizeof buffer;
    return count;
}

static void listing(fd_t dir) {
    part("listing");
    uint64_t cookie = 0;
    int ends, total = 0;
    say("entries", entries(dir, &cookie, &ends, 1));
    say("the end", ends);
    file_made(dir, "file");
    cookie = 0;
    // Hosts list in their own order.
    say("entries", entries(dir, &cookie, &ends, 0));
    say("the end", ends);
    say("behind it", entries(dir, &cookie, &ends, 0));
    say("unlink", __wasi_path_unlink_file(dir, "file"));
    for (int i = 0; i < 100; i++) {
        char name[16];
        fd_t fd;
        sprintf(name, "file.%d", i);
        int e = open_in(dir, 0, name, CREAT, READ | WRITE | STAT, 0, &fd);
        if (e || __wasi_fd_close(fd)) say(name, e);
    }
    cookie = 0;
    do total += entries(dir, &cookie, &ends, 0);
    while (!ends);
    say("entries", total);
    for (int i = 0; i < 100; i++) {
        char name[16];
        sprintf(name, "file.%d", i);
        int e = __wasi_path_unlink_file(dir, name);
        if (e) say(name, e);
    }

    mkdir("/work/listed", 0777);
    close(open("/work/listed/file-0", O_CREAT | O_WRONLY, 0666));
    close(open("/work/listed/file-1", O_CREAT | O_WRONLY, 0666));
    int fd = open("/work/listed", O_RDONLY | O_DIRECTORY), seen = 0, other = 0;
    DIR *list = fdopendir(fd);
    say("fdopendir", list != NULL);
    for (struct dirent *entry; (entry = readdir(list));) {
        struct stat stat;
        if (entry->d_name[0] == '.') continue;
        if (!strcmp(entry->d_name, "file-0")) seen |= 1;
        else if (!strcmp(entry->d_name, "file-1")) seen |= 2;
        else other++;
        if (fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) || stat.st_ino != entry->d_ino) other++;
    }
    closedir(list);
    printf("  seen %d, other %d\n", seen, other);
    unlink("/work/listed/file-0");
    unlink("/work/listed/file-1");
    rmdir("/work/listed");
}

static void poll_stdio(void) {
    part("polls");
    __wasi_subscription_t in[3] = {
        {.userdata = 1, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u = {.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 5000000}}}},
        {.userdata = 2, .u = {.tag = __WASI_EVENTTYPE_FD_READ, .u = {.fd_read = {.file_descriptor = 0}}}},
    };
    __wasi_event_t out[3];
    __wasi_size_t n = 0;
    // Either of them may come first.
    say("stdin", __wasi_poll_oneoff(in, out, 2, &n));
    int wrong = n == 0;
    for (__wasi_size_t i = 0; i < n; i++)
        wrong += out[i].error || out[i].userdata != (out[i].type == __WASI_EVENTTYPE_CLOCK ? 1 : 2) || out[i].type > 1;
    say("  wrong events", wrong);
    for (int left = 3, turns = 0; left && turns < 3; turns++) {
        __wasi_size_t count = 0;
        for (int fd = 1; fd < 3; fd++)
            if (left & fd)
                in[count++] = (__wasi_subscription_t){
                    .userdata = fd, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u = {.fd_write = {.file_descriptor = fd}}}};
        in[count++] = (__wasi_subscription_t){
            .userdata = 9,
            .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u = {.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 60000000000}}}};
        int e = __wasi_poll_oneoff(in, out, count, &n);
        if (e) say("poll", e);
        for (__wasi_size_t i = 0; i < n; i++) {
            if (out[i].userdata == 9 || out[i].error || out[i].type != __WASI_EVENTTYPE_FD_WRITE) say("event", out[i].error);
            left &= ~out[i].userdata;
        }
        if (!left) say("both can be written to", 1);
    }
    say("yield", __wasi_sched_yield());
}

static void clocks_and_chance(void) {
    part("clocks and random numbers");
    struct timespec spec, later;
    for (int clock = 0; clock < 2; clock++) {
        __wasi_timestamp_t one = 0, two = 0, grain = 0;
        say("resolution", __wasi_clock_res_get(clock, &grain));
        say("  is some", grain > 0);
        say("time, to the nanosecond", __wasi_clock_time_get(clock, 1, &one));
        say("time", __wasi_clock_time_get(clock, 0, &two));
        if (clock == 1) say("  in order", one <= two);
    }
    say("getres", clock_getres(CLOCK_REALTIME, &spec) + clock_getres(CLOCK_MONOTONIC, &spec));
    say("gettime", clock_gettime(CLOCK_REALTIME, &spec) + clock_gettime(CLOCK_MONOTONIC, &spec));
    say("gettime", clock_gettime(CLOCK_MONOTONIC, &later));
    say("  in order", spec.tv_sec < later.tv_sec || (spec.tv_sec == later.tv_sec && spec.tv_nsec <= later.tv_nsec));
    uint8_t bytes[1024] = {0};
    int some = 0;
    say("no bytes", __wasi_random_get(bytes, 0));
    say("bytes", __wasi_random_get(bytes, 32));
    say("many", __wasi_random_get(bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++) some |= bytes[i];
    say("  not all zero", some != 0);
}

static void numbers(fd_t dir) {
    part("numbers");
    fd_t one = opened("one", dir, "file1", CREAT, READ | WRITE, 0), two = opened("two", dir, "file2", CREAT, READ | WRITE, 0);
    __wasi_fdstat_t before = {0}, after = {0};
    say("fdstat", __wasi_fd_fdstat_get(one, &before));
    say("renumber", __wasi_fd_renumber(one, two));
    say("close what moved", __wasi_fd_close(one));
    say("fdstat", __wasi_fd_fdstat_get(two, &after));
    printf("  type %d, flags %d, rights %d\n", before.fs_filetype == after.fs_filetype, before.fs_flags == after.fs_flags,
           before.fs_rights_base == after.fs_rights_base && before.fs_rights_inheriting == after.fs_rights_inheriting);
    say("renumber to nothing", __wasi_fd_renumber(two, one));
    say("close", __wasi_fd_close(two));
    say("unlink", __wasi_path_unlink_file(dir, "file1"));
    say("unlink", __wasi_path_unlink_file(dir, "file2"));
    __wasi_ciovec_t nothing;
    __wasi_size_t n;
    say("write to nowhere", __wasi_fd_write(-31337, &nothing, 0, &n));
    say("shut down a stream", raw_shutdown(1, __WASI_SDFLAGS_RD));
    say("shut down nothing", raw_shutdown(1000, __WASI_SDFLAGS_RD));
}

static void over_the_preopen(fd_t dir) {
    part("over the given directory");
    __wasi_filestat_t before = {0}, after = {0};
    __wasi_fdstat_t stat = {0};
    say("fstat", __wasi_fd_filestat_get(dir, &before));
    say("renumber", __wasi_fd_renumber(dir, WORK));
    say("fstat", __wasi_fd_filestat_get(WORK, &after));
    say("  the same", before.dev == after.dev && before.ino == after.ino);
    say("the old number", __wasi_fd_fdstat_get(dir, &stat));
    fd_t again = opened("once more", WORK, ".", DIRECTORY, 0, 0);
    say("close it", __wasi_fd_close(WORK));
    say("the other", __wasi_fd_fdstat_get(again, &stat));
    say("  type", stat.fs_filetype);
    say("the closed one", __wasi_fd_fdstat_get(WORK, &stat));

    part("the streams");
    fflush(stdout);
    char text[200] = {0};
    __wasi_size_t n = 0;
    fd_t to = 0;
    // stdout comes last, to be told of.
    static const fd_t streams[] = {0, 2, 1};
    for (int i = 0; i < 3; i++) {
        int made = open_in(again, 0, "file.cleanup", CREAT, 0, 0, &to), moved = __wasi_fd_renumber(streams[i], to);
        int there = __wasi_fd_fdstat_get(to, &stat), gone = __wasi_fd_fdstat_get(streams[i], &stat);
        int removed = __wasi_path_unlink_file(again, "file.cleanup");
        sprintf(text + strlen(text), "stream %u: open %d, renumber %d, there %d, gone %d, unlink %d\n", (unsigned)streams[i], made,
                moved, there, gone, removed);
    }
    __wasi_ciovec_t v = {(uint8_t *)text, strlen(text)};
    if (__wasi_fd_write(to, &v, 1, &n)) abort();
}

int main(void) {
    for (int turn = 0; turn < 2; turn++) {
        fd_t dir = scratch(WORK, "fds");
        no_file(dir);
        listing(dir);
        numbers(dir);
        scratch_done(WORK, dir, "fds");
        poll_stdio();
        clocks_and_chance();
        fflush(stdout);
        usleep(5000);
    }
    over_the_preopen(opened("the directory", WORK, ".", DIRECTORY, 0, 0));
    __wasi_proc_exit(33);
}
