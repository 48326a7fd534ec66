/* Two answers of the system that depend on what kind of file system it is, made the same everywhere, so that the suite
 * can be run on an overlay. Preloaded into pjdfstest in native and workspace runs alike.
 *
 * 1. The suite's character device is 0:0. To overlayfs that very device is a whiteout, so none can be made in any
 *    overlay, by nobody. The suite gets the device 1:7 instead, whose number means nothing to it.
 * 2. The C library tells the most links of a file from a table by kind of file system that has neither overlayfs nor
 *    FUSE in it, and the suite skips the case of too many links where the answer is its "unknown". It is that here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What glibc answers for a kind of file system that it does not know (LINUX_LINK_MAX). */
#define LINK_MAX_UNKNOWN 127

int mknod(const char *path, mode_t mode, dev_t device)
{
    static int (*next)(const char *, mode_t, dev_t);
    if (!next)
        next = (int (*)(const char *, mode_t, dev_t))dlsym(RTLD_NEXT, "mknod");
    return next(path, mode, S_ISCHR(mode) && device == 0 ? makedev(1, 7) : device);
}

int mknodat(int directory, const char *path, mode_t mode, dev_t device)
{
    static int (*next)(int, const char *, mode_t, dev_t);
    if (!next)
        next = (int (*)(int, const char *, mode_t, dev_t))dlsym(RTLD_NEXT, "mknodat");
    return next(directory, path, mode, S_ISCHR(mode) && device == 0 ? makedev(1, 7) : device);
}

long pathconf(const char *path, int name)
{
    static long (*next)(const char *, int);
    if (name == _PC_LINK_MAX)
        return LINK_MAX_UNKNOWN;
    if (!next)
        next = (long (*)(const char *, int))dlsym(RTLD_NEXT, "pathconf");
    return next(path, name);
}
