/* A consumer among a socket and a timer, by epoll(7): c_epoll KEY PORT
 *
 * Prints each message of the channel, each datagram that comes to 127.0.0.1:PORT, and "tick" once a
 * second without any of these; "end" through either ends it. Edge-triggered (EPOLLET), so it takes
 * all there is each time. */
#define _POSIX_C_SOURCE 200809L
#include <shmdemo.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { CHANNEL, SOCKET, TIMER };

static int add(int epoll, int fd, uint32_t which)
{
	struct epoll_event event;

	memset(&event, 0, sizeof event);
	event.events = EPOLLIN | EPOLLET;
	event.data.u32 = which;
	return fd < 0 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int print(const char *from, const void *data, size_t len)
{
	printf("%s: %.*s\n", from, (int)len, (const char *)data);
	fflush(stdout);
	return len == 3 && memcmp(data, "end", 3) == 0;
}

/* 1: the end came; 0: it did not; negative: an error's code. */
static int take_messages(shmdemo_consumer *consumer)
{
	struct shmdemo_record record;
	int code, end = 0;

	while ((code = shmdemo_consumer_peek(consumer, &record)) == 1)
		end |= print("channel", record.data, record.len) || record.kind == SHMDEMO_KIND_END;
	if (code == 0)
		code = shmdemo_consumer_release(consumer);
	/* Where no more could be held, the rest comes now. */
	return code < 0 ? code : end;
}

static int take_datagrams(int fd)
{
	char text[512];
	ssize_t len;
	int end = 0;

	while ((len = recv(fd, text, sizeof text, MSG_DONTWAIT)) >= 0)
		end |= print("socket", text, (size_t)len);
	return end;
}

int main(int argc, char *argv[])
{
	const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	shmdemo_consumer *consumer;
	struct shmdemo_options options;
	struct sockaddr_in address;
	struct epoll_event event;
	uint64_t ticks;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int code;

	if (argc != 3) {
		fprintf(stderr, "usage: %s KEY PORT\n", argv[0]);
		return -SHMDEMO_USAGE;
	}
	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t)atoi(argv[2]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
	    timerfd_settime(timer, 0, &second, NULL) != 0) {
		perror("epoll");
		return 71; /* EX_OSERR */
	}
	shmdemo_options_init(&options, sizeof options);
	options.key = (int32_t)strtol(argv[1], NULL, 0);
	code = shmdemo_consumer_open(&consumer, &options, 0);
	if (code == SHMDEMO_OK)
		code = shmdemo_consumer_fd(consumer);
	if (code >= 0 && (add(epoll, code, CHANNEL) != 0 || add(epoll, fd, SOCKET) != 0 ||
			  add(epoll, timer, TIMER) != 0)) {
		perror("epoll");
		return 71;
	}
	code = code < 0 ? code : 0;
	while (code == 0) {
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue; /* a signal handler ran */
		if (event.data.u32 == CHANNEL)
			code = take_messages(consumer);
		else if (event.data.u32 == SOCKET)
			code = take_datagrams(fd);
		else if (read(timer, &ticks, sizeof ticks) == sizeof ticks)
			print("timer", "tick", 4);
	}
	if (code < 0)
		fprintf(stderr, "epoll: %s\n", shmdemo_last_error());
	shmdemo_consumer_close(consumer);
	return code < 0 ? -code : 0;
}
