/* shmdemo: messages between programs on one board through System V shared memory.
 *
 * A channel is one shared memory segment and one semaphore set under one IPC key. Up to 32
 * producers each write a lane of their own, one consumer reads them all. Messages stay in the
 * segment until they are released: they outlive both programs, up to IPC_RMID or the next boot.
 * The programs shmdemo-server and shmdemo-client, this library and its Rust interface can be at
 * either end, 32- and 64-bit ones of the same byte order mixed.
 *
 *     cc program.c $(pkg-config --cflags --libs shmdemo)
 *
 * C++ has shmdemo.hpp, which owns handles, and throws or not, as you like.
 *
 * Sending:                                      Receiving:
 *
 *     shmdemo_producer *p;                          shmdemo_consumer *c;
 *     struct shmdemo_record r;                      char text[2048];
 *     shmdemo_producer_open(&p, NULL, -1);          shmdemo_consumer_open(&c, NULL, -1);
 *     shmdemo_producer_send(p, "hi", 2, 0, -1);     shmdemo_consumer_receive(c, text,
 *     shmdemo_producer_finish(p, -1);                               sizeof text, &r, -1);
 *     shmdemo_producer_close(p);                    shmdemo_consumer_close(c);
 *
 * Results. An int that is negative is one of the codes below; they are the programs' exit codes,
 * which are those of <sysexits.h>, with a minus sign. shmdemo_last_error() has the text: the call,
 * the cause with errno by name, and what to do. Pointers that are NULL where they must not be,
 * and numbers out of range, are SHMDEMO_USAGE and change nothing.
 *
 * Time. timeout_ms is in milliseconds of the monotonic clock: -1 waits for ever, 0 not at all. A
 * wait goes on after a signal handler has run, as with SA_RESTART. To end it, let the handler,
 * or another thread, call shmdemo_producer_wake() or shmdemo_consumer_wake().
 *
 * Event loops. shmdemo_consumer_fd() and shmdemo_producer_fd() give a descriptor for poll(2) and what
 * is built on it: examples/c has poll(2), epoll(7), sd-event(3) and GLib. What a consumer or producer
 * sleeps on is a semaphore, which the kernel cannot put into poll: so a thread of the library sleeps
 * there and writes to an eventfd(2).
 *
 * Threads. Each handle is used by one thread at a time; which one may change. Different handles
 * are independent. The _wake functions alone may be called from any thread and from signal
 * handlers at any time until the handle is closed, and leave errno as it was. All other functions
 * are not async-signal-safe. There are no timers or signal handlers in the library, and no
 * threads but that of a descriptor.
 *
 * Processes. A role is that of the process that opened the handle; when it ends, however it ends,
 * the kernel gives its roles back. Order: become a daemon (fork(2), daemon(3)), drop privileges
 * (setgid(2), setuid(2)), then open.
 * fork(2): in the child every call with the handle is SHMDEMO_USAGE, and nothing is sent or taken;
 * closing it there is allowed and has no effect on the parent. (One counter, kept by
 * pthread_atfork(3).) If the parent ends, as with daemon(3), its roles are free for others.
 * exec(2): the process keeps its roles and loses the handle; nobody else can have them until it
 * ends, and opening again finds them held by itself. Close before exec.
 * setuid(2) after open: the kernel looks at permissions at every call. Messages still arrive, but
 * a consumer that sleeps may not be woken: SHMDEMO_PERMISSION, "sent, but not rung for".
 *
 * Machine. With kernel.shm_rmid_forced=1 the kernel removes a channel, and the messages in it, with
 * the last process that uses it: keep one attached, or set it to 0.
 *
 * Memory. Handles are allocated by _open and freed by _close; nothing is allocated between.
 * Everything else is the caller's. Whoever may write the segment can write any byte of it at any
 * time: take a copy before you check what a message says.
 *
 * Versions. Functions and structs of one SONAME stay compatible: structs that may grow carry
 * their size.
 */
