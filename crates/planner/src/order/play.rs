//! Plays the moves on an imagined clock to find an order that ends early.
//!
//! Whenever something becomes free, the end with most left to carry chooses first, and of those who wait there for a
//! partner that is free as well it takes the one whose other end has most left. Who would end last is thus never kept
//! waiting by who has time. An end is looked at again only when something changed there, so all of it costs about
//! n log n.

use super::cycles;
use super::links::{Bound, Links, Port, Rates, Way};
use super::queues::{Queues, Waiting};
use super::room::{Room, Size};
use super::turns::Turns;
use super::wakes;
use crate::draft::{Draft, Move};
use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{Because, HostId, Mib, Millis, RefusalReason, VmId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// So many who wait at one end are looked at for a free partner. A longer list begins with those who have most to carry
/// in all; an end where all of them are busy is asked again when one of them is free.
const LOOK: usize = 48;

/// So many starts between two questions whether there is time for more: some 100 us.
const STARTS_AT_ONCE: usize = 512;

/// What a play came to; the draft then lists its moves in the order of their starts.
pub(super) struct Played {
    /// When each move of the draft runs.
    pub(super) courses: Vec<Course>,
    pub(super) time: Millis,
    pub(super) bound: Millis,
    /// No move was refused.
    pub(super) reaches: bool,
}

/// A move as it was played, with what is asked of its VM later: VMs lie far apart in memory, courses side by side.
#[derive(Clone, Copy)]
pub(super) struct Course {
    pub(super) start: Millis,
    pub(super) end: Millis,
    pub(super) mem: Mib,
    /// It moves once, with nobody else, and keeps out of nobody's way.
    pub(super) plain: bool,
}

/// A move, or those of VMs that move together, one after the other.
pub(super) struct Job<'a> {
    moves: &'a [Move],
    pub(super) way: Way,
    /// Of all of them.
    pub(super) size: Size,
    time: Millis,
    /// It makes room for others and goes on from there.
    aside: bool,
    /// As [`Course::plain`].
    plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Up(HostId),
    Moved(u32, Way),
}

/// A play at full rate, within links and budgets.
pub(super) struct Play<'a, 'p> {
    pub(super) picture: &'a Picture<'p>,
    rates: &'a Rates,
    jobs: Vec<Job<'a>>,
    pub(super) room: Room<'a, 'p>,
    pub(super) queues: Queues,
    links: Links,
    /// Not up yet.
    down: Vec<bool>,
    /// Ends to look at.
    turns: Turns,
    events: BinaryHeap<Reverse<(Millis, Event)>>,
    now: Millis,
    /// Jobs in the order of their starts, with these.
    started: Vec<(u32, Millis)>,
    waiting: usize,
    /// Where a VM that has stepped aside goes in the end.
    onward: BTreeMap<VmId, HostId>,
    /// Used again and again by `look_around`.
    around: Vec<Port>,
}

/// `None`: `still` said no before all moves had their turn; the draft is then as it was.
pub(super) fn play(
    picture: &Picture<'_>,
    before: &Layout,
    takes: &[bool],
    draft: &mut Draft,
    still: &mut dyn FnMut() -> bool,
) -> Option<Played> {
    let snapshot = picture.snapshot;
    let mut moves = std::mem::take(&mut draft.moves);
    let rates = Rates::in_picture(picture);
    let mut jobs = jobs(picture, &rates, &mut moves);
    let mut bound = Bound::new(&rates, picture.knobs);
    jobs.iter().for_each(|job| bound.add(&job.way, job.size.mem, job.time));
    if bound.counts().any(|count| count as usize > LOOK) {
        jobs.sort_by_cached_key(|job| (Reverse(bound.around(&job.way)), Reverse(job.time), job.moves[0].vm));
    }
    let turns = turns(picture, &jobs, &draft.wakes);
    let inflow = |host: HostId| bound.of(Port::inward(host));
    wakes::first_things_first(snapshot, &mut draft.wakes, inflow, |host| turns[host.index()]);
    let woken: Vec<HostId> = draft.wakes.iter().map(|(host, _)| *host).collect();
    let by_wakes = wakes::bound(snapshot, &woken, inflow);
    let least = bound.least(by_wakes);
    let mut play = Play::new(picture, before, &rates, jobs, &bound);
    for (host, (_, up)) in woken.iter().zip(wakes::times(snapshot, &woken)) {
        play.down[host.index()] = true;
        play.events.push(Reverse((up, Event::Up(*host))));
    }
    match play.run(takes, still) {
        Some(refused) => Some(play.write(draft, &refused, least)),
        None => {
            drop(play);
            draft.moves = moves;
            None
        }
    }
}

