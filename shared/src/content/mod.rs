//! Content as groups of 16 KiB below a BLAKE3 tree: geometry, sets of groups, verification. Pure: no disk, no socket.

mod check;
mod difference;
mod groups;
mod layout;

pub use check::{CheckError, Checker, Step, verify_present};
pub use difference::{Comparison, HashPlace, TreeStep};
pub use groups::GroupSet;
pub use layout::{BLOCK_SIZE, Layout, LayoutError, ParentNode, Tree, tree_above, tree_of};
