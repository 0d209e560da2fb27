/*
 * A program that writes a file by the given commands. The tests compare its
 * results with and without skip-unchanged.so.
 *
 * usage: dpkg CONTENT FILE COMMAND...
 *
 * Opens FILE.dpkg-new first. Writes the bytes of the file CONTENT in order.
 * Prints the result of each command.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char *content;
static size_t at, size;
static volatile int alarms;

static void say(const char *what, long result)
{
	printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

static void load(const char *name)
{
	struct stat st;
	int fd = open(name, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) != 0 || (content = malloc(st.st_size + 1)) == NULL ||
	    read(fd, content, st.st_size) != st.st_size)
		exit(9);
	size = st.st_size;
	close(fd);
}

static void count_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static size_t left(size_t want)
{
	return want < size - at ? want : size - at;
}

/* If the program imported these functions, the library would do nothing. */
#define FOREIGN(name) ((__typeof__(name) *)dlsym(RTLD_DEFAULT, #name))

#ifdef IMPORT_WRITEV
void *imported = writev;
#endif

static void change_old(const char *name)
{
	char bytes[100];
	int fd = open(name, O_WRONLY);

	memset(bytes, '!', sizeof(bytes));
	/* The library compares the last bytes last. */
	if (fd < 0 || lseek(fd, -100, SEEK_END) < 0 || write(fd, bytes, 100) != 100)
		exit(8);
	close(fd);
}

int main(int argc, char **argv)
{
	char name[4096];
	int fd, i, status, spare = -1;

	setvbuf(stdout, NULL, _IONBF, 0);
	load(argv[1]);
	snprintf(name, sizeof(name), "%s.dpkg-new", argv[2]);
	fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0);
	say("open", fd < 0 ? -1 : 0);
	for (i = 3; i < argc; i++) {
		const char *command = argv[i];
		long n = i + 1 < argc ? atol(argv[i + 1]) : 0;
		long result = 0;

		if (strcmp(command, "write") == 0) { /* N bytes in one call */
			result = write(fd, content + at, left(n));
			at += result > 0 ? result : 0;
			i++;
		} else if (strcmp(command, "rest") == 0) { /* all, N at a time */
			while (at < size && result >= 0) {
				result = write(fd, content + at, left(n));
				at += result > 0 ? result : 0;
			}
			i++;
		} else if (strcmp(command, "writev") == 0) {
			struct iovec v = { content + at, left(n) };
			result = FOREIGN(writev)(fd, &v, 1);
			at += result > 0 ? result : 0;
			i++;
		} else if (strcmp(command, "seek") == 0) { /* by N bytes, forward or back */
			result = lseek(fd, n, SEEK_CUR);
			at += n;
			i++;
		} else if (strcmp(command, "truncate") == 0)
			result = ftruncate(fd, atol(argv[++i]));
		else if (strcmp(command, "size") == 0) {
			struct stat st;
			result = fstat(fd, &st) == 0 ? st.st_size : -1;
		} else if (strcmp(command, "sync") == 0)
			(void)!sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), result = 0;
		else if (strcmp(command, "fsync") == 0)
			result = fsync(fd);
		else if (strcmp(command, "own") == 0)
			result = fchown(fd, 1, 2);
		else if (strcmp(command, "mode") == 0)
			result = fchmod(fd, 04755);
		else if (strcmp(command, "dup") == 0) { /* continue with the copy of the descriptor */
			spare = fd;
			fd = dup(fd);
		} else if (strcmp(command, "fork") == 0) { /* a child writes N */
			if (fork() == 0)
				_exit(write(fd, content + at, left(n)) != (ssize_t)left(n));
			wait(&status);
			result = status;
			at += left(n);
			i++;
		} else if (strcmp(command, "behind") == 0) { /* dup3() closes fd and gives its number to another file */
			strcat(name, ".other");
			spare = FOREIGN(openat)(AT_FDCWD, name, O_CREAT | O_RDWR, 0600);
			result = FOREIGN(syscall)(SYS_dup3, spare, fd, 0) == fd ? 0 : -1;
		} else if (strcmp(command, "second") == 0) { /* writes a second file */
			char other[4096];
			snprintf(other, sizeof(other), "%s-2.dpkg-new", argv[2]);
			spare = open(other, O_CREAT | O_EXCL | O_WRONLY, 0600);
			result = write(spare, content, size);
		} else if (strcmp(command, "stdio") == 0) {
			FILE *f = fdopen(fd, "w");
			result = fwrite(content + at, 1, size - at, f);
			fclose(f);
			fd = -1;
		} else if (strcmp(command, "alarms") == 0) {
			struct sigaction action = { .sa_handler = count_alarm };
			struct itimerval often = { { 0, 200 }, { 0, 200 } };
			sigaction(SIGALRM, &action, NULL);
			setitimer(ITIMER_REAL, &often, NULL);
		} else if (strcmp(command, "spoil") == 0)
			change_old(argv[2]);
		else if (strcmp(command, "environment") == 0)
			result = getenv("LD_PRELOAD") != NULL;
		else if (strcmp(command, "close") == 0)
			result = close(fd);
		else
			return 6;
		say(command, result);
	}
	if (spare >= 0)
		say("spare", close(spare));
	return 0;
}
