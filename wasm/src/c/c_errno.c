// Behaviour: a table of calls that must fail, with their errno values, before and after a sleep.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <dirent.h>
#include <unistd.h>
#include <wasi/libc.h>

#define WORK "/work/"

static void say(const char *what, long result) {
    int e = errno;
    printf("%-34s ", what);
    if (result >= 0)
        printf("succeeds with %ld\n", result);
    else
        printf("%d %s\n", e, strerror(e));
    errno = 0;
}

static void touch(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

// Says succeeds with 0, not with a number that another order of events would change.
static long opens(const char *path, int flags) {
    int fd = open(path, flags, 0666);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static void table(void) {
    char buf[16];
    struct stat st;

    // A number that is not in an enumeration (a bad whence, say) has no place here: some hosts trap on it.
    say("open missing", opens(WORK "missing", O_RDONLY));
    say("open exclusive, is there", opens(WORK "file", O_WRONLY | O_CREAT | O_EXCL));
    say("open through a file", opens(WORK "file/x", O_RDONLY));
    say("open a file as a directory", opens(WORK "file", O_RDONLY | O_DIRECTORY));
    say("open a directory to write", opens(WORK "dir", O_WRONLY));
    say("open in a missing directory", opens(WORK "none/x", O_WRONLY | O_CREAT));
    say("open nothing", opens("", O_RDONLY));

    int ro = open(WORK "file", O_RDONLY), wo = open(WORK "file", O_WRONLY);
    say("write to a read-only fd", write(ro, "x", 1));
    say("read from a write-only fd", read(wo, buf, 1));
    say("truncate a read-only fd", ftruncate(ro, 0));
    say("seek before the start", lseek(ro, -1, SEEK_SET));
    close(ro);
    close(wo);
    say("read from a closed fd", read(ro, buf, 1));
    say("write to a closed fd", write(ro, "x", 1));
    say("close a closed fd", close(ro));
    say("seek in a closed fd", lseek(ro, 0, SEEK_SET));
    say("fstat of a closed fd", fstat(ro, &st));
    say("a number that was never open", read(1000, buf, 1));
    say("renumber a closed fd", __wasilibc_fd_renumber(ro, 1000));

    int d = open(WORK "dir", O_RDONLY | O_DIRECTORY);
    say("read from a directory", read(d, buf, 1));
    say("write to a directory", write(d, "x", 1));
    close(d);

    say("up and out", opens(WORK "../outside", O_RDONLY));
    say("down, up, up and out", opens(WORK "dir/../../outside", O_RDONLY));
    say("down and up again", opens(WORK "dir/../file", O_RDONLY));
    say("create outside", opens(WORK "../outside", O_WRONLY | O_CREAT));
    say("absolute, not preopened", opens("/etc/hosts", O_RDONLY));
    say("stat outside", stat(WORK "../outside", &st));
    say("mkdir outside", mkdir(WORK "../outside", 0777));
    say("rename to the outside", rename(WORK "file", WORK "../outside"));
    say("open a link to the outside", opens(WORK "out", O_RDONLY));
    say("open below a link to the outside", opens(WORK "out/x", O_RDONLY));
    say("stat a link to the outside", stat(WORK "out", &st));
    say("lstat a link to the outside", lstat(WORK "out", &st));
    say("open a link to itself", opens(WORK "loop", O_RDONLY));
    say("open a dangling link", opens(WORK "dangling", O_RDONLY));
    say("open a link, not following", opens(WORK "dangling", O_RDONLY | O_NOFOLLOW));
    say("readlink of a file", readlink(WORK "file", buf, sizeof buf));
    say("link over a file", link(WORK "file", WORK "dir/child"));
    say("link a missing file", link(WORK "missing", WORK "other"));
    say("symlink over a file", symlink("x", WORK "file"));

    say("mkdir over a file", mkdir(WORK "file", 0777));
    say("mkdir over a directory", mkdir(WORK "dir", 0777));
    say("mkdir in a missing directory", mkdir(WORK "none/x", 0777));
    say("rmdir a directory with something", rmdir(WORK "dir"));
    say("rmdir a file", rmdir(WORK "file"));
    say("rmdir missing", rmdir(WORK "missing"));
    say("unlink a directory", unlink(WORK "dir"));
    say("unlink missing", unlink(WORK "missing"));
    say("rename missing", rename(WORK "missing", WORK "other"));
    say("rename a directory into itself", rename(WORK "dir", WORK "dir/sub"));
    say("rename a file over a directory", rename(WORK "file", WORK "dir"));
    say("rename a directory over a file", rename(WORK "dir", WORK "file"));
    say("opendir of a file", opendir(WORK "file") ? 0 : -1);
    say("opendir missing", opendir(WORK "missing") ? 0 : -1);

    char name[400] = WORK;
    memset(name + strlen(WORK), 'n', 300);
    say("open a name too long", opens(name, O_RDONLY));
    say("create a name too long", opens(name, O_WRONLY | O_CREAT));
    say("mkdir a name too long", mkdir(name, 0777));
}

int main(void) {
    touch(WORK "file");
    if (mkdir(WORK "dir", 0777) != 0) return 1;
    touch(WORK "dir/child");
    say("symlink to the outside", symlink("../outside", WORK "out"));
    say("symlink to itself", symlink("loop", WORK "loop"));
    say("symlink to nothing", symlink("nothing", WORK "dangling"));
    say("symlink with an absolute target", symlink("/etc/hosts", WORK "absolute"));
    table();
    usleep(20 * 1000);
    puts("again, after a sleep");
    table();
    return 0;
}
