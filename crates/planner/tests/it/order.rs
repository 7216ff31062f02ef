//! The order of moves: whatever fails and whoever is late, what is carried out stays valid; and it ends early.

use crate::show::{NIGHT, check_goal, picture, show};
use dormouse_model::{Action, Because, Goal, HostId, Plan, PlanId, Rule, Snapshot, StepId, VmId};
use expect_test::expect;
use proptest::prelude::*;
use std::fmt::Write as _;

const OPEN: Goal = Goal::Spread { wake_off: false };

/// Hosts that are nearly full, clones that want each other's places, groups, sleepers, circuits.
fn crowded() -> impl Strategy<Value = String> {
    let vm = (0..8usize, 0..8usize, prop_oneof![Just(256u64), Just(512), 300..900u64], 0..40u64);
    let vms = prop::collection::vec(vm, 2..22);
    let links = prop::collection::vec(prop_oneof![4 => Just(1000u64), 1 => Just(100), 1 => Just(10_000)], 8);
    (vms, links, 0..4usize, 0..3u32, 0..5u32).prop_map(|(vms, links, asleep, group, all)| {
        let mut text = String::from("cluster any\ncircuit a wakes=1\n");
        for (host, link) in links.iter().enumerate() {
            let circuit = if host % 2 == 1 { " circuit=a" } else { "" };
            writeln!(text, "host h{host} cpus=4 mem=1536M watts=45/95/3 boot=60s link={link}M{circuit}")
                .unwrap();
        }
        let up = 8 - asleep;
        let mut used = [0; 8];
        let mut there = vec![];
        for (index, (at, home, mem, dirty)) in vms.iter().enumerate() {
            let at = at % up;
            if used[at] + mem <= 1536 {
                used[at] += mem;
                there.push(format!("v{index}"));
                writeln!(text, "vm v{index}@h{at} mem={mem}M cpu=0.01 dirty={dirty} home=h{home}").unwrap();
            }
        }
        if there.len() > 4 && group > 0 {
            let rule = if group == 1 { "spread" } else { "gather" };
            writeln!(text, "group g = {} {rule}", there[..3].join(",")).unwrap();
        }
        for host in up..8 {
            writeln!(text, "asleep h{host}").unwrap();
        }
        writeln!(text, "policy balanced spare.min=0 spare.target=0 failover=0 moves.all={all}").unwrap();
        text
    })
}

/// An executor with no patience and bad luck: it starts any step whose needs have succeeded, ends any that runs, and
/// some of them fail. What it sees must be valid at every moment.
struct Executor<'a> {
    before: &'a Snapshot,
    plan: &'a Plan,
    at: Vec<Option<HostId>>,
    done: Vec<Option<bool>>,
    running: Vec<StepId>,
}

impl<'a> Executor<'a> {
    fn new(before: &'a Snapshot, plan: &'a Plan) -> Self {
        let at = before.vms.iter().map(|vm| vm.state.host()).collect();
        Self { before, plan, at, done: vec![None; plan.steps.len()], running: vec![] }
    }

    fn run(&mut self, luck: &[u8]) -> Result<(), String> {
        let mut luck = luck.iter().cycle();
        let mut draw = move || usize::from(*luck.next().unwrap());
        loop {
            let ready: Vec<StepId> =
                self.plan.steps.iter().map(|step| step.id).filter(|id| self.may(*id)).collect();
            if ready.is_empty() && self.running.is_empty() {
                return Ok(());
            }
            if !ready.is_empty() && (self.running.is_empty() || draw() % 2 == 0) {
                let step = ready[draw() % ready.len()];
                self.running.push(step);
                self.look(step)?;
            } else {
                let step = self.running.swap_remove(draw() % self.running.len());
                let good = draw() % 4 != 0;
                self.done[step.index()] = Some(good);
                if let (Action::Migrate { vm, to, .. }, true) = (self.plan.steps[step.index()].action, good) {
                    self.at[vm.index()] = Some(to);
                }
            }
        }
    }

    fn may(&self, id: StepId) -> bool {
        let step = &self.plan.steps[id.index()];
        self.done[id.index()].is_none()
            && !self.running.contains(&id)
            && step.needs.iter().all(|need| self.done[need.index()] == Some(true))
    }

    /// Who holds room on a host: who is there, and who is on the way.
    fn holders(&self, host: HostId) -> Vec<VmId> {
        let coming = self.running.iter().filter_map(|id| match self.plan.steps[id.index()].action {
            Action::Migrate { vm, to, .. } if to == host => Some(vm),
            _ => None,
        });
        self.before.vm_ids().filter(|vm| self.at[vm.index()] == Some(host)).chain(coming).collect()
    }

