/* Prints each message on a line until none comes for a while: c_consumer KEY MILLISECONDS
 *
 * SIGINT and SIGTERM end it at once. The channel stays, as with shmdemo-server --persist.
 * Exit status: that of shmdemo-server for the same failure. */
#define _POSIX_C_SOURCE 200809L
#include <shmdemo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static shmdemo_consumer *consumer;

static void stop(int number)
{
	(void)number;
	shmdemo_consumer_wake(consumer);
}

int main(int argc, char *argv[])
{
	static char text[65536]; /* the longest message of any channel */
	struct shmdemo_options options;
	struct shmdemo_record record;
	struct sigaction action;
	int code;

	if (argc != 3) {
		fprintf(stderr, "usage: %s KEY MILLISECONDS\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code < 0) {
		fprintf(stderr, "consumer: %s\n", shmdemo_last_error());
		return -code;
	}
	memset(&action, 0, sizeof action);
	action.sa_handler = stop;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	while ((code = shmdemo_consumer_receive(consumer, text, sizeof text, &record,
						(int32_t)strtol(argv[2], NULL, 0))) == 1) {
		if (record.kind == SHMDEMO_KIND_END)
			continue;
		fwrite(text, 1, record.len, stdout);
		putchar('\n');
		fflush(stdout);
	}
	if (code < 0 && code != SHMDEMO_WOKEN)
		fprintf(stderr, "consumer: %s\n", shmdemo_last_error());
	else
		code = 0;
	/* From here on the handler must find nothing to wake. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	shmdemo_consumer_close(consumer);
	return -code;
}
