//! Which part of the window holds what. Pure arithmetic on the window's size, shared by update (how far to scroll) and
//! view (where to draw).

use ratatui::layout::Rect;

use super::Tab;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Below 40x8: one sentence.
    TooSmall,
    /// One line per item.
    Pocket,
    /// The important columns.
    Narrow,
    /// All columns and a strip of details.
    Strip,
    /// List above, details in two halves below.
    Split,
}

impl Shape {
    /// The shape for a window of this size.
    #[must_use]
    pub const fn of(width: u16, height: u16) -> Self {
        match (width, height) {
            (0..40, _) | (_, 0..8) => Self::TooSmall,
            (40..60, _) | (_, 8..16) => Self::Pocket,
            (60..80, _) => Self::Narrow,
            (120.., 30..) => Self::Split,
            _ => Self::Strip,
        }
    }
}

/// The parts of the window; absent parts have no height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    pub shape: Shape,
    /// Tabs and connection.
    pub tabs: Rect,
    /// Views of the tab, sort order, marks.
    pub views: Rect,
    /// Where in the tree, or the filter.
    pub place: Rect,
    /// Column titles.
    pub head: Rect,
    pub list: Rect,
    /// What a newcomer should know, with the rule above it.
    pub tip: Rect,
    /// Details of the selected item, with the rule above them.
    pub detail: Rect,
    /// The rule above the messages.
    pub rule: Rect,
    pub message: Rect,
    pub hints: Rect,
}

/// What decides the parts besides the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    pub tab: Tab,
    /// Whether there is a place or filter to show.
    pub place: bool,
    /// Whether the list shall have the whole screen.
    pub zoom: bool,
    /// Whether there is a tip to show.
    pub tip: bool,
    /// Whether there is an item to show details of.
    pub detail: bool,
}

/// Divides a window.
#[must_use]
pub fn areas(width: u16, height: u16, wishes: Wishes) -> Areas {
    let shape = Shape::of(width, height);
    let roomy = shape >= Shape::Narrow;
    let detail_height = match (shape, wishes.tab) {
        _ if wishes.zoom || !wishes.detail => 0,
        (_, Tab::Chat) => 0,
        (Shape::Strip, _) | (Shape::Split, Tab::Members) => 4,
        (Shape::Split, Tab::Files | Tab::Inbox) => 11,
        (Shape::Split, Tab::Transfers) => (height / 2 + 2).min(24),
        (Shape::TooSmall | Shape::Pocket | Shape::Narrow, _) => 0,
    };
    let mut cut = Cut { rest: Rect::new(0, 0, width, height) };
    let tabs = cut.top(1);
    let views = cut.top(u16::from(roomy));
    let place = cut.top(u16::from(wishes.place));
    let head = cut.top(u16::from(roomy));
    let hints = cut.bottom(1);
    let message = cut.bottom(u16::from(roomy));
    let rule = cut.bottom(u16::from(roomy));
    let detail = cut.bottom(detail_height);
    let tip = cut.bottom(if wishes.tip && roomy { 4 } else { 0 });
    // The conversation stands beside the rooms.
    let rooms = match (wishes.tab, shape) {
        (Tab::Chat, Shape::Narrow) => 18,
        (Tab::Chat, Shape::Strip) => 22,
        (Tab::Chat, Shape::Split) => 30,
        _ => width,
    };
    let list = Rect { width: rooms.min(width), ..cut.rest };
    Areas { shape, tabs, views, place, head, list, tip, detail, rule, message, hints }
}

/// What is left beside the list of a window of this width, with a line between the two.
#[must_use]
pub fn beside(areas: &Areas, width: u16) -> Rect {
    let x = areas.list.right().saturating_add(1).min(width);
    Rect { x, width: width - x, ..areas.list }
}

/// Columns before the text of a message: the time and the name.
pub const TALK_INDENT: usize = 16;

struct Cut {
    rest: Rect,
}

impl Cut {
    fn top(&mut self, height: u16) -> Rect {
        let height = height.min(self.rest.height);
        let cut = Rect { height, ..self.rest };
        self.rest = Rect { y: self.rest.y + height, height: self.rest.height - height, ..self.rest };
        cut
    }

    fn bottom(&mut self, height: u16) -> Rect {
        let height = height.min(self.rest.height);
        self.rest.height -= height;
        Rect { y: self.rest.y + self.rest.height, height, ..self.rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_divided_without_gap_or_overlap() {
        for width in [1, 39, 40, 60, 80, 120, 300] {
            for height in [1, 7, 8, 12, 16, 24, 30, 100] {
                for tab in Tab::ALL {
                    let areas = areas(width, height, Wishes { tab, place: true, zoom: false, tip: true, detail: true });
                    let parts = [areas.tabs, areas.views, areas.place, areas.head, areas.list];
                    let parts =
                        parts.into_iter().chain([areas.tip, areas.detail, areas.rule, areas.message, areas.hints]);
                    let mut y = 0;
                    for part in parts {
                        if part.height > 0 {
                            assert_eq!(part.y, y, "{width}x{height} {areas:?}");
                            y += part.height;
                        }
                    }
                    assert_eq!(y, height);
                }
            }
        }
    }
}
