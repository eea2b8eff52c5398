// Every function of shmdemo.hpp, used rightly and wrongly: cpp_checks KEY
//
// Each failed check says its line; the last line is the number of checks. The key must be free and is
// free again after. Under -fno-exceptions the functions that throw are left out.
#include <shmdemo.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;
using shmdemo::at_once;
using shmdemo::errc;
using shmdemo::error;
using shmdemo::flags;
using shmdemo::for_ever;
using shmdemo::timeout;

static int checks, failures;

static void check(bool good, int line, const char *what)
{
	checks++;
	if (!good) {
		failures++;
		std::printf("line %d: %s (last error: %s)\n", line, what, shmdemo_last_error());
		std::fflush(stdout);
	}
}

#define CHECK(condition) check(static_cast<bool>(condition), __LINE__, #condition)

static error why;

// The last call failed so, and says which of the C functions did.
#define FAILED(wanted, number_, name)                                            \
	do {                                                                     \
		check(why.code() == errc::wanted, __LINE__, #wanted);             \
		check(why.number() == (number_), __LINE__, #number_);             \
		check(std::string_view(why.what()).substr(0, sizeof(name) - 1) == (name), __LINE__, name); \
	} while (0)

template <class T>
constexpr bool moves = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
		       !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(moves<shmdemo::producer> && moves<shmdemo::consumer> && moves<shmdemo::taken>);
static_assert(std::is_nothrow_default_constructible_v<shmdemo::producer>);
static_assert(std::is_nothrow_copy_constructible_v<error>);

// Rounded up; never shorter, and never negative but for for_ever.
static_assert(timeout(1s).ms() == 1000 && timeout(1ns).ms() == 1 && timeout(1001us).ms() == 2);
static_assert(timeout(0s).ms() == 0 && timeout(-1h).ms() == 0 && at_once.ms() == 0);
static_assert(for_ever.ms() == -1 && timeout(std::chrono::hours::max()).ms() == -1);
static_assert(timeout(std::chrono::nanoseconds::min()).ms() == 0);
static_assert(timeout(std::chrono::milliseconds(2147483646)).ms() == 2147483646);
static_assert(timeout(std::chrono::milliseconds(2147483647)).ms() == -1);
static_assert(timeout(std::chrono::duration<double>(0.0011)).ms() == 2);

static shmdemo::options small(std::int32_t key)
{
	return shmdemo::options().key(key).lanes(1).ring_bytes(1000).max_message(200);
}

static void texts(std::int32_t key)
{
	error none;

	CHECK(!none && none.code() == errc::ok && none.number() == 0 && *none.what() == '\0');
	CHECK(none.exit_status() == 0);
	const std::string longest(2000, 'x');
	CHECK(std::string_view(error(errc::busy, EAGAIN, longest.c_str()).what()).size() == 511);

	const auto set = small(key).mode(0640).group(7).owner(8).create_as(9).lane_changes(10);
	const auto *raw = set.raw();
	CHECK(raw->key == key && raw->lanes == 1 && raw->ring_bytes == 1000 && raw->max_message == 200);
	CHECK(raw->mode == 0640 && raw->group == 7 && raw->owner == 8 && raw->create_as == 9);
	CHECK(raw->lane_changes == 10 && raw->flags == 0 && raw->size == sizeof *raw);
	CHECK(shmdemo::options().no_create().lock().raw()->flags == (SHMDEMO_NO_CREATE | SHMDEMO_LOCK));
	CHECK(shmdemo::options().lock().lock(false).raw()->flags == 0);
	CHECK(shmdemo::options().raw()->key == 1234);
	CHECK((flags::quietly | flags::end) == static_cast<flags>(3));
}

// A handle that is none: each call says so.
static void empty()
{
	shmdemo::producer p;
	shmdemo::consumer c;
	char buffer[4];

	CHECK(!p && !c && !p.get() && !c.get());
	CHECK(!p.send("x", at_once, why));
	FAILED(usage, EINVAL, "shmdemo_producer_send");
	CHECK(!p.send("x", at_once, flags::quietly, why));
	CHECK(!p.send_bytes("x", 1, at_once, flags::none, why));
	CHECK(!p.reserve(1, at_once, why));
	FAILED(usage, EINVAL, "shmdemo_producer_reserve");
	CHECK(!p.commit(0, flags::none, why));
	FAILED(usage, EINVAL, "shmdemo_producer_commit");
	CHECK(!p.ring(why));
	FAILED(usage, EINVAL, "shmdemo_producer_ring");
	CHECK(!p.finish(at_once, why));
	FAILED(usage, EINVAL, "shmdemo_producer_finish");
	CHECK(p.fd(why) == -1);
	FAILED(usage, EINVAL, "shmdemo_producer_fd");
	CHECK(p.lane(why) == -1 && why && p.max_message(why) == -1 && why);
	CHECK(!c.wait(at_once, why));
	FAILED(usage, EINVAL, "shmdemo_consumer_wait");
	CHECK(!c.take(at_once, why));
	FAILED(usage, EINVAL, "shmdemo_consumer_held");
	CHECK(!c.receive(buffer, sizeof buffer, at_once, why));
	FAILED(usage, EINVAL, "shmdemo_consumer_receive");
	CHECK(!c.peek(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_peek");
	CHECK(!c.release(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_release");
	CHECK(!c.release_first(1, why));
	FAILED(usage, EINVAL, "shmdemo_consumer_release_first");
	CHECK(!c.rewind(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_rewind");
	CHECK(c.held(why) == 0 && why);
	CHECK(!c.must_release(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_must_release");
	CHECK(c.fd(why) == -1);
	FAILED(usage, EINVAL, "shmdemo_consumer_fd");
	CHECK(!c.closing(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_closing");
	CHECK(!c.remove(why));
	FAILED(usage, EINVAL, "shmdemo_consumer_remove");
	p.wake();
	c.wake();
}

static void opening(std::int32_t key)
{
	const auto options = small(key);

	CHECK(!shmdemo::status(options, why));
	FAILED(unavailable, ENOENT, "shmdemo_status_read");
	CHECK(!shmdemo::remove(options, false, why));
	FAILED(unavailable, ENOENT, "shmdemo_remove");
	CHECK(!shmdemo::producer::open(small(0), at_once, why));
	FAILED(usage, EINVAL, "shmdemo_producer_open");
	CHECK(!shmdemo::consumer::open(small(key).no_create(), 20ms, why));
	FAILED(busy, ETIMEDOUT, "shmdemo_consumer_open");

	auto c = shmdemo::consumer::open(options, at_once, why);
	CHECK(c && !why);
	auto p = shmdemo::producer::open(options, at_once, why);
	CHECK(p && !why && p.lane(why) == 0 && p.max_message(why) == 200);
	CHECK(!shmdemo::producer::open(options, at_once, why));
	FAILED(busy, why.number(), "shmdemo_producer_open");
	CHECK(!shmdemo::remove(options, false, why) && why.code() == errc::busy);
	const auto now = shmdemo::status(options, why);
	CHECK(now && !why && now->lanes == 1 && now->max_message == 200 && now->server_pid > 0);
	CHECK(p.fd(why) >= 0 && c.fd(why) >= 0 && p.fd(why) != c.fd(why));

	// The role goes with the handle, and is given back once.
	shmdemo::producer moved(std::move(p));
	CHECK(moved && !p); // NOLINT: it says that it is empty
	CHECK(moved.send("x", at_once, why) && !p.send("x", at_once, why));
	p = std::move(moved);
	CHECK(p && !moved && p.send("y", at_once, why));
	p = shmdemo::producer();
	p = shmdemo::producer::open(options, at_once, why);
	CHECK(p && !why);
	CHECK(c.remove(why));
}

static void records(std::int32_t key)
{
	const auto options = small(key);
	auto c = shmdemo::consumer::open(options, at_once, why);
	auto p = shmdemo::producer::open(options, at_once, why);
	char buffer[8];

	CHECK(p && c);
	CHECK(!c.peek(why) && !why);
	CHECK(!c.wait(10ms, why) && !why);
	CHECK(!c.take(at_once, why) && !why);
	CHECK(!c.receive(buffer, sizeof buffer, 10ms, why) && !why);
	CHECK(!p.send(std::string(201, 'x'), at_once, why));
	FAILED(too_long, EMSGSIZE, "shmdemo_producer_send");

	// Each is released when its guard ends, and not before.
	for (const char *text : {"one", "two", "three"})
		CHECK(p.send(text, at_once, why));
	CHECK(p.send("", at_once, flags::end, why));
	CHECK(c.wait(for_ever, why));
	{
		auto one = c.take(for_ever, why);
		CHECK(one && one->text() == "one" && one->size() == 3 && one->lane() == 0);
		CHECK(one->kind() == shmdemo::kind::data && c.held(why) == 1);
		CHECK(!c.take(at_once, why));
		FAILED(usage, EINVAL, "shmdemo::consumer::take");
		CHECK(shmdemo::status(options, why)->lane[0].received == 0);
		// What is peeked at beside it stays when it goes.
		const auto two = c.peek(why);
		CHECK(two && two->text() == "two" && c.held(why) == 2);
		CHECK(one->release(why) && one->release(why));
		CHECK(c.held(why) == 1 && two->text() == "two");
		CHECK(shmdemo::status(options, why)->lane[0].received == 1);
		CHECK(c.rewind(why) && c.held(why) == 0);
	}
	{
		auto two = c.take(at_once, why);
		CHECK(two && two->text() == "two");
		two->keep();
		CHECK(c.held(why) == 0);
	}
	{
		auto two = c.take(at_once, why);
		CHECK(two && two->text() == "two");
		auto elsewhere = std::move(two);
		two.reset();
		CHECK(c.held(why) == 1 && elsewhere->text() == "two");
	}
	CHECK(c.held(why) == 0);
	CHECK(!c.receive(buffer, 4, at_once, why));
	FAILED(too_long, EMSGSIZE, "shmdemo_consumer_receive");
	const auto three = c.receive(buffer, sizeof buffer, at_once, why);
	CHECK(three && three->text() == "three" && three->data() == buffer);
	const auto end = c.take(at_once, why);
	CHECK(end && end->kind() == shmdemo::kind::end && end->text().empty());
}

static void in_place(std::int32_t key)
{
	const auto options = small(key);
	auto c = shmdemo::consumer::open(options, at_once, why);
	auto p = shmdemo::producer::open(options, at_once, why);

	CHECK(c.release(why));
	auto room = p.reserve(100, at_once, why);
	CHECK(room && room->size == 100);
	std::memcpy(room->data, "in place", 8);
	CHECK(p.commit(8, flags::quietly, why) && p.ring(why));
	CHECK(!p.commit(8, flags::none, why));
	FAILED(usage, EINVAL, "shmdemo_producer_commit");
	CHECK(p.send_bytes("\0\1", 2, at_once, flags::none, why));
#if __cplusplus >= 202002L
	const std::byte three[] = {std::byte{1}, std::byte{2}, std::byte{3}};
	CHECK(p.send(std::span<const std::byte>(three), at_once, flags::none, why));
	room = p.reserve(3, at_once, why);
	CHECK(room && room->bytes().size() == 3);
	room->bytes()[2] = std::byte{9};
	CHECK(p.commit(3, flags::none, why));
#endif
	CHECK(c.peek(why)->text() == "in place");
	CHECK(c.peek(why)->text() == std::string_view("\0\1", 2));
	CHECK(c.release_first(1, why) && c.held(why) == 1 && !c.must_release(why));
#if __cplusplus >= 202002L
	CHECK(c.peek(why)->bytes()[1] == std::byte{2});
	CHECK(c.peek(why)->bytes()[2] == std::byte{9});
#endif
	CHECK(c.release(why) && !c.peek(why));

	// Full: a time-out is an error where something was to be sent.
	int count = 0;
	while (p.send(std::string(200, 'x'), at_once, why))
		count++;
	FAILED(busy, ETIMEDOUT, "shmdemo_producer_send");
	CHECK(!p.reserve(200, 10ms, why) && why.code() == errc::busy);
	CHECK(count == 4 && p.finish(at_once, why));
	while (c.take(at_once, why))
		count--;
	CHECK(count == 0 && !why);

	// Ended from another thread, within one time-out and for ever.
	std::thread waker([&] {
		std::this_thread::sleep_for(50ms);
		c.wake();
	});
	CHECK(!c.take(for_ever, why));
	FAILED(woken, EINTR, "shmdemo_consumer_wait");
	waker.join();

	// The way to end a channel.
	CHECK(p.send("last", at_once, why) && c.closing(why));
	CHECK(p.send("later", at_once, why));
	CHECK(c.take(at_once, why)->text() == "last" && !c.take(at_once, why));
	CHECK(c.remove(why));
	CHECK(!p.finish(for_ever, why));
	FAILED(unavailable, EIDRM, "shmdemo_producer_finish");
	CHECK(!c.take(for_ever, why) && why.code() == errc::unavailable);
}

#ifdef SHMDEMO_HPP_THROWS
// The call throws this code, and the text is the C function's.
template <class Call> static errc thrown(Call call)
{
	try {
		call();
	} catch (const shmdemo::exception &e) {
		CHECK(*e.what() != '\0' && e.number() != 0);
		CHECK(e.exit_status() == -static_cast<int>(e.code()));
		return e.code();
	}
	return errc::ok;
}

static void throwing(std::int32_t key)
{
	const auto options = small(key);

	CHECK(thrown([&] { (void)shmdemo::status(options); }) == errc::unavailable);
	CHECK(thrown([&] { shmdemo::remove(options); }) == errc::unavailable);
	CHECK(thrown([&] { (void)shmdemo::consumer::open(small(0)); }) == errc::usage);
	CHECK(thrown([&] { (void)shmdemo::producer::open(small(0), 1s); }) == errc::usage);
	shmdemo::producer none_p;
	shmdemo::consumer none_c;
	CHECK(thrown([&] { none_p.send("x"); }) == errc::usage);
	CHECK(thrown([&] { none_p.ring(); }) == errc::usage);
	CHECK(thrown([&] { (void)none_p.fd(); }) == errc::usage);
	CHECK(thrown([&] { (void)none_c.fd(); }) == errc::usage);
	CHECK(thrown([&] { none_c.closing(); }) == errc::usage);
	CHECK(thrown([&] { none_c.rewind(); }) == errc::usage);
	CHECK(thrown([&] { (void)none_c.receive(at_once); }) == errc::usage);

	auto c = shmdemo::consumer::open(options);
	auto p = shmdemo::producer::open(options, 1s);
	CHECK(p.lane() == 0 && p.max_message() == 200 && p.fd() != c.fd());
	CHECK(!c.peek() && !c.wait(at_once) && !c.take(at_once) && !c.receive(1ms));
	for (const char *text : {"one", "two", "three"})
		p.send(text);
	auto room = p.reserve(10);
	std::memcpy(room.data, "four", 4);
	p.commit(4, flags::quietly);
	CHECK(thrown([&] { p.commit(1); }) == errc::usage);
	p.ring();
	CHECK(c.wait());

	// A handler that throws has not handled it: it comes again.
	for (int turn = 0; turn < 3; turn++) {
		try {
			auto one = c.take();
			CHECK(one->text() == "one");
			throw turn;
		} catch (int) {
		}
	}
	CHECK(c.held() == 0 && c.take()->text() == "one");
	// And one that is taken while an exception is on its way is handled as ever.
	struct taker {
		shmdemo::consumer &from;
		~taker() { CHECK(from.take()->text() == "two"); }
	};
	try {
		const taker two{c};
		throw 2;
	} catch (int) {
	}
	const auto three = c.receive();
	CHECK(three && three->text == "three" && three->kind == shmdemo::kind::data && three->lane == 0);
	char buffer[4];
	CHECK(thrown([&] { (void)c.receive(buffer, 1); }) == errc::too_long);
	CHECK(c.receive(buffer, sizeof buffer)->text() == "four");
	CHECK(thrown([&] { p.send(std::string(201, 'x'), at_once); }) == errc::too_long);
	CHECK(thrown([&] {
		      for (;;)
			      p.send(std::string(200, 'x'), at_once);
	      }) == errc::busy);
	CHECK(thrown([&] { (void)p.reserve(200, at_once); }) == errc::busy);
	// Who has a descriptor is told of room: nothing was given up.
	CHECK(shmdemo::status(options).lane[0].refused == 0);
	while (c.peek()) {
	}
	CHECK(!c.must_release() && c.held() == 4);
	CHECK(thrown([&] { (void)c.take(at_once); }) == errc::usage);
	c.release_first(1);
	c.rewind();
	CHECK(c.held() == 0 && c.peek());
	while (c.peek()) {
	}
	c.release();
#if __cplusplus >= 202002L
	const std::byte one[] = {std::byte{1}};
	p.send(std::span<const std::byte>(one));
	CHECK(c.take()->bytes()[0] == std::byte{1});
#endif
	p.finish(1s);
	c.wake();
	CHECK(thrown([&] { (void)c.wait(); }) == errc::woken);
	CHECK(shmdemo::status(options).lane[0].sent == shmdemo::status(options).lane[0].received);
	c.closing();
	CHECK(thrown([&] { shmdemo::remove(options); }) == errc::busy);
	c.remove();
	CHECK(thrown([&] { (void)c.wait(); }) == errc::unavailable);
}
#endif

int main(int argc, char *argv[])
{
	if (argc != 2) {
		std::fprintf(stderr, "usage: %s KEY\n", argv[0]);
		return 64;
	}
	const auto key = static_cast<std::int32_t>(std::strtol(argv[1], nullptr, 0));
	texts(key);
	empty();
	opening(key);
	records(key);
	in_place(key);
#ifdef SHMDEMO_HPP_THROWS
	throwing(key);
#endif
	std::printf("%d checks, %d failed\n", checks, failures);
	return failures ? 1 : 0;
}
