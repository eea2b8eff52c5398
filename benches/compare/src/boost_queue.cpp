// boost::interprocess::message_queue behind four C functions, each 0 or -1 with boost's words.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstring>

using boost::interprocess::message_queue;
namespace ip = boost::interprocess;

static char words[200];

template <typename Action> static int guarded(Action action)
{
	try {
		action();
		return 0;
	} catch (const std::exception &e) {
		std::strncpy(words, e.what(), sizeof words - 1);
		return -1;
	}
}

extern "C" {

const char *queue_words() { return words; }

int queue_remove(const char *name) { return message_queue::remove(name) ? 0 : -1; }

int queue_create(const char *name, size_t depth, size_t longest)
{
	return guarded([=] { message_queue(ip::create_only, name, depth, longest); });
}

int queue_open(const char *name, message_queue **queue)
{
	return guarded([=] { *queue = new message_queue(ip::open_only, name); });
}

void queue_close(message_queue *queue) { delete queue; }

int queue_send(message_queue *queue, const void *bytes, size_t len, int spin)
{
	return guarded([=] {
		if (!spin)
			queue->send(bytes, len, 0);
		else
			while (!queue->try_send(bytes, len, 0))
				;
	});
}

int queue_receive(message_queue *queue, void *bytes, size_t room, size_t *len, int spin)
{
	return guarded([=] {
		message_queue::size_type got = 0;
		unsigned priority;
		if (!spin)
			queue->receive(bytes, room, got, priority);
		else
			while (!queue->try_receive(bytes, room, got, priority))
				;
		*len = got;
	});
}
}