#ifndef SHMDEMO_H
#define SHMDEMO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header: text, and major << 16 | minor << 8 | patch. */
#define SHMDEMO_VERSION "0.1.0"
#define SHMDEMO_VERSION_NUMBER 0x000100

/* Version of the library that is linked, in the same two forms. The text is static. */
const char *shmdemo_version(void);
uint32_t shmdemo_version_number(void);

/* ---- results ---------------------------------------------------------------- */

#define SHMDEMO_OK 0
/* A wrong argument, or a call at the wrong time (EX_USAGE). */
#define SHMDEMO_USAGE (-64)
/* The message is longer than the channel, or the caller's buffer, takes (EX_DATAERR). */
#define SHMDEMO_TOO_LONG (-65)
/* No System V IPC in the kernel, no channel, or it was removed while in use (EX_UNAVAILABLE). */
#define SHMDEMO_UNAVAILABLE (-69)
/* Segment or semaphores cannot be created: the text names the limit (EX_CANTCREAT). */
#define SHMDEMO_CANT_CREATE (-73)
/* Somebody else has the role, or the time is over (EX_TEMPFAIL): try again later. */
#define SHMDEMO_BUSY (-75)
/* Under this key stands no channel of this version, or a damaged one; the text names the field,
 * what was found and what is expected. It was left as it is (EX_PROTOCOL). */
#define SHMDEMO_NOT_OURS (-76)
/* No permission, or an owner or mode that is not accepted (EX_NOPERM). */
#define SHMDEMO_PERMISSION (-77)
/* shmdemo_producer_wake() or shmdemo_consumer_wake() ended the wait. */
#define SHMDEMO_WOKEN (-128)

/* The same as an enum: for debuggers, and for a switch that the compiler looks through. */
enum shmdemo_code {
	SHMDEMO_CODE_OK = SHMDEMO_OK,
	SHMDEMO_CODE_USAGE = SHMDEMO_USAGE,
	SHMDEMO_CODE_TOO_LONG = SHMDEMO_TOO_LONG,
	SHMDEMO_CODE_UNAVAILABLE = SHMDEMO_UNAVAILABLE,
	SHMDEMO_CODE_CANT_CREATE = SHMDEMO_CANT_CREATE,
	SHMDEMO_CODE_BUSY = SHMDEMO_BUSY,
	SHMDEMO_CODE_NOT_OURS = SHMDEMO_NOT_OURS,
	SHMDEMO_CODE_PERMISSION = SHMDEMO_PERMISSION,
	SHMDEMO_CODE_WOKEN = SHMDEMO_WOKEN
};

/* Before what loses a message if nobody looks at its result: the compiler warns. */
#if defined(__GNUC__)
#define SHMDEMO_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SHMDEMO_MUST_CHECK
#endif

/* Text of the last call that failed in this thread; "" if none did. It is the library's and valid
 * until the next failing call in this thread; at most 511 bytes. */
const char *shmdemo_last_error(void);

/* Its number as in <errno.h>, which the text names: that of the call which failed, or the one that
 * says it best (ETIMEDOUT, EIDRM, EMSGSIZE, EINTR for a wake, EINVAL for a wrong argument); 0 if no
 * call failed in this thread. errno itself is not set. */
int shmdemo_last_errno(void);

/* What a code means in general. The text is static; any number is allowed. */
const char *shmdemo_strerror(int code);

/* ---- how to open ------------------------------------------------------------ */

/* A field with this value says nothing. */
#define SHMDEMO_UNSET 0xffffffffu

/* flags: wait for somebody else to create the channel instead of creating it. */
#define SHMDEMO_NO_CREATE 1u
/* flags: keep the segment out of swap (SHM_LOCK). */
#define SHMDEMO_LOCK 2u

/* Always filled by shmdemo_options_init() first. lanes, ring_bytes and max_message count for who
 * creates the channel; who joins takes what is there. */
