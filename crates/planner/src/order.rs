//! Turns moves into steps: an order, what each step needs, and how long it may take.
//!
//! [`schedule`] finds an order that ends early, by playing the moves with one move into and one out of each host at a
//! time; exchanges that block each other go through spare room or are refused. [`steps`] then adds, for any list whose
//! order is valid one by one, the needs that make every parallel order valid: its argument is in [`room_needs`].

use crate::draft::{Draft, Move};
use crate::layout::{Cpu, Layout};
use crate::picture::{Load, Picture};
use dormouse_model::{Action, Because, HostId, Millis, RefusalReason, Step, StepId, VmId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A wake is given up after this time (the controller then tries again or takes another host).
const WAKE_DEADLINE: Millis = Millis::from_secs(600);
/// The same for going off.
const SLEEP_DEADLINE: Millis = Millis::from_secs(300);
/// No move is given up sooner, however small the VM: connecting and handing over take seconds.
const MOVE_DEADLINE_MIN: Millis = Millis::from_secs(60);
/// Dirty pages, a shared link and a slow disk may cost this many times the shortest time.
const MOVE_DEADLINE_FACTOR: u64 = 10;

/// The steps of a draft whose moves are listed in an order that is valid one by one.
/// `sleep_last`: all sleeps at the end, else each as soon as its host is empty.
pub(crate) fn steps(picture: &Picture<'_>, before: &Layout, draft: &Draft, sleep_last: bool) -> Vec<Step> {
    let mut list = Listing { picture, steps: vec![], woken: BTreeMap::new(), last_move: BTreeMap::new() };
    for (host, because) in &draft.wakes {
        let id = list.push(Action::Wake { host: *host }, vec![], WAKE_DEADLINE, because.clone());
        list.woken.insert(*host, id);
    }
    let mut departures_left: BTreeMap<HostId, usize> =
        draft.sleeps.iter().map(|(host, _)| (*host, 0)).collect();
    for one in &draft.moves {
        departures_left.entry(one.from).and_modify(|left| *left += 1);
    }
    let mut sleep_because: BTreeMap<HostId, &Because> =
        draft.sleeps.iter().map(|(host, why)| (*host, why)).collect();
    if !sleep_last {
        for (host, because) in draft.sleeps.iter().filter(|(host, _)| departures_left[host] == 0) {
            sleep_because.remove(host);
            list.push(Action::Sleep { host: *host }, vec![], SLEEP_DEADLINE, because.clone());
        }
    }
    let mut sites: BTreeMap<HostId, Site> = BTreeMap::new();
    for one in &draft.moves {
        let id = list.push_move(before, &mut sites, one);
        sites.entry(one.from).or_default().departures.push((one.vm, id));
        if let Some(left) = departures_left.get_mut(&one.from) {
            *left -= 1;
            if *left == 0 && !sleep_last {
                let because = sleep_because.remove(&one.from).cloned().unwrap_or(Because::Empty);
                list.push_sleep(&sites, one.from, because);
            }
        }
    }
    if sleep_last {
        for (host, because) in &draft.sleeps {
            list.push_sleep(&sites, *host, because.clone());
        }
    }
    list.steps
}

/// Longest time a move may take.
fn move_deadline(picture: &Picture<'_>, one: &Move) -> Millis {
    let shortest = picture.transfer(one.vm, one.from, one.to);
    Millis(shortest.0.saturating_mul(MOVE_DEADLINE_FACTOR)).max(MOVE_DEADLINE_MIN)
}

struct Listing<'a, 'p> {
    picture: &'a Picture<'p>,
    steps: Vec<Step>,
    woken: BTreeMap<HostId, StepId>,
    last_move: BTreeMap<VmId, StepId>,
}

/// What the list so far does to one host.
#[derive(Default)]
struct Site {
    /// Everything that has been let in.
    came: Load,
    departures: Vec<(VmId, StepId)>,
}

impl Listing<'_, '_> {
    fn push(&mut self, action: Action, needs: Vec<StepId>, deadline: Millis, because: Because) -> StepId {
        let id = StepId::at(self.steps.len());
        self.steps.push(Step { id, action, needs, deadline, because });
        id
    }

    fn push_sleep(&mut self, sites: &BTreeMap<HostId, Site>, host: HostId, because: Because) {
        let needs = sites
            .get(&host)
            .map_or_else(Vec::new, |site| site.departures.iter().map(|(_, id)| *id).collect());
        self.push(Action::Sleep { host }, needs, SLEEP_DEADLINE, because);
    }

    fn push_move(&mut self, before: &Layout, sites: &mut BTreeMap<HostId, Site>, one: &Move) -> StepId {
        let site = sites.entry(one.to).or_default();
        site.came.add(self.picture.load_of(one.vm));
        let mut needs = room_needs(self.picture, before, site, one);
        needs.extend(self.woken.get(&one.to));
        needs.extend(self.last_move.get(&one.vm));
        let action = Action::Migrate { vm: one.vm, from: one.from, to: one.to };
        let deadline = move_deadline(self.picture, one);
        let id = self.push(action, needs.into_iter().collect(), deadline, one.because.clone());
        self.last_move.insert(one.vm, id);
        id
    }
}

/// The departures that this move must wait for.
///
/// Enough of them that what was there, plus all that the list lets in up to here, less those departures, has room. This
/// makes any order safe: of all VMs that have come or are coming at some instant, take the one that stands last in the
/// list; all others stand before it and were counted with it, and the departures that it needs have happened.
/// A VM of a spread group waits for every member that leaves before it.
fn room_needs(picture: &Picture<'_>, before: &Layout, site: &Site, one: &Move) -> BTreeSet<StepId> {
    let mut needs = BTreeSet::new();
    let groups = picture.spread_of(one.vm);
    let meets = |vm: &VmId| picture.spread_of(*vm).iter().any(|group| groups.contains(group));
    if !groups.is_empty() {
        needs.extend(site.departures.iter().filter(|(vm, _)| meets(vm)).map(|(_, id)| *id));
    }
    let mut there = before.load(one.to);
    there.add(site.came);
    for (vm, _) in site.departures.iter().filter(|(_, id)| needs.contains(id)) {
        there.sub(picture.load_of(*vm));
    }
    let host = picture.host(one.to);
    for (vm, id) in &site.departures {
        if host.mem_of(there) <= host.mem && there.count <= host.slots {
            break;
        }
        if needs.insert(*id) {
            there.sub(picture.load_of(*vm));
        }
    }
    needs
}

/// Puts the moves of a draft into an order that is valid one by one and ends early. Each VM moves once in the draft;
/// a VM that has to step aside to break a cycle moves twice afterwards, one that blocks for good is refused.
pub(crate) fn schedule(picture: &Picture<'_>, before: &Layout, takes: &[bool], draft: &mut Draft) {
    let moves = std::mem::take(&mut draft.moves);
    let mut play = Play::new(picture, before, takes, moves);
    for (host, _) in &draft.wakes {
        let boot = picture.snapshot.host(*host).spec.boot;
        play.asleep[host.index()] = true;
        play.events.push(Reverse((boot, Event::Up(*host))));
    }
    play.start_everywhere();
    loop {
        while let Some(Reverse((now, event))) = play.events.pop() {
            play.now = now;
            let mut touched = play.end(event);
            while let Some(Reverse((_, more))) = play.events.pop_if_at(now) {
                touched.extend(play.end(more));
            }
            play.start_around(touched);
        }
        if play.pending == 0 {
            break;
        }
        if !play.step_aside() {
            let dropped = play.give_up();
            draft.refuse_vm(dropped, RefusalReason::Cycle);
        }
        play.start_everywhere();
    }
    let started = play.started.iter().map(|index| play.moves[*index].clone()).collect();
    draft.moves = started;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Up(HostId),
    Moved(usize),
}

trait PopAt {
    fn pop_if_at(&mut self, now: Millis) -> Option<Reverse<(Millis, Event)>>;
}

impl PopAt for BinaryHeap<Reverse<(Millis, Event)>> {
    fn pop_if_at(&mut self, now: Millis) -> Option<Reverse<(Millis, Event)>> {
        if self.peek().is_some_and(|Reverse((at, _))| *at == now) { self.pop() } else { None }
    }
}

/// A play of the moves at full rate, one into and one out of each host at a time.
struct Play<'a, 'p> {
    picture: &'a Picture<'p>,
    takes: &'a [bool],
    moves: Vec<Move>,
    /// Room as the moves take and free it.
    room: Layout,
    /// Moves not yet started, by destination and by source.
    into: Vec<Vec<usize>>,
    out_of: Vec<Vec<usize>>,
    /// Time that the moves not yet started will take.
    in_left: Vec<Millis>,
    out_left: Vec<Millis>,
    in_busy: Vec<bool>,
    out_busy: Vec<bool>,
    asleep: Vec<bool>,
    events: BinaryHeap<Reverse<(Millis, Event)>>,
    now: Millis,
    started: Vec<usize>,
    pending: usize,
    /// VMs that have stepped aside, and the move that then takes each to its place.
    aside: BTreeMap<VmId, Move>,
}

impl<'a, 'p> Play<'a, 'p> {
    fn new(picture: &'a Picture<'p>, before: &Layout, takes: &'a [bool], moves: Vec<Move>) -> Self {
        let hosts = picture.hosts.len();
        let mut play = Self {
            picture,
            takes,
            moves: vec![],
            room: before.clone(),
            into: vec![vec![]; hosts],
            out_of: vec![vec![]; hosts],
            in_left: vec![Millis::ZERO; hosts],
            out_left: vec![Millis::ZERO; hosts],
            in_busy: vec![false; hosts],
            out_busy: vec![false; hosts],
            asleep: vec![false; hosts],
            events: BinaryHeap::new(),
            now: Millis::ZERO,
            started: vec![],
            pending: 0,
            aside: BTreeMap::new(),
        };
        for one in moves {
            play.enqueue(one);
        }
        play
    }

    fn time(&self, one: &Move) -> Millis {
        self.picture.transfer(one.vm, one.from, one.to)
    }

    fn enqueue(&mut self, one: Move) {
        let index = self.moves.len();
        let time = self.time(&one);
        self.into[one.to.index()].push(index);
        self.out_of[one.from.index()].push(index);
        self.in_left[one.to.index()] = self.in_left[one.to.index()].saturating_add(time);
        self.out_left[one.from.index()] = self.out_left[one.from.index()].saturating_add(time);
        self.moves.push(one);
        self.pending += 1;
    }

    fn dequeue(&mut self, index: usize) {
        let one = &self.moves[index];
        let (from, to) = (one.from.index(), one.to.index());
        let time = self.time(one);
        for queue in [&mut self.into[to], &mut self.out_of[from]] {
            if let Some(place) = queue.iter().position(|other| *other == index) {
                queue.swap_remove(place);
            }
        }
        self.in_left[to] = self.in_left[to].saturating_sub(time);
        self.out_left[from] = self.out_left[from].saturating_sub(time);
        self.pending -= 1;
    }

    fn may_start(&self, index: usize) -> bool {
        let one = &self.moves[index];
        let (from, to) = (one.from.index(), one.to.index());
        !self.in_busy[to]
            && !self.out_busy[from]
            && !self.asleep[to]
            && self.room.has_room(self.picture, self.picture.load_of(one.vm), one.to, Cpu::Ignored).is_ok()
            && self.room.meets_none(self.picture, one.vm, one.to)
    }

    fn start(&mut self, index: usize) {
        self.dequeue(index);
        let one = self.moves[index].clone();
        let time = self.time(&one);
        self.in_busy[one.to.index()] = true;
        self.out_busy[one.from.index()] = true;
        self.room.occupy(self.picture, one.vm, one.to);
        self.events.push(Reverse((self.now.saturating_add(time), Event::Moved(index))));
        self.started.push(index);
    }

    /// What an event frees: hosts around which something may start.
    fn end(&mut self, event: Event) -> Vec<HostId> {
        match event {
            Event::Up(host) => {
                self.asleep[host.index()] = false;
                vec![host]
            }
            Event::Moved(index) => {
                let one = self.moves[index].clone();
                self.in_busy[one.to.index()] = false;
                self.out_busy[one.from.index()] = false;
                self.room.vacate(self.picture, one.vm, one.from);
                if let Some(onward) = self.aside.get(&one.vm).filter(|onward| onward.from == one.to).cloned()
                {
                    self.enqueue(onward);
                }
                vec![one.to, one.from]
            }
        }
    }

    fn start_everywhere(&mut self) {
        let touched = self.picture.host_ids().filter(|host| !self.into[host.index()].is_empty()).collect();
        self.start_around(touched);
    }

    /// Starts what can start into or out of these hosts, those with most left to take first.
    fn start_around(&mut self, mut touched: Vec<HostId>) {
        touched.sort_unstable_by_key(|host| (Reverse(self.in_left[host.index()]), *host));
        touched.dedup();
        for host in touched {
            let here = host.index();
            let rank = |play: &Self, index: &usize| {
                let one = &play.moves[*index];
                let (vm, from, to) = (play.picture.vm(one.vm), one.from.index(), one.to.index());
                (play.in_left[to].max(play.out_left[from]), vm.mem, Reverse(one.vm))
            };
            let best = |play: &Self, queue: &[usize]| {
                queue
                    .iter()
                    .copied()
                    .filter(|index| play.may_start(*index))
                    .max_by_key(|index| rank(play, index))
            };
            if !self.in_busy[here]
                && let Some(index) = best(self, &self.into[here])
            {
                self.start(index);
            }
            if !self.out_busy[here]
                && let Some(index) = best(self, &self.out_of[here])
            {
                self.start(index);
            }
        }
    }

    /// All that is left waits for room that only the others free: one VM goes to a third host first.
    fn step_aside(&mut self) -> bool {
        let mut waiting: Vec<usize> = self.into.iter().flatten().copied().collect();
        waiting.sort_unstable_by_key(|index| {
            (self.picture.vm(self.moves[*index].vm).mem, self.moves[*index].vm)
        });
        for index in waiting {
            let one = self.moves[index].clone();
            let view = self.picture.vm(one.vm);
            let in_the_way = !self.into[one.from.index()].is_empty();
            let movable = !self.aside.contains_key(&one.vm) && self.picture.unit(one.vm).len() == 1;
            if !in_the_way || !movable || (view.moves_left < 2 && !self.picture.host(one.from).drain) {
                continue;
            }
            let load = self.picture.load_of(one.vm);
            let spare = self
                .picture
                .host_ids()
                .filter(|host| *host != one.from && *host != one.to)
                .filter(|host| self.takes[host.index()] && !self.asleep[host.index()])
                .filter(|host| self.room.has_room(self.picture, load, *host, Cpu::Ignored).is_ok())
                .filter(|host| self.room.rules_allow(self.picture, one.vm, *host).is_ok())
                // Best where nothing else is waiting to go.
                .min_by_key(|host| {
                    (self.in_left[host.index()], Reverse(self.room.free(self.picture, *host)), *host)
                });
            let Some(spare) = spare else { continue };
            self.dequeue(index);
            self.aside.insert(one.vm, Move { from: spare, ..one.clone() });
            let first = self.moves.len();
            self.enqueue(Move { to: spare, because: Because::BreaksCycle, ..one });
            self.start(first);
            return true;
        }
        false
    }

    /// Nothing helps: the largest waiting VM stays where it is, and the rest may go on.
    fn give_up(&mut self) -> VmId {
        let index = self.into.iter().flatten().copied();
        let index = index.max_by_key(|index| (self.picture.vm(self.moves[*index].vm).mem, Reverse(*index)));
        let index = index.expect("called only while something waits");
        self.dequeue(index);
        self.moves[index].vm
    }
}
