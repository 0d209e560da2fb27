/*
 * skip-unchanged: a stock dpkg that does not write unchanged files again.
 *
 * Copyright (C) 2026 the apt-be authors
 *
 * This is free software; you can redistribute it and/or modify it under the
 * terms of the GNU General Public License as published by the Free Software
 * Foundation; either version 2 of the License, or (at your option) any later
 * version.
 */

#ifndef SKIP_UNCHANGED_H
#define SKIP_UNCHANGED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* track.c: the one file that dpkg is extracting. */

/* Opens the installed file that a dpkg-new file is to replace, as far as it
 * is worth sharing. Returns its descriptor, or -1. Keeps errno. */
int track_open_old(const char *path, int flags);

/* Begins to track fd, a new and empty file that can be read as well. Takes
 * over the descriptor old. */
void track_begin(int fd, int old);

/* write(2) for any descriptor. */
ssize_t track_write(int fd, const void *data, size_t length);

/* Makes the file behind fd what it would be without this library, and lets go
 * of it. To be called before anything else is done to a descriptor; does
 * nothing for one that is not tracked. Returns 0, or -1 and errno: then it
 * does so for each further call until track_end. Keeps errno otherwise. */
int track_settle(int fd);

/* The same for whichever file is tracked. */
int track_settle_any(void);

/* fd is closed: forget it. */
void track_end(int fd);

/* imports.c: what the program that is running asks of the C library. */

/* Says whether this program does with descriptors only what the library
 * follows. If not, *name is the function that tells. */
bool imports_understood(const char **name);

#endif
