// shmdemo.h for C++17 and later: handles that close themselves, time-outs of <chrono>, errors thrown or
// returned. Header only, over the functions of shmdemo.h, which says more of each.
//
//     c++ -std=c++17 program.cpp $(pkg-config --cflags --libs shmdemo)
//
// or, with CMake, find_package(shmdemo CONFIG REQUIRED) and shmdemo::shmdemo or shmdemo::static.
//
// Sending:                                      Receiving:
//
//     auto p = shmdemo::producer::open();           auto c = shmdemo::consumer::open();
//     p.send("hi");                                 while (auto one = c.take(10s))
//     p.finish();                                           std::cout << one->text() << '\n';
//
// Errors. Each function is there twice: as above it throws shmdemo::exception; with a shmdemo::error as
// last argument it throws nothing, and the error says what happened. Under -fno-exceptions the second
// kind alone is there. "Nothing now", as when the time is over for a consumer, is no error but nullopt
// or false; a time-out where something was to be done, as when there is no room, is errc::busy.
//
// Handles can be moved, not copied, and an empty one (made by default, moved from, not opened) answers
// errc::usage. Threads, signals, fork(2): as in shmdemo.h; wake() alone may be called from elsewhere.
#ifndef SHMDEMO_HPP
#define SHMDEMO_HPP

#include <shmdemo.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#if __cplusplus >= 202002L
#include <span>
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define SHMDEMO_HPP_THROWS 1
#endif

namespace shmdemo {

// ---- errors -----------------------------------------------------------------

// The codes of shmdemo.h.
enum class errc : int {
	ok = SHMDEMO_OK,
	usage = SHMDEMO_USAGE,
	too_long = SHMDEMO_TOO_LONG,
	unavailable = SHMDEMO_UNAVAILABLE,
	cant_create = SHMDEMO_CANT_CREATE,
	busy = SHMDEMO_BUSY,
	not_ours = SHMDEMO_NOT_OURS,
	permission = SHMDEMO_PERMISSION,
	woken = SHMDEMO_WOKEN
};

// What one call came to. No allocation; at most 511 bytes of text.
class error {
public:
	error() noexcept = default;

	// True: the call failed.
	explicit operator bool() const noexcept { return code_ != errc::ok; }
	errc code() const noexcept { return code_; }
	// As in <cerrno>, 0 where it did not fail.
	int number() const noexcept { return number_; }
	// The call, the cause with errno by name, what to do; "" where it did not fail.
	const char *what() const noexcept { return text_; }
	// The exit status of the project's programs for the same failure, as in <sysexits.h>.
	int exit_status() const noexcept { return -static_cast<int>(code_); }

	// Made by this header. The failure of this thread's last call:
	static error last(int code) noexcept
	{
		return error(static_cast<errc>(code), shmdemo_last_errno(), shmdemo_last_error());
	}
	error(errc code, int number, const char *text) noexcept : code_(code), number_(number)
	{
		std::strncpy(text_, text, sizeof text_ - 1);
	}

private:
	errc code_ = errc::ok;
	int number_ = 0;
	char text_[512] = {};
};

#ifdef SHMDEMO_HPP_THROWS
class exception : public std::exception {
public:
	explicit exception(const error &why) noexcept : why_(why) {}

	const char *what() const noexcept override { return why_.what(); }
	errc code() const noexcept { return why_.code(); }
	int number() const noexcept { return why_.number(); }
	int exit_status() const noexcept { return why_.exit_status(); }

private:
	error why_;
};
#endif

namespace detail {

// Fills in `why`; true: all went well.
[[nodiscard]] inline bool good(int result, error &why) noexcept
{
	why = result < 0 ? error::last(result) : error();
	return result >= 0;
}

#ifdef SHMDEMO_HPP_THROWS
inline int checked(int result)
{
	if (result < 0)
		throw exception(error::last(result));
	return result;
}

inline void check(const error &why)
{
	if (why)
		throw exception(why);
}
#endif

struct closer {
	void operator()(shmdemo_producer *handle) const noexcept { shmdemo_producer_close(handle); }
	void operator()(shmdemo_consumer *handle) const noexcept { shmdemo_consumer_close(handle); }
};

} // namespace detail

// ---- time and options -------------------------------------------------------

// How long to wait: any std::chrono::duration, rounded up to milliseconds; what is below 0 is none, and
// from 2^31 ms, 24 days, on for ever.
class timeout {
public:
	template <class Rep, class Period>
	constexpr timeout(std::chrono::duration<Rep, Period> time) noexcept : ms_(whole(time))
	{
	}