/// One job for each move, but one for all VMs that move together.
fn jobs<'a>(picture: &Picture<'_>, rates: &Rates, moves: &'a mut [Move]) -> Vec<Job<'a>> {
    let unit = |one: &Move| picture.unit(one.vm).first().copied();
    let job = |moves: &'a [Move]| Job::new(picture, rates.way(moves[0].from, moves[0].to), moves);
    if moves.iter().all(|one| picture.unit(one.vm).len() == 1) {
        return moves.chunks(1).map(job).collect();
    }
    // The hardest of them first, so that a failure most likely comes while none has gone.
    moves.sort_by_cached_key(|one| {
        let spec = &picture.snapshot.vm(one.vm).spec;
        (unit(one), Reverse(spec.dirty_mib_s), Reverse(spec.mem), one.vm)
    });
    let together = |a: &Move, b: &Move| (a.from, a.to) == (b.from, b.to) && unit(a) == unit(b);
    moves.chunk_by(together).map(job).collect()
}

/// For hosts that are woken: how many of their kind get a VM from the same source before them.
fn turns(picture: &Picture<'_>, jobs: &[Job<'_>], wakes: &[(HostId, Because)]) -> Vec<u32> {
    let mut turns = vec![u32::MAX; if wakes.is_empty() { 0 } else { picture.hosts.len() }];
    let mut given = vec![0u32; turns.len()];
    for (host, _) in wakes {
        turns[host.index()] = u32::MAX - 1;
    }
    for job in jobs.iter().filter(|_| !wakes.is_empty()) {
        let (turn, given) = (&mut turns[job.way.to.index()], &mut given[job.way.from.index()]);
        if *turn == u32::MAX - 1 {
            *turn = *given;
            *given += 1;
        }
    }
    turns
}

impl<'a> Job<'a> {
    fn new(picture: &Picture<'_>, way: Way, moves: &'a [Move]) -> Self {
        let time = |one: &Move| picture.vm(one.vm).mem.transfer_time(way.rate);
        let time = moves.iter().map(time).fold(Millis::ZERO, Millis::saturating_add);
        let size = Size::of(picture, moves.iter().map(|one| one.vm));
        let plain = moves.len() == 1 && picture.spread_of(moves[0].vm).is_empty();
        Self { moves, way, size, time, aside: false, plain }
    }

    pub(super) fn vms(&self) -> impl Iterator<Item = VmId> + use<'a> {
        self.moves.iter().map(|one| one.vm)
    }

    /// The VM, if it is one alone.
    pub(super) fn lone(&self) -> Option<VmId> {
        if let [one] = self.moves { Some(one.vm) } else { None }
    }
}

impl<'a, 'p> Play<'a, 'p> {
    fn new(
        picture: &'a Picture<'p>,
        before: &Layout,
        rates: &'a Rates,
        jobs: Vec<Job<'a>>,
        bound: &Bound<'_>,
    ) -> Self {
        let hosts = picture.hosts.len();
        let room = Room::new(picture, before, &jobs);
        let mut play = Self {
            picture,
            rates,
            room,
            queues: Queues::new(jobs.len(), bound.counts()),
            links: Links::new(rates, picture.knobs),
            down: vec![false; hosts],
            turns: Turns::new(hosts * 2),
            events: BinaryHeap::new(),
            now: Millis::ZERO,
            started: Vec::with_capacity(jobs.len()),
            waiting: 0,
            onward: BTreeMap::new(),
            around: vec![],
            jobs,
        };
        for index in 0..play.jobs.len() {
            play.stand_in_line(index);
        }
        play
    }

    /// Enters one more job.
    fn wait(&mut self, job: Job<'a>) -> u32 {
        self.jobs.push(job);
        self.stand_in_line(self.jobs.len() - 1)
    }

    /// Enters it in the lists of those who wait.
    fn stand_in_line(&mut self, at: usize) -> u32 {
        let index = u32::try_from(at).expect("fewer than 2^32 moves");
        let job = &self.jobs[at];
        self.links.waits(&job.way, job.time);
        self.queues.push(index, &job.way, job.time);
        self.waiting += 1;
        index
    }

