//! Bounds of files that are protected by a password.

/// Work of making a file's key from its password (scrypt, RFC 7914), as a power of two: 128 MiB and half a second, what
/// OWASP recommends.
pub const SEAL_WORK: u8 = 17;
/// The most of it that a file may ask for: its header comes from another machine. 256 MiB, what the `age` tool asks for.
pub const SEAL_WORK_MAX: u8 = 18;
/// Bytes that the header of a protected file lies within: one line for the password, one for the check.
pub const SEAL_HEADER_BYTES_MAX: usize = 1024;
/// KiB of memory for making a file's proof key from its password (Argon2id, RFC 9106): its second recommendation.
pub const PROOF_MEMORY_KIB: u32 = 64 * 1024;
/// Passes over it.
pub const PROOF_PASSES: u32 = 3;
/// Random bytes that make the same password another key for another file.
pub const LOCK_SALT_BYTES: usize = 16;
/// Files that are protected at a time: each takes half a second, so these take a few minutes.
pub const PROTECTED_AT_ONCE_MAX: usize = 1000;
/// Protected files whose password an engine remembers until they are there.
pub const PASSWORDS_HELD_MAX: usize = 4096;
/// Times that an engine asks what else locks a file before it gives up: its own lock, and that of the file it came from.
pub const PROOF_ROUNDS_MAX: usize = 4;