	static constexpr timeout for_ever() noexcept { return timeout(); }
	constexpr std::int32_t ms() const noexcept { return ms_; }

private:
	constexpr timeout() noexcept : ms_(-1) {}

	template <class Rep, class Period>
	static constexpr std::int32_t whole(std::chrono::duration<Rep, Period> time) noexcept
	{
		const double ms = std::chrono::duration<double, std::milli>(time).count();

		if (!(ms > 0))
			return 0;
		if (ms > 2147483646)
			return -1;
		const auto down = static_cast<std::int32_t>(ms);
		return static_cast<double>(down) < ms ? down + 1 : down;
	}

	std::int32_t ms_;
};

inline constexpr timeout for_ever = timeout::for_ever();
inline constexpr timeout at_once = std::chrono::milliseconds(0);

// How to open: options().key(7).lanes(2). See struct shmdemo_options.
class options {
public:
	options() noexcept { (void)shmdemo_options_init(&raw_, sizeof raw_); }

	options &key(std::int32_t key) noexcept { return set(raw_.key, key); }
	options &lanes(std::uint32_t count) noexcept { return set(raw_.lanes, count); }
	options &ring_bytes(std::uint32_t bytes) noexcept { return set(raw_.ring_bytes, bytes); }
	options &max_message(std::uint32_t bytes) noexcept { return set(raw_.max_message, bytes); }
	options &mode(std::uint32_t bits) noexcept { return set(raw_.mode, bits); }
	options &group(std::uint32_t gid) noexcept { return set(raw_.group, gid); }
	options &owner(std::uint32_t uid) noexcept { return set(raw_.owner, uid); }
	options &create_as(std::uint32_t uid) noexcept { return set(raw_.create_as, uid); }
	options &lane_changes(std::uint32_t count) noexcept { return set(raw_.lane_changes, count); }
	// Waits for somebody else to create the channel.
	options &no_create(bool yes = true) noexcept { return flag(SHMDEMO_NO_CREATE, yes); }
	// Keeps the segment out of swap.
	options &lock(bool yes = true) noexcept { return flag(SHMDEMO_LOCK, yes); }

	const shmdemo_options *raw() const noexcept { return &raw_; }

private:
	template <class T> options &set(T &field, T value) noexcept
	{
		field = value;
		return *this;
	}
	options &flag(std::uint32_t bit, bool yes) noexcept
	{
		raw_.flags = yes ? raw_.flags | bit : raw_.flags & ~bit;
		return *this;
	}

	shmdemo_options raw_;
};

// ---- sending ----------------------------------------------------------------

enum class flags : std::uint32_t {
	none = 0,
	// Does not wake the consumer: for batches, before ring() or a message without it.
	quietly = SHMDEMO_QUIETLY,
	// The End record.
	end = SHMDEMO_END
};

constexpr flags operator|(flags one, flags other) noexcept
{
	return static_cast<flags>(static_cast<std::uint32_t>(one) | static_cast<std::uint32_t>(other));
}

// Room in the segment for one message, the caller's to write until the commit.
struct room {
	void *data;       // 8-byte aligned
	std::size_t size; // bytes

#if __cplusplus >= 202002L
	std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte *>(data), size}; }
#endif
};

class producer {
public:
	// An empty one; so is what open() returns after an error.
	producer() noexcept = default;
	explicit operator bool() const noexcept { return handle_ != nullptr; }