struct shmdemo_options {
	uint32_t size;        /* set by shmdemo_options_init */
	int32_t key;          /* IPC key, not 0; as from ftok(3). Default 1234 */
	uint32_t lanes;       /* producers there can be at once, 1 to 32. Default 4 */
	uint32_t ring_bytes;  /* bytes of each lane's ring, 256 to 16 MiB, rounded up to a power of
	                         two; 0, the default: 16 KiB, or what max_message needs */
	uint32_t max_message; /* longest message in bytes, 1 to 65536. Default 2048 */
	uint32_t flags;       /* SHMDEMO_NO_CREATE, SHMDEMO_LOCK. Default 0 */
	uint32_t mode;        /* 0600 to 0777, of what is created; what is there is never changed.
	                         SHMDEMO_UNSET, the default: 0600, and no channel is joined that
	                         everybody can write */
	uint32_t group;       /* gid of what is created. Default SHMDEMO_UNSET: the caller's */
	uint32_t owner;       /* uid whose channel is accepted besides the caller's own and root's.
	                         Default SHMDEMO_UNSET: nobody's */
	uint32_t create_as;   /* uid of what is created, accepted as owner is: for root, before the
	                         service's own server. Default SHMDEMO_UNSET: the caller's */
	uint32_t lane_changes; /* how many changes from one lane to another a consumer keeps in mind
	                          between the oldest record that it holds and the newest, 1 to
	                          65536. Default 64 */
};

/* Fills in the defaults; size is sizeof(struct shmdemo_options).
 * Errors: SHMDEMO_USAGE. */
int shmdemo_options_init(struct shmdemo_options *options, size_t size);

/* ---- sending ---------------------------------------------------------------- */

typedef struct shmdemo_producer shmdemo_producer;

/* flags: do not wake the consumer. For batches: shmdemo_producer_ring(), or a message without
 * this flag, has to follow. Until then a consumer that sleeps goes on sleeping. */
#define SHMDEMO_QUIETLY 1u
/* flags: this is the End record, which asks a server without --persist to print what there is,
 * remove the channel and end. */
#define SHMDEMO_END 2u

/* Opens the channel, which is created if need be, and claims a lane. options may be NULL: the
 * defaults. timeout_ms bounds the wait for a free lane and, with SHMDEMO_NO_CREATE, for the
 * channel; a wait in here cannot be ended otherwise. *producer is NULL after an error.
 * Errors: SHMDEMO_USAGE, SHMDEMO_BUSY (no channel or no lane in time), SHMDEMO_CANT_CREATE,
 * SHMDEMO_PERMISSION, SHMDEMO_NOT_OURS, SHMDEMO_UNAVAILABLE. */
SHMDEMO_MUST_CHECK int shmdemo_producer_open(shmdemo_producer **producer,
					     const struct shmdemo_options *options,
					     int32_t timeout_ms);

/* Wakes the consumer if anything was sent, gives the lane back, detaches and frees. Messages
 * stay in the channel. NULL is allowed. */
void shmdemo_producer_close(shmdemo_producer *producer);

/* Sends a copy of len bytes at data (which may be NULL if len is 0) as one message. 0: it is in
 * the channel, whole. After an error nothing of it is. It ends a reservation.
 * Errors: SHMDEMO_TOO_LONG, SHMDEMO_BUSY (no room in time; counted as refused where there is no
 * shmdemo_producer_fd(), which tells of room), SHMDEMO_WOKEN,
 * SHMDEMO_USAGE, SHMDEMO_NOT_OURS, SHMDEMO_UNAVAILABLE: the channel was removed with this message
 * in it or others that were not received; close and open again. That is looked for, with two
 * system calls, by every call that wakes the consumer: not with SHMDEMO_QUIETLY. */
SHMDEMO_MUST_CHECK int shmdemo_producer_send(shmdemo_producer *producer, const void *data,
					     size_t len, uint32_t flags, int32_t timeout_ms);

/* Reserves room for one message of at most len bytes, to be written in place: *data is its first
 * byte in the segment, 8-byte aligned, the caller's to write until the commit. A second
 * reservation takes the place of the first; one that is never committed sends nothing.
 * Errors: as shmdemo_producer_send(); *data is NULL then. */
