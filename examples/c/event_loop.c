/* A consumer in a program with an event loop of its own: c_event_loop KEY
 *
 * There is no descriptor of a channel that poll(2) takes. So one thread waits, says so through an
 * eventfd, and stands back until the loop has taken the messages: the handle is used by one of
 * the two at a time. Here the loop also reads its standard input, whose end is the program's. */
#define _POSIX_C_SOURCE 200809L
#include <shmdemo.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static shmdemo_consumer *consumer;
static int ready;        /* eventfd: there are messages, or the wait has failed */
static sem_t taken;      /* the loop is done with them */
static int failure;      /* read by the loop after the eventfd only */

static void *wait_for_messages(void *unused)
{
	(void)unused;
	for (;;) {
		int code = shmdemo_consumer_wait(consumer, -1);
		uint64_t one = 1;

		if (code == SHMDEMO_WOKEN)
			return NULL;
		if (code < 0) {
			fprintf(stderr, "event_loop: %s\n", shmdemo_last_error());
			failure = code;
		}
		if (write(ready, &one, sizeof one) != sizeof one || code < 0)
			return NULL;
		while (sem_wait(&taken) != 0)
			; /* a signal handler ran */
	}
}

static int take_messages(void)
{
	struct shmdemo_record record;
	int code;

	while ((code = shmdemo_consumer_peek(consumer, &record)) == 1) {
		fwrite(record.data, 1, record.len, stdout);
		putchar('\n');
	}
	fflush(stdout);
	return code < 0 ? code : shmdemo_consumer_release(consumer);
}

int main(int argc, char *argv[])
{
	struct shmdemo_options options;
	struct pollfd events[2];
	pthread_t waiter;
	char input[256];
	uint64_t count;
	int code;

	if (argc != 2) {
		fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code < 0) {
		fprintf(stderr, "event_loop: %s\n", shmdemo_last_error());
		return -code;
	}
	ready = eventfd(0, EFD_CLOEXEC);
	if (ready < 0 || sem_init(&taken, 0, 0) != 0 ||
	    pthread_create(&waiter, NULL, wait_for_messages, NULL) != 0) {
		perror("event_loop");
		return 71; /* EX_OSERR */
	}
	events[0].fd = STDIN_FILENO;
	events[1].fd = ready;
	events[0].events = events[1].events = POLLIN;
	while (code == 0) {
		if (poll(events, 2, -1) < 0)
			continue;
		if (events[1].revents && read(ready, &count, sizeof count) == sizeof count) {
			code = failure ? failure : take_messages();
			sem_post(&taken);
		}
		if (events[0].revents && read(STDIN_FILENO, input, sizeof input) <= 0)
			break;
	}
	/* The waiter ends in its next wait, also if it stands back right now. */
	shmdemo_consumer_wake(consumer);
	sem_post(&taken);
	pthread_join(waiter, NULL);
	shmdemo_consumer_close(consumer);
	return -code;
}
