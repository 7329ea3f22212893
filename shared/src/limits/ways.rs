//! Bounds of the ways to a member and to the tracker.

use std::time::Duration;

// Where UDP is blocked

/// Bytes that wait in either direction at one end of a tunnel: enough to keep a fast line busy between two turns, and
/// little to wait behind on a slow one.
pub const TUNNEL_AHEAD_BYTES: usize = 128 * 1024;
/// Bytes read from a tunnel's stream in one go: a few TLS records.
pub const TUNNEL_READ_BYTES: usize = 64 * 1024;
/// Datagrams that a connection hands to a tunnel together, as it does to a kernel.
pub const TUNNEL_SEGMENTS_MAX: usize = 10;
/// Datagrams that an endpoint takes from a tunnel together: more would only touch more of its buffer.
pub const TUNNEL_DATAGRAMS_AT_ONCE: usize = 8;
/// Handshakes that may wait at the tracker's end of one tunnel: a device makes one.
pub const TUNNEL_INCOMING_MAX: usize = 4;
/// Silence after which a tunnel is closed. QUIC in it keeps alive every 10 s and gives up after 30 s.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(45);
/// Time in which the other end of a tunnel takes what was sent: QUIC in it has given up by then.
pub const TUNNEL_WRITE: Duration = Duration::from_secs(30);
/// Connections that the tracker's web port holds: members who have no UDP.
pub const WEB_CONNECTIONS_MAX: usize = 1024;
/// Connections to the web port from one address: the people of one office, whose firewall blocks UDP.
pub const WEB_CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// Connections to the web port that have not made a request yet. They hold a place for some seconds only.
pub const WEB_NEWCOMERS_MAX: usize = 128;
/// The same from one address, so that one cannot take all of them.
pub const WEB_NEWCOMERS_PER_ADDRESS_MAX: usize = 32;
/// Time for a TLS handshake at the web port, and again for the whole of a request with its answer.
pub const WEB_REQUEST: Duration = Duration::from_secs(10);
/// Pause after a connection to the web port could not be taken, which is for want of file handles.
pub const WEB_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's head: ours are a few hundred, a browser's a few thousand.
pub const WEB_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request.
pub const WEB_HEADERS_MAX: usize = 64;
/// Head start of UDP before the tracker's web port is tried too: several lost packets, less than people wait.
pub const WEB_AFTER: Duration = Duration::from_millis(2500);
/// The same where UDP was blocked the last time.
pub const WEB_AFTER_BLOCKED: Duration = Duration::from_millis(400);
/// First wait before UDP is tried again while it is blocked; it doubles.
pub const UDP_AGAIN_MIN: Duration = Duration::from_secs(15);
/// Longest wait before UDP is tried again while it is blocked.
pub const UDP_AGAIN_MAX: Duration = Duration::from_secs(5 * 60);
/// How often a device without UDP looks whether it is on another network, where UDP may get through.
pub const NETWORK_LOOK: Duration = Duration::from_secs(5);

// Relay

/// Opened bytes for which a sealed stream makes room at a time: a few of TLS's records of 16 KiB.
pub const SEALED_READ_BYTES: usize = 64 * 1024;
/// Time after which a relayed stream is asked for while a direct connection is still being tried: longer than a dial
/// across the world takes, shorter than a person notices as a fault.
pub const RELAY_AFTER: Duration = Duration::from_millis(1500);
/// Wait before a direct connection is tried again while a relay works; it doubles.
pub const DIRECT_AGAIN_MIN: Duration = Duration::from_secs(60);
/// Longest such wait: a relay costs the tracker, a try costs a few packets.
pub const DIRECT_AGAIN_MAX: Duration = Duration::from_secs(5 * 60);
/// Wait before another try when something may have changed, such as an address: changes come in storms.
pub const DIRECT_AGAIN_CHANGED: Duration = Duration::from_secs(10);
/// Wait before the tracker is asked for a relay again after it said that it has none to give.
pub const RELAY_ASK_AGAIN: Duration = Duration::from_secs(60);
/// Time for the far end of a relay to take it.
pub const RELAY_OPEN: Duration = Duration::from_secs(5);
/// Silence of both ends after which a relay is over.
pub const RELAY_IDLE: Duration = Duration::from_secs(60);
/// Relays of a tracker at a time. Each may hold a stream's window of what its reader does not take: together 64 MiB.
pub const RELAYS_MAX: usize = 32;
/// Relays that end at one device: its large transfers and batches, from several sources each.
pub const RELAYS_PER_DEVICE_MAX: usize = 8;
/// Received pieces that are relayed in one step: some packets' worth, so that turns change often.
pub const RELAY_PIECES_MAX: usize = 32;
/// Relays that a member may ask for at once: those of some devices that come back together.
pub const RELAY_ASKS_AT_ONCE: u32 = 32;
/// Time after which a member may ask for one more: each file of a few megabytes is a stream of its own.
pub const RELAY_ASK_EVERY: Duration = Duration::from_millis(100);
/// Members whose relayed bytes of the day are remembered: more would be strangers who register to escape the limit.
pub const RELAY_ACCOUNTS_MAX: usize = 100_000;
/// Bytes relayed for one member in a day, unless set otherwise: a few films, not a mirror of a disk.
pub const RELAY_BYTES_PER_DAY: u64 = 20 << 30;
/// Bytes a second of all relays of a tracker, unless set otherwise: a fifth of a common server's line, both ways.
pub const RELAY_RATE: u64 = 25 << 20;
/// Time whose share of the rate may go at once after a pause: short, so that replies of the tracker do not wait.
pub const RELAY_BURST: Duration = Duration::from_millis(100);
// Reaching a member

