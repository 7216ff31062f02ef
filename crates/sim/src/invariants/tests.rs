//! A checker that catches nothing is not a checker: each rule is broken here once, by notes that no sound manager makes.

mod people;

use super::{Checkers, Scene};
use crate::note::{MoveEnd, Note};
use crate::world::{Fault, Nature, Power, World};
use dormouse_control::{Level, LogEvent, Settings};
use dormouse_model::{
    Action, Cluster, Epoch, HostId, HostState, Intent, IntentId, Millis, Mono, Outcome, PlanId, StepId, VmId,
    VmSpec,
};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use uuid::Uuid;

const CLUSTER: &str = "\
cluster t
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm v[1-8]@h[1,2,1,2,1,2,1,2] vcpus=1 mem=256M
policy balanced spare.min=1 failover=1 min_on=1 moves.host_out=1
";

struct Stage {
    cluster: Cluster,
    world: World,
    settings: Settings,
    belief: Vec<HostState>,
    checkers: Checkers,
    at: Mono,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    /// With more lines of the cluster text.
    fn with(lines: &str) -> Self {
        let cluster = dormouse_model::text::parse(&format!("{CLUSTER}{lines}")).expect("a cluster");
        let world =
            World::new(&cluster, Nature { seed: 1, jitter_permille: 0, login_idle: Millis::from_mins(30) });
        let belief = vec![HostState::On; cluster.hosts.len()];
        let checkers = Checkers::new(cluster.hosts.len());
        Self { cluster, world, settings: Settings::default(), belief, checkers, at: Mono(1000) }
    }

    fn hear(&mut self, notes: &[Note]) -> &mut Self {
        self.world.advance(self.at);
        let ordered = BTreeSet::new();
        let scene = Scene {
            at: self.at,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: true,
            ordered: &ordered,
            wall: wall(self.at),
        };
        for note in notes {
            self.checkers.note(note, &scene);
        }
        self.checkers.after(&scene);
        self
    }

    fn later(&mut self, span: Millis) -> &mut Self {
        self.at = self.at + span;
        self
    }

    fn end(&mut self) -> &mut Self {
        self.world.advance(self.at);
        let ordered = BTreeSet::new();
        let scene = Scene {
            at: self.at,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: true,
            ordered: &ordered,
            wall: wall(self.at),
        };
        self.checkers.at_end(&scene);
        self
    }

    fn found(&self, expected: Expect) {
        let lines: Vec<String> = self.checkers.found.violations.iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    fn vm(&self, place: usize) -> Uuid {
        self.cluster.vms[place].uuid
    }
}

/// The calendar's clock began with the run.
fn wall(at: Mono) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).expect("small")).expect("in range")
}

const H1: HostId = HostId(0);
const H2: HostId = HostId(1);
const H3: HostId = HostId(2);
const H4: HostId = HostId(3);

fn intent(id: u64, action: Action) -> Intent {
    Intent {
        id: IntentId(id),
        epoch: Epoch(1),
        plan: PlanId(1),
        step: StepId(0),
        action,
        // The first VMs of the text are v1, v2, ...
        vm: action.vm().map(|vm| VmSpec::uuid_of_name(&format!("v{}", vm.0 + 1))),
        deadline: Millis::from_secs(60),
        written: Mono(0),
        good_until: None,
    }
}

fn durable(intent: &Intent) -> Vec<Note> {
    vec![Note::Wrote(intent.clone()), Note::Durable(intent.id), Note::Acted(intent.clone())]
}

fn looked(stage: &Stage, host: HostId) -> Note {
    Note::Looked { host, asked: stage.at, seen: stage.at, boot: Some(stage.world.host(host).boot) }
}

fn state(host: &str, from: HostState, to: HostState, cause: &str) -> Note {
    let event = LogEvent::new(Level::Info, "host.state").with("host", host).with("from", from).with("to", to);
    Note::Told(event.with("cause", cause))
}

#[test]
fn i1_an_off_with_vms_and_i8_the_last_host_and_i9_without_reserve() {
    Stage::new()
        .hear(&[Note::GuardAgreed { host: H1, epoch: Epoch(1) }])
        .found(expect!["I1 at +00001.000: h1 was switched off with v1, v3, v5, v7"]);
    let mut stage = Stage::new();
    stage.belief = vec![HostState::Unknown, HostState::Unknown, HostState::On, HostState::Unknown];
    stage
        .hear(&[Note::GuardAgreed { host: H3, epoch: Epoch(1) }])
        .found(expect!["I8 at +00001.000: h3 went off and 0 usable hosts were left"]);
    let mut stage = Stage::new();
    stage.belief = vec![HostState::On, HostState::Unknown, HostState::On, HostState::Unknown];
    stage
        .hear(&[Note::GuardAgreed { host: H3, epoch: Epoch(1) }])
        .found(expect!["I9 at +00001.000: h3 went off; if h1 died, its VMs would fit nowhere"]);
    let mut stage = Stage::new();
    let lost = stage.vm(0);
    let goes = Note::Power { host: H3, from: Power::On, to: Power::Stopping, cause: "guard" };
    stage.hear(&[Note::GuardAgreed { host: H3, epoch: Epoch(1) }, goes, Note::VmLost { vm: lost, at: H3 }]);
    stage.found(expect!["I1 at +00001.000: v1 went down with h3, by our word"]);
}

