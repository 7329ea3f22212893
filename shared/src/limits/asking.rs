//! Bounds of standing searches, and of requests for folders.

use std::time::Duration;

/// Standing searches of a device: each is compared with every file that appears.
pub const WISHES_MAX: usize = 100;
/// Matches that a standing search remembers, so as not to tell of them twice: one that matches more is no help.
pub const WISH_MATCHES_MAX: usize = 10_000;
/// Matches that are fetched at a time: of the places for large transfers one is left to what a person asks for.
pub const WISH_FETCHES_MAX: usize = 2;
/// Matches that are fetched in a day: whoever shares a folder of thousands does not fill somebody's disk overnight.
pub const WISH_FETCHES_A_DAY_MAX: usize = 200;
/// What counts as a day there.
pub const WISH_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes that fetching matches leaves free on the disk, for what a person does there.
pub const WISH_ROOM_MIN: u64 = 1 << 30;
/// Matches that are told or ruled on in one go, so that a flood of them pushes nothing else out of the news.
pub const WISH_TOLD_MAX: usize = 50;
/// How often matches are looked at that wait for room or for their turn.
pub const WISH_LOOK: Duration = Duration::from_secs(30);
/// Time that a new standing search waits for this device's index to agree with the tracker's.
pub const WISH_INDEX_WAIT: Duration = Duration::from_secs(60);
/// Files of a folder that are asked for together: its owner gets a request for each.
pub const FOLDER_REQUESTS_MAX: usize = 200;
