//! What the model does on links in virtual time. `CONGESTION_SEED=17 cargo test -p shared congestion` replays a seed.

use std::time::Duration;

use super::{
    link::{Brain, Link, World},
    model::Phase,
    rate::Sampler,
};
use crate::limits::CONGESTION_SENDS_MAX;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn seeds() -> Vec<u64> {
    match std::env::var("CONGESTION_SEED") {
        Ok(seed) => vec![seed.parse().expect("CONGESTION_SEED is a number")],
        Err(_) => vec![11, 5_077, 900_001],
    }
}

/// Shares of the link that flows get while so many seconds pass, beginning with those that have passed.
fn shares(world: &mut World, lasting: u64) -> Vec<f64> {
    let before = world.delivered();
    world.run(world.now + seconds(lasting));
    world.shares(&before, seconds(lasting))
}

fn alone(link: Link, seed: u64) -> World {
    World::new(link, seed).with(Brain::ours(), Duration::ZERO)
}

/// The share of the link that one flow uses from its first packet on, and the share of its packets that found the queue
/// full, for each seed.
fn check_alone(link: Link, lasting: u64, share_min: f64, overflow_max: f64) {
    for seed in seeds() {
        let mut world = alone(link, seed);
        let share = shares(&mut world, lasting)[0];
        let overflow = world.flows[0].overflow();
        assert!(share >= share_min, "seed {seed}: {share:.3} of {link:?}");
        assert!(overflow <= overflow_max, "seed {seed}: {overflow:.4} lost to itself on {link:?}");
    }
}

#[test]
fn a_clean_link_is_used_without_filling_its_queue() {
    check_alone(Link::new(100.0, 50, 1.0, 0.0), 20, 0.93, 0.005);
    check_alone(Link::new(1_000.0, 20, 1.0, 0.0), 5, 0.90, 0.005);
}

#[test]
fn random_loss_does_not_slow_a_flow_that_would_stop_cubic() {
    check_alone(Link::new(100.0, 50, 1.0, 0.01), 20, 0.88, 0.005);
    check_alone(Link::new(1_000.0, 20, 1.0, 0.001), 5, 0.88, 0.005);
    let mut cubic = World::new(Link::new(100.0, 50, 1.0, 0.01), 11).with(Brain::cubic(), Duration::ZERO);
    assert!(shares(&mut cubic, 20)[0] < 0.1, "what the comparison is for");
}

#[test]
fn persistent_loss_of_15_percent_is_lived_with() {
    check_alone(Link::new(100.0, 50, 1.0, 0.05), 20, 0.80, 0.005);
    check_alone(Link::new(100.0, 50, 1.0, 0.15), 20, 0.60, 0.005);
}

#[test]
fn shallow_queues_are_found_out_and_not_overrun() {
    check_alone(Link::new(100.0, 50, 0.25, 0.0), 20, 0.85, 0.05);
    check_alone(Link::new(100.0, 50, 0.1, 0.0), 20, 0.80, 0.05);
}

#[test]
fn a_deep_queue_is_not_filled() {
    for seed in seeds() {
        let mut world = alone(Link::new(100.0, 50, 8.0, 0.0), seed);
        world.run(seconds(3));
        for _ in 0..100 {
            world.run(world.now + Duration::from_millis(70));
            assert!(world.queued() < 0.7, "seed {seed}: {:.2} products in the queue", world.queued());
        }
    }
}

#[test]
fn very_slow_and_very_large_links_are_used() {
    check_alone(Link::new(0.2, 100, 4.0, 0.0), 60, 0.80, 0.05);
    check_alone(Link::new(1.0, 50, 2.0, 0.01), 60, 0.80, 0.05);
    check_alone(Link::new(1_000.0, 1, 2.0, 0.0), 2, 0.85, 0.05);
    check_alone(Link::new(20.0, 600, 1.0, 0.01), 60, 0.75, 0.01);
}

#[test]
fn confirmations_that_come_in_clumps_do_not_stop_a_flow() {
    for clump_ms in [5, 20] {
        let mut link = Link::new(100.0, 50, 1.0, 0.01);
        link.clump = Duration::from_millis(clump_ms);
        check_alone(link, 20, 0.75, 0.02);
    }
}

