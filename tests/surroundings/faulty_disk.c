/* A disk that fails when it is told to, for a process that preloads this.
 *
 * $FAULTS is a folder, $FAULTS_UNDER the beginning of the paths concerned. While these files are in
 * the folder, calls on files below that path do as they say; the text of a file is its number.
 *
 *     write-errno N    write fails with errno N
 *     sync-errno N     fsync and fdatasync fail with errno N, once (the file is removed), and what was
 *                      written since the last good sync is lost: as a kernel does that drops the pages
 *     sync-ms N        fsync and fdatasync take N milliseconds
 *     clock-s N        the wall clock is N seconds ahead, for every file and none
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FDS 4096

static off_t synced[FDS];    /* length of what the last good sync covered */
static ino_t synced_of[FDS]; /* and the file it was */

static int asked(const char *what, long *number, int once) {
    char path[PATH_MAX], text[32] = {0};
    const char *folder = getenv("FAULTS");
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    if (once) unlink(path);
    *number = atol(text);
    return 1;
}

static int concerns(int fd) {
    char link[64], path[PATH_MAX];
    const char *under = getenv("FAULTS_UNDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return under && n > 0 && !strncmp(path, under, strlen(under));
}

ssize_t write(int fd, const void *content, size_t size) {
    long number;
    if (concerns(fd) && asked("write-errno", &number, 0)) {
        errno = (int)number;
        return -1;
    }
    return NEXT(write)(fd, content, size);
}

static void forget_unsynced(int fd, const struct stat *now) {
    static const char zeros[4096];
    char link[64];
    off_t from = fd < FDS && synced_of[fd] == now->st_ino ? synced[fd] : 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, O_WRONLY | O_CLOEXEC); /* without O_APPEND, which pwrite would obey */
    while (from < now->st_size) {
        size_t size = now->st_size - from < 4096 ? now->st_size - from : 4096;
        if (pwrite(again, zeros, size, from) < 0) break;
        from += size;
    }
    close(again);
}

static int sync_with(int (*next)(int), int fd) {
    long number;
    struct stat now;
    if (!concerns(fd) || fstat(fd, &now)) return next(fd);
    if (asked("sync-ms", &number, 0)) {
        struct timespec pause = {number / 1000, number % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    if (S_ISREG(now.st_mode) && asked("sync-errno", &number, 1)) {
        forget_unsynced(fd, &now);
        errno = (int)number;
        return -1;
    }
    int result = next(fd);
    if (!result && fd < FDS) synced[fd] = now.st_size, synced_of[fd] = now.st_ino;
    return result;
}

int fsync(int fd) { return sync_with(NEXT(fsync), fd); }

int fdatasync(int fd) { return sync_with(NEXT(fdatasync), fd); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    long ahead;
    int result = NEXT(clock_gettime)(clock, time);
    if (!result && clock == CLOCK_REALTIME && asked("clock-s", &ahead, 0)) time->tv_sec += ahead;
    return result;
}
