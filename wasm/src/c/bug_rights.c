// For tests/regression: every right of preview1, held and then given up. A right is given up on a descriptor itself, or it is
// one that a directory does not pass on; the calls that need it are made before and after. With "sleep" as an argument it sleeps in between.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define WORK 3
#define R(name) __WASI_RIGHTS_##name

typedef __wasi_fd_t fd_t;

static int sleeps;
static fd_t dir, file;
static uint8_t bytes[64];
static __wasi_size_t n;

// Everything is as before: a directory and a file open with all there is, one of each to remove, and links.
static void set_up(void) {
    int e = __wasi_path_create_directory(WORK, "d");
    (void)e;
    if (__wasi_path_open(WORK, 0, "d", __WASI_OFLAGS_DIRECTORY, 0, ~0ull >> 34, 0, &dir)) exit(1);
    if (__wasi_path_open(dir, 0, "file", __WASI_OFLAGS_CREAT, R(FD_READ) | R(FD_WRITE), 0, 0, &file)) exit(1);
    e = __wasi_path_create_directory(dir, "sub");
    e = __wasi_path_symlink("file", dir, "symlink");
    fd_t other;
    if (__wasi_path_open(dir, 0, "other", __WASI_OFLAGS_CREAT, R(FD_WRITE), 0, 0, &other) || __wasi_fd_close(other)) exit(1);
}

static void clean_up(void) {
    static const char *files[] = {"file", "symlink", "other", "new", "linked", "moved"};
    int e;
    fd_t fresh;
    if (__wasi_fd_close(dir) || __wasi_fd_close(file)) exit(1);
    if (__wasi_path_open(WORK, 0, "d", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, &fresh)) exit(1);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) e = __wasi_path_unlink_file(fresh, files[i]);
    e = __wasi_path_remove_directory(fresh, "sub");
    e = __wasi_path_remove_directory(fresh, "made");
    e = __wasi_fd_close(fresh);
    (void)e;
}

static int opens(fd_t from, const char *path, int oflags, uint64_t rights, int fdflags) {
    fd_t fd;
    int e = __wasi_path_open(from, 0, path, oflags, rights, 0, fdflags, &fd);
    return e ? e : __wasi_fd_close(fd);
}

static __wasi_iovec_t in = {bytes, 4};
static __wasi_ciovec_t out = {(const uint8_t *)"abcd", 4};
static __wasi_filesize_t at;
static __wasi_filestat_t stat;

static int polled(int tag) {
    __wasi_subscription_t what = {.u = {.tag = tag, .u = {.fd_read = {file}}}};
    __wasi_event_t event;
    int e = __wasi_poll_oneoff(&what, &event, 1, &n);
    return e ? e : event.error;
}

// The calls, by what they need. `o` is the descriptor: the file or the directory.
#define CALL(name, body) \
    static int name(void) { return body; }
CALL(datasync, __wasi_fd_datasync(file))
CALL(reads, __wasi_fd_read(file, &in, 1, &n))
CALL(preads, __wasi_fd_pread(file, &in, 1, 0, &n))
CALL(pwrites, __wasi_fd_pwrite(file, &out, 1, 0, &n))
CALL(seeks, __wasi_fd_seek(file, 1, __WASI_WHENCE_SET, &at))
CALL(stays, __wasi_fd_seek(file, 0, __WASI_WHENCE_CUR, &at))
CALL(tells, __wasi_fd_tell(file, &at))
CALL(set_flags, __wasi_fd_fdstat_set_flags(file, 0))
CALL(syncs, __wasi_fd_sync(file))
CALL(writes, __wasi_fd_write(file, &out, 1, &n))
CALL(advises, __wasi_fd_advise(file, 0, 1, 0))
CALL(stats, __wasi_fd_filestat_get(file, &stat))
CALL(sizes, __wasi_fd_filestat_set_size(file, 4))
CALL(times, __wasi_fd_filestat_set_times(file, 1, 1, __WASI_FSTFLAGS_MTIM))
CALL(poll_read, polled(__WASI_EVENTTYPE_FD_READ))
CALL(poll_write, polled(__WASI_EVENTTYPE_FD_WRITE))
CALL(mkdirs, __wasi_path_create_directory(dir, "made"))
CALL(creates, opens(dir, "new", __WASI_OFLAGS_CREAT, R(FD_READ), 0))
CALL(links, __wasi_path_link(dir, 0, "other", WORK, "linked"))
CALL(is_linked, __wasi_path_link(WORK, 0, "outer", dir, "linked"))
CALL(open, opens(dir, "other", 0, R(FD_READ), 0))
CALL(dsync, opens(dir, "other", 0, R(FD_WRITE), __WASI_FDFLAGS_DSYNC))
CALL(rsync, opens(dir, "other", 0, R(FD_WRITE), __WASI_FDFLAGS_RSYNC))
CALL(sync, opens(dir, "other", 0, R(FD_WRITE), __WASI_FDFLAGS_SYNC))
CALL(truncates, opens(dir, "other", __WASI_OFLAGS_TRUNC, R(FD_WRITE), 0))
CALL(truncates_only, opens(dir, "other", __WASI_OFLAGS_TRUNC, 0, 0))
CALL(lists, __wasi_fd_readdir(dir, bytes, sizeof bytes, 0, &n))
CALL(read_link, __wasi_path_readlink(dir, "symlink", bytes, sizeof bytes, &n))
CALL(renames, __wasi_path_rename(dir, "other", WORK, "moved"))
CALL(is_renamed, __wasi_path_rename(WORK, "outer", dir, "moved"))
CALL(path_stats, __wasi_path_filestat_get(dir, 0, "other", &stat))
CALL(path_times, __wasi_path_filestat_set_times(dir, 0, "other", 1, 1, __WASI_FSTFLAGS_MTIM))
CALL(dir_stats, __wasi_fd_filestat_get(dir, &stat))
CALL(dir_times, __wasi_fd_filestat_set_times(dir, 1, 1, __WASI_FSTFLAGS_MTIM))
CALL(dir_syncs, __wasi_fd_sync(dir))
CALL(dir_datasyncs, __wasi_fd_datasync(dir))
CALL(symlinks, __wasi_path_symlink("other", dir, "linked"))
CALL(rmdirs, __wasi_path_remove_directory(dir, "sub"))
CALL(unlinks, __wasi_path_unlink_file(dir, "other"))