	[[nodiscard]] static producer open(const options &how, timeout time, error &why) noexcept
	{
		shmdemo_producer *handle = nullptr;

		return detail::good(shmdemo_producer_open(&handle, how.raw(), time.ms()), why) ?
			       producer(handle) :
			       producer();
	}

	// False: nothing of it is in the channel.
	[[nodiscard]] bool send(std::string_view message, timeout time, flags how, error &why) noexcept
	{
		return send_bytes(message.data(), message.size(), time, how, why);
	}
	[[nodiscard]] bool send(std::string_view message, timeout time, error &why) noexcept
	{
		return send(message, time, flags::none, why);
	}
	[[nodiscard]] bool send_bytes(const void *data, std::size_t size, timeout time, flags how,
				      error &why) noexcept
	{
		return detail::good(shmdemo_producer_send(get(), data, size, number(how), time.ms()), why);
	}

	// Room for a message of up to `size` bytes, to be written in place. A second one takes the place
	// of the first.
	[[nodiscard]] std::optional<room> reserve(std::size_t size, timeout time, error &why) noexcept
	{
		void *data = nullptr;

		if (!detail::good(shmdemo_producer_reserve(get(), size, time.ms(), &data), why))
			return std::nullopt;
		return room{data, size};
	}
	// Sends the first `size` bytes of it, at one instant.
	[[nodiscard]] bool commit(std::size_t size, flags how, error &why) noexcept
	{
		return detail::good(shmdemo_producer_commit(get(), size, number(how)), why);
	}

	// Wakes the consumer, after what was sent quietly.
	[[nodiscard]] bool ring(error &why) noexcept
	{
		return detail::good(shmdemo_producer_ring(get()), why);
	}
	// Before the end: all that was sent is received, or waits in a channel that goes on.
	[[nodiscard]] bool finish(timeout time, error &why) noexcept
	{
		return detail::good(shmdemo_producer_finish(get(), time.ms()), why);
	}
	// Readable while there may be room; below 0 after an error. The library's: not to be closed.
	[[nodiscard]] int fd(error &why) noexcept
	{
		const int fd = shmdemo_producer_fd(get());

		return detail::good(fd, why) ? fd : -1;
	}
	// The number of the lane, and the longest message in bytes; below 0 after an error.
	[[nodiscard]] int lane(error &why) noexcept
	{
		const int lane = shmdemo_producer_lane(get());

		return detail::good(lane, why) ? lane : -1;
	}
	[[nodiscard]] int max_message(error &why) noexcept
	{
		const int bytes = shmdemo_producer_max_message(get());

		return detail::good(bytes, why) ? bytes : -1;
	}

#ifdef SHMDEMO_HPP_THROWS
	[[nodiscard]] static producer open(const options &how = {}, timeout time = for_ever)
	{
		error why;
		producer opened = open(how, time, why);

		detail::check(why);
		return opened;
	}
	void send(std::string_view message, timeout time = for_ever, flags how = flags::none)
	{
		send_bytes(message.data(), message.size(), time, how);
	}
	void send_bytes(const void *data, std::size_t size, timeout time = for_ever,
			flags how = flags::none)
	{
		detail::checked(shmdemo_producer_send(get(), data, size, number(how), time.ms()));
	}
	[[nodiscard]] room reserve(std::size_t size, timeout time = for_ever)
	{
		void *data = nullptr;

		detail::checked(shmdemo_producer_reserve(get(), size, time.ms(), &data));
		return {data, size};
	}
	void commit(std::size_t size, flags how = flags::none)
	{
		detail::checked(shmdemo_producer_commit(get(), size, number(how)));
	}
	void ring() { detail::checked(shmdemo_producer_ring(get())); }
	void finish(timeout time = for_ever)
	{
		detail::checked(shmdemo_producer_finish(get(), time.ms()));
	}
	[[nodiscard]] int fd() { return detail::checked(shmdemo_producer_fd(get())); }
	[[nodiscard]] int lane() { return detail::checked(shmdemo_producer_lane(get())); }
	[[nodiscard]] int max_message() { return detail::checked(shmdemo_producer_max_message(get())); }
#endif

#if __cplusplus >= 202002L
	[[nodiscard]] bool send(std::span<const std::byte> bytes, timeout time, flags how,
				error &why) noexcept
	{
		return send_bytes(bytes.data(), bytes.size(), time, how, why);
	}
#ifdef SHMDEMO_HPP_THROWS
	void send(std::span<const std::byte> bytes, timeout time = for_ever, flags how = flags::none)
	{
		send_bytes(bytes.data(), bytes.size(), time, how);
	}
#endif
#endif