/// Shares of two minutes of a flow of ours and one of Cubic, which begin after so many seconds.
fn check_beside_cubic(link: Link, ours: u64, theirs: u64, share_min: f64) {
    let mut world = World::new(link, 11).with(Brain::ours(), seconds(ours)).with(Brain::cubic(), seconds(theirs));
    world.run(seconds(10));
    let shares = shares(&mut world, 120);
    assert!(shares.iter().all(|share| *share >= share_min), "ours from {ours} s: {shares:.3?} of {link:?}");
}

#[test]
fn beside_cubic_neither_starves_whoever_was_first() {
    for (ours, theirs) in [(0, 5), (5, 0)] {
        for (megabits, rtt_ms, queue) in [(100.0, 50, 1.0), (100.0, 50, 2.0), (100.0, 50, 4.0), (20.0, 100, 1.0)] {
            check_beside_cubic(Link::new(megabits, rtt_ms, queue, 0.0), ours, theirs, 0.35);
        }
    }
}

#[test]
fn beside_cubic_neither_starves_in_a_queue_too_short_to_be_seen() {
    for (ours, theirs) in [(0, 5), (5, 0)] {
        for (megabits, rtt_ms, queue) in [(100.0, 50, 0.25), (100.0, 50, 0.5), (40.0, 50, 0.25), (10.0, 20, 0.5)] {
            check_beside_cubic(Link::new(megabits, rtt_ms, queue, 0.0), ours, theirs, 0.33);
        }
    }
}

#[test]
fn two_flows_of_ours_come_to_share_a_link() {
    for loss in [0.0, 0.01] {
        for seed in seeds() {
            let mut world = World::new(Link::new(100.0, 50, 1.0, loss), seed)
                .with(Brain::ours(), Duration::ZERO)
                .with(Brain::ours(), seconds(5));
            world.run(seconds(15));
            let shares = shares(&mut world, 60);
            assert!(shares.iter().all(|share| *share >= 0.25), "seed {seed}, loss {loss}: {shares:.2?}");
            assert!(shares.iter().sum::<f64>() >= 0.7, "seed {seed}, loss {loss}: {shares:.2?}");
        }
    }
}

#[test]
fn a_faster_link_is_found_within_seconds_and_a_slower_one_respected() {
    for seed in seeds() {
        let mut world = alone(Link::new(20.0, 50, 1.0, 0.01), seed);
        world.run(seconds(10));
        world.link = Link::new(100.0, 50, 1.0, 0.01);
        world.run(seconds(16));
        assert!(shares(&mut world, 10)[0] >= 0.8, "seed {seed}: the faster link");

        world.link = Link::new(20.0, 50, 1.0, 0.01);
        world.run(world.now + seconds(10));
        let overflowed = world.flows[0].overflowed;
        let sent = world.flows[0].sent;
        assert!(shares(&mut world, 10)[0] >= 0.75, "seed {seed}: the slower link");
        let lost = (world.flows[0].overflowed - overflowed) as f64 / (world.flows[0].sent - sent) as f64;
        assert!(lost < 0.02, "seed {seed}: {lost:.3} lost on the slower link");
    }
}

#[test]
fn a_longer_way_is_believed_after_a_while() {
    for seed in seeds() {
        let mut world = alone(Link::new(100.0, 20, 2.0, 0.001), seed);
        world.run(seconds(10));
        world.link = Link::new(100.0, 100, 1.0, 0.001);
        world.run(seconds(30));
        assert!(shares(&mut world, 20)[0] >= 0.8, "seed {seed}");
    }
}

#[test]
fn a_flow_with_little_to_send_keeps_what_it_knows() {
    for seed in seeds() {
        let mut world = alone(Link::new(100.0, 50, 1.0, 0.01), seed);
        world.run(seconds(10));
        world.flows[0].limit(world.now, 125_000.0);
        world.run(seconds(40));
        world.flows[0].limit(world.now, f64::INFINITY);
        world.run(seconds(41));
        assert!(shares(&mut world, 5)[0] >= 0.8, "seed {seed}");
    }
}

