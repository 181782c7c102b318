// Behaviour: the calls of wasi-testsuite's tests of files: offsets, sizes, times, flags, and stdio on a file.
#include "suite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void offsets(fd_t dir) {
    part("seek and tell");
    static const unsigned char data[100];
    fd_t fd = opened("a file", dir, "file", CREAT, READ | WRITE | SEEK | TELL, 0);
    tells(fd);
    put(fd, data, 100);
    tells(fd);
    seeks(fd, -50, __WASI_WHENCE_CUR);
    seeks(fd, 0, __WASI_WHENCE_SET);
    seeks(fd, 1000, __WASI_WHENCE_CUR);
    seeks(fd, -2000, __WASI_WHENCE_CUR);
    seeks(fd, 0, __WASI_WHENCE_SET);
    get(fd, 100);
    tells(fd);
    get(fd, 100);
    tells(fd);
    say("close", __wasi_fd_close(fd));
    say("unlink", __wasi_path_unlink_file(dir, "file"));
}

static void positions(fd_t dir) {
    part("pread and pwrite");
    static unsigned char data[4] = {0, 1, 2, 3}, back[4];
    fd_t fd = opened("a file", dir, "file", CREAT, READ | SEEK | WRITE, 0);
    put_at(fd, data, 4, 0);
    get_at(fd, 4, 0);
    // Hosts may take only the first of several.
    for (__wasi_size_t done = 0, n = 0; done < 4; done += n) {
        __wasi_ciovec_t out[2] = {{data + done, done < 2 ? 2 : 4 - done}, {data + 2, done < 2 ? 2 : 0}};
        if (__wasi_fd_pwrite(fd, out, 2, done, &n) || !n) say("wrote nothing at", done);
    }
    for (__wasi_size_t done = 0, n = 0; done < 4; done += n) {
        __wasi_iovec_t in[2] = {{back + done, done < 2 ? 2 : 4 - done}, {back + 2, done < 2 ? 2 : 0}};
        if (__wasi_fd_pread(fd, in, 2, done, &n) || !n) say("read nothing at", done);
    }
    say("the same", memcmp(data, back, 4));
    get_at(fd, 4, 2);
    put_at(fd, "\1", 2, 2);
    get_at(fd, 4, 0);
    get_at(fd, 4, 100);
    say("close", __wasi_fd_close(fd));
    say("unlink", __wasi_path_unlink_file(dir, "file"));
}

static void sizes(fd_t dir) {
    part("sizes");
    fd_t fd = opened("a file", dir, "file", CREAT,
                     READ | WRITE | STAT | __WASI_RIGHTS_FD_ALLOCATE | __WASI_RIGHTS_FD_ADVISE | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE,
                     0);
    size_is(fd);
    // The tests take both; what follows where it is there is not told apart.
    one_of("allocate", __wasi_fd_allocate(fd, 0, 100), 2, 0, __WASI_ERRNO_NOTSUP);
    say("set the size", __wasi_fd_filestat_set_size(fd, 100));
    size_is(fd);
    say("advise", __wasi_fd_advise(fd, 10, 50, __WASI_ADVICE_NORMAL));
    size_is(fd);
    say("set the size", __wasi_fd_filestat_set_size(fd, 7));
    size_is(fd);
    say("close", __wasi_fd_close(fd));
    fd = opened("to write", dir, "file", CREAT, WRITE, 0);
    put(fd, "this will be cut off", 20);
    say("close", __wasi_fd_close(fd));
    fd = opened("emptied", dir, "file", CREAT | TRUNC, READ | WRITE, 0);
    get(fd, 100);
    fd_t other = opened("once more", dir, "file", 0, WRITE, 0);
    put(other, "\5", 1);
    get(fd, 1);
    say("close", __wasi_fd_close(other) + __wasi_fd_close(fd));
    say("unlink", __wasi_path_unlink_file(dir, "file"));
    fd = opened("made to be read", dir, "file", CREAT, READ, 0);
    other = opened("once more", dir, "file", 0, WRITE, 0);
    put(other, "\1", 1);
    get(fd, 1);
    say("close", __wasi_fd_close(other) + __wasi_fd_close(fd));
    say("unlink", __wasi_path_unlink_file(dir, "file"));
}

