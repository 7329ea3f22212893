//! Where the cursor stands in a list and which part of it is on screen.

/// Cursor and scroll of one list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct List {
    /// Index of the selected item.
    pub cursor: usize,
    /// Index of the first visible item.
    pub top: usize,
}

/// A step through a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
}

impl List {
    /// Moves the cursor through `len` items, `height` of which are visible.
    pub fn step(&mut self, step: Step, len: usize, height: usize) {
        let page = height.saturating_sub(1).max(1);
        let cursor = match step {
            Step::Down => self.cursor.saturating_add(1),
            Step::Up => self.cursor.saturating_sub(1),
            Step::PageDown => self.cursor.saturating_add(page),
            Step::PageUp => self.cursor.saturating_sub(page),
            Step::First => 0,
            Step::Last => usize::MAX,
        };
        self.cursor = cursor.min(len.saturating_sub(1));
        self.settle(len, height);
    }

    /// Scrolls by `lines`, taking the cursor along only where it would leave the screen.
    pub fn scroll(&mut self, lines: isize, len: usize, height: usize) {
        let top_max = len.saturating_sub(height);
        self.top = self.top.saturating_add_signed(lines).min(top_max);
        self.cursor =
            self.cursor.clamp(self.top, (self.top + height.max(1) - 1).min(len.saturating_sub(1)).max(self.top));
        self.settle(len, height);
    }

    /// Keeps cursor and scroll inside `len` items and the cursor on screen, moving as little as possible.
    pub fn settle(&mut self, len: usize, height: usize) {
        self.cursor = self.cursor.min(len.saturating_sub(1));
        self.top = self.top.min(len.saturating_sub(height));
        if self.cursor < self.top {
            self.top = self.cursor;
        } else if height > 0 && self.cursor >= self.top + height {
            self.top = self.cursor + 1 - height;
        }
    }

    /// Puts the cursor on `cursor` and keeps its place on screen where possible.
    pub fn follow(&mut self, cursor: usize) {
        let line = self.cursor.saturating_sub(self.top);
        self.cursor = cursor;
        self.top = cursor.saturating_sub(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_cursor_stays_in_the_list_and_on_screen(
            len in 0_usize..50, height in 1_usize..20, steps in proptest::collection::vec(0_u8..8, 0..60),
        ) {
            let mut list = List::default();
            for step in steps {
                match step {
                    0 => list.step(Step::Down, len, height),
                    1 => list.step(Step::Up, len, height),
                    2 => list.step(Step::PageDown, len, height),
                    3 => list.step(Step::PageUp, len, height),
                    4 => list.step(Step::First, len, height),
                    5 => list.step(Step::Last, len, height),
                    6 => list.scroll(3, len, height),
                    _ => list.scroll(-3, len, height),
                }
                prop_assert!(list.cursor < len.max(1));
                prop_assert!(list.top <= list.cursor && list.cursor < list.top + height);
            }
        }
    }

    #[test]
    fn an_item_that_moves_keeps_its_line_on_screen() {
        let mut list = List { cursor: 12, top: 10 };
        list.follow(30);
        assert_eq!(list, List { cursor: 30, top: 28 });
    }
}
