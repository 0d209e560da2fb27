/*
 * skip-unchanged: the file that dpkg is extracting.
 *
 * Copyright (C) 2026 the apt-be authors
 *
 * This is free software; you can redistribute it and/or modify it under the
 * terms of the GNU General Public License as published by the Free Software
 * Foundation; either version 2 of the License, or (at your option) any later
 * version.
 */

/*
 * dpkg extracts /usr/bin/x to /usr/bin/x.dpkg-new, and renames that when the
 * whole package is unpacked. So while it writes the new file, the old one is
 * there to compare with.
 *
 * At the first write the new file becomes a clone of the old one (FICLONE: the
 * same extents, no data copied), and what dpkg writes is compared with what is
 * there already. As long as it is the same, only the file offset moves on. The
 * first difference is written over the clone, as is all that comes after it.
 * What remains of the old file behind the end of the new one is cut off when
 * dpkg does anything else than write: that settles the file, and from then on
 * it is like any other.
 *
 * To clone first and compare with the clone, and not with the old file and
 * clone in the end, has three reasons:
 *
 *  - Nobody else can change the clone. With the old file there would always
 *    be a moment between comparing and cloning, and what dpkg had said it
 *    wrote, and we had not, would be lost.
 *  - At any moment the file has, up to its offset, just what dpkg wrote, and
 *    the offset is where dpkg believes it to be. A call that we do not know
 *    (writev, a child that inherited the descriptor) finds the file as it
 *    should be, but for the rest of the old one behind the offset.
 *  - A clone that fails (another file system, no space, NOCOW) fails before
 *    anything depends on it: the file is then written as always.
 *
 * It is a new inode in any case, with no owner, mode, time, label or attribute
 * of the old one. All that is dpkg's business, as it is without us: hard links,
 * diversions, overrides and conffiles need no care here.
 *
 * One file at a time is tracked, in one thread, for that is how dpkg works. A
 * second one that is opened meanwhile is left alone.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "next.h"
#include "skip-unchanged.h"

_Static_assert(sizeof(off_t) == 8, "the functions with 64 in their name are the same as those without");

/* btrfs keeps files up to this size (max_inline, 2048 by default) within its
 * metadata: there are no extents to share. */
#define INLINE_MAX 2048

/* DPKG_BUFFER_SIZE: dpkg fills its buffer before it writes. */
#define DPKG_BUFFER 32768

/* What is compared before a file is cloned. A binary that was rebuilt differs
 * within its first page (build-id, size of its sections), and so does most
 * else that differs. */
#define PROBE 4096

static struct {
	int fd;     /* -1: none */
	int old;    /* the old file, until it is cloned; then -1 */
	dev_t dev;  /* of fd, to know that it is still the same file */
	ino_t ino;
	off_t size; /* of the old file */
	off_t same; /* so much was the same up to now; -1 after a difference */
	int error;  /* the file could not be settled */
} tracked = { .fd = -1, .old = -1 };

static char buffer[DPKG_BUFFER];

static void
forget(void)
{
	if (tracked.old >= 0)
		NEXT(close)(tracked.old);
	tracked.fd = tracked.old = -1;
	tracked.error = 0;
}