SHMDEMO_MUST_CHECK int shmdemo_producer_reserve(shmdemo_producer *producer, size_t len,
						int32_t timeout_ms, void **data);

/* Sends the first len bytes of what was reserved as one message, at one instant: a process killed
 * before has sent nothing, one killed after has sent all of it.
 * Errors: SHMDEMO_USAGE (nothing is reserved, or less than len), SHMDEMO_NOT_OURS,
 * SHMDEMO_UNAVAILABLE as in shmdemo_producer_send(). */
SHMDEMO_MUST_CHECK int shmdemo_producer_commit(shmdemo_producer *producer, size_t len, uint32_t flags);

/* Wakes the consumer if it sleeps, also where another program wrote into the words that this
 * depends on: after SHMDEMO_QUIETLY, and before a long wait for something else.
 * A few system calls. Errors: SHMDEMO_USAGE, SHMDEMO_UNAVAILABLE as in shmdemo_producer_send(). */
SHMDEMO_MUST_CHECK int shmdemo_producer_ring(shmdemo_producer *producer);

/* Before the end: 0 if all that was sent is received or waits in a channel that goes on. Where
 * the consumer is about to remove the channel, waits until it is done.
 * Errors: SHMDEMO_UNAVAILABLE (the channel was removed and not all was received), SHMDEMO_BUSY
 * (the time is over), SHMDEMO_WOKEN, SHMDEMO_USAGE, SHMDEMO_NOT_OURS. */
SHMDEMO_MUST_CHECK int shmdemo_producer_finish(shmdemo_producer *producer, int32_t timeout_ms);

/* A descriptor for poll(2), epoll(7), select(2): readable (POLLIN, not POLLOUT) while there may be room:
 * until a send or reserve with timeout_ms 0 has returned SHMDEMO_BUSY, and again from when half of the
 * ring is free (or, for long messages, room for two), or there is a removal to hear of. As for the
 * rest: see shmdemo_consumer_fd(). 0 or above: the descriptor. Errors: those there. */
int shmdemo_producer_fd(shmdemo_producer *producer);

/* Ends this producer's wait, now or the next one, with SHMDEMO_WOKEN. From any thread or signal
 * handler. NULL is allowed. */
void shmdemo_producer_wake(const shmdemo_producer *producer);

/* The number of the lane, 0 to 31, and the longest message of the channel in bytes.
 * Errors: SHMDEMO_USAGE. */
int shmdemo_producer_lane(shmdemo_producer *producer);
int shmdemo_producer_max_message(shmdemo_producer *producer);

/* ---- receiving -------------------------------------------------------------- */

typedef struct shmdemo_consumer shmdemo_consumer;

#define SHMDEMO_KIND_DATA 1u /* a message */
#define SHMDEMO_KIND_END 2u  /* a producer's End record; its bytes are the end word */

/* The same as an enum. */
enum shmdemo_kind {
	SHMDEMO_RECORD_DATA = SHMDEMO_KIND_DATA,
	SHMDEMO_RECORD_END = SHMDEMO_KIND_END
};

/* One record. This struct does not grow within one SONAME. */
struct shmdemo_record {
	const void *data; /* its first byte, 8-byte aligned in the segment; or the buffer */
	size_t len;       /* bytes, 0 to the channel's max_message */
	uint32_t kind;    /* SHMDEMO_KIND_DATA or SHMDEMO_KIND_END */
	uint32_t lane;    /* the lane it came through, 0 to 31: order is kept within a lane */
};

/* Opens the channel, which is created if need be, and claims the server role. options may be
 * NULL. timeout_ms bounds the wait for the channel with SHMDEMO_NO_CREATE; for the role nobody
 * waits. *consumer is NULL after an error.
 * Errors: SHMDEMO_BUSY (the text names the pid of the server there is), and those of
 * shmdemo_producer_open(). */
SHMDEMO_MUST_CHECK int shmdemo_consumer_open(shmdemo_consumer **consumer,
					     const struct shmdemo_options *options,
					     int32_t timeout_ms);

