//! Text in, cluster, text or error out.

mod errors;
mod hostile;
mod ics;
mod round_trip;

use super::*;
use crate::{Cluster, HostState, Mbps, Mib, MilliCpu, Role, Rule, Watts};
use expect_test::{Expect, expect};

/// The cluster of this text.
fn cluster(text: &str) -> Cluster {
    parse(text).unwrap_or_else(|error| panic!("{}", error.render("text", text)))
}

/// The canonical text of what this text says.
fn check_print(text: &str, expected: Expect) {
    let printed = print(&cluster(text));
    expected.assert_eq(&printed);
    assert_eq!(cluster(&printed), cluster(text));
}

const ERCOLANI: &str = r#"
cluster ercolani zone=Europe/Rome
host lab[01-62] cpus=2 mem=2048M watts=45/95/3 boot=75s link=1000M circuit=room1   # idle/busy/asleep watts
host srv1       cpus=16 mem=64G  watts=110/320/8 keep-on role=storage
vm   pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]
group web = pc[01-04] spread
circuit room1 wakes=4
hold lab07 until=2026-12-01T08:00 by=ops why="exam image"
policy balanced spare.min=1 spare.target=3
window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 goal=spread up-by=-30m
"#;

#[test]
fn the_lab_of_the_design_is_read() {
    let cluster = cluster(ERCOLANI);
    assert_eq!((cluster.hosts.len(), cluster.vms.len()), (63, 62));
    let lab62 = &cluster.hosts[61];
    assert_eq!((lab62.name.as_str(), lab62.cpus, lab62.mem, lab62.link), ("lab62", 2, Mib(2048), Mbps(1000)));
    assert_eq!([lab62.watts_idle, lab62.watts_busy, lab62.watts_asleep], [Watts(45), Watts(95), Watts(3)]);
    assert_eq!(cluster.hosts[62].role, Some(Role::Storage));
    let pc62 = &cluster.vms[61];
    assert_eq!((pc62.at, pc62.home, pc62.cpu), (crate::HostId(61), Some(crate::HostId(61)), MilliCpu(20)));
    assert_eq!(cluster.groups[0].rules, [Rule::Spread]);
    assert_eq!(cluster.groups[0].vms.len(), 4);
    assert_eq!(cluster.policy.knobs.spare_target, 3);
}

#[test]
fn nothing_needs_no_unit() {
    let bare = cluster("cluster x\nhost a cpus=2 mem=2048M reserve=0 overhead=0");
    assert_eq!((bare.hosts[0].reserve, bare.hosts[0].overhead), (Mib(0), Mib(0)));
    assert_eq!(bare, cluster("cluster x\nhost a cpus=2 mem=2048M reserve=0M overhead=0M"));
}