int
track_open_old(const char *path, int flags)
{
	static const char suffix[] = ".dpkg-new";
	const size_t suffix_length = sizeof(suffix) - 1;
	size_t length = strlen(path);
	char name[PATH_MAX];
	struct stat st;
	int old, saved = errno;

	if (tracked.fd >= 0)
		return -1;
	if ((flags & (O_CREAT | O_EXCL | O_APPEND | O_ACCMODE)) != (O_CREAT | O_EXCL | O_WRONLY))
		return -1;
	if (length <= suffix_length || length >= sizeof(name) ||
	    memcmp(path + length - suffix_length, suffix, suffix_length) != 0)
		return -1;
	length -= suffix_length;
	memcpy(name, path, length);
	name[length] = '\0';

	/* Asked twice: to open a device or a FIFO could have effects, and what
	 * was opened is what counts. */
	old = -1;
	if (lstat(name, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= INLINE_MAX)
		goto out;
	/* O_NOATIME: on a live system nobody should see that it was read. */
	old = NEXT(open)(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (old < 0)
		goto out;
	if (NEXT(fstat)(old, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= INLINE_MAX) {
		NEXT(close)(old);
		old = -1;
	}
out:
	errno = saved;
	return old;
}

void
track_begin(int fd, int old)
{
	struct stat st, new;
	int saved = errno;

	tracked.fd = fd;
	tracked.old = old;
	tracked.same = 0;
	if (NEXT(fstat)(old, &st) == 0 && NEXT(fstat)(fd, &new) == 0) {
		tracked.size = st.st_size;
		tracked.dev = new.st_dev;
		tracked.ino = new.st_ino;
	} else
		forget();
	errno = saved;
}

/* Says whether fd is the file that is tracked. If the descriptor was closed
 * behind our back, and its number is now another file's, nothing is. */
static bool
is_tracked(int fd)
{
	struct stat st;

	if (fd < 0 || fd != tracked.fd)
		return false;
	if (NEXT(fstat)(fd, &st) == 0 && st.st_dev == tracked.dev && st.st_ino == tracked.ino)
		return true;
	forget();
	return false;
}

/* Says whether the file has the data at offset. A file that can't be read, or
 * ends before, has not. */
static bool
has(int fd, const char *data, size_t length, off_t offset)
{
	while (length > 0) {
		size_t part = length < sizeof(buffer) ? length : sizeof(buffer);
		ssize_t n = pread(fd, buffer, part, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || memcmp(buffer, data, (size_t)n) != 0)
			return false;
		data += n;
		length -= (size_t)n;
		offset += n;
	}
	return true;
}

/* Makes the tracked file a clone of the old one. Returns false, and leaves the
 * file alone, if the first write of dpkg gives no hope that it is the same. */
static bool
clone_old(const char *data, size_t length)
{
	/* What is shorter than its buffer is all that dpkg has to write. */
	if ((off_t)length > tracked.size ||
	    (length < DPKG_BUFFER && (off_t)length != tracked.size))
		return false;
	if (!has(tracked.old, data, length < PROBE ? length : PROBE, 0))
		return false;
	/* One that fails may have cloned a part: go on as after a difference. */
	if (NEXT(ioctl)(tracked.fd, FICLONE, tracked.old) != 0)
		tracked.same = -1;
	NEXT(close)(tracked.old);
	tracked.old = -1;
	return true;
}

/* Writes what was the same up to now over itself, so that the new file has
 * extents of its own.
 *
 * The reason: an extent lives as long as any of its blocks is in use. A file of
 * 100 MiB whose first block is all that is left of it would keep 100 MiB alive
 * when the old file is long gone. */
static int
rewrite(off_t end)
{
	off_t offset = 0;

	while (offset < end) {
		size_t part = end - offset < (off_t)sizeof(buffer) ? (size_t)(end - offset) : sizeof(buffer);
		ssize_t n = pread(tracked.fd, buffer, part, offset);

		if (n > 0)
			n = pwrite(tracked.fd, buffer, (size_t)n, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = EIO;
			return -1;
		}
		offset += n;
	}
	return 0;
}

/* Says whether the data is what the file has at its offset, and moves the
 * offset past it if so. */
static bool
skip(const char *data, size_t length)
{
	if (tracked.same < 0 || length > (size_t)(tracked.size - tracked.same) ||
	    NEXT(lseek)(tracked.fd, 0, SEEK_CUR) != tracked.same ||
	    !has(tracked.fd, data, length, tracked.same))
		return false;
	if (NEXT(lseek)(tracked.fd, (off_t)length, SEEK_CUR) < 0)
		return false;
	tracked.same += (off_t)length;
	return true;
}

ssize_t
track_write(int fd, const void *data, size_t length)
{
	int saved = errno;

	if (length == 0 || !is_tracked(fd))
		return NEXT(write)(fd, data, length);
	if (tracked.error != 0) {
		errno = tracked.error;
		return -1;
	}
	if (tracked.old >= 0 && !clone_old(data, length))
		forget();
	else if (skip(data, length)) {
		errno = saved;
		return (ssize_t)length;
	} else if (tracked.same >= 0) {
		/* At least half of the old file: what is kept alive for
		 * nothing is then no more than what is shared. */
		if (tracked.same < tracked.size / 2 && rewrite(tracked.same) != 0)
			return -1;
		tracked.same = -1;
	}
	errno = saved;
	return NEXT(write)(fd, data, length);
}

int
track_settle(int fd)
{
	struct stat st;
	off_t end;
	int saved = errno, failed;

	if (!is_tracked(fd))
		goto out;
	if (tracked.error != 0) {
		errno = tracked.error;
		return -1;
	}
	if (tracked.old < 0) {
		do {
			end = NEXT(lseek)(fd, 0, SEEK_CUR);
			failed = end < 0 || NEXT(fstat)(fd, &st) != 0 ||
			         (st.st_size > end && NEXT(ftruncate)(fd, end) != 0);
		} while (failed && errno == EINTR);
		if (failed) {
			/* dpkg does not look at the result of the call that
			 * comes first, sync_file_range(). It does at those of
			 * the others. */
			tracked.error = errno;
			return -1;
		}
	}
	forget();
out:
	errno = saved;
	return 0;
}

int
track_settle_any(void)
{
	return track_settle(tracked.fd);
}

void
track_end(int fd)
{
	if (fd >= 0 && fd == tracked.fd)
		forget();
}
