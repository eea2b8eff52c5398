/* A consumer in the event loop of systemd, sd-event(3): c_sd_event KEY
 *
 * Prints each message; ends at an End record, and at SIGTERM, which the loop takes as well. */
#define _POSIX_C_SOURCE 200809L
#include <shmdemo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

static int take_messages(sd_event_source *source, int fd, uint32_t events, void *data)
{
	shmdemo_consumer *consumer = data;
	struct shmdemo_record record;
	int code, end = 0;

	(void)fd, (void)events;
	while ((code = shmdemo_consumer_peek(consumer, &record)) == 1) {
		if (record.kind == SHMDEMO_KIND_END)
			end = 1;
		else
			printf("%.*s\n", (int)record.len, (const char *)record.data);
	}
	fflush(stdout);
	if (code == 0)
		code = shmdemo_consumer_release(consumer);
	if (code < 0)
		fprintf(stderr, "sd_event: %s\n", shmdemo_last_error());
	return code < 0 || end ? sd_event_exit(sd_event_source_get_event(source), -code) : 0;
}

int main(int argc, char *argv[])
{
	shmdemo_consumer *consumer;
	struct shmdemo_options options;
	sd_event *loop = NULL;
	sigset_t ends;
	int code;

	if (argc != 2) {
		fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code == SHMDEMO_OK)
		code = shmdemo_consumer_fd(consumer);
	if (code < 0) {
		fprintf(stderr, "sd_event: %s\n", shmdemo_last_error());
		shmdemo_consumer_close(consumer);
		return -code;
	}
	if (sd_event_default(&loop) < 0 ||
	    sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL) < 0 ||
	    sd_event_add_io(loop, NULL, code, EPOLLIN, take_messages, consumer) < 0) {
		fprintf(stderr, "sd_event: no event loop\n");
		return 71; /* EX_OSERR */
	}
	code = sd_event_loop(loop);
	sd_event_unref(loop);
	shmdemo_consumer_close(consumer);
	return code;
}
