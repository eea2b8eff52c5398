// Sends each argument as one message: cpp_producer KEY TEXT...
//
// Exit status: that of shmdemo-client for the same failure.
#include <shmdemo.hpp>

#include <cstdlib>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char *argv[])
{
	if (argc < 2) {
		std::cerr << "usage: " << argv[0] << " KEY TEXT...\n";
		return 64;
	}
	const auto key = static_cast<std::int32_t>(std::strtol(argv[1], nullptr, 0));

	try {
		// Five seconds for a lane; as long as it takes for room.
		auto producer = shmdemo::producer::open(shmdemo::options().key(key), 5s);

		for (int i = 2; i < argc; i++)
			producer.send(argv[i]);
		producer.finish();
	} catch (const shmdemo::exception &e) {
		std::cerr << "producer: " << e.what() << '\n';
		return e.exit_status();
	}
	return 0;
}
