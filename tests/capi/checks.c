/* Calls every function of shmdemo.h rightly and wrongly: c_checks KEY
 *
 * Each failed check says its line; the last line is the number of checks. The key must be free
 * and is free again after. */
#define _POSIX_C_SOURCE 200809L
#include <shmdemo.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int checks, failures;

static void check(int good, int line, const char *what)
{
	checks++;
	if (!good) {
		failures++;
		printf("line %d: %s (last error: %s)\n", line, what, shmdemo_last_error());
		fflush(stdout);
	}
}

#define CHECK(condition) check((condition) != 0, __LINE__, #condition)
/* The call fails with this code, and the text names the function. */
#define FAILS(code, call)                                                      \
	do {                                                                   \
		CHECK((call) == (code));                                       \
		check(strncmp(shmdemo_last_error(), #call, strcspn(#call, "(")) == 0, \
		      __LINE__, "text names " #call);                          \
	} while (0)

static struct shmdemo_options options;
static shmdemo_producer *producer;
static shmdemo_consumer *consumer;
static shmdemo_producer *none_p;
static shmdemo_consumer *none_c;
static struct shmdemo_record record;
static char buffer[4096];

static struct shmdemo_options fresh(void)
{
	struct shmdemo_options copy = options;

	copy.lanes = 1;
	copy.ring_bytes = 1000; /* becomes 1024 */
	copy.max_message = 200;
	return copy;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	struct timespec time;

	time.tv_sec = 0;
	time.tv_nsec = ms * 1000000L;
	nanosleep(&time, NULL);
}

static void texts(void)
{
	static const int codes[] = { SHMDEMO_OK,	  SHMDEMO_USAGE, SHMDEMO_TOO_LONG,
				     SHMDEMO_UNAVAILABLE, SHMDEMO_CANT_CREATE, SHMDEMO_BUSY,
				     SHMDEMO_NOT_OURS,	  SHMDEMO_PERMISSION, SHMDEMO_WOKEN };
	size_t i, j, count = sizeof codes / sizeof *codes;

	CHECK(strcmp(shmdemo_last_error(), "") == 0 && shmdemo_last_errno() == 0);
	CHECK(strcmp(shmdemo_version(), SHMDEMO_VERSION) == 0);
	CHECK(shmdemo_version_number() == SHMDEMO_VERSION_NUMBER);
	for (i = 0; i < count; i++)
		for (j = 0; j < i; j++)
			CHECK(strcmp(shmdemo_strerror(codes[i]), shmdemo_strerror(codes[j])) != 0);
	CHECK(strcmp(shmdemo_strerror(1), "unknown code") == 0);
	CHECK(strcmp(shmdemo_strerror(-2147483647 - 1), "unknown code") == 0);
}

static void nulls(void)
{
	void *place = buffer;
	struct shmdemo_status status;

	FAILS(SHMDEMO_USAGE, shmdemo_options_init(NULL, sizeof options));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_open(NULL, &options, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_send(NULL, "x", 1, 0, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_reserve(NULL, 1, 0, &place));
	CHECK(place == NULL);
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(NULL, 0, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_ring(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_finish(NULL, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_lane(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_max_message(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_open(NULL, &options, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_wait(NULL, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_peek(NULL, &record));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_release(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_receive(NULL, buffer, 1, &record, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_closing(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_remove(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_status_read(&options, NULL, sizeof status));
	FAILS(SHMDEMO_USAGE, shmdemo_status_read(&options, &status, sizeof status - 1));
	FAILS(SHMDEMO_USAGE, shmdemo_status_read(&options, &status, (size_t)-1));
	shmdemo_producer_close(NULL);
	shmdemo_consumer_close(NULL);
	shmdemo_producer_wake(NULL);
	shmdemo_consumer_wake(NULL);
}

static void bad_options(void)
{
	struct {
		struct shmdemo_options known;
		uint32_t later;
	} larger;
	struct shmdemo_options bad;
	size_t i;
	struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{ offsetof(struct shmdemo_options, size), 0 },
		{ offsetof(struct shmdemo_options, size), 35 },
		{ offsetof(struct shmdemo_options, size), 0xffffffffu },
		{ offsetof(struct shmdemo_options, key), 0 },
		{ offsetof(struct shmdemo_options, lanes), 0 },
		{ offsetof(struct shmdemo_options, lanes), 33 },
		{ offsetof(struct shmdemo_options, lanes), 0xffffffffu },
		{ offsetof(struct shmdemo_options, ring_bytes), 255 },
		{ offsetof(struct shmdemo_options, ring_bytes), (16u << 20) + 1 },
		{ offsetof(struct shmdemo_options, ring_bytes), 0xffffffffu },
		{ offsetof(struct shmdemo_options, max_message), 0 },
		{ offsetof(struct shmdemo_options, max_message), 65537 },
		{ offsetof(struct shmdemo_options, max_message), 0xffffffffu },
		{ offsetof(struct shmdemo_options, flags), 4 },
		{ offsetof(struct shmdemo_options, flags), 0x80000000u },
		{ offsetof(struct shmdemo_options, mode), 0577 },
		{ offsetof(struct shmdemo_options, mode), 01600 },
	};

	FAILS(SHMDEMO_USAGE, shmdemo_options_init(&bad, sizeof bad - 1));
	FAILS(SHMDEMO_USAGE, shmdemo_options_init(&bad, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_options_init(&bad, (size_t)-1));
	for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		none_p = (shmdemo_producer *)buffer;
		none_c = (shmdemo_consumer *)buffer;
		bad = options;
		memcpy((char *)&bad + wrong[i].at, &wrong[i].value, sizeof(uint32_t));
		FAILS(SHMDEMO_USAGE, shmdemo_producer_open(&none_p, &bad, 0));
		FAILS(SHMDEMO_USAGE, shmdemo_consumer_open(&none_c, &bad, 0));
		CHECK(none_p == NULL && none_c == NULL);
	}
	FAILS(SHMDEMO_USAGE, shmdemo_producer_open(&none_p, &options, -2));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_open(&none_c, &options, -2147483647 - 1));
	FAILS(SHMDEMO_USAGE, shmdemo_remove(&options, 2));

	/* A program made with a later header: what is unused does not matter, what is used does. */
	memset(&larger, 0xff, sizeof larger);
	CHECK(shmdemo_options_init(&larger.known, sizeof larger) == SHMDEMO_OK);
	CHECK(larger.later == 0 && larger.known.size == sizeof larger);
	CHECK(larger.known.key == 1234 && larger.known.lanes == 4);
	CHECK(larger.known.max_message == 2048 && larger.known.ring_bytes == 0);
	larger.known.key = options.key;
	larger.known.flags = SHMDEMO_NO_CREATE;
	FAILS(SHMDEMO_BUSY, shmdemo_producer_open(&none_p, &larger.known, 0));
	larger.later = 1;
	FAILS(SHMDEMO_USAGE, shmdemo_producer_open(&none_p, &larger.known, 0));
}

static void no_channel(void)
{
	struct shmdemo_status status;
	struct shmdemo_options waiting = options;
	long long begin = now_ms();

	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_status_read(&options, &status, sizeof status));
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_remove(&options, SHMDEMO_FORCE));
	waiting.flags = SHMDEMO_NO_CREATE;
	FAILS(SHMDEMO_BUSY, shmdemo_consumer_open(&none_c, &waiting, 120));
	CHECK(now_ms() - begin >= 120);
	CHECK(strstr(shmdemo_last_error(), "ETIMEDOUT") != NULL);
	CHECK(shmdemo_last_errno() == ETIMEDOUT);
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_remove(&options, 0));
	CHECK(shmdemo_last_errno() == ENOENT);
	FAILS(SHMDEMO_USAGE, shmdemo_remove(&options, 77));
	CHECK(shmdemo_last_errno() == EINVAL);
}

/* 0 or 1, as a file says; 0 where there is none. */
static uint32_t setting(const char *path)
{
	FILE *file = fopen(path, "r");
	int value = file != NULL ? fgetc(file) : '0';

	if (file != NULL)
		fclose(file);
	return value == '1';
}

/* Root makes the channel of a user who comes later. */
static void created_for_another(void)
{
	struct shmdemo_options user = fresh();
	struct shmdemo_status status;

	if (geteuid() != 0)
		return;
	user.create_as = 12345;
	CHECK(shmdemo_producer_open(&producer, &user, 0) == SHMDEMO_OK);
	CHECK(shmdemo_producer_send(producer, "early", 5, 0, 0) == SHMDEMO_OK);
	shmdemo_producer_close(producer);
	user.create_as = SHMDEMO_UNSET;
	FAILS(SHMDEMO_PERMISSION, shmdemo_status_read(&user, &status, sizeof status));
	user.owner = 12345;
	CHECK(shmdemo_status_read(&user, &status, sizeof status) == SHMDEMO_OK);
	CHECK(status.uid == 12345 && status.lane[0].sent == 1);
	CHECK(shmdemo_remove(&user, 0) == SHMDEMO_OK);
}

static void opening(void)
{
	struct shmdemo_options one = fresh();
	struct shmdemo_status status;
	char pid[32];

	CHECK(shmdemo_consumer_open(&consumer, &one, 0) == SHMDEMO_OK);
	FAILS(SHMDEMO_BUSY, shmdemo_consumer_open(&none_c, &one, 0));
	sprintf(pid, "pid %ld", (long)getpid());
	CHECK(strstr(shmdemo_last_error(), pid) != NULL);
	CHECK(shmdemo_producer_open(&producer, &one, 0) == SHMDEMO_OK);
	FAILS(SHMDEMO_BUSY, shmdemo_producer_open(&none_p, &one, 0));
	FAILS(SHMDEMO_BUSY, shmdemo_remove(&one, 0));
	CHECK(shmdemo_producer_lane(producer) == 0);
	CHECK(shmdemo_producer_max_message(producer) == 200);
	CHECK(shmdemo_status_read(&one, &status, sizeof status) == SHMDEMO_OK);
	CHECK(status.size == sizeof status && status.key == one.key);
	CHECK(status.lanes == 1 && status.ring_bytes == 1024 && status.max_message == 200);
	CHECK(status.server_pid == getpid() && status.lane[0].pid == getpid());
	CHECK(status.lane[1].pid == SHMDEMO_NOBODY && status.mode == 0600);
	CHECK(status.uid == geteuid() && status.segment_bytes == 128 + 192 + 1024);
	CHECK(status.rmid_forced == setting("/proc/sys/kernel/shm_rmid_forced"));
}

static void sending(void)
{
	void *place;
	struct shmdemo_status status;
	int count = 0;
	long long begin;

	/* Nothing to receive yet. */
	CHECK(shmdemo_consumer_wait(consumer, 0) == 0);
	begin = now_ms();
	CHECK(shmdemo_consumer_wait(consumer, 60) == 0);
	CHECK(now_ms() - begin >= 60);
	CHECK(shmdemo_consumer_peek(consumer, &record) == 0 && record.data == NULL);
	CHECK(shmdemo_consumer_release(consumer) == SHMDEMO_OK);
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_wait(consumer, -2));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_peek(consumer, NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_receive(consumer, buffer, 1, NULL, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_receive(consumer, NULL, 1, &record, 0));

	/* Sent wrongly: nothing of it arrives. */
	FAILS(SHMDEMO_USAGE, shmdemo_producer_send(producer, NULL, 1, 0, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_send(producer, "x", 1, 4, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_send(producer, "x", 1, 0, -2));
	FAILS(SHMDEMO_TOO_LONG, shmdemo_producer_send(producer, buffer, 201, 0, 0));
	FAILS(SHMDEMO_TOO_LONG, shmdemo_producer_send(producer, buffer, (size_t)-1, 0, 0));
	FAILS(SHMDEMO_TOO_LONG, shmdemo_producer_reserve(producer, (size_t)-1, 0, &place));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_reserve(producer, 1, 0, NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_reserve(producer, 1, -2, &place));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(producer, 0, 0));
	CHECK(shmdemo_producer_reserve(producer, 100, 0, &place) == SHMDEMO_OK);
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(producer, 101, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(producer, (size_t)-1, 0));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(producer, 1, 8));
	CHECK(shmdemo_consumer_peek(consumer, &record) == 0);

	/* In place, shorter than reserved; a second commit has nothing to send. */
	CHECK(((uintptr_t)place & 7) == 0);
	memcpy(place, "abcdef", 6);
	CHECK(shmdemo_producer_commit(producer, 3, SHMDEMO_QUIETLY) == SHMDEMO_OK);
	FAILS(SHMDEMO_USAGE, shmdemo_producer_commit(producer, 3, 0));
	CHECK(shmdemo_producer_ring(producer) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_wait(consumer, 0) == 1);
	CHECK(shmdemo_consumer_peek(consumer, &record) == 1);
	CHECK(record.len == 3 && memcmp(record.data, "abc", 3) == 0 && record.lane == 0);
	CHECK(record.kind == SHMDEMO_KIND_DATA);
	CHECK(shmdemo_consumer_wait(consumer, 0) == 0);
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_receive(consumer, buffer, 9, &record, 0));
	/* What comes while it is held is waited for, and released on its own. */
	CHECK(shmdemo_producer_send(producer, "de", 2, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_wait(consumer, 0) == 1);
	CHECK(shmdemo_consumer_peek(consumer, &record) == 1 && record.len == 2);
	CHECK(shmdemo_consumer_must_release(consumer) == 0);
	CHECK(shmdemo_consumer_release_first(consumer, 1) == SHMDEMO_OK);
	CHECK(memcmp(record.data, "de", 2) == 0);
	CHECK(shmdemo_status_read(&options, &status, sizeof status) == SHMDEMO_OK);
	CHECK(status.lane[0].sent - status.lane[0].received == 1);
	CHECK(shmdemo_consumer_release_first(consumer, 5) == SHMDEMO_OK);
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_release_first(NULL, 1));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_must_release(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_fd(NULL));
	FAILS(SHMDEMO_USAGE, shmdemo_producer_fd(NULL));
	CHECK(shmdemo_consumer_release(consumer) == SHMDEMO_OK);

	/* An empty message and an End record. */
	CHECK(shmdemo_producer_send(producer, NULL, 0, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_producer_send(producer, "end", 3, SHMDEMO_END, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_receive(consumer, NULL, 0, &record, 0) == 1 && record.len == 0);
	memset(buffer, '.', sizeof buffer);
	FAILS(SHMDEMO_TOO_LONG, shmdemo_consumer_receive(consumer, buffer, 2, &record, 0));
	CHECK(record.len == 3 && buffer[0] == '.');
	CHECK(shmdemo_consumer_receive(consumer, buffer, 3, &record, 0) == 1);
	CHECK(record.kind == SHMDEMO_KIND_END && memcmp(buffer, "end.", 4) == 0);
	CHECK(record.data == buffer);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 3, &record, 0) == 0);

	/* Full, then exactly what was sent comes out. */
	while (shmdemo_producer_send(producer, buffer, 200, 0, 0) == SHMDEMO_OK)
		count++;
	CHECK(count == 4);
	CHECK(strstr(shmdemo_last_error(), "ETIMEDOUT") != NULL);
	begin = now_ms();
	FAILS(SHMDEMO_BUSY, shmdemo_producer_reserve(producer, 200, 60, &place));
	CHECK(now_ms() - begin >= 60 && place == NULL);
	CHECK(shmdemo_status_read(&options, &status, sizeof status) == SHMDEMO_OK);
	CHECK(status.lane[0].refused == 1 && status.lane[0].too_long == 3);
	CHECK(status.lane[0].sent == 8 && status.lane[0].received == 4);
	CHECK(shmdemo_producer_finish(producer, 0) == SHMDEMO_OK);
	while (shmdemo_consumer_receive(consumer, buffer, sizeof buffer, &record, 0) == 1)
		count--;
	CHECK(count == 0);
}

static void wake_both(int number)
{
	(void)number;
	errno = EDOM;
	shmdemo_producer_wake(producer);
	shmdemo_consumer_wake(consumer);
	if (errno != EDOM)
		_exit(99);
}

static pthread_t main_thread;

static void *signal_later(void *how)
{
	pause_ms(100);
	if (how)
		pthread_kill(main_thread, SIGUSR1);
	else
		wake_both(0);
	return NULL;
}

/* Failed in here only: the main thread's text stays. */
static void *fail_elsewhere(void *unused)
{
	(void)unused;
	CHECK(strcmp(shmdemo_last_error(), "") == 0);
	FAILS(SHMDEMO_USAGE, shmdemo_producer_ring(NULL));
	return NULL;
}

static void waking(void)
{
	struct sigaction action;
	pthread_t thread;
	int by_signal, full;

	memset(&action, 0, sizeof action);
	action.sa_handler = wake_both;
	sigaction(SIGUSR1, &action, NULL);
	main_thread = pthread_self();

	/* Woken before: the next wait ends at once, the one after it does not. */
	shmdemo_consumer_wake(consumer);
	FAILS(SHMDEMO_WOKEN, shmdemo_consumer_wait(consumer, -1));
	CHECK(shmdemo_consumer_wait(consumer, 0) == 0);

	for (by_signal = 0; by_signal < 2; by_signal++) {
		void *how = by_signal ? &action : NULL;

		CHECK(pthread_create(&thread, NULL, signal_later, how) == 0);
		FAILS(SHMDEMO_WOKEN, shmdemo_consumer_wait(consumer, -1));
		pthread_join(thread, NULL);
		for (full = 0; shmdemo_producer_send(producer, buffer, 200, 0, 0) == SHMDEMO_OK;)
			full++;
		CHECK(pthread_create(&thread, NULL, signal_later, how) == 0);
		/* The wakes above were for this producer too. */
		while (shmdemo_producer_send(producer, buffer, 200, 0, 0) == SHMDEMO_WOKEN)
			;
		FAILS(SHMDEMO_WOKEN, shmdemo_producer_send(producer, buffer, 200, 0, -1));
		pthread_join(thread, NULL);
		while (shmdemo_consumer_wait(consumer, 0) == SHMDEMO_WOKEN)
			;
		while (shmdemo_consumer_receive(consumer, buffer, sizeof buffer, &record, 0) == 1)
			full--;
		CHECK(full == 0);
	}
	FAILS(SHMDEMO_USAGE, shmdemo_consumer_wait(consumer, -2));
	CHECK(pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0);
	pthread_join(thread, NULL);
	CHECK(strncmp(shmdemo_last_error(), "shmdemo_consumer_wait: ", 23) == 0);
}

/* A child that closes what it inherited takes nothing from its parent. */
static void forking(void)
{
	struct shmdemo_status status;
	int state = -1;
	pid_t child = fork();

	if (child == 0) {
		void *place;
		uint32_t sent;

		/* Nor can it send or take anything: the roles are not its own. */
		if (shmdemo_status_read(&options, &status, sizeof status) != SHMDEMO_OK)
			_exit(1);
		sent = status.lane[0].sent;
		if (shmdemo_producer_send(producer, "stray", 5, 0, 0) != SHMDEMO_USAGE ||
		    !strstr(shmdemo_last_error(), "after fork(2)") ||
		    shmdemo_producer_reserve(producer, 5, 0, &place) != SHMDEMO_USAGE ||
		    shmdemo_producer_commit(producer, 0, 0) != SHMDEMO_USAGE ||
		    shmdemo_producer_ring(producer) != SHMDEMO_USAGE ||
		    shmdemo_producer_finish(producer, 0) != SHMDEMO_USAGE ||
		    shmdemo_consumer_wait(consumer, 0) != SHMDEMO_USAGE ||
		    shmdemo_consumer_peek(consumer, &record) != SHMDEMO_USAGE ||
		    shmdemo_consumer_receive(consumer, buffer, 10, &record, 0) != SHMDEMO_USAGE ||
		    shmdemo_consumer_release(consumer) != SHMDEMO_USAGE ||
		    shmdemo_consumer_closing(consumer) != SHMDEMO_USAGE ||
		    shmdemo_consumer_remove(consumer) != SHMDEMO_USAGE)
			_exit(2);
		if (shmdemo_status_read(&options, &status, sizeof status) != SHMDEMO_OK ||
		    status.lane[0].sent != sent)
			_exit(3);
		shmdemo_producer_close(producer);
		shmdemo_consumer_close(consumer);
		_exit(0);
	}
	CHECK(child > 0 && waitpid(child, &state, 0) == child && state == 0);
	CHECK(shmdemo_status_read(&options, &status, sizeof status) == SHMDEMO_OK);
	CHECK(status.server_pid == getpid() && status.lane[0].pid == getpid());
	CHECK(shmdemo_producer_send(producer, "still here", 10, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 10, &record, 0) == 1);
}

static void ending(void)
{
	struct shmdemo_status status;
	void *place;

	/* What was peeked at and not released comes again, to the next consumer. */
	CHECK(shmdemo_producer_send(producer, "one", 3, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_peek(consumer, &record) == 1);
	shmdemo_consumer_close(consumer);
	CHECK(shmdemo_consumer_open(&consumer, &options, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 9, &record, 0) == 1 && record.len == 3);

	/* Closing: what was sent before is received, what is sent after is not, and its sender
	 * is told. */
	CHECK(shmdemo_producer_send(producer, "two", 3, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_closing(consumer) == SHMDEMO_OK);
	CHECK(shmdemo_producer_send(producer, "three", 5, 0, 0) == SHMDEMO_OK);
	FAILS(SHMDEMO_BUSY, shmdemo_producer_finish(producer, 20));
	CHECK(strstr(shmdemo_last_error(), "about to remove the channel") != NULL);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 9, &record, 0) == 1 && record.len == 3);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 9, &record, 0) == 0);
	CHECK(shmdemo_consumer_remove(consumer) == SHMDEMO_OK);
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_producer_finish(producer, -1));
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_consumer_wait(consumer, -1));
	shmdemo_producer_close(producer);
	shmdemo_consumer_close(consumer);

	/* All received: a removal after that is no failure. */
	CHECK(shmdemo_producer_open(&producer, &options, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_open(&consumer, &options, 0) == SHMDEMO_OK);
	CHECK(shmdemo_producer_send(producer, "all", 3, 0, 0) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_receive(consumer, buffer, 9, &record, 0) == 1);
	CHECK(shmdemo_consumer_closing(consumer) == SHMDEMO_OK);
	CHECK(shmdemo_consumer_remove(consumer) == SHMDEMO_OK);
	CHECK(shmdemo_producer_finish(producer, -1) == SHMDEMO_OK);
	shmdemo_producer_close(producer);
	shmdemo_consumer_close(consumer);

	/* Removed by force while in use. */
	CHECK(shmdemo_producer_open(&producer, &options, 0) == SHMDEMO_OK);
	CHECK(shmdemo_remove(&options, SHMDEMO_FORCE) == SHMDEMO_OK);
	CHECK(shmdemo_producer_ring(producer) == SHMDEMO_OK);
	CHECK(shmdemo_producer_send(producer, "lost", 4, SHMDEMO_QUIETLY, 0) == SHMDEMO_OK);
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_producer_ring(producer));
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_producer_send(producer, "lost", 4, 0, 0));
	CHECK(strstr(shmdemo_last_error(), "EIDRM") != NULL);
	CHECK(shmdemo_producer_reserve(producer, 4, 0, &place) == SHMDEMO_OK);
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_producer_commit(producer, 4, 0));
	shmdemo_producer_close(producer);
	FAILS(SHMDEMO_UNAVAILABLE, shmdemo_status_read(&options, &status, sizeof status));
}

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return 64;
	}
	CHECK(shmdemo_options_init(&options, sizeof options) == SHMDEMO_OK);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	texts();
	nulls();
	bad_options();
	no_channel();
	created_for_another();
	opening();
	sending();
	waking();
	forking();
	ending();
	printf("%d checks, %d failed\n", checks, failures);
	return failures ? 1 : 0;
}
