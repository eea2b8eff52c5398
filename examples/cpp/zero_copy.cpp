// Messages written and read where they lie, in batches: cpp_zero_copy KEY COUNT
//
// One process, both ends: COUNT samples of a made-up sensor are filled in place in the ring, summed up
// from there, and the channel is removed. Prints count and sum. It throws nothing and works under
// -fno-exceptions.
#include <shmdemo.hpp>

#include <cstdlib>
#include <iostream>
#include <new>

struct sample {
	std::uint32_t number;
	std::int32_t value[15];
};

static int failed(const shmdemo::error &why)
{
	std::cerr << "zero_copy: " << why.what() << '\n';
	return why.exit_status();
}

// Fills one sample in place; the consumer is not woken before the batch is whole.
static bool produce(shmdemo::producer &producer, std::uint32_t number, shmdemo::error &why)
{
	const auto room = producer.reserve(sizeof(sample), shmdemo::for_ever, why);

	if (!room)
		return false;
	auto *place = new (room->data) sample; // 8-byte aligned
	place->number = number;
	for (std::int32_t i = 0; i < 15; i++)
		place->value[i] = static_cast<std::int32_t>(number) + i;
	return producer.commit(sizeof *place, shmdemo::flags::quietly, why);
}

// Looks at all there is, then releases it at once.
static std::uint32_t consume(shmdemo::consumer &consumer, long long &sum, shmdemo::error &why)
{
	std::uint32_t count = 0;

	while (const auto record = consumer.peek(why)) {
		if (record->size() != sizeof(sample))
			continue; // not one of ours
		for (const auto value : static_cast<const sample *>(record->data())->value)
			sum += value;
		count++;
	}
	return !why && consumer.release(why) ? count : 0;
}

int main(int argc, char *argv[])
{
	std::uint32_t sent = 0, received = 0;
	long long sum = 0;
	shmdemo::error why;
	shmdemo::options options;

	if (argc != 3) {
		std::cerr << "usage: " << argv[0] << " KEY COUNT\n";
		return 64;
	}
	options.key(static_cast<std::int32_t>(std::strtol(argv[1], nullptr, 0)));
	const auto count = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 0));
	auto consumer = shmdemo::consumer::open(options, shmdemo::at_once, why);
	if (why)
		return failed(why);
	auto producer = shmdemo::producer::open(options, shmdemo::at_once, why);
	if (why)
		return failed(why);

	while (received < count) {
		for (int i = 0; i < 32 && sent < count; i++)
			if (!produce(producer, sent++, why))
				return failed(why);
		if (!producer.ring(why) || !consumer.wait(shmdemo::for_ever, why))
			return failed(why);
		received += consume(consumer, sum, why);
		if (why)
			return failed(why);
	}
	std::cout << received << " samples, sum " << sum << '\n';
	return consumer.remove(why) ? 0 : failed(why);
}
