// A consumer in a program with an event loop of its own: cpp_event_loop KEY
//
// The channel has a descriptor for poll(2) like everything else the loop waits for: here its standard
// input, whose end is the program's.
#include <shmdemo.hpp>

#include <cstdlib>
#include <iostream>
#include <poll.h>
#include <unistd.h>

// The descriptor is readable for as long as a peek would give something: a loop that is fair to its other
// events may stop after some of them.
static void take_messages(shmdemo::consumer &consumer)
{
	for (int left = 64; left > 0; left--) {
		const auto record = consumer.peek();

		if (!record)
			break;
		std::cout << record->text() << '\n';
	}
	std::cout.flush();
	consumer.release();
}

int main(int argc, char *argv[])
{
	if (argc != 2) {
		std::cerr << "usage: " << argv[0] << " KEY\n";
		return 64;
	}
	const auto key = static_cast<std::int32_t>(std::strtol(argv[1], nullptr, 0));

	try {
		auto consumer = shmdemo::consumer::open(shmdemo::options().key(key), shmdemo::at_once);
		pollfd events[] = {{STDIN_FILENO, POLLIN, 0}, {consumer.fd(), POLLIN, 0}};
		char input[256];

		for (;;) {
			if (poll(events, 2, -1) < 0)
				continue; // a signal handler ran
			if (events[1].revents)
				take_messages(consumer);
			if (events[0].revents && read(STDIN_FILENO, input, sizeof input) <= 0)
				return 0;
		}
	} catch (const shmdemo::exception &e) {
		std::cerr << "event_loop: " << e.what() << '\n';
		return e.exit_status();
	}
}
