/* Has the n-th write, sync or open of a file in a folder fail (see tests/reliability/test_io_errors.py).
   Preloaded; the process itself says which is to fail, by the functions at the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[4096];
static long count, fails_at, fails_with;

static int is_ours(const char *path) {
    size_t size = strlen(folder);
    return size && !strncmp(path, folder, size) && path[size] == '/';
}

static int file_is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return is_ours(path);
}

/* True, with the error set, if it is the turn of this one. */
static int fails(int ours) {
    if (!ours) return 0;
    pthread_mutex_lock(&lock);
    int now = ++count == fails_at;
    pthread_mutex_unlock(&lock);
    if (now) errno = (int)fails_with;
    return now;
}

#define FAILING(type, symbol, parameters, arguments)        \
    type symbol parameters {                                \
        static type(*real) parameters;                      \
        if (!real) real = dlsym(RTLD_NEXT, #symbol);        \
        return fails(file_is_ours(fd)) ? -1 : real arguments; \
    }

FAILING(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
FAILING(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
FAILING(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
FAILING(int, ftruncate, (int fd, off_t size), (fd, size))
FAILING(int, ftruncate64, (int fd, off64_t size), (fd, size))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, fdatasync, (int fd), (fd))

#define OPENING(symbol)                                                   \
    int symbol(const char *path, int flags, ...) {                        \
        static int (*real)(const char *, int, ...);                       \
        if (!real) real = dlsym(RTLD_NEXT, #symbol);                      \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                     \
        return fails(is_ours(path)) ? -1 : real(path, flags, mode);       \
    }

OPENING(open)
OPENING(open64)

#define OPENING_AT(symbol)                                                \
    int symbol(int at, const char *path, int flags, ...) {                \
        static int (*real)(int, const char *, int, ...);                  \
        if (!real) real = dlsym(RTLD_NEXT, #symbol);                      \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                     \
        int ours = path[0] == '/' ? is_ours(path) : at >= 0 && file_is_ours(at); \
        return fails(ours) ? -1 : real(at, path, flags, mode);            \
    }

OPENING_AT(openat)
OPENING_AT(openat64)

/* From now on: the n-th of the files below that folder, with that error; none for 0. */
void io_error_arm(const char *below, long n, long error) {
    pthread_mutex_lock(&lock);
    strncpy(folder, below, sizeof folder - 1);
    count = 0;
    fails_at = n;
    fails_with = error;
    pthread_mutex_unlock(&lock);
}

/* How many there have been since. */
long io_error_count(void) { return count; }
