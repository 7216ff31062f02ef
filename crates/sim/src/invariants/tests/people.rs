//! The rules about who leads, what people say and what the calendar wants (I3, I4, I7, I14, I17, I18, I20, I23, I24).

use super::*;
use dormouse_control::{Automation, Order};
use dormouse_model::DomainState;

fn agreed(host: HostId, epoch: u64) -> Note {
    Note::GuardAgreed { host, epoch: Epoch(epoch) }
}

fn ordered(host: HostId, order: Order) -> Note {
    Note::Ordered { host: Some(host), order }
}

fn handled() -> Note {
    Note::Handled { effects: 0, next_tick: Mono::ZERO }
}

fn leased(stage: &Stage, epoch: u64) -> Note {
    Note::Leased { epoch, until: stage.at + Millis::from_secs(6) }
}

/// Open from the first hour of the clock that these stages have, on Thursday, 1 January 1970.
const OPENS_AT_ONE: &str = "window open Thu 01:00-23:00 goal=spread\n";

#[test]
fn i3_a_start_beside_a_host_that_may_hold_it() {
    let mut stage = Stage::new();
    let start = intent(1, Action::Start { vm: VmId(0), host: H2 });
    stage.hear(&[]).hear(&durable(&start));
    stage.found(expect!["I3 at +00001.000: v1 was started on h2 and may be on h1"]);

    // A person's word about a host that is really off.
    let mut stage = Stage::new();
    stage.hear(&[]);
    stage.world.hosts[0].power = Power::Off;
    stage.world.vms[0].copies[0].state = DomainState::ShutOff;
    stage.hear(&[ordered(H1, Order::Fence { host: H1 })]).hear(&durable(&start)).found(expect![""]);
}

