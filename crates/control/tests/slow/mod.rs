//! A network slower than its text: moves get the time that they need, and not for ever (N05).

use crate::common::World;
use dormouse_control::Order;
use dormouse_model::{Intent, Outcome, OutcomeError, VmId};

/// 4 GiB at 1000 Mbit/s take 34 s at best.
const SLOW: &str = "
cluster slow
host h[1-2] cpus=4 mem=16G watts=45/95/3 boot=60s keep-on link=1000M
vm   v1@h1 vcpus=1 mem=4G cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=10h min_up=10h moves.vm_hour=20 moves.vm_day=20
";

/// Asks for the move and gives back the intent that went out, unanswered.
fn begin(world: &mut World, to: &str) -> Intent {
    let (before, to) = (world.acts.len(), world.host(to));
    world.mute = true;
    world.order(Order::Move { vm: VmId(0), to });
    world.run(10);
    world.mute = false;
    assert_eq!(world.acts.len(), before + 1, "{}", world.trail.join("\n"));
    world.acts[before].clone()
}

/// It arrives after so many seconds.
fn arrives(world: &mut World, to: &str, secs: u64) -> u64 {
    let intent = begin(world, to);
    world.run(secs - 10);
    world.answer(&intent);
    world.run(30);
    intent.deadline.as_secs()
}

#[test]
fn a_slow_move_among_fast_ones_gives_the_next_one_more_time() {
    let mut world = World::new(SLOW);
    world.run(20);
    let planned = arrives(&mut world, "h2", 34);
    for to in ["h1", "h2", "h1", "h2"] {
        assert_eq!(arrives(&mut world, to, 34), planned, "{}", world.trail.join("\n"));
    }
    assert_eq!(arrives(&mut world, "h1", 300), planned);
    let given = arrives(&mut world, "h2", 34);
    assert!(given > 2 * planned, "{given}, {planned} by the text");
    // It was once: what follows is fast again, and so is the deadline, slowly.
    let next = arrives(&mut world, "h1", 34);
    assert!(planned < next && next < given, "{next}");
}

#[test]
fn a_move_that_its_deadline_ended_gets_four_times_as_long_and_never_without_end() {
    let mut world = World::new(SLOW);
    world.run(20);
    let mut given = vec![];
    for _ in 0..5 {
        let intent = begin(&mut world, "h2");
        let why = OutcomeError::Deadline(intent.deadline);
        given.push(intent.deadline.as_secs());
        world.end(&intent, Outcome::Failed(why));
        world.run(3 * 3600);
    }
    let first = given[0];
    let near =
        |times: [u64; 5]| given.iter().zip(times).all(|(given, times)| given.abs_diff(times * first) <= 16);
    assert!(near([1, 4, 16, 16, 16]), "{given:?}");
}