#[test]
fn after_everything_was_lost_for_long_it_begins_small() {
    let mut world = alone(Link::new(100.0, 50, 1.0, 0.0), 11);
    world.run(seconds(5));
    let Brain::Ours(model) = &mut world.flows[0].brain else { panic!("the flow is ours") };
    model.on_loss(seconds(5), seconds(5), 14_520, true);
    assert_eq!(model.phase(), Phase::Startup);
    assert!(model.window() < 10 * 1452, "{}", model.window());
    assert!(shares(&mut world, 10)[0] >= 0.8);
}

#[test]
fn what_was_lost_for_its_size_slows_nothing() {
    let mut world = alone(Link::new(100.0, 50, 1.0, 0.0), 11);
    world.run(seconds(5));
    let Brain::Ours(model) = &mut world.flows[0].brain else { panic!("the flow is ours") };
    let path_bytes = 100e6 / 8.0 * 0.05;
    model.on_mtu(1200);
    model.on_loss(seconds(5), seconds(5), 400_000, false);
    assert_eq!(model.phase(), Phase::Startup, "it may grow at once");
    assert!(model.window() as f64 > 0.9 * path_bytes, "{}", model.window());
}

#[test]
fn a_marked_packet_is_an_answer_to_a_full_queue() {
    let mut world = alone(Link::new(100.0, 50, 1.0, 0.0), 11);
    world.run(Duration::from_millis(1_500));
    let Brain::Ours(model) = &mut world.flows[0].brain else { panic!("the flow is ours") };
    let before = model.window();
    model.on_loss(world.now, world.now, 0, false);
    assert!(model.window() < before, "{} is not less than {before}", model.window());
}

#[test]
fn a_small_request_at_first_takes_nothing_from_the_start() {
    let mut world = alone(Link::new(100.0, 50, 1.0, 0.0), 11);
    world.flows[0].limit(Duration::ZERO, 20_000.0);
    world.run(seconds(5));
    let Brain::Ours(model) = &world.flows[0].brain else { panic!("the flow is ours") };
    assert!(model.window() >= model.initial_window(), "{}", model.window());
}

#[test]
fn a_large_lossy_path_leaves_fewer_holes_than_a_receiver_keeps() {
    for seed in seeds() {
        let loss = 0.15;
        let mut world = alone(Link::new(2_000.0, 50, 1.0, loss), seed);
        world.run(seconds(4));
        let Brain::Ours(model) = &world.flows[0].brain else { panic!("the flow is ours") };
        // Each packet in flight is lost once, and again as often as its repairs are.
        let holes = model.window() as f64 / 1452.0 * loss / (1.0 - loss);
        assert!(holes < 800.0, "seed {seed}: {holes:.0} holes");
    }
}

#[test]
fn who_only_confirms_remembers_little() {
    let mut sampler = Sampler::default();
    for second in 0..10_000 {
        sampler.on_sent(seconds(10 * second), false);
    }
    assert!(sampler.remembered() <= 2, "keep-alives: {}", sampler.remembered());
    for milli in 0..10_000 {
        sampler.on_sent(seconds(100_000) + Duration::from_millis(milli), false);
    }
    assert!(sampler.remembered() <= CONGESTION_SENDS_MAX, "a download: {}", sampler.remembered());
}

#[test]
fn very_long_round_trips_are_measured() {
    check_alone(Link::new(2.0, 2_500, 1.0, 0.0), 120, 0.5, 0.02);
}

#[test]
fn what_is_in_flight_is_at_most_twice_what_the_path_holds() {
    for (megabits, rtt_ms) in [(100.0, 50), (1_000.0, 20)] {
        let link = Link::new(megabits, rtt_ms, 4.0, 0.02);
        let product = megabits * 1e6 / 8.0 * link.rtt.as_secs_f64();
        let mut world = World::new(link, 11).with(Brain::ours(), Duration::ZERO).with(Brain::cubic(), seconds(1));
        for _ in 0..300 {
            world.run(world.now + Duration::from_millis(20));
            let Brain::Ours(model) = &world.flows[0].brain else { panic!("the flow is ours") };
            assert!((model.window() as f64) < 2.2 * product, "{} at {:?}", model.window(), world.now);
        }
    }
}
