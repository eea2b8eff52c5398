/* A consumer in GLib's main loop: c_glib KEY
 *
 * Prints each message; ends at an End record, and at SIGTERM, which the loop takes as well. */
#include <shmdemo.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>

static shmdemo_consumer *consumer;
static GMainLoop *loop;
static int code;

static gboolean take_messages(gint fd, GIOCondition condition, gpointer data)
{
	struct shmdemo_record record;
	int end = 0;

	(void)fd, (void)condition, (void)data;
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
		fprintf(stderr, "glib: %s\n", shmdemo_last_error());
	if (code < 0 || end)
		g_main_loop_quit(loop);
	return code < 0 || end ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean stop(gpointer data)
{
	(void)data;
	g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

int main(int argc, char *argv[])
{
	struct shmdemo_options options;

	if (argc != 2) {
		fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code == SHMDEMO_OK)
		code = shmdemo_consumer_fd(consumer);
	if (code < 0) {
		fprintf(stderr, "glib: %s\n", shmdemo_last_error());
		shmdemo_consumer_close(consumer);
		return -code;
	}
	loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(code, G_IO_IN, take_messages, NULL);
	g_unix_signal_add(SIGTERM, stop, NULL);
	code = 0;
	g_main_loop_run(loop);
	g_main_loop_unref(loop);
	shmdemo_consumer_close(consumer);
	return code < 0 ? -code : 0;
}
