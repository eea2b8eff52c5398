/* The two halves of the classic shared-memory demonstration, with what courses, tutorials and board
 * vendors made of them.
 *
 * classic read|write KEY [TRAIT...]
 *
 *   text=N         size of some_text (2048)
 *   slots=N        N of them one after the other, written and read in turn (1)
 *   semaphore      a binary semaphore under the same key, P before each access and V after it
 *   busy           looks at the flag all the time
 *   slow           looks once in a while
 *   full           the text fills its array, without a NUL where it is as long (strncpy)
 *   bare           the text without its newline
 *   end=WORD       what ends both (end)
 *   whole          compares all of the text with it, not only its begin
 *   keep           the reader leaves the segment, and the semaphore, where they are */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

struct shared_use_st {
	int written_by_you;
	char some_text[];
};

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

static int text = 2048, slots = 1, semid = -1;
static int with_semaphore, busy, slow, full, bare, whole, keep;
static const char *end = "end";

static void fail(const char *what)
{
	fprintf(stderr, "%s failed: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void operate(int change)
{
	struct sembuf op = { 0, (short)change, SEM_UNDO };

	if (semid != -1 && semop(semid, &op, 1) == -1)
		fail(change < 0 ? "P" : "V");
}

static void wait_a_little(void)
{
	if (!busy)
		usleep(slow ? 100000 : 1000);
}

static int is_end(const char *line)
{
	size_t length = strlen(end);

	if (strncmp(line, end, length) != 0)
		return 0;
	return !whole || line[length] == '\0' || line[length] == '\n';
}

static int flag(volatile struct shared_use_st *shared)
{
	int value;

	operate(-1);
	value = shared->written_by_you;
	operate(1);
	return value;
}

static void reader(volatile struct shared_use_st *shared)
{
	char *line = calloc(1, text + 2);
	int running = 1, slot = 0;

	while (running) {
		char *there = (char *)shared->some_text + slot * text;

		if (!flag(shared)) {
			wait_a_little();
			continue;
		}
		operate(-1);
		__sync_synchronize();
		memcpy(line, there, text);
		operate(1);
		printf("You wrote: %s%s", line, strchr(line, '\n') ? "" : "\n");
		fflush(stdout);
		running = !is_end(line);
		operate(-1);
		__sync_synchronize();
		shared->written_by_you = 0;
		operate(1);
		slot = (slot + 1) % slots;
	}
	free(line);
}

static void writer(volatile struct shared_use_st *shared)
{
	char *line = malloc(text + 3);
	int running = 1, slot = 0;

	while (running) {
		char *there = (char *)shared->some_text + slot * text;

		while (flag(shared))
			wait_a_little();
		/* strncpy cuts a line that is too long, fgets leaves the rest for the next one. */
		if (fgets(line, full ? text + 3 : text, stdin) == NULL)
			break;
		if (bare || full)
			line[strcspn(line, "\n")] = '\0';
		operate(-1);
		if (full)
			strncpy(there, line, text);
		else
			memcpy(there, line, strlen(line) + 1);
		__sync_synchronize();
		shared->written_by_you = 1;
		operate(1);
		running = !is_end(line);
		slot = (slot + 1) % slots;
	}
	free(line);
}

int main(int argc, char *argv[])
{
	volatile struct shared_use_st *shared;
	int i, shmid, reads;
	key_t key;

	if (argc < 3 || (strcmp(argv[1], "read") && strcmp(argv[1], "write"))) {
		fprintf(stderr, "usage: classic read|write KEY [TRAIT...]\n");
		exit(EXIT_FAILURE);
	}
	reads = strcmp(argv[1], "read") == 0;
	key = (key_t)strtol(argv[2], NULL, 0);
	for (i = 3; i < argc; i++) {
		const char *trait = argv[i];

		if (sscanf(trait, "text=%d", &text) == 1 || sscanf(trait, "slots=%d", &slots) == 1)
			continue;
		if (strncmp(trait, "end=", 4) == 0)
			end = trait + 4;
		else if (strcmp(trait, "semaphore") == 0)
			with_semaphore = 1;
		else if (strcmp(trait, "busy") == 0)
			busy = 1;
		else if (strcmp(trait, "slow") == 0)
			slow = 1;
		else if (strcmp(trait, "full") == 0)
			full = 1;
		else if (strcmp(trait, "bare") == 0)
			bare = 1;
		else if (strcmp(trait, "whole") == 0)
			whole = 1;
		else if (strcmp(trait, "keep") == 0)
			keep = 1;
		else {
			fprintf(stderr, "no such trait: %s\n", trait);
			exit(EXIT_FAILURE);
		}
	}
	if (with_semaphore) {
		union semun one = { 1 };

		/* Who makes it sets it; the other one may come in between, and waits. */
		semid = semget(key, 1, 0666 | IPC_CREAT | IPC_EXCL);
		if (semid != -1 && semctl(semid, 0, SETVAL, one) == -1)
			fail("semctl(SETVAL)");
		if (semid == -1)
			semid = semget(key, 1, 0666);
		if (semid == -1)
			fail("semget");
	}
	/* The struct, and what C puts behind it. */
	shmid = shmget(key, (4 + (size_t)slots * text + 3) & ~(size_t)3, 0666 | IPC_CREAT);
	if (shmid == -1)
		fail("shmget");
	shared = shmat(shmid, NULL, 0);
	if (shared == (void *)-1)
		fail("shmat");
	if (reads)
		reader(shared);
	else
		writer(shared);
	if (shmdt((const void *)shared) == -1)
		fail("shmdt");
	if (reads && !keep) {
		if (shmctl(shmid, IPC_RMID, NULL) == -1)
			fail("shmctl(IPC_RMID)");
		if (semid != -1 && semctl(semid, 0, IPC_RMID) == -1)
			fail("semctl(IPC_RMID)");
	}
	exit(EXIT_SUCCESS);
}
