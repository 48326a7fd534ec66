/*
 * A sequence of file operations that follows from a seed, for comparison with what an observer told of it.
 *
 * Usage: acts SEED COUNT. Works below the current directory, one operation after the other, each by one of three
 * actors: the process itself, a second thread of it, and a child. What was done, and only what succeeded, is printed
 * when all is over: one operation a line, "KIND PID ARGUMENTS...", in the order in which they were done. No operation
 * begins before the one before it has returned, so the order is the truth.
 *
 * A file is a line "#!/bin/true", so that it can be executed, and blocks of eight bytes; a number names a block.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "#!/bin/true\n"
#define HEAD_BYTES 12
#define BLOCK_BYTES 8
#define LOG_BYTES (1 << 20)
#define EXCHANGE 2

/* What an actor is to do: the draw of the seed, made by the first actor alone. */
struct act {
	uint32_t kind, a, b, c, block;
};

struct shared {
	struct act act;
	sem_t go[3], done;
	int used;
	char log[LOG_BYTES];
};

static struct shared *shared;
/* Files that stay open or mapped over several operations: one of each for each process. */
static int held = -1;
static char *mapped;

static const char *const directories[] = { "a", "b", "c", "a/d", "b/d", "c/d" };
static const char *const names[] = { "x", "y", "z" };
#define DIRECTORIES 6
#define NAMES 3

static uint64_t state;
static uint32_t draw(uint32_t below)
{
	state += 0x9e3779b97f4a7c15;
	uint64_t z = state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ (z >> 31)) % below);
}

static void note(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int room = LOG_BYTES - shared->used;
	int n = vsnprintf(shared->log + shared->used, room, format, list);
	va_end(list);
	if (n < 0 || n >= room)
		_exit(3);
	shared->used += n;
}

static void file(char *out, uint32_t which)
{
	sprintf(out, "%s/%s", directories[which / NAMES % DIRECTORIES], names[which % NAMES]);
}

static const char *block(uint32_t number)
{
	static __thread char text[32];
	sprintf(text, "%07u\n", number % 10000000);
	return text;
}

static void put(int fd, uint32_t number)
{
	if (write(fd, block(number), BLOCK_BYTES) != BLOCK_BYTES)
		_exit(4);
}

static void write_whole(const struct act *act, int by_child)
{
	char path[64];
	file(path, act->a);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755);
	if (fd < 0)
		return;
	if (write(fd, HEAD, HEAD_BYTES) != HEAD_BYTES)
		_exit(4);
	if (!by_child) {
		put(fd, act->block);
		close(fd);
		note("write %d %s %u\n", getpid(), path, act->block);
		return;
	}
	/* The child has the last descriptor: the close is its own. */
	int inherited = by_child == 2;
	if (!inherited)
		put(fd, act->block);
	int ends[2];
	if (pipe(ends))
		_exit(5);
	pid_t child = fork();
	if (child == 0) {
		char byte;
		close(ends[1]);
		if (read(ends[0], &byte, 1) < 0)
			_exit(6);
		if (inherited)
			put(fd, act->block);
		close(fd);
		_exit(0);
	}
	close(fd);
	close(ends[1]);
	close(ends[0]);
	waitpid(child, NULL, 0);
	if (inherited)
		note("begin %d %s\nfill %d %s %u\n", getpid(), path, child, path, act->block);
	else
		note("write %d %s %u\n", getpid(), path, act->block);
}

static void append(const struct act *act)
{
	char path[64];
	file(path, act->a);
	int fd = open(path, O_APPEND | O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	put(fd, act->block);
	close(fd);
	note("append %d %s %u\n", getpid(), path, act->block);
}

static void shorten(const struct act *act)
{
	char path[64];
	file(path, act->a);
	if (truncate(path, HEAD_BYTES) == 0)
		note("truncate %d %s\n", getpid(), path);
}

static void look(const struct act *act)
{
	char path[64], byte[64];
	file(path, act->a);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, byte, sizeof byte) < 0)
		_exit(7);
	close(fd);
	note("read %d %s\n", getpid(), path);
}

static void run(const struct act *act)
{
	char path[64];
	file(path, act->a);
	pid_t child = vfork();
	if (child == 0) {
		execl(path, path, (char *)NULL);
		_exit(126);
	}
	int status;
	waitpid(child, &status, 0);
	if (status == 0)
		note("execute %d %s\n", child, path);
	else if (access(path, F_OK) == 0)
		note("attempt %d %s\n", child, path);
}

/* Overwrites the first block through a shared mapping, whose file is closed before. */
static void poke(const struct act *act)
{
	char path[64];
	file(path, act->a);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	struct stat stat;
	fstat(fd, &stat);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (stat.st_size >= HEAD_BYTES + BLOCK_BYTES) {
		memcpy(at + HEAD_BYTES, block(act->block), BLOCK_BYTES);
		note("poke %d %s %u\n", getpid(), path, act->block);
	} else {
		note("open %d %s\n", getpid(), path);
	}
	munmap(at, 4096);
}

/* As poke, but the mapping stays. */
static void map(const struct act *act)
{
	if (mapped) {
		note("unmap %d\n", getpid());
		munmap(mapped, 4096);
		mapped = NULL;
		return;
	}
	char path[64];
	file(path, act->a);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	struct stat stat;
	fstat(fd, &stat);
	if (stat.st_size >= HEAD_BYTES + BLOCK_BYTES) {
		mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		note("map %d %s\n", getpid(), path);
	} else {
		note("open %d %s\n", getpid(), path);
	}
	close(fd);
}

