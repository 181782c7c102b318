// For tests/sandbox: does what its first argument says, one step after another, divided by `;`, and prints what came of
// each. Names may hold `\xNN`. Descriptors are numbers: 3 is the first directory.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define MOST_WORDS 8
#define ALL (~(uint64_t)0 >> 34)

static char bytes[1 << 12];

// `\x80` and the like, in place.
static char *plain(char *word) {
    char *from = word, *to = word;
    while (*from)
        if (from[0] == '\\' && from[1] == 'x') {
            char digits[3] = {from[2], from[3], 0};
            *to++ = (char)strtol(digits, NULL, 16);
            from += 4;
        } else
            *to++ = *from++;
    *to = 0;
    return word;
}

static int open_at(int dir, const char *path, const char *flags, __wasi_fd_t *fd) {
    int lookup = strchr(flags, 'n') ? 0 : __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
    int oflags = (strchr(flags, 'c') ? __WASI_OFLAGS_CREAT : 0) | (strchr(flags, 'd') ? __WASI_OFLAGS_DIRECTORY : 0) |
                 (strchr(flags, 't') ? __WASI_OFLAGS_TRUNC : 0);
    uint64_t rights = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL;
    if (strchr(flags, 'd'))
        rights = ALL & ~__WASI_RIGHTS_FD_WRITE;
    if (strchr(flags, 'w'))
        rights |= __WASI_RIGHTS_FD_WRITE;
    return __wasi_path_open(dir, lookup, path, oflags, rights, ALL, 0, fd);
}

static int read_all(__wasi_fd_t fd, __wasi_size_t *n) {
    __wasi_iovec_t v = {(uint8_t *)bytes, sizeof bytes - 1};
    int e = __wasi_fd_read(fd, &v, 1, n);
    bytes[e ? 0 : *n] = 0;
    return e;
}

// Opens a name again and again, while somebody changes what it stands for.
static void race(int dir, const char *path, int times) {
    int inside = 0, refused = 0, outside = 0;
    for (int i = 0; i < times; i++) {
        __wasi_fd_t fd;
        __wasi_size_t n = 0;
        if (open_at(dir, path, "", &fd)) {
            refused++;
            continue;
        }
        if (read_all(fd, &n) || strncmp(bytes, "inside", 6) == 0)
            inside++;
        else
            outside++;
        if (__wasi_fd_close(fd))
            exit(1);
    }
    printf("race: %d inside, %d refused, %d outside\n", inside, refused, outside);
}

static void sleep_ms(uint64_t ms) {
    __wasi_subscription_t in = {.u = {.tag = __WASI_EVENTTYPE_CLOCK}};
    in.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    in.u.u.clock.timeout = ms * 1000000;
    __wasi_event_t out;
    __wasi_size_t n;
    printf("slept %d\n", (int)__wasi_poll_oneoff(&in, &out, 1, &n));
}

static void list(int fd) {
    __wasi_size_t used = 0;
    int e = __wasi_fd_readdir(fd, (uint8_t *)bytes, sizeof bytes, 0, &used);
    printf("list %d:", e);
    for (__wasi_size_t at = 0; !e && at + sizeof(__wasi_dirent_t) <= used;) {
        __wasi_dirent_t entry;
        memcpy(&entry, bytes + at, sizeof entry);
        at += sizeof entry;
        printf(" %.*s", (int)entry.d_namlen, bytes + at);
        at += entry.d_namlen;
    }
    printf("\n");
}

static int is(const char *word, const char *name) { return strcmp(word, name) == 0; }

static void clock_step(void) {
    static __wasi_timestamp_t last;
    __wasi_timestamp_t now, wall;
    int e = __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &now);
    int w = __wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &wall);
    printf("clock %d %d: %s\n", e, w, now >= last ? "forward" : "back");
    last = now;
}