	// Ends the wait, now or the next one, with errc::woken. From any thread or signal handler.
	void wake() const noexcept { shmdemo_producer_wake(handle_.get()); }
	// For the functions of shmdemo.h. It stays this object's.
	shmdemo_producer *get() const noexcept { return handle_.get(); }

private:
	explicit producer(shmdemo_producer *handle) noexcept : handle_(handle) {}
	static std::uint32_t number(flags how) noexcept { return static_cast<std::uint32_t>(how); }

	std::unique_ptr<shmdemo_producer, detail::closer> handle_;
};

// ---- receiving --------------------------------------------------------------

enum class kind : std::uint32_t { data = SHMDEMO_KIND_DATA, end = SHMDEMO_KIND_END };

// A record where it lies: in the segment, valid until it is released, and whoever may write the segment
// can write it meanwhile; or in the caller's buffer.
class record {
public:
	explicit record(const shmdemo_record &raw) noexcept : raw_(raw) {}

	std::string_view text() const noexcept
	{
		return {static_cast<const char *>(raw_.data), raw_.len};
	}
#if __cplusplus >= 202002L
	std::span<const std::byte> bytes() const noexcept
	{
		return {static_cast<const std::byte *>(raw_.data), raw_.len};
	}
#endif
	const void *data() const noexcept { return raw_.data; }
	std::size_t size() const noexcept { return raw_.len; }
	shmdemo::kind kind() const noexcept { return static_cast<shmdemo::kind>(raw_.kind); }
	std::uint32_t lane() const noexcept { return raw_.lane; }

private:
	shmdemo_record raw_;
};

// A record that is released when this ends; but if it ends by an exception, the record comes again, as
// it does when the process is killed. Ends before its consumer.
class [[nodiscard]] taken : public record {
public:
	taken(taken &&other) noexcept
		: record(other), handle_(std::exchange(other.handle_, nullptr)),
		  exceptions_(other.exceptions_)
	{
	}
	taken &operator=(taken &&other) noexcept
	{
		if (this != &other) {
			end();
			record::operator=(other);
			handle_ = std::exchange(other.handle_, nullptr);
			exceptions_ = other.exceptions_;
		}
		return *this;
	}
	~taken() { end(); }

	// Releases it now; false: its producer had changed it, and its lane is set aside.
	[[nodiscard]] bool release(error &why) noexcept
	{
		why = error();
		return !handle_ || detail::good(let_go(std::exchange(handle_, nullptr)), why);
	}
#ifdef SHMDEMO_HPP_THROWS
	void release()
	{
		error why;

		if (!release(why))
			throw exception(why);
	}
#endif
	// Does not release it: it comes again.
	void keep() noexcept
	{
		if (handle_)
			(void)shmdemo_consumer_rewind(std::exchange(handle_, nullptr));
	}

private:
	friend class consumer;
	taken(const record &one, shmdemo_consumer *handle) noexcept : record(one), handle_(handle) {}

	static int let_go(shmdemo_consumer *handle) noexcept
	{
		// Where more were peeked at since, this one is the oldest.
		return shmdemo_consumer_held(handle) == 1 ? shmdemo_consumer_release(handle) :
							    shmdemo_consumer_release_first(handle, 1);
	}
	void end() noexcept
	{
		if (std::uncaught_exceptions() > exceptions_)
			keep();
		else if (handle_)
			(void)!let_go(std::exchange(handle_, nullptr));
	}

	shmdemo_consumer *handle_;
	int exceptions_ = std::uncaught_exceptions();
};

