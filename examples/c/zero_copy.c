/* Messages written and read where they lie, in batches: c_zero_copy KEY COUNT
 *
 * One process, both ends: COUNT samples of a made-up sensor are filled in place in the ring,
 * summed up from there, and the channel is removed. Prints count and sum. */
#include <shmdemo.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 32

struct sample {
	uint32_t number;
	int32_t value[15];
};

static int failed(int code)
{
	fprintf(stderr, "zero_copy: %s\n", shmdemo_last_error());
	exit(-code);
}

/* Fills one sample in place; the consumer is not woken before the batch is whole. */
static void produce(shmdemo_producer *producer, uint32_t number)
{
	struct sample *sample;
	void *place;
	int i, code;

	code = shmdemo_producer_reserve(producer, sizeof *sample, -1, &place);
	if (code < 0)
		failed(code);
	sample = (struct sample *)place; /* 8-byte aligned */
	sample->number = number;
	for (i = 0; i < 15; i++)
		sample->value[i] = (int32_t)number + i;
	code = shmdemo_producer_commit(producer, sizeof *sample, SHMDEMO_QUIETLY);
	if (code < 0)
		failed(code);
}

/* Looks at all there is, then releases it at once. */
static uint32_t consume(shmdemo_consumer *consumer, long long *sum)
{
	struct shmdemo_record record;
	uint32_t count = 0;
	int i, code;

	while ((code = shmdemo_consumer_peek(consumer, &record)) == 1) {
		const struct sample *sample = (const struct sample *)record.data;

		if (record.len != sizeof *sample)
			continue; /* not one of ours */
		for (i = 0; i < 15; i++)
			*sum += sample->value[i];
		count++;
	}
	if (code < 0 || (code = shmdemo_consumer_release(consumer)) < 0)
		failed(code);
	return count;
}

int main(int argc, char *argv[])
{
	struct shmdemo_options options;
	shmdemo_producer *producer;
	shmdemo_consumer *consumer;
	uint32_t sent = 0, received = 0, count;
	long long sum = 0;
	int i, code;

	if (argc != 3) {
		fprintf(stderr, "usage: %s KEY COUNT\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	count = (uint32_t)strtoul(argv[2], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code < 0)
		failed(code);
	code = shmdemo_producer_open(&producer, &options, 0);
	if (code < 0)
		failed(code);

	while (received < count) {
		for (i = 0; i < BATCH && sent < count; i++)
			produce(producer, sent++);
		code = shmdemo_producer_ring(producer);
		if (code < 0)
			failed(code);
		code = shmdemo_consumer_wait(consumer, -1);
		if (code < 0)
			failed(code);
		received += consume(consumer, &sum);
	}
	printf("%lu samples, sum %lld\n", (unsigned long)received, sum);

	shmdemo_producer_close(producer);
	code = shmdemo_consumer_remove(consumer);
	if (code < 0)
		failed(code);
	shmdemo_consumer_close(consumer);
	return 0;
}
