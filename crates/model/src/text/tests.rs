use super::*;

const ERCOLANI: &str = r#"
cluster ercolani zone=Europe/Rome
host lab[01-62] cpus=2 mem=2048M watts=45/95/3 boot=75s link=1000M circuit=room1   # idle/busy/asleep watts
host srv1       cpus=16 mem=64G  watts=110/320/8 keep-on role=storage
vm   pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]
group web = pc[01-04] spread
circuit room1 wakes=4
hold lab07 until=2026-12-01T08:00 by=ops why="exam image"
policy balanced spare.min=1 spare.target=2
window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 goal=spread up-by=-30m
"#;

#[test]
fn the_lab_of_the_design_is_read() {
    let cluster = parse(ERCOLANI).expect("valid");
    assert_eq!((cluster.hosts.len(), cluster.vms.len()), (63, 62));
    assert_eq!(cluster.vms[61].home, cluster.host_named("lab62"));
}
