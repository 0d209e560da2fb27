/*
 * skip-unchanged: is this dpkg one that we understand?
 *
 * Copyright (C) 2026 the apt-be authors
 *
 * This is free software; you can redistribute it and/or modify it under the
 * terms of the GNU General Public License as published by the Free Software
 * Foundation; either version 2 of the License, or (at your option) any later
 * version.
 */

/*
 * The library relies on how dpkg writes a file: by the functions that it stands
 * in for, and by no others. A later dpkg may do otherwise, and then it has to
 * be let alone. A version number would not tell, but what the program imports
 * does: it is all that it can call.
 *
 * The imports are read from the relocations of the program. That is what the
 * dynamic linker binds, and unlike the table of symbols it has a known length.
 */

#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <string.h>

#include "skip-unchanged.h"

/* Without these a program has another way to write files. Each is a function
 * and its other name, where it has one. */
static const char *const needed[][2] = {
	{ "open", "open64" },
	{ "write", "write" },
	{ "fchown", "fchown" },
	{ "fchmod", "fchmod" },
	{ "close", "close" },
};

#define NEEDED (sizeof(needed) / sizeof(needed[0]))

/* With one of these it may write to a file, give it a size or a time, close it
 * or hand it to somebody else, and we would not see it. */
static const char *const foreign[] = {
	"aio_write", "aio_write64", "clone", "close_range", "closefrom",
	"copy_file_range", "fallocate", "fallocate64", "futimens", "futimes",
	"mmap", "mmap64", "posix_fallocate", "posix_fallocate64",
	"pthread_create", "pwrite", "pwrite64", "pwritev", "pwritev2",
	"pwritev64", "pwritev64v2", "sendfile", "sendfile64", "splice",
	"syscall", "tee", "thrd_create", "vfork", "vmsplice", "writev",
};

struct imports {
	bool has[NEEDED];
	const char *foreign;
};

static void
note_import(struct imports *imports, const char *name)
{
	size_t i;

	for (i = 0; i < NEEDED; i++)
		if (strcmp(name, needed[i][0]) == 0 || strcmp(name, needed[i][1]) == 0)
			imports->has[i] = true;
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (strcmp(name, foreign[i]) == 0)
			imports->foreign = foreign[i];
}

/* Everything that dpkg is built for here has relocations with addends. */
static void
note_relocations(struct imports *imports, const ElfW(Rela) *table, size_t bytes,
                 const ElfW(Sym) *symbols, const char *names)
{
	const ElfW(Rela) *end = (const void *)((const char *)table + bytes);

	for (; table < end; table++) {
		const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(table->r_info)];

		if (symbol->st_shndx == SHN_UNDEF)
			note_import(imports, names + symbol->st_name);
	}
}

/* The first object that the dynamic linker lists is the program. */
static int
note_program(struct dl_phdr_info *info, size_t size, void *imports)
{
	const ElfW(Dyn) *entry = NULL;
	/* By tag: the tables, and the sizes of two of them. */
	ElfW(Addr) strings = 0, symbols = 0, plt = 0, rela = 0;
	size_t plt_bytes = 0, rela_bytes = 0;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			entry = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; entry != NULL && entry->d_tag != DT_NULL; entry++) {
		/* glibc replaces them by absolute addresses; not everywhere. */
		ElfW(Addr) address = entry->d_un.d_ptr;

		if (address < info->dlpi_addr)
			address += info->dlpi_addr;
		switch (entry->d_tag) {
		case DT_STRTAB: strings = address; break;
		case DT_SYMTAB: symbols = address; break;
		case DT_JMPREL: plt = address; break;
		case DT_RELA: rela = address; break;
		case DT_PLTRELSZ: plt_bytes = entry->d_un.d_val; break;
		case DT_RELASZ: rela_bytes = entry->d_un.d_val; break;
		}
	}
	if (strings != 0 && symbols != 0) {
		if (plt != 0)
			note_relocations(imports, (const void *)plt, plt_bytes,
			                 (const void *)symbols, (const char *)strings);
		if (rela != 0)
			note_relocations(imports, (const void *)rela, rela_bytes,
			                 (const void *)symbols, (const char *)strings);
	}
	return 1;
}

bool
imports_understood(const char **name)
{
	struct imports imports = { .foreign = NULL };
	size_t i;

	dl_iterate_phdr(note_program, &imports);
	*name = imports.foreign;
	for (i = 0; i < NEEDED; i++)
		if (!imports.has[i])
			*name = needed[i][0];
	return *name == NULL;
}
