/*
 * A library whose C functions fail, to be loaded after skip-unchanged.so. The
 * variable FAULT names the fault.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static int fault(const char *name)
{
	const char *chosen = getenv("FAULT");

	return chosen != NULL && strcmp(chosen, name) == 0;
}

int ftruncate(int fd, off_t length)
{
	if (fault("full")) {
		errno = ENOSPC;
		return -1;
	}
	return REAL(ftruncate)(fd, length);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
	if (fault("rewrite")) {
		errno = ENOSPC;
		return -1;
	}
	return REAL(pwrite)(fd, data, length, offset);
}

ssize_t pread(int fd, void *data, size_t length, off_t offset)
{
	static int turn;

	if (fault("short") && ++turn % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	if (fault("read")) {
		errno = EIO;
		return -1;
	}
	return REAL(pread)(fd, data, fault("short") && length > 1000 ? 1000 : length, offset);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == FICLONE && fault("noclone")) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (request == FICLONE && fault("halfclone")) { /* a part is there already */
		REAL(ioctl)(fd, request, argument);
		errno = ENOSPC;
		return -1;
	}
	return REAL(ioctl)(fd, request, argument);
}