#[test]
fn i2_a_vm_that_runs_twice() {
    let mut stage = Stage::new();
    stage.world.vms[0].set(H3, dormouse_model::DomainState::Running);
    stage.hear(&[]).found(expect!["I2 at +00001.000: v1 runs 2 times"]);
}

#[test]
fn i5_old_looks_and_many_hosts_gone() {
    let mut stage = Stage::new();
    let look = looked(&stage, H3);
    stage.hear(&[look, state("h3", HostState::On, HostState::Draining, "plan")]).later(Millis::from_secs(11));
    let off = intent(1, Action::Sleep { host: H3 });
    stage.hear(&durable(&off)).found(expect!["I5 at +00012.000: h3 was sent to sleep on an old look"]);

    let mut stage = Stage::new();
    let looks: Vec<Note> = [H1, H2, H3, HostId(3)].map(|host| looked(&stage, host)).into();
    stage.hear(&looks).later(Millis::from_secs(15));
    let silence = |host| Note::Looked { host, asked: Mono(16_000), seen: Mono(16_000), boot: None };
    let move_one = intent(1, Action::Migrate { vm: VmId(0), from: H1, to: H3 });
    stage.hear(&[silence(H1), silence(H2), silence(HostId(3))]).hear(&durable(&move_one));
    stage.found(expect!["I5 at +00016.000: i1 went out while 3 hosts had vanished"]);
}