    fn no_longer_waits(&mut self, index: u32) {
        let Job { way, time, .. } = self.jobs[index as usize];
        self.leave_line(index, way.ports(), time);
    }

    fn leave_line(&mut self, index: u32, ports: [Port; 2], time: Millis) {
        self.links.no_longer_waits(ports, time);
        self.queues.remove(index, ports);
        self.waiting -= 1;
    }

    /// Until nothing waits; returns the VMs that could not get to where they should. `None`: there is no time for it.
    fn run(&mut self, takes: &[bool], still: &mut dyn FnMut() -> bool) -> Option<Vec<VmId>> {
        let mut refused = vec![];
        let mut asked = 0;
        self.open_all();
        loop {
            if self.started.len() >= asked + STARTS_AT_ONCE {
                asked = self.started.len();
                if !still() {
                    return None;
                }
            }
            self.start_what_can(LOOK);
            if let Some(Reverse((now, event))) = self.events.pop() {
                self.now = now;
                self.end(event);
                while self.events.peek().is_some_and(|Reverse((at, _))| *at == now) {
                    let Some(Reverse((_, event))) = self.events.pop() else { break };
                    self.end(event);
                }
                continue;
            }
            if self.waiting == 0 {
                return Some(refused);
            }
            // Nothing runs and nothing starts: look at everything before calling it a cycle.
            self.open_all();
            self.start_what_can(usize::MAX);
            if self.events.is_empty() {
                refused.extend(cycles::resolve(self, takes));
                self.open_all();
            }
        }
    }

    fn open_all(&mut self) {
        for port in Port::all(self.picture.hosts.len()) {
            self.look_at(port);
        }
    }

    fn look_at(&mut self, port: Port) {
        if !self.turns.is_asked(port) && !self.queues.is_empty(port) && self.links.is_open(port) {
            self.turns.ask(port, self.links.left(port));
        }
    }

    /// Where the budget of all moves is short, who waits for this end may have more to carry than it has itself, and
    /// must not come after it.
    fn look_around(&mut self, port: Port) {
        if self.links.are_rationed() && self.turns.any_in_vain() {
            let mut others = std::mem::take(&mut self.around);
            others.extend(self.queues.of(port).take(LOOK).map(|waiting| waiting.other));
            others.drain(..).for_each(|other| self.look_at(other));
            self.around = others;
        }
    }

    fn start_what_can(&mut self, look: usize) {
        while self.links.any() {
            let Some(port) = self.turns.next(|port| self.links.left(port)) else { return };
            if !self.links.is_open(port) || self.queues.is_empty(port) {
                continue;
            }
            self.queues.close_up(port);
            match self.best(port, look) {
                Some(one) => {
                    self.start(port, one);
                    self.look_at(port);
                }
                None => self.turns.in_vain(port),
            }
        }
    }

    /// Of those who wait here and could start, the one whose other end has most left to carry; then the longest.
    fn best(&self, port: Port, look: usize) -> Option<Waiting> {
        let mut best: Option<((Millis, Millis), Waiting)> = None;
        for waiting in self.queues.of(port).take(look) {
            let Some(left) = self.links.left_if_free(port, waiting.other) else { continue };
            let right = (left, waiting.time().unwrap_or(Millis::MAX));
            if best.is_none_or(|(most, _)| right > most) && self.may_enter(port, waiting) {
                best = Some((right, *waiting));
            }
        }
        best.map(|(_, one)| one)
    }

    /// Both ends are free; is the destination up, and is there room?
    fn may_enter(&self, port: Port, waiting: &Waiting) -> bool {
        let to = if port.side() == 0 { port } else { waiting.other };
        !self.down[to.host().index()] && (self.room.is_ample() || self.room.lets_in(self.job(waiting.job)))
    }