/* Gives the role back, detaches and frees. What was not released stays for the next consumer, and
 * what was only peeked at comes again. NULL is allowed. */
void shmdemo_consumer_close(shmdemo_consumer *consumer);

/* Waits for a record that was not peeked at yet. 1: there is one; 0: none in time. An idle wait uses
 * no processor time. Records may be held meanwhile, but a producer whose ring they fill waits, too.
 * Errors: SHMDEMO_USAGE (where shmdemo_consumer_must_release() is 1), SHMDEMO_WOKEN,
 * SHMDEMO_UNAVAILABLE, SHMDEMO_NOT_OURS. */
int shmdemo_consumer_wait(shmdemo_consumer *consumer, int32_t timeout_ms);

/* A descriptor for poll(2), epoll(7), select(2): readable (POLLIN) while there may be something to peek
 * at, or an error or a removal to hear of: until shmdemo_consumer_peek() has returned 0, and again from
 * when there is. Level-triggered: records may be left for the next turn; with EPOLLET peek until there
 * are none, and where shmdemo_consumer_must_release() is 1, release and peek on. It may be readable
 * once more than needed, and is once after shmdemo_consumer_wake(). The consumer waits as before, too.
 * The descriptor is the library's: neither read, write nor close it; take it out of the event loop before
 * shmdemo_consumer_close(), which closes it.
 * The first call starts a thread (32 KiB of stack, all signals blocked), which sleeps in this one's
 * stead; who never calls this has none. After fork(2) it is the parent's alone, as the role is.
 * 0 or above: the descriptor. Errors: SHMDEMO_USAGE, SHMDEMO_CANT_CREATE (no descriptor or no thread to
 * be had: EMFILE, EAGAIN). */
int shmdemo_consumer_fd(shmdemo_consumer *consumer);

/* Looks at the next record of any lane, in turn, without copying it. 1: it is in *record and
 * valid until the release; 0: there is none, or shmdemo_consumer_must_release().
 * Errors: SHMDEMO_USAGE, SHMDEMO_NOT_OURS: a lane is damaged, which the text names with the field,
 * once; it is set aside, what was in it is lost, and the next call goes on with the others. It comes
 * back when its next producer has made it anew. */
SHMDEMO_MUST_CHECK int shmdemo_consumer_peek(shmdemo_consumer *consumer, struct shmdemo_record *record);

/* Releases all records peeked at: they leave the channel, and producers that wait for room are
 * woken. Errors: SHMDEMO_USAGE. */
int shmdemo_consumer_release(shmdemo_consumer *consumer);

/* Releases the count oldest of the records peeked at, or all if there are fewer; the others stay
 * valid, and more can be peeked at. Errors: SHMDEMO_USAGE, SHMDEMO_NOT_OURS: a producer changed what
 * was peeked at, and its lane is set aside; the others' records are released. */
SHMDEMO_MUST_CHECK int shmdemo_consumer_release_first(shmdemo_consumer *consumer, size_t count);

/* Goes back to the oldest record that is not released: what was peeked at since comes again, in order
 * within its lane. Errors: SHMDEMO_USAGE. */
int shmdemo_consumer_rewind(shmdemo_consumer *consumer);

/* How many records were peeked at and not released, 0 or above. Errors: SHMDEMO_USAGE. */
int shmdemo_consumer_held(shmdemo_consumer *consumer);

/* 1: there is a record which the last peek did not give, since between the oldest one held and it lie
 * more changes of lane than options.lane_changes: release some. 0: not so. Errors: SHMDEMO_USAGE. */
int shmdemo_consumer_must_release(shmdemo_consumer *consumer);

/* Waits for a record, copies it to buffer and releases it. 1: done, record->data is buffer;
 * 0: none in time. A process killed in here loses nothing that it has not returned from.
 * Errors: SHMDEMO_TOO_LONG (record->len is larger than size; the record stays), SHMDEMO_USAGE (records
 * were peeked at and not released), and those of shmdemo_consumer_wait(). */
