//! Bugs planted on purpose, one for each invariant that speaks of the world: a checker that none of them wakes is no checker.
//!
//! Built with the feature `mutants` alone, and chosen at run time. Without the feature none can be planted, and the
//! compiler leaves them out. Bugs of drivers and guards stand here too; the simulator has them.

/// One bug. The name says what is left out or done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// The guard does not look for VMs and moves (I1).
    GuardIsBlind = 1,
    /// A half-done move is resumed at its source although it runs at its destination (I2).
    ResumesBoth,
    /// A VM is started elsewhere without proof that it runs nowhere (I3).
    StartsWithoutProof,
    /// The lease is not looked at (I4).
    ActsWithoutLease,
    /// The guard obeys a command whenever it comes (I4).
    GuardForgetsTime,
    /// Many hosts may vanish at once (I5).
    NeverFreezes,
    /// A host that is silent is called asleep (I6).
    SilenceIsSleep,
    /// A host that does not wake is tried for ever (I7).
    TriesForEver,
    /// No host has to stay on (I8).
    NoMinimum,
    /// No reserve is kept (I9).
    NoReserve,
    /// What a VM takes beyond its memory, and what the host keeps, is forgotten (I10).
    NoOverhead,
    /// Everything at once (I11).
    NoBudgets,
    /// Nothing is left in peace (I12).
    NoRest,
    /// A state is told that the table does not have there (I13).
    SkipsStopping,
    /// Waking begins when the house opens (I14).
    WakesTooLate,
    /// An effect does not wait for its intent (I15).
    ActsBeforeIntent,
    /// What failed is not written down (I16).
    ForgetsOutcomes,
    /// People and holds do not count (I17).
    IgnoresPeople,
    /// Roles do not count (I18).
    IgnoresRoles,
    /// A store that refuses does not count (I19).
    ActsWithoutStore,
    /// An open house is packed like a closed one (I20).
    SleepsWhenOpen,
    /// A move that drags on is not ended (I21).
    NeverAborts,
    /// The driver's word is enough (I22).
    TrustsTheDriver,
    /// A moved VM leaves no definition behind when its host dies (I23).
    LosesDefinitions,
    /// A line of the trail shows a name as it came (I24).
    WritesRawText,
    /// Something beside the seed has a say (I27).
    OutsideChance,
    /// A host that was being emptied stays closed (I28).
    NeverReopens,
    /// A jump of the clock is not noticed (I29).
    IgnoresClockJumps,
    /// The next look may come late (I30).
    TicksLate,
}

#[cfg(feature = "mutants")]
mod planted {
    use super::Mutant;
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// One for the whole process: a bug is in the program, not in one run of it.
    static PLANTED: AtomicU8 = AtomicU8::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);

    impl Mutant {
        pub const ALL: [Self; 29] = [
            Self::GuardIsBlind,
            Self::ResumesBoth,
            Self::StartsWithoutProof,
            Self::ActsWithoutLease,
            Self::GuardForgetsTime,
            Self::NeverFreezes,
            Self::SilenceIsSleep,
            Self::TriesForEver,
            Self::NoMinimum,
            Self::NoReserve,
            Self::NoOverhead,
            Self::NoBudgets,
            Self::NoRest,
            Self::SkipsStopping,
            Self::WakesTooLate,
            Self::ActsBeforeIntent,
            Self::ForgetsOutcomes,
            Self::IgnoresPeople,
            Self::IgnoresRoles,
            Self::ActsWithoutStore,
            Self::SleepsWhenOpen,
            Self::NeverAborts,
            Self::TrustsTheDriver,
            Self::LosesDefinitions,
            Self::WritesRawText,
            Self::OutsideChance,
            Self::NeverReopens,
            Self::IgnoresClockJumps,
            Self::TicksLate,
        ];
    }

    /// From now on this bug is in the program, and no other.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
    }

    #[must_use]
    pub fn has(mutant: Mutant) -> bool {
        PLANTED.load(Ordering::Relaxed) == mutant as u8
    }

    /// Another number each time, whatever the seed.
    #[must_use]
    pub fn outside() -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(feature = "mutants")]
pub use planted::{has, outside, plant};

#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn has(_: Mutant) -> bool {
    false
}

#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn outside() -> u64 {
    0
}

/// Bugs that are rules left out of the configuration as it is taken in.
pub(crate) fn spoil(cluster: &mut std::sync::Arc<dormouse_model::Cluster>) {
    let left_out =
        [Mutant::NoMinimum, Mutant::NoReserve, Mutant::NoOverhead, Mutant::NoBudgets, Mutant::NoRest];
    let people = [Mutant::IgnoresPeople, Mutant::IgnoresRoles];
    if !left_out.into_iter().chain(people).any(has) {
        return;
    }
    let cluster = std::sync::Arc::make_mut(cluster);
    let knobs = &mut cluster.policy.knobs;
    if has(Mutant::NoMinimum) {
        (knobs.min_on, knobs.spare_min, knobs.spare_target, knobs.failover) = (0, 0, 0, 0);
    }
    if has(Mutant::NoReserve) {
        (knobs.spare_min, knobs.spare_target, knobs.failover) = (0, 0, 0);
    }
    if has(Mutant::NoBudgets) {
        (knobs.moves_host_out, knobs.moves_host_in, knobs.moves_all) = (64, 64, 0);
        (knobs.wakes_burst, knobs.sleeps_burst) = (64, 1000);
    }
    if has(Mutant::NoRest) {
        (knobs.moves_vm_hour, knobs.moves_vm_day, knobs.cycles_host_day) = (1000, 1000, 1000);
        (knobs.min_up, knobs.min_down) = (dormouse_model::Millis::ZERO, dormouse_model::Millis::ZERO);
    }
    for host in &mut cluster.hosts {
        if has(Mutant::NoOverhead) {
            (host.overhead, host.reserve) = (dormouse_model::Mib::ZERO, dormouse_model::Mib::ZERO);
        }
        if has(Mutant::IgnoresRoles) {
            host.role = None;
        }
    }
    if has(Mutant::IgnoresPeople) {
        cluster.holds.clear();
    }
}
