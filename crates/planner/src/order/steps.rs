//! Steps with what they need, so that every order the needs allow is valid and a failure stops only who relied on it.
//!
//! *Room.* Each move that does not fit into what was free from the start is given the room of certain departures, and
//! needs those and no others; no piece of room is given twice. So whatever set of moves has come or is coming, its VMs
//! lie in room that was free or that is free by now. The departures given first are those that are over first.
//! *Company.* A VM of a spread group needs every mate that leaves its destination before it comes.
//! *Taking over.* Hosts go to sleep only once those that were woken in their place are up.
//! *Together.* Of VMs that move together each needs the one before, and the first needs the room of all: if one fails,
//! those after it stay where they are.

use super::play::Course;
use super::room::Size;
use crate::draft::{Draft, Move};
use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{Action, Because, HostId, Mib, Millis, Step, StepId, VmId};
use std::ops::Range;

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
    /// For each move; a host goes to sleep as soon as it is empty.
    Played(&'a [Course]),
    /// One by one, as listed; hosts go to sleep at the end of all.
    Listed,
}

/// The steps of a draft whose moves are listed in an order that is valid one by one.
pub(super) fn steps(picture: &Picture<'_>, before: &Layout, draft: &Draft, when: When<'_>) -> Vec<Step> {
    let sleep_last = matches!(when, When::Listed);
    let course = |place: usize| match when {
        When::Played(courses) => courses[place],
        When::Listed => {
            let now = Millis(place as u64 + 1);
            Course { start: now, end: now, mem: picture.vm(draft.moves[place].vm).mem, plain: false }
        }
    };
    let all_plain = match when {
        When::Played(courses) => courses.iter().all(|course| course.plain),
        When::Listed => false,
    };
    let mut list = Listing::new(picture, draft, all_plain);
    for (host, because) in &draft.wakes {
        let id = list.push(Action::Wake { host: *host }, vec![], WAKE_DEADLINE, because.clone());
        list.woken[host.index()] = Some(id);
        if matches!(because, Because::Thrift { .. }) {
            list.takes_over.push(id);
        }
    }
    if !sleep_last {
        for (host, because) in &draft.sleeps {
            if list.sites[host.index()].leaving == 0 {
                list.push_sleep(*host, because.clone());
            }
        }
    }
    let mut sleeps: Vec<Option<&Because>> = vec![None; picture.hosts.len()];
    draft.sleeps.iter().for_each(|(host, because)| sleeps[host.index()] = Some(because));
    for (place, one) in draft.moves.iter().enumerate() {
        list.push_move(before, draft, place, course(place));
        let left = &mut list.sites[one.from.index()].leaving;
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
fn move_deadline(picture: &Picture<'_>, one: &Move, mem: Mib) -> Millis {
    let shortest = mem.transfer_time(picture.host(one.from).link.min(picture.host(one.to).link));
    Millis(shortest.0.saturating_mul(MOVE_DEADLINE_FACTOR)).max(MOVE_DEADLINE_MIN)
}

struct Listing<'a, 'p> {
    picture: &'a Picture<'p>,
    steps: Vec<Step>,
    woken: Vec<Option<StepId>>,
    /// Wakes of hosts that take the place of others: without them nobody sleeps, or the reserves would not hold.
    takes_over: Vec<StepId>,
    /// By VM; empty where none moves twice or with others.
    last_move: Vec<Option<StepId>>,
    sites: Vec<Site>,
    /// Side by side: those from one host are a part of it.
    departures: Vec<Departure>,
}

/// What the list so far does to one host.
struct Site {
    /// Departures not yet listed, and where those that are listed stand.
    leaving: u32,
    gone: Range<u32>,
    room: Room,
}

/// Room that is left of what was free from the start.
enum Room {
    /// Nobody has come yet.
    Untouched,
    /// Nobody had to wait for room yet.
    Ample { mem: Mib, slots: u32 },
    /// Somebody is given room of departures.
    Given(Box<Given>),
}

#[derive(Clone, Copy)]
struct Departure {
    vm: VmId,
    step: StepId,
    end: Millis,
}

impl Listing<'_, '_> {
    fn new<'a, 'p>(picture: &'a Picture<'p>, draft: &Draft, all_plain: bool) -> Listing<'a, 'p> {
        let hosts = picture.hosts.len();
        let mut leaving = vec![0u32; hosts];
        draft.moves.iter().for_each(|one| leaving[one.from.index()] += 1);
        let mut sum = 0u32;
        let site = |leaving: u32| {
            let gone = sum..sum;
            sum += leaving;
            Site { leaving, gone, room: Room::Untouched }
        };
        let nobody = Departure { vm: VmId(0), step: StepId(0), end: Millis::ZERO };
        Listing {
            picture,
            steps: Vec::with_capacity(draft.wakes.len() + draft.moves.len() + draft.sleeps.len()),
            woken: vec![None; hosts],
            takes_over: vec![],
            last_move: vec![None; if all_plain { 0 } else { picture.vms.len() }],
            sites: leaving.into_iter().map(site).collect(),
            departures: vec![nobody; draft.moves.len()],
        }
    }

    fn push(&mut self, action: Action, needs: Vec<StepId>, deadline: Millis, because: Because) -> StepId {
        let id = StepId::at(self.steps.len());
        self.steps.push(Step { id, action, needs, deadline, because });
        id
    }

    fn push_sleep(&mut self, host: HostId, because: Because) {
        let gone = gone(&self.departures, &self.sites[host.index()]).iter().map(|gone| gone.step);
        let mut needs: Vec<StepId> = self.takes_over.iter().copied().chain(gone).collect();
        if !self.takes_over.is_empty() {
            needs.sort_unstable();
            needs.dedup();
        }
        self.push(Action::Sleep { host }, needs, SLEEP_DEADLINE, because);
    }

    fn push_move(&mut self, before: &Layout, draft: &Draft, place: usize, course: Course) {
        let one = &draft.moves[place];
        let mut needs = if course.plain {
            self.plain_needs(before, one, course)
        } else {
            match self.mate_before(draft, place) {
                Some(mate) => vec![mate],
                None => self.room_needs(before, draft, place, course.start),
            }
        };
        needs.extend(self.woken[one.to.index()]);
        needs.extend(self.last_move.get(one.vm.index()).copied().flatten());
        if needs.len() > 1 {
            needs.sort_unstable();
            needs.dedup();
        }
        let action = Action::Migrate { vm: one.vm, from: one.from, to: one.to };
        let step =
            self.push(action, needs, move_deadline(self.picture, one, course.mem), one.because.clone());
        if let Some(last) = self.last_move.get_mut(one.vm.index()) {
            *last = Some(step);
        }
        let gone = &mut self.sites[one.from.index()].gone;
        self.departures[gone.end as usize] = Departure { vm: one.vm, step, end: course.end };
        gone.end += 1;
    }

    /// The departures whose room a VM without company is given.
    fn plain_needs(&mut self, before: &Layout, one: &Move, course: Course) -> Vec<StepId> {
        let (picture, size) = (self.picture, Size { mem: course.mem, count: 1 });
        let site = &mut self.sites[one.to.index()];
        if site.room.takes(picture, before, one.to, size) {
            return vec![];
        }
        let mut needs = vec![];
        let departures = gone(&self.departures, site);
        site.room.given(picture, before, one.to).ask(
            picture,
            size,
            one.to,
            departures,
            course.start,
            &mut needs,
        );
        needs
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
        let mut size = Size::default();
        let mut needs = vec![];
        let site = &mut self.sites[one.to.index()];
        let departures = &self.departures[site.gone.start as usize..site.gone.end as usize];
        for mate in unit {
            size = size.with(Size { mem: picture.vm(mate.vm).mem, count: 1 });
            let groups = picture.spread_of(mate.vm);
            let meets =
                |gone: &&Departure| picture.spread_of(gone.vm).iter().any(|group| groups.contains(group));
            if !groups.is_empty() {
                needs.extend(departures.iter().filter(meets).map(|gone| gone.step));
            }
        }
        if !site.room.takes(picture, before, one.to, size) {
            let room = site.room.given(picture, before, one.to);
            room.ask(picture, size, one.to, departures, start, &mut needs);
        }
        needs
    }
}

/// The departures from a host that are listed so far.
fn gone<'a>(departures: &'a [Departure], site: &Site) -> &'a [Departure] {
    &departures[site.gone.start as usize..site.gone.end as usize]
}

