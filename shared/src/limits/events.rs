//! Bounds of what the tracker tells its members by itself.

use std::time::Duration;

/// Interval at which the tracker looks whether its clock was set, and the difference that counts as that.
pub const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// See [`CLOCK_LOOK`].
pub const CLOCK_JUMP: Duration = Duration::from_secs(5);
/// Events waiting for one reader before it is told to resynchronise: what half a second of a storm brings, when all
/// members come back after a restart.
pub const EVENTS_WAITING_MAX: usize = 1024;
/// Time in which changes of presence and index gather before the members are told, so that a storm of them is one
/// message.
pub const EVENTS_GATHER: Duration = Duration::from_millis(50);
/// Time between two steps of a round in which all members are told something. In between, messages pass.
pub const EVENTS_ROUND_STEP: Duration = Duration::from_millis(10);
/// Steps of such a round at most: everyone is told within half a second, and each device wakes twice a second at most.
pub const EVENTS_ROUND_STEPS_MAX: usize = 50;
/// Listeners that are told in one step at least: a millisecond's work, and all of a small group at once.
pub const EVENTS_STEP_LISTENERS_MIN: usize = 20;
/// Bytes of events that are written to a listener together before more are looked for.
pub const EVENTS_WRITE_BYTES: usize = 16 * 1024;