    fn look(&self, step: StepId) -> Result<(), String> {
        match self.plan.steps[step.index()].action {
            Action::Migrate { vm, from, to } => {
                if self.at[vm.index()] != Some(from) {
                    return Err(format!("{step}: {vm} is not on {from}"));
                }
                let holders = self.holders(to);
                let mem: u64 = holders.iter().map(|vm| self.before.vm(*vm).spec.mem.0).sum();
                if mem > self.before.host(to).spec.mem_for_vms().0 {
                    return Err(format!("{step}: {to} holds {mem} MiB"));
                }
                for group in self.before.cluster.groups.iter().filter(|group| group.vms.contains(&vm)) {
                    let mates = holders.iter().filter(|other| group.vms.contains(other)).count();
                    if group.rules.contains(&Rule::Spread) && mates > 1 {
                        return Err(format!("{step}: {vm} meets its group on {to}"));
                    }
                    let failed = self.plan.steps.iter().zip(&self.done).any(|(other, done)| {
                        *done == Some(false) && other.action.vm().is_some_and(|vm| group.vms.contains(&vm))
                    });
                    if group.rules.contains(&Rule::Gather) && failed {
                        return Err(format!("{step}: {vm} goes on although one of its group failed"));
                    }
                }
            }
            Action::Sleep { host } if !self.holders(host).is_empty() => {
                return Err(format!("{step}: {host} is not empty"));
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_the_rest_stays_valid(text in crowded(), luck in prop::collection::vec(any::<u8>(), 7..97)) {
        let snapshot = picture(&text);
        for goal in [OPEN, NIGHT] {
            let (plan, report) = dormouse_planner::plan(&snapshot, goal, PlanId(1));
            let violations = dormouse_planner::check(&snapshot, &plan);
            let shown = show(&snapshot, &plan, &report);
            prop_assert!(violations.is_empty(), "{goal}: {}\n{text}{shown}", violations[0]);
            if let Err(why) = Executor::new(&snapshot, &plan).run(&luck) {
                prop_assert!(false, "{goal}: {why}\n{text}{shown}");
            }
        }
    }

    #[test]
    fn moves_end_between_the_bound_and_a_small_multiple_of_it(text in crowded()) {
        let snapshot = picture(&text);
        for goal in [OPEN, NIGHT] {
            let (plan, report) = dormouse_planner::plan(&snapshot, goal, PlanId(1));
            let pace = dormouse_planner::pace(&snapshot, &plan);
            let shown = show(&snapshot, &plan, &report);
            prop_assert!(pace.moves_bound <= pace.moves_time, "{pace:?}\n{text}{shown}");
            prop_assert!(report.moves_bound <= report.moves_time || plan.migrations() == 0, "{text}{shown}");
            // Without room to wait for, on equal links and without a limit on all, an idle link always waits for a busy one.
            let plain = goal == NIGHT && !text.contains("link=100M") && !text.contains("link=10000M") && text.contains("moves.all=0");
            if plain {
                prop_assert!(pace.moves_time.0 <= 2 * pace.moves_bound.0, "{pace:?}\n{text}{shown}");
            }
        }
    }
}

#[test]
fn a_move_needs_only_the_departure_whose_room_it_is_given() {
    // Either of those that leave h2 makes room for one that comes: no failure stops more than one.
    check_goal(
        "cluster c
host h[1-4] cpus=4 mem=1024M watts=45/95/3
vm a b@h2 mem=512M cpu=0.1 home=h3,h4
vm x y@h1 mem=512M cpu=0.1 home=h2
",
        OPEN,
        expect![[r#"
            4 -> 4 on (bound 3), 184 W -> 184 W, 4 moves
            s0 a: h2 -> h3 (goes home)
            s1 x: h1 -> h2 after s0 (goes home)
            s2 b: h2 -> h4 (goes home)
            s3 y: h1 -> h2 after s2 (goes home)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
            h4 awake: the window wants it up
        "#]],
    );
}

#[test]
fn vms_that_move_together_go_one_after_the_other_hardest_first() {
    check_goal(
        "cluster c
host h[1-2] cpus=8 mem=8G watts=45/95/3
vm web db@h1 mem=1G cpu=0.1
vm cache@h1 mem=512M cpu=0.1 dirty=80
vm big@h2 mem=4G cpu=0.1
group site = web,db,cache gather
policy balanced spare.min=0 spare.target=0 failover=0
",
        NIGHT,
        expect![[r#"
            2 -> 1 on (bound 1), 91 W -> 50 W, 3 moves
            s0 cache: h1 -> h2 (empties h1)
            s1 db: h1 -> h2 after s0 (empties h1)
            s2 web: h1 -> h2 after s1 (empties h1)
            s3 sleep h1 after s0 after s1 after s2 (empty, and the reserves hold without it)
            h2 awake: memory: its 4 VMs ask 6656 MiB, no other host takes VMs
        "#]],
    );
}

#[test]
fn rings_that_share_no_host_are_broken_in_one_go() {
    let mut text = String::from("cluster c\nhost spare[1-2] cpus=4 mem=768M watts=45/95/3\n");
    for ring in 0..2 {
        let (a, b) = (2 * ring + 1, 2 * ring + 2);
        writeln!(text, "host h[{a}-{b}] cpus=4 mem=1024M watts=45/95/3").unwrap();
        writeln!(text, "vm v{a}@h{a} mem=768M cpu=0.1 home=h{b}\nvm v{b}@h{b} mem=768M cpu=0.1 home=h{a}")
            .unwrap();
    }
    let snapshot = picture(&text);
    let (plan, report) = dormouse_planner::plan(&snapshot, OPEN, PlanId(1));
    assert!(report.refusals.is_empty());
    let aside = plan.steps.iter().filter(|step| step.because == Because::BreaksCycle).count();
    assert_eq!((plan.migrations(), aside), (6, 2));
    let alone = picture(&text.replace("spare[1-2]", "spare1"));
    let (_, one) = dormouse_planner::plan(&alone, OPEN, PlanId(1));
    assert!(
        one.refusals.is_empty() && one.moves_time > report.moves_time,
        "one spare host serves one ring after the other"
    );
}

#[test]
fn a_ring_is_not_broken_by_a_vm_that_may_not_move_twice() {
    let text = "cluster c
host h[1-3] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=768M cpu=0.1 home=h2
vm b@h2 mem=768M cpu=0.1 home=h1
";
    let mut snapshot = picture(text);
    snapshot.vms[0].moves_hour = 1;
    let (plan, _) = dormouse_planner::plan(&snapshot, OPEN, PlanId(1));
    let moves = |vm| plan.steps.iter().filter(|step| step.action.vm() == Some(VmId(vm))).count();
    assert_eq!((moves(0), moves(1)), (1, 2));
}

#[test]
fn who_has_most_to_do_after_its_boot_is_woken_first() {
    // The burst lets two go at once; h4 boots slowly and h5 takes most.
    check_goal(
        "cluster c
host h[1-3] cpus=8 mem=16G watts=45/95/3 boot=60s
host h4 cpus=8 mem=16G watts=45/95/3 boot=120s
host h5 cpus=8 mem=16G watts=45/95/3 boot=60s
vm a b c d@h1 mem=1G cpu=0.1 home=h2,h3,h4,h5
vm e@h1 mem=6G cpu=0.1 home=h5
asleep h[2-5]
policy balanced wakes.burst=2
",
        OPEN,
        expect![[r#"
            1 -> 5 on (bound 2), 60 W -> 226 W, 5 moves
            s0 wake h4 (opening)
            s1 wake h5 (opening)
            s2 wake h2 (opening)
            s3 wake h3 (opening)
            s4 e: h1 -> h5 after s1 (goes home)
            s5 a: h1 -> h2 after s2 (goes home)
            s6 b: h1 -> h3 after s3 (goes home)
            s7 c: h1 -> h4 after s0 (goes home)
            s8 d: h1 -> h5 after s1 (goes home)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
            h4 awake: the window wants it up
            h5 awake: the window wants it up
        "#]],
    );
}

#[test]
fn a_circuit_brings_its_hosts_up_one_after_the_other() {
    let text = |wakes: u32| {
        format!(
            "cluster c\ncircuit a wakes={wakes}\nhost h1 cpus=8 mem=8G watts=45/95/3\n\
             host s[1-3] cpus=8 mem=8G watts=45/95/3 boot=60s circuit=a\n\
             vm v[1-3]@h1 mem=1G cpu=0.1 home=s[1-3]\nasleep s[1-3]\n"
        )
    };
    let figures = |wakes| {
        let snapshot = picture(&text(wakes));
        let (plan, report) = dormouse_planner::plan(&snapshot, OPEN, PlanId(1));
        let pace = dormouse_planner::pace(&snapshot, &plan);
        assert_eq!((pace.moves_time, pace.moves_bound), (report.moves_time, report.moves_bound));
        (report.moves_time.as_secs(), report.moves_bound.as_secs())
    };
    assert_eq!(figures(1), (188, 188));
    assert_eq!(figures(2), (128, 128));
    assert_eq!(figures(3).0, 60 + 3 * 8 + 1);
}

#[test]
fn a_slow_move_does_not_keep_a_wide_link_for_itself() {
    let text = "cluster c
host wide cpus=16 mem=64G watts=45/95/3 link=10000M keep-on
host slow cpus=4 mem=8G watts=45/95/3 link=100M
host quick cpus=4 mem=8G watts=45/95/3 link=10000M
vm a@slow mem=1G cpu=0.1
vm b@quick mem=1G cpu=0.1
policy balanced spare.min=0 spare.target=0 failover=0
";
    let snapshot = picture(text);
    let (plan, report) = dormouse_planner::plan(&snapshot, NIGHT, PlanId(1));
    let pace = dormouse_planner::pace(&snapshot, &plan);
    assert_eq!(plan.migrations(), 2);
    assert_eq!(report.moves_time, report.moves_bound, "the slow link is all that counts");
    let starts = plan.steps.iter().zip(&pace.spans).filter(|(step, _)| step.action.vm().is_some());
    assert!(starts.into_iter().all(|(_, (start, _))| start.0 == 0), "both at once");
}
