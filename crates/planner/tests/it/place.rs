//! First placement, and planning with little patience.

use crate::show::{NIGHT, picture, plan, seeds_lab};
use dormouse_model::{Action, AwakeReason, PlanId};
use expect_test::{Expect, expect};

fn check_place(text: &str, expect: Expect) {
    let snapshot = picture(text);
    let places = dormouse_planner::place(&snapshot);
    let lines: String = snapshot
        .vm_ids()
        .map(|vm| {
            let at = places[vm.index()].map_or("nowhere", |at| snapshot.host(at).spec.name.as_str());
            format!("{} on {at}\n", snapshot.vm(vm).spec.name)
        })
        .collect();
    expect.assert_eq(&lines);
}

#[test]
fn new_vms_fill_up_what_is_on_and_then_the_thriftiest_that_sleeps() {
    check_place(
        "cluster c
host old cpus=8 mem=4G watts=200/300/5
host new[1-2] cpus=8 mem=4G watts=50/100/3
vm running@new1 mem=2G cpu=0.1
vm a b@new1 mem=2G cpu=0.1 stopped
vm whale@new1 mem=64G cpu=0.1 stopped
asleep old new2
policy balanced spare.min=0 spare.target=0 failover=0
",
        expect![[r#"
            running on new1
            a on new1
            b on new2
            whale on nowhere
        "#]],
    );
}

#[test]
fn new_vms_that_could_ask_for_much_are_spread_over_the_hosts_that_memory_needs() {
    // By memory alone the four large ones fill a host; two of them weigh as much as one `calm`.
    check_place(
        "cluster c
host h[1-3] cpus=4 mem=4G
vm calm[1-4]@h1 vcpus=1 mem=2G cpu=0.1 stopped
vm wild[1-4]@h1 vcpus=4 mem=1G cpu=0.1 stopped
policy balanced spare.min=0 spare.target=0 failover=0
",
        expect![[r#"
            calm1 on h3
            calm2 on h1
            calm3 on h2
            calm4 on h2
            wild1 on h1
            wild2 on h1
            wild3 on h3
            wild4 on h3
        "#]],
    );
}

#[test]
fn of_those_alike_the_busy_are_put_beside_the_idle() {
    check_place(
        "cluster c
host h[1-2] cpus=2 mem=2G
vm busy[1-2]@h1 vcpus=1 mem=1G cpu=0.6 stopped
vm idle[1-2]@h1 vcpus=1 mem=1G cpu=0.0 stopped
policy balanced spare.min=0 spare.target=0 failover=0
",
        expect![[r#"
            busy1 on h2
            busy2 on h1
            idle1 on h1
            idle2 on h2
        "#]],
    );
}

#[test]
fn with_no_patience_nothing_is_done_and_the_report_says_so() {
    let snapshot = picture(&seeds_lab("balanced"));
    let (plan, report) = dormouse_planner::plan_within(&snapshot, NIGHT, PlanId(1), &mut || false);
    assert!(plan.steps.is_empty());
    assert_eq!((report.hosts_on_before, report.hosts_on_after), (62, 62));
    assert!(report.awake.iter().all(|(_, why)| *why == AwakeReason::NoTime));
}

#[test]
fn more_patience_is_never_worse() {
    let snapshot = picture(&seeds_lab("balanced"));
    let mut last = 62;
    for patience in 0..40 {
        let mut asked = 0;
        let mut more = || {
            asked += 1;
            asked <= patience
        };
        let (plan, report) = dormouse_planner::plan_within(&snapshot, NIGHT, PlanId(1), &mut more);
        assert!(dormouse_planner::check(&snapshot, &plan).is_empty());
        assert!(report.hosts_on_after <= last, "patience {patience}");
        last = report.hosts_on_after;
    }
    assert_eq!(last, 9);
}

#[test]
fn moves_that_there_is_no_time_to_order_are_left_out_host_by_host() {
    let text = crate::balanced::bare(
        "host h[0001-0600] cpus=16 mem=32G watts=100/200/5
vm v[0001-0600]a@h[0001-0600] mem=1G cpu=0.1
vm v[0001-0600]b@h[0001-0600] mem=2G cpu=0.1
vm v[0001-0600]c@h[0001-0600] mem=3G cpu=0.1
vm v[0001-0600]d@h[0001-0600] mem=2G cpu=0.1
vm v[0001-0600]e@h[0001-0600] mem=1G cpu=0.1",
    );
    let snapshot = picture(&text);
    let (whole, _) = plan(&snapshot, NIGHT);
    let mut parts = 0;
    for patience in 0.. {
        let mut asked = 0;
        let mut more = || {
            asked += 1;
            asked <= patience
        };
        let (part, report) = dormouse_planner::plan_within(&snapshot, NIGHT, PlanId(1), &mut more);
        assert_eq!(dormouse_planner::check(&snapshot, &part), [], "patience {patience}");
        if asked < patience {
            assert_eq!(part, whole);
            break;
        }
        if part.migrations() > 0 && part.migrations() < whole.migrations() {
            parts += 1;
            let emptied =
                part.steps.iter().filter(|step| matches!(step.action, Action::Sleep { .. })).count();
            assert_eq!(part.migrations(), emptied * 5, "a host is emptied whole or not at all");
            assert_eq!(report.hosts_on_after as usize, 600 - emptied);
        }
    }
    assert!(parts > 0, "no patience was too short for all moves and long enough for some");
}
