//! Steps with what they need, so that every order the needs allow is valid and a failure stops only who relied on it.
//!
//! *Room.* Each move that does not fit into what was free from the start is given the room of certain departures, and
//! needs those and no others; no piece of room is given twice. So whatever set of moves has come or is coming, its VMs
//! lie in room that was free or that is free by now. The departures given first are those that are over first.
//! *Company.* A VM of a spread group needs every mate that leaves its destination before it comes.
//! *Together.* Of VMs that move together each needs the one before, and the first needs the room of all: if one fails,
//! those after it stay where they are.

use crate::draft::{Draft, Move};
use crate::layout::Layout;
use crate::picture::{Load, Picture};
use dormouse_model::{Action, Because, HostId, Millis, Step, StepId, VmId};

/// A wake is given up after this time (the controller then tries again or takes another host).
const WAKE_DEADLINE: Millis = Millis::from_secs(600);
/// The same for going off.
const SLEEP_DEADLINE: Millis = Millis::from_secs(300);
/// No move is given up sooner, however small the VM: connecting and handing over take seconds.
const MOVE_DEADLINE_MIN: Millis = Millis::from_secs(60);
/// Dirty pages, a shared link and a slow disk may cost this many times the shortest time.
const MOVE_DEADLINE_FACTOR: u64 = 10;

/// What is known about when the moves run.
#[derive(Clone, Copy)]
pub(super) enum When<'a> {
    /// Starts and ends, for each move; a host goes to sleep as soon as it is empty.
    Played(&'a [(Millis, Millis)]),
    /// One by one, as listed; hosts go to sleep at the end of all.
    Listed,
}