static void appending(fd_t dir) {
    part("flags");
    unsigned char data[100] = {0};
    __wasi_fdstat_t stat;
    fd_t fd = opened("to append", dir, "file", CREAT, READ | WRITE | SEEK | TELL | __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS,
                     __WASI_FDFLAGS_APPEND);
    say("fdstat", __wasi_fd_fdstat_get(fd, &stat));
    say("  appends", stat.fs_flags & __WASI_FDFLAGS_APPEND);
    put(fd, data, 100);
    seeks(fd, 0, __WASI_WHENCE_SET);
    get(fd, 100);
    memset(data, 1, 100);
    seeks(fd, 0, __WASI_WHENCE_SET);
    put(fd, data, 100);
    seeks(fd, 100, __WASI_WHENCE_SET);
    get(fd, 100);
    say("no flags", __wasi_fd_fdstat_set_flags(fd, 0));
    seeks(fd, 0, __WASI_WHENCE_SET);
    memset(data, 2, 100);
    put(fd, data, 100);
    seeks(fd, 0, __WASI_WHENCE_SET);
    get(fd, 200);
    say("close", __wasi_fd_close(fd));
    __wasi_filestat_t file = {0};
    say("stat", __wasi_path_filestat_get(dir, 0, "file", &file));
    say("  size", file.size);
    say("unlink", __wasi_path_unlink_file(dir, "file"));
}

static void all_times(fd_t dir) {
    part("times");
    __wasi_filestat_t before = {0}, after = {0}, link = {0};
    fd_t fd = opened("a file", dir, "file", CREAT, READ | WRITE | STAT | __WASI_RIGHTS_FD_FILESTAT_SET_TIMES, 0);
    say("set the size", __wasi_fd_filestat_set_size(fd, 100));
    say("fstat", __wasi_fd_filestat_get(fd, &before));
    say("set", __wasi_fd_filestat_set_times(fd, before.mtim - 100, before.mtim - 100, __WASI_FSTFLAGS_MTIM));
    say("fstat", __wasi_fd_filestat_get(fd, &after));
    printf("  size %llu, mtim %d, atim %d\n", (unsigned long long)after.size, after.mtim == before.mtim - 100,
           after.atim == before.atim);
    say("both of mtim", __wasi_fd_filestat_set_times(fd, 100, 200, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW));
    say("both of atim", __wasi_fd_filestat_set_times(fd, 100, 200, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW));

    before = after;
    say("by path", __wasi_path_filestat_set_times(dir, 0, "file", 0, before.mtim - 100, __WASI_FSTFLAGS_MTIM));
    say("stat", __wasi_path_filestat_get(dir, 0, "file", &after));
    say("  mtim", after.mtim == before.mtim - 100);
    say("both of mtim", __wasi_path_filestat_set_times(dir, 0, "file", 0, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW));
    say("both of atim", __wasi_path_filestat_set_times(dir, 0, "file", 0, 1, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW));
    before = after;
    say("stat", __wasi_path_filestat_get(dir, 0, "file", &after));
    say("  as it was", after.mtim == before.mtim);

    say("symlink", __wasi_path_symlink("file", dir, "symlink"));
    say("stat it", __wasi_path_filestat_get(dir, 0, "symlink", &link));
    uint64_t mtim = link.mtim;
    say("set its own", __wasi_path_filestat_set_times(dir, 0, "symlink", 0, mtim - 200, __WASI_FSTFLAGS_MTIM));
    say("stat it", __wasi_path_filestat_get(dir, 0, "symlink", &link));
    say("  its own", link.mtim == mtim - 200);
    say("stat the file", __wasi_path_filestat_get(dir, 0, "file", &after));
    say("  as it was", after.mtim == before.mtim);
    say("stat through it", __wasi_path_filestat_get(dir, FOLLOW, "symlink", &after));
    say("  the file's", after.mtim == before.mtim);
    say("set through it", __wasi_path_filestat_set_times(dir, FOLLOW, "symlink", 0, mtim, __WASI_FSTFLAGS_MTIM));
    say("stat the file", __wasi_path_filestat_get(dir, 0, "file", &after));
    say("  the file's", after.mtim == mtim);
    say("close", __wasi_fd_close(fd));
    say("unlink", __wasi_path_unlink_file(dir, "symlink"));
    say("unlink", __wasi_path_unlink_file(dir, "file"));

    // Wasmtime refuses the flag, which the tests allow.
    int e = open_in(dir, 0, "file", CREAT, READ | WRITE, __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC, &fd);
    one_of("synchronous", e, 2, 0, __WASI_ERRNO_NOTSUP);
    if (!e) {
        __wasi_fdstat_t stat;
        e = __wasi_fd_fdstat_get(fd, &stat);
        if (e || stat.fs_flags != (__WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC)) say("its flags", stat.fs_flags);
        e = __wasi_fd_close(fd) || __wasi_path_unlink_file(dir, "file");
    } else
        e = 0;
    say("done with it", e);
}

