/* A consumer in a program with an event loop of its own: c_event_loop KEY
 *
 * The channel has a descriptor for poll(2) like everything else the loop waits for: here its standard
 * input, whose end is the program's. */
#include <shmdemo.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The descriptor is readable for as long as a peek would give something: a loop that is fair to its
 * other events may stop after some of them. */
static int take_messages(shmdemo_consumer *consumer)
{
	struct shmdemo_record record;
	int code, left = 64;

	while (left-- > 0 && (code = shmdemo_consumer_peek(consumer, &record)) == 1) {
		fwrite(record.data, 1, record.len, stdout);
		putchar('\n');
	}
	fflush(stdout);
	return code < 0 ? code : shmdemo_consumer_release(consumer);
}

int main(int argc, char *argv[])
{
	shmdemo_consumer *consumer;
	struct shmdemo_options options;
	struct pollfd events[2];
	char input[256];
	int code;

	if (argc != 2) {
		fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code == SHMDEMO_OK)
		code = shmdemo_consumer_fd(consumer);
	events[0].fd = STDIN_FILENO;
	events[1].fd = code;
	events[0].events = events[1].events = POLLIN;
	while (code >= 0) {
		if (poll(events, 2, -1) < 0)
			continue; /* a signal handler ran */
		if (events[1].revents)
			code = take_messages(consumer);
		if (events[0].revents && read(STDIN_FILENO, input, sizeof input) <= 0)
			break;
	}
	if (code < 0)
		fprintf(stderr, "event_loop: %s\n", shmdemo_last_error());
	shmdemo_consumer_close(consumer);
	return code < 0 ? -code : 0;
}