    pub(super) fn job(&self, index: u32) -> &Job<'a> {
        &self.jobs[index as usize]
    }

    /// Starts one who waits at this end. Jobs lie far apart in memory: where there is room for all, none is looked at.
    fn start(&mut self, port: Port, one: Waiting) {
        let full = self.links.way(port, one.other);
        let mut time = one.time().unwrap_or_else(|| self.job(one.job).time);
        self.leave_line(one.job, full.ports(), time);
        let way = self.links.offer(&full);
        if way.rate < full.rate {
            let job = &mut self.jobs[one.job as usize];
            *job = Job { aside: job.aside, plain: job.plain, ..Job::new(self.picture, way, job.moves) };
            time = job.time;
        }
        self.links.take(&way);
        if !self.room.is_ample() {
            self.room.enter(&self.jobs[one.job as usize]);
        }
        self.events.push(Reverse((self.now.saturating_add(time), Event::Moved(one.job, way))));
        self.started.push((one.job, self.now));
    }

    fn end(&mut self, event: Event) {
        match event {
            Event::Up(host) => {
                self.down[host.index()] = false;
                self.look_at(Port::inward(host));
            }
            Event::Moved(index, way) => {
                self.links.give_back(&way);
                if !self.room.is_ample() {
                    self.arrives(index, way);
                }
                way.ports().into_iter().for_each(|port| self.look_around(port));
                // Its room may be what somebody waits for at the source.
                for port in way.ports().into_iter().chain([Port::inward(way.from), Port::outward(way.to)]) {
                    self.look_at(port);
                }
            }
        }
    }

    /// It leaves room behind; and if it stepped aside, it now waits to go on.
    fn arrives(&mut self, index: u32, way: Way) {
        let job = &self.jobs[index as usize];
        self.room.leave(job);
        let (aside, moves) = (job.aside, job.moves);
        if aside && let Some(to) = self.onward.get(&moves[0].vm).copied() {
            let onward = Job::new(self.picture, self.rates.way(way.to, to), moves);
            self.wait(Job { plain: false, ..onward });
            self.look_at(Port::inward(to));
        }
    }

    /// Nobody on its way here: the best place for somebody to step aside to.
    pub(super) fn is_quiet(&self, host: HostId) -> bool {
        self.queues.is_empty(Port::inward(host))
    }

    /// Is there something left of the budget of all moves?
    pub(super) fn may_start_one(&self) -> bool {
        self.links.any()
    }

    /// The VM goes to a third host first, at once.
    pub(super) fn step_aside(&mut self, index: u32, spare: HostId) {
        self.no_longer_waits(index);
        let (moves, way) = (self.job(index).moves, self.job(index).way);
        self.onward.insert(moves[0].vm, way.to);
        self.room.watch(spare);
        let aside = Job::new(self.picture, self.rates.way(way.from, spare), moves);
        let aside = Job { aside: true, plain: false, ..aside };
        let time = aside.time;
        let first = self.wait(aside);
        self.start(Port::inward(spare), Waiting::new(first, Port::outward(way.from), time));
    }

    pub(super) fn has_stepped_aside(&self, vm: VmId) -> bool {
        self.onward.contains_key(&vm)
    }

    /// Its VMs stay where they are for good.
    pub(super) fn give_up(&mut self, index: u32) -> impl Iterator<Item = VmId> + use<'a> {
        self.no_longer_waits(index);
        self.job(index).vms()
    }

    /// Lists the moves of the draft as they were played.
    fn write(self, draft: &mut Draft, refused: &[VmId], bound: Millis) -> Played {
        refused.iter().for_each(|vm| draft.refuse_vm(*vm, RefusalReason::Cycle));
        let origin = |vm: &VmId| self.picture.snapshot.vm(*vm).state.host();
        let stays: BTreeSet<HostId> = refused.iter().filter_map(origin).collect();
        draft.sleeps.retain(|(host, _)| !stays.contains(host));
        draft.moves = Vec::with_capacity(self.started.len());
        let mut courses = Vec::with_capacity(self.started.len());
        for (index, start) in &self.started {
            let job = self.job(*index);
            let mut now = *start;
            for one in job.moves {
                let because = if job.aside { Because::BreaksCycle } else { one.because.clone() };
                draft.moves.push(Move { vm: one.vm, from: job.way.from, to: job.way.to, because });
                let mem = if job.moves.len() == 1 { job.size.mem } else { self.picture.vm(one.vm).mem };
                let end = now.saturating_add(mem.transfer_time(job.way.rate));
                courses.push(Course { start: now, end, mem, plain: job.plain });
                now = end;
            }
        }
        let time = courses.iter().map(|course| course.end).max().unwrap_or_default();
        Played { courses, time, bound, reaches: refused.is_empty() }
    }
}
