/* Sends each argument as one message: c_producer KEY TEXT...
 *
 * Exit status: that of shmdemo-client for the same failure. */
#include <shmdemo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(int code)
{
	fprintf(stderr, "producer: %s\n", shmdemo_last_error());
	return -code;
}

int main(int argc, char *argv[])
{
	struct shmdemo_options options;
	shmdemo_producer *producer;
	int i, code;

	if (argc < 2) {
		fprintf(stderr, "usage: %s KEY TEXT...\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);

	/* Five seconds for a lane; as long as it takes for room. */
	code = shmdemo_producer_open(&producer, &options, 5000);
	if (code < 0)
		return failed(code);
	for (i = 2; i < argc && code >= 0; i++)
		code = shmdemo_producer_send(producer, argv[i], strlen(argv[i]), 0, -1);
	if (code >= 0)
		code = shmdemo_producer_finish(producer, -1);
	shmdemo_producer_close(producer);
	return code < 0 ? failed(code) : 0;
}
