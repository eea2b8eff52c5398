// Prints each message on a line until none comes for a while: cpp_consumer KEY MILLISECONDS, -1 for ever
//
// SIGINT and SIGTERM end it at once. The channel stays, as with shmdemo-server --persist.
// Exit status: that of shmdemo-server for the same failure.
#include <shmdemo.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>

static const shmdemo::consumer *waiting;

extern "C" void stop(int)
{
	waiting->wake();
}

int main(int argc, char *argv[])
{
	if (argc != 3) {
		std::cerr << "usage: " << argv[0] << " KEY MILLISECONDS\n";
		return 64;
	}
	const auto key = static_cast<std::int32_t>(std::strtol(argv[1], nullptr, 0));
	const std::chrono::milliseconds ms(std::strtol(argv[2], nullptr, 0));
	const auto time = ms.count() < 0 ? shmdemo::for_ever : shmdemo::timeout(ms);
	int status = 0;

	try {
		auto consumer = shmdemo::consumer::open(shmdemo::options().key(key), shmdemo::at_once);

		waiting = &consumer;
		std::signal(SIGINT, stop);
		std::signal(SIGTERM, stop);
		try {
			// Each is released when it is printed.
			while (const auto one = consumer.take(time))
				if (one->kind() == shmdemo::kind::data)
					std::cout << one->text() << std::endl;
		} catch (const shmdemo::exception &e) {
			if (e.code() != shmdemo::errc::woken) {
				std::cerr << "consumer: " << e.what() << '\n';
				status = e.exit_status();
			}
		}
		// From here on the handler must find nothing to wake.
		std::signal(SIGINT, SIG_IGN);
		std::signal(SIGTERM, SIG_IGN);
	} catch (const shmdemo::exception &e) {
		std::cerr << "consumer: " << e.what() << '\n';
		status = e.exit_status();
	}
	return status;
}