/// Connections to the tracker's second port at a time: each lasts a moment.
pub const PROBES_AT_ONCE_MAX: usize = 512;
/// Time that a connection to the tracker's second port may last: a handshake, a question, and the wait for a meeting.
pub const PROBE_LIFE: Duration = Duration::from_secs(8);
/// Time for a device to learn something at the tracker's second port; without an answer it goes on unknowing.
pub const PROBE_WAIT: Duration = Duration::from_secs(3);
/// Time that one side of a meeting from fresh sockets waits for the other: a round trip and a handshake.
pub const MEETING_WAIT: Duration = Duration::from_millis(1500);
/// Meetings under way at a tracker: with their two tokens some 200 bytes each.
pub const MEETINGS_MAX: usize = 4096;
/// Introductions that one device may ask for in a minute: a download from every source there can be, twice over.
pub const INTRODUCTIONS_ASKED_MAX: u32 = 60;
/// Introductions that a device is asked to take part in each minute: it sends two dozen packets for each.
pub const INTRODUCTIONS_TAKEN_MAX: u32 = 120;
/// Introductions of one pair in a minute: three times both attempts.
pub const INTRODUCTIONS_OF_PAIR_MAX: u32 = 6;
/// Time over which introductions are counted.
pub const INTRODUCTIONS_WINDOW: Duration = Duration::from_secs(60);
/// Added to the farther side's distance from the tracker: what a busy machine takes to act on a message.
pub const INTRODUCTION_MARGIN: Duration = Duration::from_millis(20);
/// Longest wait for a common start that is obeyed: the distance of a satellite, and more.
pub const INTRODUCTION_START_MAX: Duration = Duration::from_secs(2);
/// Introductions that a device acts on at a time.
pub const INTRODUCTIONS_AT_ONCE_MAX: usize = 32;
/// Head start of a plain dial before an introduction is asked for: what a round trip on most paths takes, twice.
pub const INTRODUCE_AFTER_MIN: Duration = Duration::from_millis(250);
/// The same where the tracker is far, and so the member may be.
pub const INTRODUCE_AFTER_MAX: Duration = Duration::from_secs(1);
/// Packets that open a NAT: this far apart at first, when the moment counts.
pub const PUNCH_STEP_FIRST: Duration = Duration::from_millis(25);
/// How many of them.
pub const PUNCHES_FIRST: u32 = 10;
/// After these, this far apart.
pub const PUNCH_STEP: Duration = Duration::from_millis(150);
/// Time that an attempt lasts from the common start. A hole opens within two round trips or not at all; going on for
/// longer would keep the wrong entries of a confused NAT alive.
pub const PUNCH_LIFE: Duration = Duration::from_secs(3);
/// Bytes of such a packet: QUIC answers packets of up to 21 bytes with nothing (RFC 9000, section 10.3).
pub const PUNCH_BYTES: usize = 16;
/// Time for which a pair that could not meet is not tried again: longer than a transfer waits, short enough that a
/// changed network is noticed.
pub const VERDICT_LIFE: Duration = Duration::from_secs(10 * 60);
/// Time for which a router is asked to let members in; half of it later it is asked again.
pub const PORT_MAPPING_LIFE: Duration = Duration::from_secs(30 * 60);
/// First wait for a router's answer, which is one hop away; each further one is twice as long (RFC 6887, section 8.1.1,
/// begins with 3 s).
pub const PORT_MAPPING_WAIT: Duration = Duration::from_millis(500);
/// Further requests to a router that is silent: most know neither protocol.
pub const PORT_MAPPING_RETRIES: usize = 3;
/// Pause after a router did not let members in: it may have been restarting.
pub const PORT_MAPPING_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Pairs whose failure to meet is remembered.
pub const VERDICTS_MAX: usize = 1024;
/// Fresh sockets that connections of second attempts live on.
pub const FRESH_SOCKETS_MAX: usize = 16;
/// Age up to which two connections of one pair count as made at the same time: the life of an attempt and its dial.
pub const SIMULTANEOUS: Duration = Duration::from_secs(8);
/// Time in which the other end of a connection that may be dead answers: there is a newer one, or this device has
/// another address.
pub const ALIVE_WAIT: Duration = Duration::from_secs(1);
/// Time without stream data after which the spare one of two connections of a pair is closed.
pub const SPARE_IDLE: Duration = Duration::from_secs(15);
/// Time in which changes of this machine's addresses gather: a network comes up in several steps.
pub const NETWORK_GATHER: Duration = Duration::from_millis(200);
/// Interval at which the clock is compared with the time that has passed, to notice that the machine has slept.
pub const SLEEP_CHECK: Duration = Duration::from_secs(2);
/// Difference by which it has.
pub const SLEEP_MIN: Duration = Duration::from_secs(10);
/// Time in which the tracker answers after a change of the network before the connection to it is given up.
pub const NETWORK_ANSWER: Duration = Duration::from_millis(2500);
/// Bytes of one message of the kernel about addresses.
pub const NETLINK_BYTES_MAX: usize = 32 * 1024;
