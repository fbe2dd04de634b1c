/* Records what a process writes to a store, in order, so that a power cut can be played back (see power_cut.py).
   Preloaded; a record is: operation, length of the name, name, offset, length, time, bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;

static ssize_t really_write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    return real(fd, data, size);
}

/* The name of a file of the store, or null for any other. */
static const char *name_of(const char *path) {
    const char *folder = getenv("CUT_FOLDER");
    if (!folder) return NULL;
    size_t size = strlen(folder);
    if (strncmp(path, folder, size) || path[size] != '/') return NULL;
    const char *name = path + size + 1;
    if (!strcmp(name, "store.db-draft")) return "store.db"; /* what it becomes, once it is synced */
    if (!strcmp(name, "said") || !strcmp(name, "store.db") || !strcmp(name, "store.db-wal") ||
        !strcmp(name, "store.db-journal"))
        return name;
    return NULL;
}

static const char *name_of_file(int fd, char *path, size_t room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, room - 1);
    if (size < 0) return NULL;
    path[size] = 0;
    return name_of(path);
}

static void record(char what, const char *name, int64_t at, const void *data, uint32_t size) {
    if (out < 0) out = open(getenv("CUT_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = now.tv_sec + now.tv_nsec / 1e9;
    uint8_t length = strlen(name);
    really_write(out, &what, 1);
    really_write(out, &length, 1);
    really_write(out, name, length);
    really_write(out, &at, 8);
    really_write(out, &size, 4);
    really_write(out, &seconds, 8);
    if (data) really_write(out, data, size);
}

#define RECORDED(type, symbol, parameters, arguments, what, at, data, size, worked)        \
    type symbol parameters {                                                               \
        static type(*real) parameters;                                                     \
        if (!real) real = dlsym(RTLD_NEXT, #symbol);                                       \
        char path[4096];                                                                   \
        const char *name = name_of_file(fd, path, sizeof path);                            \
        if (!name) return real arguments;                                                  \
        pthread_mutex_lock(&lock);                                                         \
        type result = real arguments;                                                      \
        if (worked) record(what, name, at, data, size);                                    \
        pthread_mutex_unlock(&lock);                                                       \
        return result;                                                                     \
    }

RECORDED(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), 'a', 0, data, result, result > 0)
RECORDED(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), 'w', at, data,
         result, result > 0)
RECORDED(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), 'w', at, data,
         result, result > 0)
RECORDED(int, ftruncate, (int fd, off_t size), (fd, size), 't', size, NULL, 0, result == 0)
RECORDED(int, ftruncate64, (int fd, off64_t size), (fd, size), 't', size, NULL, 0, result == 0)
RECORDED(int, fsync, (int fd), (fd), 's', 0, NULL, 0, result == 0)
RECORDED(int, fdatasync, (int fd), (fd), 's', 0, NULL, 0, result == 0)

int unlink(const char *path) {
    static int (*real)(const char *);
    if (!real) real = dlsym(RTLD_NEXT, "unlink");
    const char *name = name_of(path);
    if (!name) return real(path);
    pthread_mutex_lock(&lock);
    int result = real(path);
    if (result == 0) record('d', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
