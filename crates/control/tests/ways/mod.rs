//! Moves that fail: the way rests and another is taken; what will not go away is remembered (faults M08, M13, M22, N03).

use crate::common::World;
use dormouse_control::Order;
use dormouse_model::{Action, Lack};
use std::collections::BTreeSet;

/// h1 is being emptied; both others have room, and h3 is in use.
const THREE: &str = "
cluster three
host h[1-3] cpus=4 mem=4096M watts=45/95/3 boot=60s keep-on
vm   v[1-3]@h[1,1,3] vcpus=1 mem=512M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

/// Moves tried so far, with names.
fn tried(world: &World) -> Vec<String> {
    let of = |action| match action {
        Action::Migrate { vm, from, to } => {
            let host = |id: dormouse_model::HostId| &world.cluster.hosts[id.index()].name;
            Some(format!("{} {}>{}", world.cluster.vms[vm.index()].name, host(from), host(to)))
        }
        _ => None,
    };
    world.acts.iter().filter_map(|intent| of(intent.action)).collect()
}

fn held(world: &World, host: &str) -> usize {
    world.vms.get(&world.host(host)).map_or(0, BTreeSet::len)
}

#[test]
fn a_vm_whose_move_failed_goes_another_way_at_once() {
    let mut world = World::new(THREE);
    world.run(20);
    let (h1, h2, h3) = (world.host("h1"), world.host("h2"), world.host("h3"));
    // Whichever is chosen first: only one of the two ways is open for each.
    world.cut.extend([(h1, h2)]);
    world.order(Order::Drain { host: h1 });
    world.run(30);
    assert_eq!(held(&world, "h1"), 0, "{}", world.trail.join("\n"));
    assert_eq!(world.vms[&h3].len(), 3, "{:?}", tried(&world));
}

#[test]
fn two_that_failed_on_one_way_keep_the_others_off_it() {
    let text = THREE.replace("v[1-3]@h[1,1,3]", "v[1-8]@h[1,1,1,1,1,1,1,3]");
    let mut world = World::new(&text);
    world.run(20);
    let (h1, h2) = (world.host("h1"), world.host("h2"));
    world.cut.insert((h1, h2));
    world.order(Order::Drain { host: h1 });
    world.run(60);
    assert_eq!(held(&world, "h1"), 0, "{}", world.trail.join("\n"));
    let failed = tried(&world).iter().filter(|way| way.ends_with("h1>h2")).count();
    assert!(failed <= 2, "{:?}", tried(&world));
}

#[test]
fn the_only_way_is_tried_again_after_growing_rests() {
    let text = THREE.replace("h[1-3]", "h[1-2]").replace("v[1-3]@h[1,1,3]", "v1@h1");
    let mut world = World::new(&text);
    world.run(20);
    let (h1, h2) = (world.host("h1"), world.host("h2"));
    world.cut.insert((h1, h2));
    world.order(Order::Drain { host: h1 });
    world.run(2 * 3600);
    // Rests of 2, 4, 8, 16, 32 and 60 minutes: what grows is tried six times in two hours, not sixty.
    assert_eq!(tried(&world).len(), 6, "{}", world.trail.join("\n"));
    world.cut.clear();
    world.run(3700);
    assert_eq!(held(&world, "h1"), 0);
}

/// What a host lacks is found once, by the first VM that is sent there, and for that VM for good.
fn refused(lack: Lack) -> World {
    let text = THREE.replace("h[1-3]", "h[1-2]").replace("v[1-3]@h[1,1,3]", "v1@h1");
    let mut world = World::new(&text);
    world.run(20);
    world.lacks.insert(world.host("h2"), lack);
    world.hypervisors.insert(world.host("h2"), "libvirt 9.0.0".to_owned());
    world.order(Order::Drain { host: world.host("h1") });
    world.run(4 * 3600);
    assert_eq!(tried(&world), ["v1 h1>h2"], "{}", world.trail.join("\n"));
    let told = format!("ev=way.rests vm=v1 from=h1 to=h2 lacks={}", lack.code());
    assert_eq!(world.trail_of(&[&told]).lines().count(), 1);
    world
}

#[test]
fn what_a_host_lacks_is_remembered_over_restarts_and_until_it_boots() {
    let mut world = refused(Lack::Cpu);
    world.restart();
    world.run(3600);
    assert_eq!(tried(&world).len(), 1, "{}", world.trail.join("\n"));
    let picture = world.controller.snapshot(world.now);
    assert_eq!(
        picture.vms[0].barred.iter().map(|barred| barred.lacks).collect::<Vec<_>>(),
        [Some(Lack::Cpu)]
    );
    *world.boots.entry(world.host("h2")).or_default() += 1;
    world.lacks.clear();
    world.run(3600);
    assert_eq!(held(&world, "h1"), 0, "{}", world.trail.join("\n"));
}

#[test]
fn another_hypervisor_is_asked_again_without_a_boot() {
    let mut world = refused(Lack::Machine);
    world.lacks.clear();
    world.run(3600);
    assert_eq!(tried(&world).len(), 1, "nothing changed that we could see");
    world.hypervisors.insert(world.host("h2"), "libvirt 11.3.0".to_owned());
    world.run(60);
    assert_eq!(held(&world, "h1"), 0, "{}", world.trail.join("\n"));
}

#[test]
fn a_person_may_try_what_rests_and_clears_what_was_mended() {
    let mut world = refused(Lack::Network);
    let (vm, h2) = (dormouse_model::VmId(0), world.host("h2"));
    world.order(Order::Move { vm, to: h2 });
    world.run(5);
    assert_eq!(tried(&world).len(), 2, "asked by a person: {}", world.trail.join("\n"));
    world.lacks.clear();
    world.order(Order::Clear { host: h2 });
    world.run(3700);
    assert_eq!(held(&world, "h1"), 0, "{}", world.trail.join("\n"));
}

#[test]
fn a_day_later_it_is_tried_again() {
    let mut world = refused(Lack::Network);
    world.run(21 * 3600);
    assert_eq!(tried(&world).len(), 2, "{}", world.trail.join("\n"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let text = "
cluster many
host h[01-40] cpus=4 mem=4096M watts=45/95/3 boot=60s keep-on
vm   v1@h01 vcpus=1 mem=512M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";
    let mut world = World::new(text);
    world.run(20);
    let hosts: Vec<_> = world.cluster.host_ids().collect();
    world.lacks.extend(hosts.iter().map(|id| (*id, Lack::Cpu)));
    world.order(Order::Drain { host: hosts[0] });
    world.run(24 * 3600);
    let most = world.vms_memory.values().map(|vm| vm.pairs.len()).max();
    assert_eq!(most, Some(16), "{:?}", tried(&world).len());
}