impl Room {
    /// Takes so much of what was free from the start, if that will do.
    fn takes(&mut self, picture: &Picture<'_>, before: &Layout, host: HostId, size: Size) -> bool {
        let view = picture.host(host);
        if matches!(self, Self::Untouched) {
            let load = before.load(host);
            let used = view.mem_of(load);
            if used > view.mem || load.count > view.slots {
                return false;
            }
            *self = Self::Ample { mem: view.mem - used, slots: view.slots - load.count };
        }
        let Self::Ample { mem, slots } = self else { return false };
        let asked = size.mem + view.overhead * u64::from(size.count);
        let fits = asked <= *mem && size.count <= *slots;
        if fits {
            *mem -= asked;
            *slots -= size.count;
        }
        fits
    }

    /// From now on departures are given too.
    fn given(&mut self, picture: &Picture<'_>, before: &Layout, host: HostId) -> &mut Given {
        let given = match self {
            Self::Untouched => Some(Given::of(picture, before, host)),
            Self::Ample { mem, slots } => Some(Given::with(*mem, *slots)),
            Self::Given(_) => None,
        };
        if let Some(given) = given {
            *self = Self::Given(Box::new(given));
        }
        let Self::Given(given) = self else { unreachable!("it has just been made so") };
        given
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

    /// So much is free still.
    fn with(mem: Mib, slots: u32) -> Self {
        let (mem, slots) = (Pool::of(mem.0, 0), Pool::of(u64::from(slots), 0));
        Self { mem, slots, dues: None, seen: 0, pending: vec![] }
    }

    /// Gives room to a load that starts to come at that time.
    fn ask(
        &mut self,
        picture: &Picture<'_>,
        size: Size,
        host: HostId,
        departures: &[Departure],
        start: Millis,
        needs: &mut Vec<StepId>,
    ) {
        let overhead = picture.host(host).overhead * u64::from(size.count);
        let (mem, slots) = ((size.mem + overhead).0, u64::from(size.count));
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

    fn came_free(&mut self, picture: &Picture<'_>, host: HostId, gone: Departure) {
        let load = picture.load_of(gone.vm);
        self.mem.left.push_back((gone.step, picture.host(host).mem_of(load).0));
        self.slots.left.push_back((gone.step, 1));
    }
}