// A record of its own, out of the channel.
struct message {
	std::string text;
	shmdemo::kind kind;
	std::uint32_t lane;
};

class consumer {
public:
	// An empty one; so is what open() returns after an error.
	consumer() noexcept = default;
	explicit operator bool() const noexcept { return handle_ != nullptr; }

	[[nodiscard]] static consumer open(const options &how, timeout time, error &why) noexcept
	{
		shmdemo_consumer *handle = nullptr;

		return detail::good(shmdemo_consumer_open(&handle, how.raw(), time.ms()), why) ?
			       consumer(handle) :
			       consumer();
	}

	// Waits for a record that was not peeked at yet. False: none in time, or an error.
	[[nodiscard]] bool wait(timeout time, error &why) noexcept
	{
		const int found = shmdemo_consumer_wait(get(), time.ms());

		return detail::good(found, why) && found == 1;
	}

	// The next record, by itself: released when what is returned ends. Nothing may be held.
	[[nodiscard]] std::optional<taken> take(timeout time, error &why) noexcept
	{
		const auto begin = std::chrono::steady_clock::now();

		if (held(why) > 0)
			why = error(errc::usage, EINVAL,
				    "shmdemo::consumer::take: records are held that were taken or "
				    "peeked at before (EINVAL): release them first");
		while (!why) {
			if (const auto one = peek(why))
				return taken(*one, get());
			if (why || !wait(left(time, begin), why))
				break;
		}
		return std::nullopt;
	}

	// Waits for a record and copies it to a buffer; nullopt: none in time, or an error, as when it is
	// too long (it stays). Nothing may be held.
	[[nodiscard]] std::optional<record> receive(void *buffer, std::size_t size, timeout time,
						    error &why) noexcept
	{
		shmdemo_record raw;
		const int found = shmdemo_consumer_receive(get(), buffer, size, &raw, time.ms());

		return detail::good(found, why) && found == 1 ? std::optional<record>(raw) : std::nullopt;
	}

	// Looks at the next record of any lane, in turn.
	[[nodiscard]] std::optional<record> peek(error &why) noexcept
	{
		shmdemo_record raw;
		const int found = shmdemo_consumer_peek(get(), &raw);

		return detail::good(found, why) && found == 1 ? std::optional<record>(raw) : std::nullopt;
	}
	// Releases all that was peeked at, or the oldest of it.
	[[nodiscard]] bool release(error &why) noexcept
	{
		return detail::good(shmdemo_consumer_release(get()), why);
	}
	[[nodiscard]] bool release_first(std::size_t count, error &why) noexcept
	{
		return detail::good(shmdemo_consumer_release_first(get(), count), why);
	}
	// What was peeked at and not released comes again.
	[[nodiscard]] bool rewind(error &why) noexcept
	{
		return detail::good(shmdemo_consumer_rewind(get()), why);
	}
	// How many were peeked at and not released.
	[[nodiscard]] std::size_t held(error &why) noexcept
	{
		const int count = shmdemo_consumer_held(get());

		return detail::good(count, why) ? static_cast<std::size_t>(count) : 0;
	}
	// There are more, but some have to be released first.
	[[nodiscard]] bool must_release(error &why) noexcept
	{
		const int must = shmdemo_consumer_must_release(get());

		return detail::good(must, why) && must == 1;
	}

	// Readable while there may be something to peek at; below 0 after an error. The library's: not to
	// be closed, and to be taken out of the event loop before this ends.
	[[nodiscard]] int fd(error &why) noexcept
	{
		const int fd = shmdemo_consumer_fd(get());

		return detail::good(fd, why) ? fd : -1;
	}

