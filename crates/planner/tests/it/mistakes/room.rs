//! Too much on a host at some instant, or too little left in reserve.

use super::{PACK, TWO, caught, caught_once, said};
use crate::balanced::bare;
use crate::show::{NIGHT, picture};
use dormouse_model::Snapshot;
use expect_test::expect;

#[test]
fn memory() {
    caught(
        "host h[1-3] cpus=4 mem=4G watts=45/95/3 overhead=512M\nvm a b@h1,h2 mem=3G",
        "move b h2 h1",
        expect![[r"
            host#0 can be asked for 7 GiB of its 4 GiB
        "]],
    );
    caught(
        "host h[1-2] cpus=4 mem=4G reserve=2500M watts=45/95/3\nvm a b@h1,h2 mem=1G",
        "move b h2 h1",
        expect![[r"
            host#0 can be asked for 2 GiB of its 1596 MiB
        "]],
    );
}

#[test]
fn memory_on_the_way_although_it_fits_in_the_end() {
    let exchange = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=3G\nvm b@h2 mem=3G";
    // Both ends are held while a move runs: that a leaves at the same time is not enough.
    caught(
        exchange,
        "move a h1 h3\nmove b h2 h1",
        expect![[r"
            host#0 can be asked for 6 GiB of its 4 GiB
        "]],
    );
    caught(exchange, "move a h1 h3\nmove b h2 h1 after 0", expect![[r""]]);
}

#[test]
fn memory_in_an_order_that_the_list_does_not_show() {
    // Each newcomer waits for one to leave, but both for the same one.
    let text = "host h[1-4] cpus=4 mem=4G watts=45/95/3\nvm a b@h1 mem=2G\nvm c d@h2,h3 mem=2G";
    caught(
        text,
        "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 0",
        expect![[r"
            host#0 can be asked for 6 GiB of its 4 GiB
        "]],
    );
    caught(text, "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 1", expect![[r""]]);
    // A need of a need counts.
    caught(
        text,
        "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 1 2\nmove d h1 h3 after 3",
        expect![[r""]],
    );
}

#[test]
fn slots() {
    caught(
        "host h[1-2] cpus=4 mem=4G slots=1 watts=45/95/3\nvm a b@h1,h2 mem=1G",
        "move b h2 h1",
        expect![[r"
            host#0 can come to hold 2 VMs in 1 slots
        "]],
    );
    let seed =
        "cluster c\nhost h[1-2] cpus=4 mem=512M watts=45/95/3\nvm a b c@h1,h1,h2 mem=100M\npolicy seed\n";
    expect![[r"
        host#0 can come to hold 3 VMs in 2 slots
    "]]
    .assert_eq(&said(&picture(seed), NIGHT, "move c h2 h1"));
}

#[test]
fn cpu_headroom_at_every_instant_and_for_the_hours_to_come() {
    let busy = "host h[1-3] cpus=4 mem=8G watts=45/95/3\nvm a b@h1,h2 mem=1G cpu=2";
    caught(
        busy,
        "move b h2 h1",
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
    // In the end h1 holds b alone, but not while both are there.
    caught(
        busy,
        "move a h1 h3\nmove b h2 h1",
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
    caught(busy, "move a h1 h3\nmove b h2 h1 after 0", expect![[r""]]);
    // Calm now, busy over the last hour.
    let was_busy = |snapshot: &mut Snapshot| {
        snapshot.vms.iter_mut().for_each(|vm| vm.demand.sleep = dormouse_model::MilliCpu(2000));
    };
    caught_once(
        TWO,
        PACK,
        was_busy,
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
}

#[test]
fn reserves() {
    let with = |set: &str, cluster: &str, plan: &str| {
        let mut snapshot = picture(&bare(cluster));
        let mut cluster = (*snapshot.cluster).clone();
        for (knob, value) in set.split_whitespace().filter_map(|set| set.split_once('=')) {
            cluster.policy.knobs.set(knob, value).unwrap();
        }
        snapshot.cluster = cluster.into();
        said(&snapshot, NIGHT, plan)
    };
    let three = "host h[1-3] cpus=4 mem=4G\nvm a b c@h1,h2,h3 mem=1G";
    let pack = "move c h3 h2\nsleep h3 after 0";
    assert_eq!(with("spare.target=5 failover=1", three, pack), "");
    expect![["s1: 5 places for the largest VM stay free, 6 wanted\n"]].assert_eq(&with(
        "spare.target=6",
        three,
        pack,
    ));
    expect![["s1: 5 places for the largest VM stay free, 6 wanted\n"]].assert_eq(&with(
        "spare.min=6",
        three,
        pack,
    ));
    // By volume: what is lost with one is more than the other has free.
    let full = "host h[1-3] cpus=4 mem=4G\nvm a b c@h1,h2,h3 mem=1500M\nvm d@h1 mem=1500M";
    expect![["the VMs of 1 lost hosts cannot fit on the rest\n"]].assert_eq(&with("failover=1", full, pack));
    // By size: enough is free on the rest, but no host has room for the large one.
    let large = "host h[1-4] cpus=4 mem=4G\nvm a@h1 mem=3G\nvm b c d@h2,h3,h4 mem=1500M";
    expect![["the VMs of 1 lost hosts cannot fit on the rest\n"]].assert_eq(&with(
        "failover=1",
        large,
        "move d h4 h3\nsleep h4 after 0",
    ));
}
