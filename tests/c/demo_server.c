/* The reading half of the classic shared-memory demonstration: prints what the other half
 * writes into the segment, removes the segment after "end".
 *
 * demo_server [KEY]      (default 1234) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

/* How it waits; busy ones do nothing here. */
#ifndef PAUSE
#define PAUSE() usleep(1000)
#endif

#ifndef TEXT_SZ
#define TEXT_SZ 2048
#endif

struct shared_use_st {
	int written_by_you;
	char some_text[TEXT_SZ];
};

int main(int argc, char *argv[])
{
	key_t key = argc > 1 ? (key_t)strtol(argv[1], NULL, 0) : 1234;
	volatile struct shared_use_st *shared;
	int shmid, running = 1;

	shmid = shmget(key, sizeof(struct shared_use_st), 0666 | IPC_CREAT);
	if (shmid == -1) {
		fprintf(stderr, "shmget failed: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	shared = shmat(shmid, NULL, 0);
	if (shared == (void *)-1) {
		fprintf(stderr, "shmat failed: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	shared->written_by_you = 0;
	while (running) {
		if (shared->written_by_you) {
			__sync_synchronize();
			printf("You wrote: %s", (const char *)shared->some_text);
			fflush(stdout);
			if (strncmp((const char *)shared->some_text, "end", 3) == 0)
				running = 0;
			PAUSE(); /* make the other process wait for us */
			__sync_synchronize();
			shared->written_by_you = 0;
		} else {
			PAUSE();
		}
	}
	if (shmdt((const void *)shared) == -1) {
		fprintf(stderr, "shmdt failed: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (shmctl(shmid, IPC_RMID, NULL) == -1) {
		fprintf(stderr, "shmctl(IPC_RMID) failed: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	exit(EXIT_SUCCESS);
}