static const struct {
    const char *name;
    // Any of these rights is enough only together with all the others.
    uint64_t needs;
    // Where this one is there, it need not be the first.
    uint64_t or_this;
    fd_t *on;
    int (*call)(void);
} cases[] = {
    {"fd_datasync", R(FD_DATASYNC), 0, &file, datasync},
    {"fd_read", R(FD_READ), 0, &file, reads},
    {"fd_pread", R(FD_READ) | R(FD_SEEK), 0, &file, preads},
    {"fd_pwrite", R(FD_WRITE) | R(FD_SEEK), 0, &file, pwrites},
    {"fd_seek", R(FD_SEEK), 0, &file, seeks},
    {"fd_seek to where it is", R(FD_TELL), R(FD_SEEK), &file, stays},
    {"fd_tell", R(FD_TELL), R(FD_SEEK), &file, tells},
    {"fd_fdstat_set_flags", R(FD_FDSTAT_SET_FLAGS), 0, &file, set_flags},
    {"fd_sync", R(FD_SYNC), 0, &file, syncs},
    {"fd_write", R(FD_WRITE), 0, &file, writes},
    {"fd_advise", R(FD_ADVISE), 0, &file, advises},
    {"fd_filestat_get", R(FD_FILESTAT_GET), 0, &file, stats},
    {"fd_filestat_set_size", R(FD_FILESTAT_SET_SIZE), 0, &file, sizes},
    {"fd_filestat_set_times", R(FD_FILESTAT_SET_TIMES), 0, &file, times},
    {"poll for reading", R(FD_READ) | R(POLL_FD_READWRITE), 0, &file, poll_read},
    {"poll for writing", R(FD_WRITE) | R(POLL_FD_READWRITE), 0, &file, poll_write},
    {"path_create_directory", R(PATH_CREATE_DIRECTORY), 0, &dir, mkdirs},
    {"path_open, creating", R(PATH_OPEN) | R(PATH_CREATE_FILE), 0, &dir, creates},
    {"path_open", R(PATH_OPEN), 0, &dir, open},
    {"path_open, dsync", R(PATH_OPEN), 0, &dir, dsync},
    {"path_open, data or all", R(FD_DATASYNC), R(FD_SYNC), &dir, dsync},
    {"path_open, rsync", R(PATH_OPEN) | R(FD_SYNC), 0, &dir, rsync},
    {"path_open, sync", R(PATH_OPEN) | R(FD_SYNC), 0, &dir, sync},
    {"path_open, emptying", R(PATH_OPEN) | R(PATH_FILESTAT_SET_SIZE), 0, &dir, truncates},
    {"path_open, only emptying", R(PATH_OPEN) | R(PATH_FILESTAT_SET_SIZE), 0, &dir, truncates_only},
    {"path_link, from", R(PATH_LINK_SOURCE), 0, &dir, links},
    {"path_link, to", R(PATH_LINK_TARGET), 0, &dir, is_linked},
    {"path_rename, from", R(PATH_RENAME_SOURCE), 0, &dir, renames},
    {"path_rename, to", R(PATH_RENAME_TARGET), 0, &dir, is_renamed},
    {"fd_readdir", R(FD_READDIR), 0, &dir, lists},
    {"path_readlink", R(PATH_READLINK), 0, &dir, read_link},
    {"path_filestat_get", R(PATH_FILESTAT_GET), 0, &dir, path_stats},
    {"path_filestat_set_times", R(PATH_FILESTAT_SET_TIMES), 0, &dir, path_times},
    {"fd_filestat_get of a directory", R(FD_FILESTAT_GET), 0, &dir, dir_stats},
    {"fd_filestat_set_times of a directory", R(FD_FILESTAT_SET_TIMES), 0, &dir, dir_times},
    {"fd_sync of a directory", R(FD_SYNC), 0, &dir, dir_syncs},
    {"fd_datasync of a directory", R(FD_DATASYNC), 0, &dir, dir_datasyncs},
    {"path_symlink", R(PATH_SYMLINK), 0, &dir, symlinks},
    {"path_remove_directory", R(PATH_REMOVE_DIRECTORY), 0, &dir, rmdirs},
    {"path_unlink_file", R(PATH_UNLINK_FILE), 0, &dir, unlinks},
};