// What the tests in C do, by wasi-libc.
static void by_libc(void) {
    part("by libc");
    char buffer[20] = {0};
    int fd = open("/work/text", O_CREAT | O_TRUNC | O_WRONLY, 0666);
    say("write", write(fd, "01234567", 8));
    say("close", close(fd));
    FILE *file = fopen("/work/text", "r");
    say("fopen", file != NULL);
    fd = fileno(file);
    say("fread", fread(buffer, 1, 4, file));
    fflush(file);
    say("at", lseek(fd, 0, SEEK_CUR));
    say("fread", fread(buffer, 1, 1, file));
    fflush(file);
    say("at", lseek(fd, 0, SEEK_CUR));
    say("the byte", buffer[0]);
    say("to the start", lseek(fd, 0, SEEK_SET));
    say("to the end", lseek(fd, 0, SEEK_END));
    say("isatty", isatty(fd));
    say("  errno", errno == ENOTTY);
    say("fclose", fclose(file));

    fd = open("/work/text", O_RDONLY);
    say("pread", pread(fd, buffer, 3, 4));
    say("  bytes", strncmp(buffer, "456", 3));
    close(fd);

    say("access", access("/work/long", F_OK));
    fd = open("/work/long", O_WRONLY | O_CREAT, 0666);
    say("pwrite", pwrite(fd, "very long text", 14, 0));
    say("pwrite", pwrite(fd, "test", 4, 3));
    close(fd);
    fd = open("/work/long", O_RDONLY);
    say("read", read(fd, buffer, sizeof buffer));
    printf("  %.14s\n", buffer);
    close(fd);

    fd = open("/work/more", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0666);
    say("write", write(fd, "ab", 2));
    say("to the start", lseek(fd, 0, SEEK_SET));
    say("write", write(fd, "cd", 2));
    say("at", lseek(fd, 0, SEEK_CUR));
    say("pwrite", pwrite(fd, "efg", 3, 0));
    say("at", lseek(fd, 0, SEEK_CUR));
    // At its start as POSIX has it, or at the end as Linux has it.
    one_of("the end", lseek(fd, 0, SEEK_END), 2, 4, 7);
    close(fd);
    unlink("/work/more");

    struct stat one, two;
    say("stat", stat("/work/text", &one) + stat("/work/long", &two));
    printf("  device %d, inode %d\n", one.st_dev == two.st_dev, one.st_ino == two.st_ino);
    errno = 0;
    file = fopen("not-in-any-directory/file", "r");
    one_of("fopen elsewhere", file ? 0 : errno, 2, ENOTCAPABLE, ENOENT);
    say("remove", remove("/work/long"));
    say("remove", remove("/work/text"));
}

int main(void) {
    for (int turn = 0; turn < 2; turn++) {
        fd_t dir = scratch(WORK, "files");
        offsets(dir);
        positions(dir);
        sizes(dir);
        appending(dir);
        all_times(dir);
        scratch_done(WORK, dir, "files");
        by_libc();
        fflush(stdout);
        usleep(5000);
    }
    return 0;
}
