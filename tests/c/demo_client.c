/* The writing half of the classic shared-memory demonstration: hands each line of its input
 * to the other half, up to and with "end".
 *
 * demo_client [KEY]      (default 1234) */
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
	char buffer[TEXT_SZ];
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
	while (running) {
		while (shared->written_by_you == 1)
			PAUSE(); /* waiting for the other process */
		printf("Enter some text: ");
		fflush(stdout);
		if (fgets(buffer, TEXT_SZ, stdin) == NULL)
			break;
		memcpy((char *)shared->some_text, buffer, strlen(buffer) + 1);
		__sync_synchronize();
		shared->written_by_you = 1;
		if (strncmp(buffer, "end", 3) == 0)
			running = 0;
	}
	if (shmdt((const void *)shared) == -1) {
		fprintf(stderr, "shmdt failed: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	exit(EXIT_SUCCESS);
}