static void outer(void) {
    fd_t fd;
    int e = __wasi_path_unlink_file(WORK, "linked");
    e = __wasi_path_unlink_file(WORK, "moved");
    e = __wasi_path_open(WORK, 0, "outer", __WASI_OFLAGS_CREAT, R(FD_WRITE), 0, 0, &fd);
    if (!e) e = __wasi_fd_close(fd);
}

static int give_up(fd_t fd, uint64_t base, uint64_t inheriting) {
    __wasi_fdstat_t now;
    int e = __wasi_fd_fdstat_get(fd, &now);
    return e ? e : __wasi_fd_fdstat_set_rights(fd, now.fs_rights_base & ~base, now.fs_rights_inheriting & ~inheriting);
}

static void nap(void) {
    if (sleeps) usleep(1000);
}

// Rights that were given up on what it was opened from: by the directory, which passes them on no more.
static void inherited(uint64_t right, const char *name) {
    fd_t fd, below;
    __wasi_fdstat_t now;
    set_up();
    int e = give_up(dir, 0, right);
    nap();
    if (e) printf("%s: cannot be given up, %d\n", name, e);
    // Asked for, it is refused; not asked for, it is not there.
    printf("%s: asked %d,", name, opens(dir, "other", 0, right, 0));
    printf(" passed on %d,", __wasi_path_open(dir, 0, "sub", __WASI_OFLAGS_DIRECTORY, 0, right, 0, &fd));
    e = __wasi_path_open(dir, 0, "sub", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, &below);
    e = e ? e : __wasi_fd_fdstat_get(below, &now);
    printf(" below %d: %d %d,", e, (now.fs_rights_base & right) != 0, (now.fs_rights_inheriting & right) != 0);
    e = __wasi_fd_close(below);
    e = __wasi_path_open(dir, 0, "other", 0, 0, 0, 0, &fd);
    e = e ? e : __wasi_fd_fdstat_get(fd, &now);
    printf(" in a file %d: %d\n", e, (now.fs_rights_base & right) != 0);
    e = __wasi_fd_close(fd);
    clean_up();
}

int main(int argc, char **argv) {
    sleeps = argc > 1 && !strcmp(argv[1], "sleep");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outer();
        set_up();
        printf("%s: held %d", cases[i].name, cases[i].call());
        clean_up();
        for (uint64_t bit = 1; bit < 1ull << 30; bit <<= 1) {
            if (!(cases[i].needs & bit)) continue;
            outer();
            set_up();
            int e = give_up(*cases[i].on, bit, 0);
            nap();
            if (e) printf(", cannot be given up, %d", e);
            if (cases[i].or_this) {
                printf(", or %d", cases[i].call());
                clean_up();
                outer();
                set_up();
                if (give_up(*cases[i].on, bit | cases[i].or_this, 0)) abort();
                nap();
            }
            printf(", given up %d, again %d", cases[i].call(),
                   __wasi_fd_fdstat_set_rights(*cases[i].on, ~0ull >> 34, ~0ull >> 34));
            clean_up();
        }
        printf("\n");
    }
    fflush(stdout);
    inherited(R(FD_READ), "reading");
    inherited(R(FD_WRITE), "writing");
    inherited(R(FD_SEEK), "seeking");
    inherited(R(FD_FILESTAT_SET_SIZE), "sizes");
    inherited(R(PATH_UNLINK_FILE), "unlinking");
    inherited(R(PATH_FILESTAT_SET_SIZE), "emptying");
    return 0;
}