static void poke_mapped(const struct act *act)
{
	if (!mapped)
		return;
	char byte;
	/* Another actor may have cut the file: then there is nothing to write to. Told by a read through the kernel. */
	int ends[2];
	if (pipe(ends))
		_exit(5);
	ssize_t n = write(ends[1], mapped + HEAD_BYTES, 1);
	if (n == 1 && read(ends[0], &byte, 1) == 1 && byte != 0) {
		memcpy(mapped + HEAD_BYTES, block(act->block), BLOCK_BYTES);
		note("poke_mapped %d %u\n", getpid(), act->block);
	}
	close(ends[0]);
	close(ends[1]);
}

/* A descriptor that stays: opened, written to, closed. */
static void hold(const struct act *act)
{
	if (held < 0) {
		char path[64];
		file(path, act->a);
		held = open(path, O_APPEND | O_WRONLY | O_CLOEXEC);
		if (held >= 0)
			note("hold %d %s\n", getpid(), path);
	} else if (act->c % 3) {
		put(held, act->block);
		note("write_held %d %u\n", getpid(), act->block);
	} else {
		close(held);
		held = -1;
		note("release %d\n", getpid());
	}
}

static void names_changed(const struct act *act)
{
	char from[64], to[64];
	const char *one = directories[act->a % DIRECTORIES], *other = directories[act->b % DIRECTORIES];
	file(from, act->a);
	file(to, act->b);
	pid_t pid = getpid();
	switch (act->kind) {
	case 20: case 21: case 22:
		if (strcmp(from, to) && rename(from, to) == 0)
			note("rename %d %s %s\n", pid, from, to);
		break;
	case 23: case 24: case 25:
		if (strcmp(one, other) && rename(one, other) == 0)
			note("rename %d %s %s\n", pid, one, other);
		break;
	case 26:
		/* There, back, and there again: the third is the first to those who count alike things once. */
		if (strcmp(one, other)) {
			for (uint32_t i = 0; i < 2 + act->c % 3; i++) {
				const char *p = i % 2 ? other : one, *q = i % 2 ? one : other;
				if (rename(p, q))
					break;
				note("rename %d %s %s\n", pid, p, q);
			}
		}
		break;
	case 27:
		if (strcmp(from, to) && syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, EXCHANGE) == 0)
			note("exchange %d %s %s\n", pid, from, to);
		break;
	case 28:
		for (uint32_t i = 0; i < 1 + act->c % 3 && strcmp(one, other); i++) {
			if (syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, EXCHANGE))
				break;
			note("exchange %d %s %s\n", pid, one, other);
		}
		break;
	case 29:
		if (link(from, to) == 0)
			note("link %d %s %s\n", pid, from, to);
		break;
	case 30:
		/* Under a name that nothing else is done to: the truth is told by paths that are no links. */
		sprintf(to, "%s/l", one);
		if (symlink("x", to) == 0)
			note("symlink %d %s\n", pid, to);
		break;
	case 31: case 32:
		if (unlink(from) == 0)
			note("unlink %d %s\n", pid, from);
		break;
	case 33: case 34:
		if (mkdir(one, 0755) == 0)
			note("mkdir %d %s\n", pid, one);
		break;
	case 35:
		if (rmdir(one) == 0)
			note("rmdir %d %s\n", pid, one);
		break;
	case 36:
		if (chmod(from, 0755) == 0)
			note("chmod %d %s\n", pid, from);
		break;
	}
}

static void perform(void)
{
	const struct act *act = &shared->act;
	switch (act->kind) {
	case 0: case 1: case 2: case 3: write_whole(act, 0); break;
	case 4: write_whole(act, 1); break;
	case 5: write_whole(act, 2); break;
	case 6: case 7: append(act); break;
	case 8: shorten(act); break;
	case 9: case 10: case 11: look(act); break;
	case 12: case 13: run(act); break;
	case 14: poke(act); break;
	case 15: map(act); break;
	case 16: case 17: poke_mapped(act); break;
	case 18: case 19: hold(act); break;
	default: names_changed(act); break;
	}
}
#define KINDS 37

static void *thread(void *which)
{
	for (;;) {
		sem_wait(&shared->go[(intptr_t)which]);
		if (shared->act.kind == KINDS)
			return NULL;
		perform();
		sem_post(&shared->done);
	}
}

int main(int count, char **arguments)
{
	if (count != 3)
		return 2;
	state = strtoull(arguments[1], NULL, 10);
	long operations = strtol(arguments[2], NULL, 10);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 3; i++)
		sem_init(&shared->go[i], 1, 0);
	sem_init(&shared->done, 1, 0);
	pid_t child = fork();
	if (child == 0) {
		thread((void *)2);
		_exit(0);
	}
	pthread_t second;
	pthread_create(&second, NULL, thread, (void *)1);
	for (long i = 0; i < operations; i++) {
		shared->act = (struct act){
			.kind = draw(KINDS), .a = draw(DIRECTORIES * NAMES), .b = draw(DIRECTORIES * NAMES),
			.c = draw(6), .block = (uint32_t)i + 1,
		};
		uint32_t actor = draw(6);
		if (actor == 1 || actor == 2) {
			sem_post(&shared->go[actor]);
			sem_wait(&shared->done);
		} else {
			perform();
		}
	}
	shared->act.kind = KINDS;
	sem_post(&shared->go[1]);
	sem_post(&shared->go[2]);
	pthread_join(second, NULL);
	waitpid(child, NULL, 0);
	fwrite(shared->log, 1, shared->used, stdout);
	return 0;
}