static void step(int n, char **w) {
    char *none = "";
    for (int i = n; i < MOST_WORDS; i++)
        w[i] = none;
    int fd = atoi(w[1]);
    __wasi_size_t size = 0;
    int e = -1;
    if (is(w[0], "open")) {
        __wasi_fd_t made;
        e = open_at(fd, w[2], w[3], &made);
        if (!e) {
            printf("open %s: fd %u\n", w[2], made);
            return;
        }
    } else if (is(w[0], "read")) {
        e = read_all(fd, &size);
        if (!e) {
            printf("read %d: %s\n", fd, bytes);
            return;
        }
    } else if (is(w[0], "write")) {
        __wasi_ciovec_t v = {(const uint8_t *)w[2], strlen(w[2])};
        e = __wasi_fd_write(fd, &v, 1, &size);
    } else if (is(w[0], "close"))
        e = __wasi_fd_close(fd);
    else if (is(w[0], "renumber"))
        e = __wasi_fd_renumber(fd, atoi(w[2]));
    else if (is(w[0], "seek")) {
        __wasi_filesize_t at;
        e = __wasi_fd_seek(fd, atoll(w[2]), __WASI_WHENCE_SET, &at);
    } else if (is(w[0], "link"))
        e = __wasi_path_link(fd, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, w[2], atoi(w[3]), w[4]);
    else if (is(w[0], "softlink"))
        e = __wasi_path_link(fd, 0, w[2], atoi(w[3]), w[4]);
    else if (is(w[0], "symlink"))
        e = __wasi_path_symlink(w[1], atoi(w[2]), w[3]);
    else if (is(w[0], "readlink")) {
        e = __wasi_path_readlink(fd, w[2], (uint8_t *)bytes, sizeof bytes - 1, &size);
        bytes[e ? 0 : size] = 0;
        if (!e) {
            printf("readlink: %s\n", bytes);
            return;
        }
    } else if (is(w[0], "rename"))
        e = __wasi_path_rename(fd, w[2], atoi(w[3]), w[4]);
    else if (is(w[0], "unlink"))
        e = __wasi_path_unlink_file(fd, w[2]);
    else if (is(w[0], "mkdir"))
        e = __wasi_path_create_directory(fd, w[2]);
    else if (is(w[0], "rmdir"))
        e = __wasi_path_remove_directory(fd, w[2]);
    else if (is(w[0], "stat")) {
        __wasi_filestat_t found;
        e = __wasi_path_filestat_get(fd, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, w[2], &found);
    } else if (is(w[0], "times"))
        e = __wasi_path_filestat_set_times(fd, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, w[2], 0, 0,
                                           __WASI_FSTFLAGS_MTIM_NOW);
    else if (is(w[0], "long")) {
        // A name of so many letters.
        int length = atoi(w[2]);
        char *name = malloc(length + 1);
        memset(name, 'n', length);
        name[length] = 0;
        __wasi_fd_t made;
        e = open_at(fd, name, w[3], &made);
    } else if (is(w[0], "deep")) {
        // So many times a directory in a directory.
        int depth = atoi(w[3]);
        char *name = malloc(depth * (strlen(w[2]) + 1) + 1);
        *name = 0;
        for (char *end = name; depth--;)
            end += sprintf(end, "%s/", w[2]);
        __wasi_fd_t made;
        e = open_at(fd, name, "", &made);
    } else if (is(w[0], "race")) {
        race(fd, w[2], atoi(w[3]));
        return;
    } else if (is(w[0], "list")) {
        list(fd);
        return;
    } else if (is(w[0], "sleep")) {
        sleep_ms(fd);
        return;
    } else if (is(w[0], "clock")) {
        clock_step();
        return;
    } else if (is(w[0], "random")) {
        uint64_t number = 0;
        e = __wasi_random_get((uint8_t *)&number, sizeof number);
        printf("random %d %016llx\n", e, (unsigned long long)number);
        return;
    }
    printf("%s %s: %d\n", w[0], *w[2] ? w[2] : w[1], e);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    char *rest = argc > 1 ? argv[1] : "";
    for (char *part; (part = strsep(&rest, ";"));) {
        char *words[MOST_WORDS] = {0};
        int n = 0;
        for (char *word; n < MOST_WORDS && (word = strsep(&part, " "));)
            if (*word)
                words[n++] = plain(word);
        if (n)
            step(n, words);
    }
}