#[test]
fn i6_and_i13_states_without_proof_or_edge() {
    let mut stage = Stage::new();
    stage.hear(&[state("h1", HostState::Stopping, HostState::Asleep, "guess")]);
    stage.hear(&[state("h1", HostState::On, HostState::Asleep, "guess")]);
    stage.found(expect![[r#"
        I6 at +00001.000: h1 was called down without proof
        I13 at +00001.000: h1 went from on to asleep
        I13 at +00001.000: h1 left on, where it was not"#]]);
}

#[test]
fn i7_a_host_woken_again_and_again() {
    let mut stage = Stage::new();
    for id in 1..=7 {
        let wake = intent(id, Action::Wake { host: H3 });
        stage.later(Millis::from_mins(3)).hear(&durable(&wake));
    }
    stage.found(expect!["I7 at +01261.000: h3 was woken again after 2 tries"]);
}

#[test]
fn i10_i11_i12_too_full_too_many_too_often() {
    let mut stage = Stage::new();
    // Two moves out of h1 at once, one is allowed.
    stage.world.begin_test_move(0, H1, H3, 1);
    stage.world.begin_test_move(2, H1, H3, 2);
    let (v1, v3) = (stage.vm(0), stage.vm(2));
    let started = |vm, from, to, id| Note::MoveStarted { vm, from, to, intent: Some(IntentId(id)) };
    stage.hear(&[started(v3, H1, H3, 2)]);
    let end = |vm, from, to, id| Note::MoveEnded {
        vm,
        from,
        to,
        intent: Some(IntentId(id)),
        end: MoveEnd::Done { downtime: Millis(30) },
        took: Millis(1),
    };
    stage.later(Millis(5)).hear(&[end(v1, H1, H2, 1), started(v1, H2, H1, 3)]);
    stage.later(Millis(5)).hear(&[end(v1, H2, H1, 3), started(v1, H1, H2, 4)]);
    stage.found(expect![[r#"
        I11 at +00001.000: 2 moves at once out of h1
        I12 at +00001.005: v1 goes back to h1 without a cause
        I12 at +00001.010: v1 is moved more often than allowed
        I12 at +00001.010: v1 goes back to h2 without a cause"#]]);

    let mut stage = Stage::new();
    stage.world.hosts[2].spec.mem = dormouse_model::Mib(300);
    stage.world.begin_test_move(0, H1, H3, 1);
    stage.world.begin_test_move(1, H2, H3, 2);
    let v2 = stage.vm(1);
    stage.hear(&[started(v2, H2, H3, 2)]).found(expect!["I10 at +00001.000: h3 holds 512 MiB of 300 MiB"]);

    let mut stage = Stage::new();
    for id in 1..=9 {
        stage.hear(&durable(&intent(
            id,
            Action::Wake { host: HostId(u32::try_from(id % 4).expect("small")) },
        )));
    }
    stage.found(expect!["I11 at +00001.000: 9 wakes within 10 s"]);
}

#[test]
fn i15_i16_i19_effects_without_intent_and_without_outcome() {
    let mut stage = Stage::new();
    let wake = intent(1, Action::Wake { host: H3 });
    stage.hear(&[Note::Acted(wake.clone()), Note::Acted(wake.clone())]);
    stage.hear(&[Note::Closed { intent: IntentId(2), outcome: Outcome::Done { downtime: None } }]);
    stage.found(expect![[r#"
        I15 at +00001.000: i1 was carried out before it was durable
        I16 at +00001.000: i1 was carried out twice
        I16 at +00001.000: i2 has an outcome and no intent"#]]);

    let mut stage = Stage::new();
    stage.hear(&durable(&wake)).later(Millis::from_mins(20)).end();
    stage.found(expect!["I16 at +01201.000: i1 never got an outcome"]);

    let mut stage = Stage::new();
    stage.world.inject(&Fault::StoreFull { span: None });
    stage
        .hear(&durable(&wake))
        .found(expect!["I19 at +00001.000: i1 was carried out while the store was full"]);
}

#[test]
fn i21_i22_moves_that_do_not_end_or_are_not_confirmed() {
    let mut stage = Stage::new();
    stage.world.begin_test_move(0, H1, H3, 1);
    let step = intent(1, Action::Migrate { vm: VmId(0), from: H1, to: H3 });
    let looks = [looked(&stage, H1), looked(&stage, H3)];
    stage.hear(&looks).hear(&durable(&step)).later(Millis::from_mins(5)).hear(&[]);
    stage.found(expect![""]);
    // Who leads may end it, and has the time.
    stage
        .hear(&[Note::Leased { epoch: 1, until: Mono(u64::MAX) }])
        .hear(&[])
        .later(Millis::from_mins(5))
        .hear(&[]);
    stage.found(expect!["I21 at +00601.000: the move of v1 goes on after its deadline"]);

    let mut stage = Stage::new();
    let looks = [looked(&stage, H1), looked(&stage, H3)];
    stage.hear(&looks).hear(&durable(&step));
    stage.hear(&[Note::Closed { intent: IntentId(1), outcome: Outcome::Done { downtime: None } }]);
    stage.found(expect![[r#"
        I22 at +00001.000: the move of v1 to h3 was called done
        I22 at +00001.000: move i1 was called done before both ends were seen"#]]);
}

#[test]
fn i28_i29_i30_no_peace_no_pause_no_bound() {
    let mut stage = Stage::new();
    stage.belief[3] = HostState::Draining;
    stage.later(Millis::from_mins(16)).hear(&[]).found(expect!["I28 at +00961.000: h4 is still draining"]);

    let mut stage = Stage::new();
    let look = looked(&stage, H3);
    let off = intent(1, Action::Sleep { host: H3 });
    stage
        .hear(&[look, Note::ClockJumped { by_ms: -3_600_000 }])
        .later(Millis::from_secs(5))
        .hear(&durable(&off));
    stage.found(expect!["I29 at +00006.000: i1 was carried out right after a clock jump"]);

    let mut stage = Stage::new();
    stage.hear(&[Note::Handled { effects: 1000, next_tick: Mono(60_000) }]);
    stage.found(expect![[r#"
        I30 at +00001.000: one event made 1000 effects
        I30 at +00001.000: the next tick is more than a period away"#]]);
}

#[test]
fn a_sound_sleep_breaks_nothing() {
    let mut stage = Stage::new();
    stage.hear(&[state("h4", HostState::On, HostState::Draining, "plan")]).later(Millis(100));
    let look = looked(&stage, HostId(3));
    let off = intent(1, Action::Sleep { host: HostId(3) });
    stage.hear(&[look]).hear(&durable(&off)).hear(&[Note::GuardAgreed { host: HostId(3), epoch: Epoch(1) }]);
    stage.hear(&[Note::Closed { intent: IntentId(1), outcome: Outcome::Done { downtime: None } }]);
    stage.world.hosts[3].power = Power::Off;
    stage.hear(&[state("h4", HostState::Draining, HostState::Stopping, "guard-agreed")]);
    stage.hear(&[state("h4", HostState::Stopping, HostState::Asleep, "guard-and-silence")]).end();
    stage.found(expect![""]);
}
