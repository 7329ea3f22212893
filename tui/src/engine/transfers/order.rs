//! The order of the queue: who begins first, who makes room, and what changes when a person moves something.

use std::cmp::Reverse;

use crate::engine::api::{Priority, Rank};

/// A transfer's place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub priority: Priority,
    /// Among those of its priority: the lower, the sooner.
    pub place: i64,
    pub created_ms: i64,
}

/// Puts transfers into the order in which they are to begin.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| (Reverse(entry.priority), entry.place, entry.created_ms, entry.id));
}

/// Moves one of them; returns those that have another place or priority by that.
pub fn moved(mut entries: Vec<Entry>, id: i64, rank: Rank) -> Vec<Entry> {
    sort(&mut entries);
    let before = entries.clone();
    let Some(index) = entries.iter().position(|entry| entry.id == id) else { return Vec::new() };
    let mut entry = entries.remove(index);
    let last = entries.len();
    let to = match rank {
        Rank::Priority(_) | Rank::Raise | Rank::Lower => {
            entry.priority = match rank {
                Rank::Priority(priority) => priority,
                Rank::Raise => entry.priority.raised(),
                _ => entry.priority.lowered(),
            };
            // Its place in the order of coming stays what it was.
            entries.insert(index, entry);
            sort(&mut entries);
            return changes(&before, &entries);
        }
        Rank::First => 0,
        Rank::Last => last,
        Rank::Forward(places) => {
            let to = i64::try_from(index).unwrap_or(i64::MAX).saturating_sub(i64::from(places));
            usize::try_from(to).unwrap_or(0).min(last)
        }
    };
    // Among others it counts as one of them.
    if to <= index
        && let Some(behind) = entries.get(to)
    {
        entry.priority = entry.priority.max(behind.priority);
    } else if let Some(ahead) = to.checked_sub(1).and_then(|ahead| entries.get(ahead)) {
        entry.priority = entry.priority.min(ahead.priority);
    }
    entries.insert(to, entry);
    for (entry, place) in entries.iter_mut().zip(1..) {
        entry.place = place;
    }
    changes(&before, &entries)
}

/// Running transfers that are to make room, because others matter more and all places are taken. A place among those
/// that run is worth more than a place in the queue: only a higher priority makes anybody go.
pub fn to_give_way(running: &[Entry], already: usize, queued: &[Entry]) -> Vec<i64> {
    let (mut running, mut queued) = (running.to_vec(), queued.to_vec());
    sort(&mut running);
    sort(&mut queued);
    let pairs = running.iter().rev().zip(queued.iter().skip(already));
    pairs.take_while(|(runs, waits)| waits.priority > runs.priority).map(|(runs, _)| runs.id).collect()
}

fn changes(before: &[Entry], after: &[Entry]) -> Vec<Entry> {
    after.iter().filter(|entry| !before.contains(entry)).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Priority::{High, Low, Normal};

    fn entry(id: i64, priority: Priority) -> Entry {
        Entry { id, priority, place: id, created_ms: 0 }
    }

    fn queue() -> Vec<Entry> {
        vec![entry(5, Low), entry(3, Normal), entry(2, Normal), entry(4, Normal), entry(1, High)]
    }

    /// The order after a move.
    fn after(entries: &[Entry], id: i64, rank: Rank) -> Vec<Entry> {
        let mut entries = entries.to_vec();
        for changed in moved(entries.clone(), id, rank) {
            *entries.iter_mut().find(|entry| entry.id == changed.id).unwrap() = changed;
        }
        sort(&mut entries);
        entries
    }

    fn ids(entries: &[Entry]) -> Vec<i64> {
        entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn what_matters_more_comes_first_and_then_what_came_first() {
        let mut entries = queue();
        sort(&mut entries);
        assert_eq!(ids(&entries), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_priority_puts_it_among_its_own_in_the_order_of_coming() {
        assert_eq!(ids(&after(&queue(), 5, Rank::Raise)), [1, 2, 3, 4, 5]);
        assert_eq!(ids(&after(&queue(), 3, Rank::Raise)), [1, 3, 2, 4, 5]);
        assert_eq!(ids(&after(&queue(), 2, Rank::Priority(Low))), [1, 3, 4, 2, 5]);
        assert_eq!(moved(queue(), 1, Rank::Raise), []);
        assert_eq!(moved(queue(), 5, Rank::Lower), []);
        assert_eq!(moved(queue(), 99, Rank::First), []);
    }

    #[test]
    fn first_and_last_are_before_and_behind_all() {
        let first = after(&queue(), 5, Rank::First);
        assert_eq!((ids(&first), first[0].priority), (vec![5, 1, 2, 3, 4], High));
        let last = after(&queue(), 1, Rank::Last);
        assert_eq!((ids(&last), last[4].priority), (vec![2, 3, 4, 5, 1], Low));
    }

    #[test]
    fn steps_go_as_far_as_there_are_places_and_take_the_priority_of_the_company() {
        assert_eq!(ids(&after(&queue(), 3, Rank::Forward(1))), [1, 3, 2, 4, 5]);
        let forward = after(&queue(), 3, Rank::Forward(9));
        assert_eq!((ids(&forward), forward[0].priority), (vec![3, 1, 2, 4, 5], High));
        let back = after(&queue(), 3, Rank::Forward(-2));
        assert_eq!((ids(&back), back[4].priority), (vec![1, 2, 4, 5, 3], Low));
    }

    #[test]
    fn only_what_matters_less_makes_room_and_the_last_of_it_first() {
        let running = [entry(1, Normal), entry(2, Low), entry(3, Normal)];
        assert_eq!(to_give_way(&running, 0, &[entry(9, Normal)]), [2]);
        assert_eq!(to_give_way(&running, 0, &[entry(8, High), entry(9, High)]), [2, 3]);
        assert_eq!(to_give_way(&running, 0, &[entry(9, Low)]), [0; 0]);
        assert_eq!(to_give_way(&running[..1], 1, &[entry(8, High), entry(9, Low)]), [0; 0]);
    }

    fn any_rank() -> impl Strategy<Value = Rank> {
        prop_oneof![
            prop_oneof![Just(High), Just(Normal), Just(Low)].prop_map(Rank::Priority),
            Just(Rank::Raise),
            Just(Rank::Lower),
            Just(Rank::First),
            Just(Rank::Last),
            (-6..6_i32).prop_map(Rank::Forward),
        ]
    }

    proptest! {
        /// Whatever is moved, the others keep their order among themselves, and no place is left or taken twice.
        #[test]
        fn the_others_keep_their_order(moves in prop::collection::vec((1..=5_i64, any_rank()), 1..20)) {
            let mut entries = queue();
            sort(&mut entries);
            for (id, rank) in moves {
                let next = after(&entries, id, rank);
                let others = |entries: &[Entry]| ids(entries).into_iter().filter(|other| *other != id).collect::<Vec<_>>();
                prop_assert_eq!(others(&entries), others(&next));
                if let Rank::Forward(places) = rank {
                    let at = |entries: &[Entry]| entries.iter().position(|entry| entry.id == id).unwrap() as i32;
                    prop_assert_eq!(at(&next), (at(&entries) - places).clamp(0, 4));
                }
                entries = next;
            }
        }
    }
}