	// The way to end a channel: closing(), take what there is, remove().
	[[nodiscard]] bool closing(error &why) noexcept
	{
		return detail::good(shmdemo_consumer_closing(get()), why);
	}
	[[nodiscard]] bool remove(error &why) noexcept
	{
		return detail::good(shmdemo_consumer_remove(get()), why);
	}

#ifdef SHMDEMO_HPP_THROWS
	[[nodiscard]] static consumer open(const options &how = {}, timeout time = for_ever)
	{
		error why;
		consumer opened = open(how, time, why);

		detail::check(why);
		return opened;
	}
	[[nodiscard]] bool wait(timeout time = for_ever)
	{
		return detail::checked(shmdemo_consumer_wait(get(), time.ms())) == 1;
	}
	[[nodiscard]] std::optional<taken> take(timeout time = for_ever)
	{
		error why;
		auto one = take(time, why);

		detail::check(why);
		return one;
	}
	[[nodiscard]] std::optional<record> receive(void *buffer, std::size_t size,
						    timeout time = for_ever)
	{
		error why;
		const auto one = receive(buffer, size, time, why);

		detail::check(why);
		return one;
	}
	[[nodiscard]] std::optional<message> receive(timeout time = for_ever)
	{
		auto one = take(time);

		if (!one)
			return std::nullopt;
		// Should there be no memory, it comes again.
		std::optional<message> copy(
			message{std::string(one->text()), one->kind(), one->lane()});
		one->release();
		return copy;
	}
	[[nodiscard]] std::optional<record> peek()
	{
		error why;
		const auto one = peek(why);

		detail::check(why);
		return one;
	}
	void release() { detail::checked(shmdemo_consumer_release(get())); }
	void release_first(std::size_t count)
	{
		detail::checked(shmdemo_consumer_release_first(get(), count));
	}
	void rewind() { detail::checked(shmdemo_consumer_rewind(get())); }
	[[nodiscard]] std::size_t held()
	{
		return static_cast<std::size_t>(detail::checked(shmdemo_consumer_held(get())));
	}
	[[nodiscard]] bool must_release()
	{
		return detail::checked(shmdemo_consumer_must_release(get())) == 1;
	}
	[[nodiscard]] int fd() { return detail::checked(shmdemo_consumer_fd(get())); }
	void closing() { detail::checked(shmdemo_consumer_closing(get())); }
	void remove() { detail::checked(shmdemo_consumer_remove(get())); }
#endif

	// Ends the wait, now or the next one, with errc::woken. From any thread or signal handler.
	void wake() const noexcept { shmdemo_consumer_wake(handle_.get()); }
	// For the functions of shmdemo.h. It stays this object's.
	shmdemo_consumer *get() const noexcept { return handle_.get(); }

private:
	explicit consumer(shmdemo_consumer *handle) noexcept : handle_(handle) {}

	static timeout left(timeout whole, std::chrono::steady_clock::time_point begin) noexcept
	{
		if (whole.ms() <= 0)
			return whole;
		return std::chrono::milliseconds(whole.ms()) -
		       (std::chrono::steady_clock::now() - begin);
	}

	std::unique_ptr<shmdemo_consumer, detail::closer> handle_;
};

// ---- looking and mending ----------------------------------------------------

// Looks at a channel without taking part in it. Of the options only key and owner count.
[[nodiscard]] inline std::optional<shmdemo_status> status(const options &of, error &why) noexcept
{
	std::optional<shmdemo_status> now(std::in_place);

	if (!detail::good(shmdemo_status_read(of.raw(), &*now, sizeof *now), why))
		now.reset();
	return now;
}

// Removes segment and semaphores; with `force` even if somebody uses them or they are damaged.
[[nodiscard]] inline bool remove(const options &of, bool force, error &why) noexcept
{
	return detail::good(shmdemo_remove(of.raw(), force ? SHMDEMO_FORCE : 0), why);
}

#ifdef SHMDEMO_HPP_THROWS
[[nodiscard]] inline shmdemo_status status(const options &of = {})
{
	shmdemo_status now;

	detail::checked(shmdemo_status_read(of.raw(), &now, sizeof now));
	return now;
}

inline void remove(const options &of = {}, bool force = false)
{
	detail::checked(shmdemo_remove(of.raw(), force ? SHMDEMO_FORCE : 0));
}
#endif

} // namespace shmdemo

#endif