/// The steps of a draft whose moves are listed in an order that is valid one by one.
pub(super) fn steps(picture: &Picture<'_>, before: &Layout, draft: &Draft, when: When<'_>) -> Vec<Step> {
    let sleep_last = matches!(when, When::Listed);
    let mut list = Listing::new(picture, draft);
    for (host, because) in &draft.wakes {
        let id = list.push(Action::Wake { host: *host }, vec![], WAKE_DEADLINE, because.clone());
        list.woken[host.index()] = Some(id);
    }
    if !sleep_last {
        for (host, because) in &draft.sleeps {
            if list.leaving[host.index()] == 0 {
                list.push_sleep(*host, because.clone());
            }
        }
    }
    let mut sleeps: Vec<Option<&Because>> = vec![None; picture.hosts.len()];
    draft.sleeps.iter().for_each(|(host, because)| sleeps[host.index()] = Some(because));
    for (place, one) in draft.moves.iter().enumerate() {
        let span = match when {
            When::Played(times) => times[place],
            When::Listed => (Millis(place as u64 + 1), Millis(place as u64 + 1)),
        };
        list.push_move(before, draft, place, span);
        let left = &mut list.leaving[one.from.index()];
        *left -= 1;
        if *left == 0
            && !sleep_last
            && let Some(because) = sleeps[one.from.index()]
        {
            list.push_sleep(one.from, because.clone());
        }
    }
    if sleep_last {
        draft.sleeps.iter().for_each(|(host, because)| list.push_sleep(*host, because.clone()));
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
    woken: Vec<Option<StepId>>,
    last_move: Vec<Option<StepId>>,
    /// Departures not yet listed, by host.
    leaving: Vec<u32>,
    sites: Vec<Site>,
}

/// What the list so far does to one host.
#[derive(Default)]
struct Site {
    departures: Vec<Departure>,
    room: Option<Given>,
}

#[derive(Clone, Copy)]
struct Departure {
    vm: VmId,
    step: StepId,
    end: Millis,
}

impl Listing<'_, '_> {
    fn new<'a, 'p>(picture: &'a Picture<'p>, draft: &Draft) -> Listing<'a, 'p> {
        let hosts = picture.hosts.len();
        let mut leaving = vec![0u32; hosts];
        draft.moves.iter().for_each(|one| leaving[one.from.index()] += 1);
        Listing {
            picture,
            steps: Vec::with_capacity(draft.wakes.len() + draft.moves.len() + draft.sleeps.len()),
            woken: vec![None; hosts],
            last_move: vec![None; if draft.moves.is_empty() { 0 } else { picture.vms.len() }],
            leaving,
            sites: (0..hosts).map(|_| Site::default()).collect(),
        }
    }

    fn push(&mut self, action: Action, needs: Vec<StepId>, deadline: Millis, because: Because) -> StepId {
        let id = StepId::at(self.steps.len());
        self.steps.push(Step { id, action, needs, deadline, because });
        id
    }

    fn push_sleep(&mut self, host: HostId, because: Because) {
        let needs = self.sites[host.index()].departures.iter().map(|gone| gone.step).collect();
        self.push(Action::Sleep { host }, needs, SLEEP_DEADLINE, because);
    }

    fn push_move(&mut self, before: &Layout, draft: &Draft, place: usize, (start, end): (Millis, Millis)) {
        let one = &draft.moves[place];
        let mut needs = match self.mate_before(draft, place) {
            Some(mate) => vec![mate],
            None => self.room_needs(before, draft, place, start),
        };
        needs.extend(self.woken[one.to.index()]);
        needs.extend(self.last_move[one.vm.index()]);
        needs.sort_unstable();
        needs.dedup();
        let action = Action::Migrate { vm: one.vm, from: one.from, to: one.to };
        let step = self.push(action, needs, move_deadline(self.picture, one), one.because.clone());
        self.last_move[one.vm.index()] = Some(step);
        self.sites[one.from.index()].departures.push(Departure { vm: one.vm, step, end });
    }

    /// The step of the VM that moves together with this one just before it.
    fn mate_before(&self, draft: &Draft, place: usize) -> Option<StepId> {
        let [before, one] = draft.moves.get(place.checked_sub(1)?..=place)? else { return None };
        together(self.picture, before, one).then(|| self.last_move[before.vm.index()]).flatten()
    }

    /// The departures whose room this move, and those that move together with it, are given.
    fn room_needs(&mut self, before: &Layout, draft: &Draft, place: usize, start: Millis) -> Vec<StepId> {
        let picture = self.picture;
        let one = &draft.moves[place];
        let unit = draft.moves[place..].iter().take_while(|other| together(picture, one, other));
        let mut load = Load::default();
        let mut needs = vec![];
        let site = &mut self.sites[one.to.index()];
        for mate in unit {
            load.add(picture.load_of(mate.vm));
            let groups = picture.spread_of(mate.vm);
            let meets =
                |gone: &&Departure| picture.spread_of(gone.vm).iter().any(|group| groups.contains(group));
            if !groups.is_empty() {
                needs.extend(site.departures.iter().filter(meets).map(|gone| gone.step));
            }
        }
        let room = site.room.get_or_insert_with(|| Given::of(picture, before, one.to));
        room.ask(picture, load, one.to, &site.departures, start, &mut needs);
        needs
    }
}

fn together(picture: &Picture<'_>, a: &Move, b: &Move) -> bool {
    let unit = |one: &Move| picture.unit(one.vm).first();
    (a.from, a.to) == (b.from, b.to) && unit(a) == unit(b)
}

/// Room of one host as it is given to those who come: what was free first, then what departures leave behind.
struct Given {
    mem: Pool,
    slots: Pool,
    /// What was there from the start and has no room: nobody may come before so much has gone.
    dues: Option<Vec<StepId>>,
    /// How far the departures have been looked at, and those among them that were not over yet.
    seen: usize,
    pending: Vec<Departure>,
}

/// One dimension of it.
#[derive(Default)]
struct Pool {
    free: u64,
    owed: u64,
    /// Left behind by departures, and not yet given: in the order in which they are over.
    left: std::collections::VecDeque<(StepId, u64)>,
}

impl Pool {
    fn of(limit: u64, used: u64) -> Self {
        Self { free: limit.saturating_sub(used), owed: used.saturating_sub(limit), ..Self::default() }
    }

    /// Takes so much, and names the departures that it is taken from. What is missing still is returned.
    fn take(&mut self, mut wanted: u64, needs: &mut Vec<StepId>) -> u64 {
        let at_once = wanted.min(self.free);
        self.free -= at_once;
        wanted -= at_once;
        while wanted > 0 {
            let Some((step, left)) = self.left.front_mut() else { return wanted };
            let part = wanted.min(*left);
            *left -= part;
            wanted -= part;
            needs.push(*step);
            if *left == 0 {
                self.left.pop_front();
            }
        }
        0
    }
}

impl Given {
    fn of(picture: &Picture<'_>, before: &Layout, host: HostId) -> Self {
        let (view, load) = (picture.host(host), before.load(host));
        Self {
            mem: Pool::of(view.mem.0, view.mem_of(load).0),
            slots: Pool::of(u64::from(view.slots), u64::from(load.count)),
            dues: None,
            seen: 0,
            pending: vec![],
        }
    }

    /// Gives room to a load that starts to come at that time.
    fn ask(
        &mut self,
        picture: &Picture<'_>,
        load: Load,
        host: HostId,
        departures: &[Departure],
        start: Millis,
        needs: &mut Vec<StepId>,
    ) {
        let (mem, slots) = (picture.host(host).mem_of(load).0, u64::from(load.count));
        if mem <= self.mem.free && slots <= self.slots.free && self.dues.is_none() && !self.owes() {
            self.mem.free -= mem;
            self.slots.free -= slots;
            return;
        }
        self.pending.extend(departures[self.seen..].iter().copied());
        self.seen = departures.len();
        self.pending.sort_by_key(|gone| (gone.end, gone.step));
        let over = self.pending.partition_point(|gone| gone.end <= start);
        for gone in self.pending.drain(..over).collect::<Vec<_>>() {
            self.came_free(picture, host, gone);
        }
        if self.dues.is_none() {
            let mut dues = vec![];
            let mem = std::mem::take(&mut self.mem.owed);
            self.mem.owed = self.mem.take(mem, &mut dues);
            let slots = std::mem::take(&mut self.slots.owed);
            self.slots.owed = self.slots.take(slots, &mut dues);
            self.dues = Some(dues);
        }
        needs.extend(self.dues.iter().flatten());
        self.mem.take(mem, needs);
        self.slots.take(slots, needs);
    }

    fn owes(&self) -> bool {
        self.mem.owed > 0 || self.slots.owed > 0
    }

    fn came_free(&mut self, picture: &Picture<'_>, host: HostId, gone: Departure) {
        let load = picture.load_of(gone.vm);
        self.mem.left.push_back((gone.step, picture.host(host).mem_of(load).0));
        self.slots.left.push_back((gone.step, 1));
    }
}