#[test]
fn equal_neighbours_share_a_line() {
    check_print(
        ERCOLANI,
        expect![[r#"
            cluster ercolani zone=Europe/Rome link=1000M
            circuit room1 wakes=4
            host lab[01-62] cpus=2 mem=2G watts=45/95/3 boot=75s shutdown=20s circuit=room1
            host srv1 cpus=16 mem=64G watts=110/320/8 boot=75s shutdown=20s role=storage keep-on
            vm pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]
            group web = pc[01-04] spread
            hold lab07 until=2026-12-01T08:00 by=ops why="exam image"
            policy balanced spare.target=3
            window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 goal=spread up-by=-30m
        "#]],
    );
}

#[test]
fn every_key_flag_and_line_is_read() {
    check_print(
        r#"
policy seed moves.vm_hour=5 window.sleep=90s load.low=0.25     # rules may stand before what they speak of
keep 2 of a1, a2 live1
asleep a2
unknown a3
set-aside b.example.org
off live2
group far=v1,v2 gather fence=a1,b.example.org
group solo = "v 3"
vm v1, v2@a1 mem=1.5G vcpus=2 dirty=12 pin=a[1-3] ban=live1,a2 no-move
vm "v 3"@b.example.org mem=256M uuid=67e55044-10b1-426f-9247-bb680e5fe0c8 local-disk
vm "$(reboot)"@a2 mem=1G stopped
host a[1-3] cpus=4 mem=4G reserve=512M overhead=64M watts=1/2/0 boot=1m shutdown=0s link=10G slots=8 cpu-group=x86-v3
host b.example.org cpus=1 mem=1T unproven maintenance
host live[1-2] address=10.0.0.[7-8] role=manager
host live3 address=fe80::1 mac=52:54:00:00:00:01,52-54-00-00-00-0A
cluster all link=2.5G
hold b.example.org
hold a[1-3] until=2026-12-01 by="night \"shift\"\n"
window night 22:00-06:00 goal=compact
window exam Sat-Mon,Wed 08:00-10:00 14:00-16:30:30, fri 00:00-00:00 goal=hold
window open Mon-Fri 9:00-18:00 wake-all
holiday 2026-12-25, 2026-12-31..2027-01-06
holiday 2027-04-25 as=Sun
"#,
        expect![[r#"
            cluster all link=2500M
            host a[1-3] cpus=4 mem=4G reserve=512M overhead=64M watts=1/2/0 boot=1m shutdown=0s link=10000M slots=8 cpu-group=x86-v3
            host b.example.org cpus=1 mem=1024G watts=45/95/3 boot=75s shutdown=20s maintenance unproven
            host live1 address=10.0.0.7 watts=45/95/3 boot=75s shutdown=20s role=manager
            host live2 address=10.0.0.8 watts=45/95/3 boot=75s shutdown=20s role=manager
            host live3 address=fe80::1 mac=52:54:00:00:00:01,52:54:00:00:00:0a watts=45/95/3 boot=75s shutdown=20s
            asleep a2
            off live2
            unknown a3
            set-aside b.example.org
            vm v[1-2]@a1 vcpus=2 mem=1536M dirty=12 pin=a[1-3] ban=live1,a2 no-move
            vm "v 3"@b.example.org uuid=67e55044-10b1-426f-9247-bb680e5fe0c8 vcpus=1 mem=256M local-disk
            vm "$(reboot)"@a2 vcpus=1 mem=1G stopped
            group far = v[1-2] gather fence=a1,b.example.org
            group solo = "v 3"
            hold b.example.org
            hold a[1-3] until=2026-12-01T00:00 by="night \"shift\"\n"
            keep 2 of a[1-2] live1
            policy seed load.low=0.25 window.sleep=90s moves.vm_hour=5
            window night Mon-Sun 22:00-06:00 goal=compact
            window exam Sat-Mon,Wed 08:00-10:00 14:00-16:30:30, Fri 00:00-00:00 goal=hold
            window open Mon-Fri 09:00-18:00 goal=spread wake-all
            holiday 2026-12-25, 2026-12-31..2027-01-06
            holiday 2027-04-25 as=Sun
        "#]],
    );
}

#[test]
fn lists_are_separated_by_blanks_or_commas() {
    let hosts = "host h[1-4] cpus=1 mem=1G\n";
    let asleep = |list: &str| {
        let cluster = cluster(&format!("{hosts}asleep {list}"));
        cluster.hosts.iter().map(|host| host.state == HostState::Asleep).collect::<Vec<_>>()
    };
    for list in ["h1 h3 h4", "h1,h3,h4", "h1, h[3-4]", "h[1,3-4]", "h1 , h4 h3 h3"] {
        assert_eq!(asleep(list), [true, false, true, true], "{list}");
    }
}

#[test]
fn names_beside_at_pair_up_or_share_one_host() {
    let hosts = "host h[1-3] cpus=1 mem=1G\n";
    let at = |vm: &str| {
        let cluster = cluster(&format!("{hosts}vm {vm} mem=1M"));
        cluster.vms.iter().map(|vm| format!("{}@{}", vm.name, vm.at.0)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(at("a[1-3]@h[1-3]"), "a1@0 a2@1 a3@2");
    assert_eq!(at("a[1-2], b @ h3, h[1-2]"), "a1@2 a2@0 b@1");
    assert_eq!(at("a[1-3]@h2"), "a1@1 a2@1 a3@1");
    assert_eq!(at("a,b,c@h1,h1,h2"), "a@0 b@0 c@1");
}

#[test]
fn names_expand_for_other_readers_too() {
    let list = |text: &str| names(text).map(|names| names.join(" "));
    assert_eq!(list("lab[08-10], srv1 \"odd [1-2]\"").as_deref(), Ok("lab08 lab09 lab10 srv1 odd [1-2]"));
    assert_eq!(list("r[1-2]n[09-10]").as_deref(), Ok("r1n09 r1n10 r2n09 r2n10"));
    assert_eq!(list("h[1,3,9-11]").as_deref(), Ok("h1 h3 h9 h10 h11"));
    assert_eq!(list("h[99-100] h[098-100]").as_deref(), Ok("h99 h100 h098 h099 h100"));
    assert_eq!(list("").as_deref(), Ok(""));
}

#[test]
fn line_ends_marks_and_comments_of_other_systems_are_read() {
    let cluster =
        cluster("\u{feff}cluster x\r\n\thost a cpus=1 mem=1G # first\r\n#host b\r\n\r\nvm v@a mem=1M");
    assert_eq!((cluster.hosts.len(), cluster.vms.len()), (1, 1));
}

#[test]
fn the_manual_shows_a_text_that_is_read() {
    let manual = include_str!("../../../../../docs/cluster-text.md");
    let mut shown =
        manual.split("```cluster\n").skip(1).map(|rest| rest.split("```").next().expect("a first part"));
    let example = cluster(shown.next().expect("the manual has an example"));
    assert_eq!((example.hosts.len(), example.schedule.holidays.len()), (63, 3));
    assert!(shown.all(|text| parse(text).is_ok()));
    // Every key, flag and word that is read is told of.
    for known in [hosts::HOST_FLAGS, rules::VM_FLAGS, rules::GROUP_FLAGS, parse::WORDS] {
        for word in known {
            assert!(manual.contains(&format!("`{word}")), "the manual says nothing of `{word}`");
        }
    }
    for key in hosts::HOST.keys.iter().chain(rules::VM.keys) {
        assert!(manual.contains(&format!("`{key}=")), "the manual says nothing of `{key}=`");
    }
}
