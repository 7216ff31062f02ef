//! What can be wrong with a plan, in words that name the step, the host and the figures.

use dormouse_model::{HostId, Mib, MilliCpu, Premise, StepId, VmId};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("{step} stands at place {place}")]
    Numbering { step: StepId, place: StepId },
    #[error("{step} needs {needs}, which does not come before it")]
    NeedsLater { step: StepId, needs: StepId },
    #[error("{step} names a host or VM that is not in the picture")]
    NoSuch { step: StepId },
    #[error("{step} has no deadline")]
    NoDeadline { step: StepId },
    #[error("{step} moves a VM to where it is")]
    NoMove { step: StepId },
    #[error("{step} acts although the goal is to hold still")]
    ActsWhileHolding { step: StepId },
    #[error("{step}: {premise}")]
    Premise { step: StepId, premise: Premise },
    #[error("{step} moves {vm} on before the move that brings it is over")]
    MoveNotOver { step: StepId, vm: VmId },
    #[error("{step} aims at {host}, which may not be up by then")]
    NotUp { step: StepId, host: HostId },
    #[error("{step}: {host} takes no VM: {why}")]
    TakesNone { step: StepId, host: HostId, why: &'static str },
    #[error("{step}: {host} is not ours to empty: {why}")]
    GivesNone { step: StepId, host: HostId, why: &'static str },
    #[error("{step}: {host} may still hold {vm}")]
    NotEmptied { step: StepId, host: HostId, vm: VmId },
    #[error("{step}: {host} must not sleep: {why}")]
    MustNotSleep { step: StepId, host: HostId, why: &'static str },
    #[error("{step}: {host} must not be woken: {why}")]
    MustNotWake { step: StepId, host: HostId, why: &'static str },
    #[error("{step} stops {vm}, which no goal asks for")]
    Stops { step: StepId, vm: VmId },
    #[error("{host} can be asked for {peak} of its {limit}")]
    Memory { host: HostId, peak: Mib, limit: Mib },
    #[error("{host} can come to hold {peak} VMs in {limit} slots")]
    Slots { host: HostId, peak: u64, limit: u64 },
    #[error("{host} is filled with {demand} although cpu.target allows {limit}")]
    Cpu { host: HostId, demand: MilliCpu, limit: MilliCpu },
    #[error("{step}: {vm} cannot move: {why}")]
    Immovable { step: StepId, vm: VmId, why: String },
    #[error("{vm} moves {moves} times, {left} allowed")]
    Budget { vm: VmId, moves: u32, left: u32 },
    #[error("{step}: pin, ban or fence keeps {vm} off {host}")]
    Rule { step: StepId, vm: VmId, host: HostId },
    #[error("{step}: {host} has no network {name}, which {vm} is plugged into")]
    Network { step: StepId, vm: VmId, host: HostId, name: String },
    #[error("{step}: the last move of {vm} to {host} failed, and that way rests")]
    Barred { step: StepId, vm: VmId, host: HostId },
    #[error("{step}: {host} is of another CPU group than {vm} runs on")]
    CpuGroup { step: StepId, vm: VmId, host: HostId },
    #[error("{a} and {b} of group {group} can meet on {host}")]
    Spread { group: String, host: HostId, a: VmId, b: VmId },
    #[error("group {group} is torn apart")]
    Gather { group: String },
    #[error("{on} of the hosts that a rule keeps on stay on, {wanted} wanted")]
    Keep { on: u32, wanted: u32 },
    #[error("{on} hosts stay on, min_on is {wanted}")]
    MinOn { on: u32, wanted: u32 },
    #[error("{step}: {free} places for the largest VM stay free, {wanted} wanted")]
    Spare { step: StepId, free: u64, wanted: u64 },
    #[error("the VMs of {hosts} lost hosts cannot fit on the rest")]
    Failover { hosts: u32 },
}