SHMDEMO_MUST_CHECK int shmdemo_consumer_receive(shmdemo_consumer *consumer, void *buffer,
						size_t size, struct shmdemo_record *record,
						int32_t timeout_ms);

/* The way to end a channel, without losing a message: shmdemo_consumer_closing() tells the
 * producers and looks at nothing that is sent after it; then peek and release what there is;
 * then shmdemo_consumer_remove(); then close.
 * Errors: SHMDEMO_USAGE, SHMDEMO_NOT_OURS. */
int shmdemo_consumer_closing(shmdemo_consumer *consumer);

/* Removes segment and semaphores (IPC_RMID), whatever is in them.
 * Errors: SHMDEMO_PERMISSION, SHMDEMO_USAGE. */
int shmdemo_consumer_remove(shmdemo_consumer *consumer);

/* Ends this consumer's wait, now or the next one, with SHMDEMO_WOKEN. From any thread or signal
 * handler. NULL is allowed. */
void shmdemo_consumer_wake(const shmdemo_consumer *consumer);

/* ---- looking and mending ---------------------------------------------------- */

#define SHMDEMO_MAX_LANES 32

/* In the place of a pid: nobody has the role. 0: somebody outside of this pid namespace. */
#define SHMDEMO_NOBODY (-1)

/* One lane. Counts are of the channel's whole life and wrap at 2^32. */
struct shmdemo_lane_status {
	int32_t pid;               /* its producer, or SHMDEMO_NOBODY */
	uint32_t sent;             /* messages sent */
	uint32_t received;         /* messages released by consumers */
	uint32_t queued_bytes;     /* bytes in the ring, headers included */
	uint32_t refused;          /* messages given up since there was no room in time */
	uint32_t too_long;         /* messages not sent since they were too long */
	uint32_t high_water_bytes; /* most bytes that ever were in the ring */
	uint32_t set_aside;        /* 1: damaged, and looked at no more until made anew */
};

struct shmdemo_status {
	uint32_t size;           /* as given to shmdemo_status_read */
	int32_t key;             /* IPC key */
	int32_t id;              /* the kernel's number of the segment, as in ipcs -m */
	uint32_t uid, gid, mode; /* owner, group, nine bits of mode */
	uint32_t segment_bytes;  /* size of the segment */
	uint32_t attached;       /* attaches, the look's own not counted */
	uint32_t layout_version; /* of the segment */
	uint32_t ring_bytes;     /* bytes of each lane's ring */
	uint32_t max_message;    /* longest message in bytes */
	int32_t server_pid;      /* the consumer, or SHMDEMO_NOBODY */
	uint32_t rmid_forced;    /* 1: kernel.shm_rmid_forced is set, and the segment goes, with what is in
	                            it, as soon as nobody is attached; else 0 */
	uint32_t lanes;          /* how many of lane[] there are */
	struct shmdemo_lane_status lane[SHMDEMO_MAX_LANES];
};

/* Looks at a channel through a read-only attach, without taking part in it or changing it.
 * size is sizeof(struct shmdemo_status). Of options only key and owner count; NULL is allowed.
 * Errors: SHMDEMO_UNAVAILABLE (no channel), SHMDEMO_PERMISSION, SHMDEMO_NOT_OURS, SHMDEMO_BUSY (who
 * creates it has stopped halfway), SHMDEMO_USAGE. */
int shmdemo_status_read(const struct shmdemo_options *options, struct shmdemo_status *status,
			size_t size);

/* flags: remove it even if somebody uses it or it is damaged. */
#define SHMDEMO_FORCE 1u

/* Removes segment and semaphores (IPC_RMID). Of options only key and owner count.
 * Errors: SHMDEMO_BUSY (somebody has a role; the text names the pid), SHMDEMO_UNAVAILABLE (there
 * is none), SHMDEMO_PERMISSION, SHMDEMO_NOT_OURS, SHMDEMO_USAGE. */
int shmdemo_remove(const struct shmdemo_options *options, uint32_t flags);

#ifdef __cplusplus
}
#endif

#endif