#[test]
fn i4_an_effect_of_somebody_who_does_not_lead() {
    let mut stage = Stage::new();
    let (lease, wake) = (leased(&stage, 2), intent(1, Action::Wake { host: H3 }));
    stage.hear(&[lease]).hear(&durable(&wake));
    stage.hear(&[agreed(H4, 2), agreed(H4, 1)]);
    stage.found(expect![[r#"
        I4 at +00001.000: i1 went out with epoch e1, not e2
        I4 at +00001.000: the guard of h4 took the old e1"#]]);

    let mut stage = Stage::new();
    let lease = leased(&stage, 1);
    stage.hear(&[lease]).later(Millis::from_secs(5)).hear(&durable(&wake));
    stage.found(expect!["I4 at +00006.000: i1 went out as the lease ended"]);

    // Sent by who led by right, and obeyed long after.
    let mut stage = Stage::new();
    stage.world.vms.clear();
    stage.cluster.policy.knobs.failover = 0;
    let (first, second) = (intent(1, Action::Sleep { host: H4 }), intent(2, Action::Sleep { host: H3 }));
    let seen = looked(&stage, H4);
    stage.hear(&[seen]).hear(&durable(&first)).later(Millis::from_secs(29));
    stage.hear(&[agreed(H4, 1)]).found(expect![""]);
    let seen = looked(&stage, H3);
    stage.hear(&[seen]).hear(&durable(&second)).later(Millis::from_mins(8));
    stage
        .hear(&[agreed(H3, 1)])
        .found(expect!["I4 at +00510.000: the guard of h3 took a command of 480 s ago"]);
}

#[test]
fn i7_a_host_told_to_go_off_again_and_again() {
    let mut stage = Stage::new();
    stage.cluster.policy.knobs.failover = 0;
    stage.world.vms.clear();
    let lease = leased(&stage, 1);
    stage.hear(&[lease, agreed(H4, 1), agreed(H4, 1)]).found(expect![""]);
    // Health proves nothing, a person's word does.
    stage.hear(&[state("h4", HostState::On, HostState::SetAside, "never-went")]);
    stage.hear(&[state("h4", HostState::SetAside, HostState::On, "healthy-again")]);
    stage.hear(&[agreed(H4, 1)]).found(expect!["I7 at +00001.000: h4 was told to go off more than 2 times"]);
    stage.checkers.found.violations.clear();
    stage.hear(&[state("h4", HostState::On, HostState::SetAside, "never-went")]);
    stage.hear(&[state("h4", HostState::SetAside, HostState::On, "cleared"), agreed(H4, 1)]);
    stage.hear(&[agreed(H4, 1)]).found(expect![""]);
}

#[test]
fn i7_tries_do_not_go_on_while_nobody_leads() {
    let wake = |id| durable(&intent(id, Action::Wake { host: H3 }));
    let mut stage = Stage::new();
    let lease = leased(&stage, 1);
    stage.hear(&[lease]).hear(&wake(1)).later(Millis::from_mins(30));
    let lease = leased(&stage, 1);
    stage.hear(&[lease]).hear(&wake(2)).found(expect![""]);
    // Somebody led all the while.
    for _ in 0..5 * 60 {
        stage.later(Millis::from_secs(5));
        let lease = leased(&stage, 1);
        stage.hear(&[lease]);
    }
    stage.hear(&wake(3)).found(expect!["I7 at +03301.000: h3 was woken again after 2 tries"]);
}

#[test]
fn i14_and_i20_the_house_opens_and_a_host_sleeps() {
    let mut stage = Stage::with(OPENS_AT_ONE);
    stage.world.hosts[3].power = Power::Off;
    stage.belief[3] = HostState::Asleep;
    stage.hear(&[handled()]).later(Millis::from_mins(60)).hear(&[handled()]);
    stage.found(expect!["I14 at +03601.000: the house opens and h4 is asleep, unannounced"]);
    stage.checkers.found.violations.clear();
    stage.later(Millis::from_mins(14)).hear(&[handled()]).found(expect![""]);
    stage.later(Millis::from_mins(1)).hear(&[handled()]);
    stage.found(expect!["I20 at +04501.000: h4 sleeps in an open window"]);

    let mut stage = Stage::with(OPENS_AT_ONE);
    stage.later(Millis::from_mins(61)).hear(&[handled()]);
    let look = looked(&stage, HostId(3));
    stage.hear(&[look]).hear(&durable(&intent(1, Action::Sleep { host: HostId(3) })));
    stage.found(expect!["I20 at +03661.000: h4 is put to sleep in an open window"]);
}

#[test]
fn i17_i18_against_a_persons_word_and_hosts_with_a_role() {
    let mut stage = Stage::new();
    let off = intent(1, Action::Sleep { host: H4 });
    stage.world.login(H4, None);
    let look = looked(&stage, H4);
    stage.hear(&[look]).hear(&durable(&off)).hear(&[agreed(H4, 1)]);
    stage.found(expect![[r#"
        I17 at +00001.000: h4 was sent to sleep and people had been seen there
        I17 at +00001.000: h4 went off under people"#]]);

    let mut stage = Stage::new();
    let look = looked(&stage, H4);
    let mark = Order::Maintenance { host: H4, on: true };
    let orders = [Order::Pause { until: None }, Order::Automation(Automation::Advise), mark];
    let orders = orders.map(|order| Note::Ordered { host: None, order });
    stage.hear(&orders).hear(&[look]).hear(&durable(&off));
    stage.found(expect![[r#"
        I17 at +00001.000: i1 went out while a person had paused us
        I17 at +00001.000: i1 went out and nobody applied it
        I17 at +00001.000: h4 slept in maintenance"#]]);

    let mut stage = Stage::new();
    stage.cluster.hosts[3].role = Some(dormouse_model::Role::Storage);
    let look = looked(&stage, H4);
    stage.hear(&[look]).hear(&durable(&off));
    stage.found(expect!["I18 at +00001.000: h4 carries storage and was sent to sleep"]);
}

#[test]
fn i23_i24_a_vm_that_is_defined_nowhere_and_a_step_about_none() {
    let mut stage = Stage::new();
    stage.world.vms[0].copies.clear();
    let mut stop = intent(1, Action::Stop { vm: VmId(0), host: H1 });
    stop.vm = Some(Uuid::nil());
    stage.hear(&durable(&stop));
    stage.found(expect![[r#"
        I24 at +00001.000: i1 is about no VM there is
        I23 at +00001.000: v1 is defined nowhere"#]]);
}
