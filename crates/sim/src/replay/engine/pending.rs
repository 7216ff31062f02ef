//! Orders that have not begun, and what of them may begin now.

use super::world::World;
use crate::replay::policy::{Act, Orders, Place, Power};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Begun,
    Done,
    /// It makes no sense any more, and whoever needs it never begins.
    Dropped,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    orders: Orders,
    state: Vec<State>,
    /// Places of the steps that are neither done nor dropped.
    open: Vec<usize>,
}

impl Pending {
    pub(super) fn new(orders: Orders) -> Self {
        Self {
            state: vec![State::Waits; orders.steps.len()],
            open: (0..orders.steps.len()).collect(),
            orders,
        }
    }

    /// Begins what can begin. One beginning may allow another, within the same instant.
    pub(super) fn begin(&mut self, world: &mut World<'_>) {
        loop {
            let mut changed = false;
            let open = std::mem::take(&mut self.open);
            for place in open {
                let next = self.next(world, place);
                changed |= next != self.state[place];
                self.state[place] = next;
                if matches!(next, State::Waits | State::Begun) {
                    self.open.push(place);
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn next(&self, world: &mut World<'_>, place: usize) -> State {
        let step = &self.orders.steps[place];
        let begun = self.state[place] == State::Begun;
        if !begun {
            let need = |state: State| step.needs.iter().any(|need| self.state.get(*need) == Some(&state));
            if need(State::Dropped) {
                return State::Dropped;
            }
            if need(State::Waits) || need(State::Begun) {
                return State::Waits;
            }
        }
        match step.act {
            Act::Wake(host) => match world.power(host) {
                Power::On => State::Done,
                Power::Asleep => {
                    world.wake(host);
                    State::Begun
                }
                Power::Waking => State::Begun,
                Power::Stopping => State::Waits,
            },
            Act::Sleep(host) => match world.power(host) {
                Power::Asleep => State::Done,
                Power::Stopping => State::Begun,
                Power::Waking => State::Dropped,
                Power::On if world.hosts[host.index()].count == 0 => {
                    world.sleep(host);
                    State::Begun
                }
                Power::On => State::Waits,
            },
            Act::Move { vm, to } => match world.vms[vm.index()].place {
                Place::On(at) if at == to => State::Done,
                Place::On(_) if begun => State::Dropped,
                Place::On(from) => {
                    let below = |limit: Option<u32>, count: u32| limit.is_none_or(|limit| count < limit);
                    let (orders, flows) = (&self.orders, &world.flows);
                    if below(orders.at_once, flows.len())
                        && below(orders.out_of_host, flows.out_of(from))
                        && below(orders.into_host, flows.into(to))
                        && world.view().fits(vm, to)
                    {
                        world.begin_move(vm, from, to);
                        State::Begun
                    } else {
                        State::Waits
                    }
                }
                Place::Moving { .. } => {
                    if begun {
                        State::Begun
                    } else {
                        State::Waits
                    }
                }
                Place::Stopped | Place::Waiting => State::Dropped,
            },
        }
    }
}
