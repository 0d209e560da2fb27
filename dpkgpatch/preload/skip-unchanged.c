/*
 * skip-unchanged: the functions that dpkg calls in place of the C library's.
 *
 * Copyright (C) 2026 the apt-be authors
 *
 * This is free software; you can redistribute it and/or modify it under the
 * terms of the GNU General Public License as published by the Free Software
 * Foundation; either version 2 of the License, or (at your option) any later
 * version.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "next.h"
#include "skip-unchanged.h"

/* False until the constructor knows that this process is a dpkg that works as
 * we believe. Then it does not change any more. */
static bool active;

/* EXPORT gives a function of ours the name of the one that it stands in for.
 * The headers know those names already, as macros and inline functions with
 * _FORTIFY_SOURCE and _FILE_OFFSET_BITS; ours must be none of these. */
#define EXPORT(name) __asm__(#name) __attribute__((visibility("default")))

/* What can create a file: open, and where off_t is said to have 64 bits, open64.
 * The fortified __open_2 and __open64_2 can't: they have no mode, and end the
 * program if O_CREAT is there.
 *
 * OPEN opens a path by a call of open, and begins to track what was opened.
 * The new file is opened for reading as well, to compare with. */
#define OPEN(call) \
	int fd, old = active ? track_open_old(path, flags) : -1; \
	if (old >= 0) \
		flags = (flags & ~O_ACCMODE) | O_RDWR; \
	fd = call; \
	if (old >= 0 && fd >= 0) \
		track_begin(fd, old); \
	else if (old >= 0) \
		close_quietly(old); \
	return fd

static void
close_quietly(int fd)
{
	int saved = errno;

	NEXT(close)(fd);
	errno = saved;
}

static mode_t
mode_argument(int flags, va_list arguments)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int our_open(const char *path, int flags, ...) EXPORT(open);
int
our_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	OPEN(NEXT(open)(path, flags, mode));
}

int our_open64(const char *path, int flags, ...) EXPORT(open64);
int
our_open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	OPEN(NEXT(open64)(path, flags, mode));
}

ssize_t our_write(int fd, const void *data, size_t length) EXPORT(write);
ssize_t
our_write(int fd, const void *data, size_t length)
{
	return track_write(fd, data, length);
}

int our_close(int fd) EXPORT(close);
int
our_close(int fd)
{
	int settled = track_settle(fd), error = errno, result;

	track_end(fd);
	result = NEXT(close)(fd);
	if (settled == 0)
		return result;
	errno = error;
	return -1;
}

/* SETTLED is a function for which a tracked file has to be as it would be
 * without us. */
#define SETTLED(type, name, failure, parameters, arguments) \
	type our_##name parameters EXPORT(name); \
	type our_##name parameters \
	{ \
		if (track_settle(fd) != 0) \
			return failure; \
		return NEXT(name) arguments; \
	}

SETTLED(int, fchown, -1, (int fd, uid_t owner, gid_t group), (fd, owner, group))
SETTLED(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
SETTLED(int, fsync, -1, (int fd), (fd))
SETTLED(int, fdatasync, -1, (int fd), (fd))
SETTLED(int, sync_file_range, -1, (int fd, off64_t offset, off64_t bytes, unsigned int flags), (fd, offset, bytes, flags))
SETTLED(int, fstat, -1, (int fd, struct stat *st), (fd, st))
SETTLED(int, fstat64, -1, (int fd, struct stat64 *st), (fd, st))
SETTLED(off_t, lseek, -1, (int fd, off_t offset, int whence), (fd, offset, whence))
SETTLED(off64_t, lseek64, -1, (int fd, off64_t offset, int whence), (fd, offset, whence))
SETTLED(int, ftruncate, -1, (int fd, off_t length), (fd, length))
SETTLED(int, ftruncate64, -1, (int fd, off64_t length), (fd, length))
SETTLED(int, dup, -1, (int fd), (fd))
SETTLED(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))

/* What these two take as their last argument, if anything, has the size of a
 * pointer or less: the C library itself reads it so. */
SETTLED(int, fcntl, -1, (int fd, int command, void *argument), (fd, command, argument))
SETTLED(int, fcntl64, -1, (int fd, int command, void *argument), (fd, command, argument))
SETTLED(int, ioctl, -1, (int fd, unsigned long request, void *argument), (fd, request, argument))

/* The file that fd was is closed by this. */
int our_dup2(int fd, int copy) EXPORT(dup2);
int
our_dup2(int fd, int copy)
{
	if (track_settle(fd) != 0 || track_settle(copy) != 0)
		return -1;
	return NEXT(dup2)(fd, copy);
}

int our_dup3(int fd, int copy, int flags) EXPORT(dup3);
int
our_dup3(int fd, int copy, int flags)
{
	if (track_settle(fd) != 0 || track_settle(copy) != 0)
		return -1;
	return NEXT(dup3)(fd, copy, flags);
}

/* Child and parent would move one offset, each unknown to the other. */
pid_t our_fork(void) EXPORT(fork);
pid_t
our_fork(void)
{
	if (track_settle_any() != 0)
		return -1;
	return NEXT(fork)();
}

/* Takes this library out of LD_PRELOAD, and leaves the others: what dpkg runs,
 * maintainer scripts above all, is not to have it. */
static void
leave_environment(void)
{
	Dl_info self;
	const char *list = getenv("LD_PRELOAD");
	char *copy, *kept, *entry, *rest;

	/* dli_fname is the name by which the dynamic linker was told to load it. */
	if (list == NULL || dladdr(&active, &self) == 0)
		return;
	copy = strdup(list);
	kept = calloc(1, strlen(list) + 1);
	if (copy == NULL || kept == NULL)
		goto out;
	for (entry = strtok_r(copy, ": ", &rest); entry != NULL; entry = strtok_r(NULL, ": ", &rest)) {
		if (strcmp(entry, self.dli_fname) == 0)
			continue;
		if (kept[0] != '\0')
			strcat(kept, ":");
		strcat(kept, entry);
	}
	if (kept[0] == '\0')
		unsetenv("LD_PRELOAD");
	else
		setenv("LD_PRELOAD", kept, 1);
out:
	free(copy);
	free(kept);
}

/* Says whether the program is a file of the name dpkg. */
static bool
is_dpkg(void)
{
	char program[4096];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	const char *slash;

	if (length < 0)
		return false;
	program[length] = '\0';
	slash = strrchr(program, '/');
	return slash != NULL && strcmp(slash, "/dpkg") == 0;
}

__attribute__((constructor)) static void
begin(void)
{
	/* For those who look into why nothing is shared. */
	bool verbose = getenv("SKIP_UNCHANGED_VERBOSE") != NULL;
	const char *reason = NULL;

	if (!is_dpkg())
		return;
	leave_environment();
	active = imports_understood(&reason);
	if (verbose && active)
		fprintf(stderr, "skip-unchanged: active\n");
	else if (verbose)
		fprintf(stderr, "skip-unchanged: does nothing: it does not understand this dpkg's use of %s\n", reason);
}
