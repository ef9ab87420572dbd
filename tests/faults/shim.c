/* Faults from below: a library that is loaded before the C library, into one program only, and
 * spoils what it asks the kernel for.
 *
 * SHIM_EXE   the name of the program; in all others it does nothing
 * SHIM_DIR   a directory that is read while the program runs: `clock` holds seconds by which the
 *            time of day is wrong; `full` holds a part of a path: files whose path contains it do
 *            not grow any more, as on a full disk
 * SHIM_AT    a number: at this change of a file, counted from 1, SHIM_DO happens
 * SHIM_DO    kill, term: the signal, before the change is made
 *            full: from now on no file grows; fulls: the same, for three writes
 * SHIM_COUNT a file that is told at the end how many changes there were
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int ours;
static long at = -1;
static char action[16];
static char clock_path[PATH_MAX], full_path[PATH_MAX], count_path[PATH_MAX];
static atomic_long changes;
static int watches;

__attribute__((constructor)) static void begin(void) {
    char exe[PATH_MAX] = "";
    const char *name = getenv("SHIM_EXE"), *value;
    if (!name || readlink("/proc/self/exe", exe, sizeof exe - 1) < 0) return;
    const char *base = strrchr(exe, '/');
    if (!base || strcmp(base + 1, name) != 0) return;
    if ((value = getenv("SHIM_DIR"))) {
        snprintf(clock_path, sizeof clock_path, "%s/clock", value);
        snprintf(full_path, sizeof full_path, "%s/full", value);
    }
    if ((value = getenv("SHIM_COUNT"))) snprintf(count_path, sizeof count_path, "%s", value);
    if ((value = getenv("SHIM_AT"))) at = atol(value);
    if ((value = getenv("SHIM_DO"))) snprintf(action, sizeof action, "%s", value);
    watches = at >= 0 || count_path[0];
    ours = 1;
}

__attribute__((destructor)) static void end(void) {
    if (!ours || !count_path[0]) return;
    FILE *file = fopen(count_path, "w");
    if (!file) return;
    fprintf(file, "%ld\n", (long)changes);
    fclose(file);
}

/* The raw calls: what is looked up here must not come back to us. */
static int small(const char *path, char *into, size_t size) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long count = syscall(SYS_read, fd, into, size - 1);
    syscall(SYS_close, fd);
    if (count < 0) count = 0;
    into[count] = 0;
    while (count > 0 && (into[count - 1] == '\n')) into[--count] = 0;
    return 1;
}

/* Whether a file of this descriptor may not grow. */
static int full(int fd) {
    char part[64], link[64], path[PATH_MAX];
    if (!ours || !full_path[0] || !small(full_path, part, sizeof part)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(link, path, sizeof path - 1);
    if (count < 0) return 0;
    path[count] = 0;
    return strstr(path, part) != NULL;
}

/* A change of a file: what was asked for happens at its number. True if the disk is full. */
static int change(int fd, int grows) {
    if (!ours) return 0;
    int saved = errno;
    if (fd >= 0) {
        struct stat status;
        if (fd <= 2 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            errno = saved;
            return 0;
        }
    }
    int answer = 0;
    if (watches) {
        long number = atomic_fetch_add(&changes, 1) + 1;
        if (number == at && !strcmp(action, "kill")) kill(getpid(), SIGKILL);
        if (number == at && !strcmp(action, "term")) kill(getpid(), SIGTERM);
        if (at >= 0 && number >= at && grows) {
            if (!strcmp(action, "full")) answer = 1;
            if (!strcmp(action, "fulls") && number < at + 3) answer = 1;
        }
    }
    if (!answer && grows && fd >= 0) answer = full(fd);
    errno = answer ? ENOSPC : saved;
    return answer;
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write);
    return change(fd, 1) ? -1 : next(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    NEXT(pwrite);
    return change(fd, 1) ? -1 : next(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    NEXT(pwrite64);
    return change(fd, 1) ? -1 : next(fd, data, size, offset);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    NEXT(pwritev);
    return change(fd, 1) ? -1 : next(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    NEXT(pwritev64);
    return change(fd, 1) ? -1 : next(fd, parts, count, offset);
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    NEXT(posix_fallocate);
    return change(fd, 1) ? ENOSPC : next(fd, offset, size);
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    NEXT(posix_fallocate64);
    return change(fd, 1) ? ENOSPC : next(fd, offset, size);
}
int ftruncate(int fd, off_t size) {
    NEXT(ftruncate);
    change(fd, 0);
    return next(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64);
    change(fd, 0);
    return next(fd, size);
}
int fsync(int fd) {
    NEXT(fsync);
    change(fd, 0);
    return next(fd);
}
int fdatasync(int fd) {
    NEXT(fdatasync);
    change(fd, 0);
    return next(fd);
}
int unlink(const char *path) {
    NEXT(unlink);
    change(-1, 0);
    return next(path);
}

/* By how many seconds the time of day is wrong. */
static long jump(void) {
    char text[32];
    int saved = errno;
    long seconds = 0;
    if (ours && clock_path[0] && small(clock_path, text, sizeof text)) seconds = atol(text);
    errno = saved;
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    NEXT(clock_gettime);
    int result = next(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
