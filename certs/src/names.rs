//! Names written into certificates. The host names are constants that are never resolved: the name in a first packet
//! is readable by anyone, so it tells nothing.

/// Server name of every tracker.
pub const TRACKER_NAME: &str = "tracker.swapmeet.invalid";
/// Server name of every device.
pub const PEER_NAME: &str = "peer.swapmeet.invalid";
/// What the URI naming a member begins with; 32 lower-case hexadecimal digits follow.
pub const ACCOUNT_URI: &str = "swapmeet:account:";
/// What the URI naming a device begins with; 32 lower-case hexadecimal digits follow.
pub const DEVICE_URI: &str = "swapmeet:device:";
