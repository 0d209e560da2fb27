/*
 * skip-unchanged: the C library's own functions.
 *
 * Copyright (C) 2026 the apt-be authors
 *
 * This is free software; you can redistribute it and/or modify it under the
 * terms of the GNU General Public License as published by the Free Software
 * Foundation; either version 2 of the License, or (at your option) any later
 * version.
 */

#ifndef SKIP_UNCHANGED_NEXT_H
#define SKIP_UNCHANGED_NEXT_H

#include <dlfcn.h>

/* Within this library a plain name such as ftruncate means our own stand-in
 * for it. NEXT(ftruncate) is what comes after us: the C library's, or that of
 * another preloaded library, such as eatmydata.
 *
 * Found at the first call and not in a constructor: constructors of dpkg's
 * other libraries run before ours, and libselinux's opens files. */
#define NEXT(function) \
	({ \
		static __typeof__(function) *found; \
		if (found == NULL) \
			found = (__typeof__(function) *)dlsym(RTLD_NEXT, #function); \
		found; \
	})

#endif
