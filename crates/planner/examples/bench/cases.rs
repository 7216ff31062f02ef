//! The rows: which clusters, how many seeds, what counts as reached.

use crate::clusters::{Mixed, NIGHT, lab};
use crate::judge::{self, Move};
use crate::machine::{cost, cpu, millis, peak};
use crate::{Row, Verdict, naive, peers};
use dormouse_model::{Mib, Millis, Plan, PlanId, Report, Snapshot, Watts};
use std::time::Duration;

/// Measures rows; `true`: a few seeds instead of many.
type Case = fn(bool) -> Vec<Row>;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("lab", seeds_lab),
    ("equal", equal),
    ("unlike", unlike),
    ("thousand", thousand),
    ("huge", huge),
    ("curve", curve),
    ("odd", odd),
    ("rules", rules),
    ("failover", failover),
    ("check", check),
    ("deadline", deadline),
    ("parse", parse),
    ("ganeti", peers::ganeti),
];

fn plan(snapshot: &Snapshot) -> (Plan, Report) {
    dormouse_planner::plan(snapshot, NIGHT, PlanId(1))
}

/// Plans, lets the checker look, and weighs the result.
struct Weighed {
    on: u32,
    bound: u32,
    moves: usize,
    bytes: Mib,
    least: Mib,
    time: Millis,
    limit: Millis,
    idle: Watts,
    knapsack: Watts,
    after: Snapshot,
}

impl Weighed {
    fn of(snapshot: &Snapshot) -> Self {
        let (plan, report) = plan(snapshot);
        let violations = dormouse_planner::check(snapshot, &plan);
        assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
        let after = plan.apply(snapshot).expect("checked");
        let moves = judge::moves(&plan);
        Self {
            on: report.hosts_on_after,
            bound: report.lower_bound,
            moves: moves.len(),
            bytes: judge::bytes(snapshot, &moves),
            least: judge::least_bytes(snapshot, &plan),
            time: judge::total_time(snapshot, &moves),
            limit: judge::link_bound(snapshot, &moves),
            idle: judge::idle_watts(&after),
            knapsack: judge::knapsack(snapshot),
            after,
        }
    }

    fn bytes_permille(&self) -> u64 {
        ratio(self.bytes.0, self.least.0)
    }

    fn time_permille(&self) -> u64 {
        ratio(self.time.0, self.limit.0)
    }
}

/// In thousandths, rounded up: nothing is made to look better than it is.
fn ratio(part: u64, whole: u64) -> u64 {
    (part * 1000).div_ceil(whole.max(1))
}

fn times(permille: u64) -> String {
    format!("{}.{:03}", permille / 1000, permille % 1000)
}

fn seeds(quick: bool, few: u64, many: u64) -> std::ops::RangeInclusive<u64> {
    1..=if quick { few } else { many }
}

/// Time that the links alone need, as a person reads it.
fn seconds(span: Millis) -> String {
    format!("{}.{:02} s", span.0 / 1000, span.0 % 1000 / 10)
}

fn seeds_lab(_: bool) -> Vec<Row> {
    let snapshot = lab();
    let weighed = Weighed::of(&snapshot);
    let spent = cost(|| plan(&snapshot));
    let good = weighed.on == 8
        && weighed.moves == 54
        && weighed.time <= Millis(15_100)
        && spent < Duration::from_micros(500);
    vec![Row {
        case: "the seed's lab, 62 x 62".to_owned(),
        reach: "8 hosts, 54 moves, 15.1 s of moves, 0.5 ms".to_owned(),
        measured: format!(
            "{} hosts, {} moves, {} of moves (links: {}), {}",
            weighed.on,
            weighed.moves,
            seconds(weighed.time),
            seconds(weighed.limit),
            millis(spent)
        ),
        verdict: Verdict::of(good),
    }]
}

/// Quality over many seeds, cost on the first.
struct Series {
    seeds: u64,
    at_bound: u64,
    at_knapsack: u64,
    bytes_worst: u64,
    time_worst: u64,
    on_first: u32,
    spent: Duration,
}

impl Series {
    fn of(case: Mixed, seeds: std::ops::RangeInclusive<u64>) -> Self {
        let first = Mixed { seed: *seeds.start(), ..case }.picture();
        let spent = cost(|| plan(&first));
        let mut series = Self {
            seeds: 0,
            at_bound: 0,
            at_knapsack: 0,
            bytes_worst: 0,
            time_worst: 0,
            on_first: plan(&first).1.hosts_on_after,
            spent,
        };
        for seed in seeds {
            let weighed = Weighed::of(&Mixed { seed, ..case }.picture());
            series.seeds += 1;
            series.at_bound += u64::from(weighed.on == weighed.bound);
            series.at_knapsack += u64::from(weighed.idle == weighed.knapsack);
            series.bytes_worst = series.bytes_worst.max(weighed.bytes_permille());
            series.time_worst = series.time_worst.max(weighed.time_permille());
        }
        series
    }

    fn rows(&self, case: &str, limit: Duration) -> Vec<Row> {
        let good = self.at_bound == self.seeds && self.bytes_worst <= 1005 && self.time_worst <= 1060;
        vec![
            Row {
                case: format!("{case}: quality"),
                reach: "bound on every seed, bytes 1.005 x least, time 1.06 x links".to_owned(),
                measured: format!(
                    "bound on {} of {} seeds (the first: {} hosts), worst bytes {} x, worst time {} x",
                    self.at_bound,
                    self.seeds,
                    self.on_first,
                    times(self.bytes_worst),
                    times(self.time_worst)
                ),
                verdict: Verdict::of(good),
            },
            Row {
                case: format!("{case}: cost"),
                reach: millis(limit),
                measured: millis(self.spent),
                verdict: Verdict::of(self.spent <= limit),
            },
        ]
    }
}

fn equal(quick: bool) -> Vec<Row> {
    let case = Mixed::of(200, 2000);
    let series = Series::of(case, seeds(quick, 5, 100));
    let mut rows = series.rows("200 x 2,000 equal hosts", Duration::from_millis(2));
    rows.push(yardstick("200 x 2,000 equal hosts", &case.picture()));
    rows
}

fn yardstick(case: &str, snapshot: &Snapshot) -> Row {
    let (moves, on): (Vec<Move>, usize) = naive::pack(snapshot);
    let least = {
        let mut used = judge::used(snapshot);
        used.sort_unstable();
        used.into_iter().take(snapshot.hosts.len() - on).sum::<Mib>()
    };
    let bytes = ratio(judge::bytes(snapshot, &moves).0, least.0);
    let time = ratio(judge::total_time(snapshot, &moves).0, judge::link_bound(snapshot, &moves).0);
    Row {
        case: format!("{case}: emptiest-first best fit"),
        reach: "-".to_owned(),
        measured: format!(
            "{on} hosts, bytes {} x, time {} x, {}",
            times(bytes),
            times(time),
            millis(cost(|| naive::pack(snapshot)))
        ),
        verdict: Verdict::Told,
    }
}

fn unlike(quick: bool) -> Vec<Row> {
    // By the standard `disrupt.max` a small host with many VMs would be left on for the sake of its VMs.
    let knobs = "spare.min=0 spare.target=0 failover=0";
    let case = Mixed { unlike: true, knobs, ..Mixed::of(200, 2000) };
    let series = Series::of(case, seeds(quick, 5, 100));
    let snapshot = case.picture();
    let good = series.at_knapsack == series.seeds && series.bytes_worst <= 1010;
    vec![
        Row {
            case: "200 x 2,000, two sizes of hosts: quality".to_owned(),
            reach: "watts at the knapsack bound, bytes 1.01 x least for those hosts".to_owned(),
            measured: format!(
                "watts at the bound on {} of {} seeds (the first: {} hosts), worst bytes {} x, worst time {} x",
                series.at_knapsack,
                series.seeds,
                series.on_first,
                times(series.bytes_worst),
                times(series.time_worst)
            ),
            verdict: Verdict::of(good),
        },
        Row {
            case: "200 x 2,000, two sizes of hosts: cost".to_owned(),
            reach: "-".to_owned(),
            measured: millis(series.spent),
            verdict: Verdict::Told,
        },
        yardstick("200 x 2,000, two sizes of hosts", &snapshot),
    ]
}

fn thousand(quick: bool) -> Vec<Row> {
    let series = Series::of(Mixed::of(1000, 10_000), seeds(quick, 1, 10));
    series.rows("1,000 x 10,000", Duration::from_millis(12))
}

fn huge(quick: bool) -> Vec<Row> {
    let case = if quick { Mixed::of(2000, 20_000) } else { Mixed::of(10_000, 100_000) };
    let name = if quick { "2,000 x 20,000 (quick)" } else { "10,000 x 100,000" };
    let snapshot = case.picture();
    let planning = peak(|| plan(&snapshot)) >> 20;
    let mut rows = Series::of(case, 1..=1).rows(name, Duration::from_millis(150));
    rows.push(Row {
        case: format!("{name}: memory"),
        reach: "64 MB".to_owned(),
        measured: format!("{planning} MB beside the picture"),
        verdict: Verdict::of(planning <= 64),
    });
    rows
}

fn curve(quick: bool) -> Vec<Row> {
    let sizes: &[u64] = if quick { &[500, 1000, 2000] } else { &[1000, 2000, 5000, 10_000, 20_000, 50_000] };
    let points: Vec<(u64, Duration)> = sizes
        .iter()
        .map(|hosts| {
            let snapshot = Mixed::of(*hosts, hosts * 10).picture();
            (*hosts, cost(|| plan(&snapshot)))
        })
        .collect();
    // Judged between the largest two, no more than a quarter above n log n: a small cluster lies in the processor's
    // cache, a large one does not, and what that costs once is no growth. The whole range is told beside it.
    let work = |hosts: u64| u128::from(hosts * u64::from(hosts.ilog2()));
    let over = |from: (u64, Duration), to: (u64, Duration)| {
        let expected = from.1.as_nanos() * work(to.0) / work(from.0);
        u64::try_from(to.1.as_nanos() * 1000 / expected.max(1)).unwrap_or(u64::MAX)
    };
    let last = points[points.len() - 1];
    let (large, whole) = (over(points[points.len() - 2], last), over(points[0], last));
    vec![Row {
        case: "growth of cost, 10 VMs a host".to_owned(),
        reach: "about n log n".to_owned(),
        measured: points
            .iter()
            .map(|(hosts, spent)| format!("{hosts}: {}, ", millis(*spent)))
            .collect::<String>()
            + &format!("{} x n log n between the largest two, {} x over all", times(large), times(whole)),
        verdict: Verdict::of(large <= 1250),
    }]
}

fn odd(quick: bool) -> Vec<Row> {
    let case = Mixed { step_mib: 1, ..Mixed::of(200, 2000) };
    let mut missed = 0;
    let seeds = seeds(quick, 20, 1000);
    let count = *seeds.end();
    for seed in seeds {
        let (_, report) = plan(&Mixed { seed, ..case }.picture());
        missed += u64::from(report.hosts_on_after > report.lower_bound);
    }
    vec![Row {
        case: "200 x 2,000, VM sizes in odd MB".to_owned(),
        reach: "bound missed on at most 1 % of 1,000 seeds".to_owned(),
        measured: format!("missed on {missed} of {count} seeds"),
        verdict: Verdict::of(missed * 100 <= count),
    }]
}

fn rules(quick: bool) -> Vec<Row> {
    let sizes: &[(u64, u64)] = if quick { &[(200, 2000)] } else { &[(200, 2000), (1000, 10_000)] };
    let row = |(hosts, vms): &(u64, u64)| {
        let bare = Mixed::of(*hosts, *vms);
        let ruled = Mixed { rules: true, ..bare };
        let (bare, first) = (bare.picture(), ruled.picture());
        let spent = cost(|| plan(&first));
        let factor = ratio(to_u64(spent.as_nanos()), to_u64(cost(|| plan(&bare)).as_nanos()));
        let count = if *hosts > 500 { 3 } else { *seeds(quick, 5, 50).end() };
        let (mut on, mut bound, mut invalid) = (0, 0, 0);
        for seed in 1..=count {
            let snapshot = Mixed { seed, ..ruled }.picture();
            let (plan, report) = plan(&snapshot);
            invalid += usize::from(!dormouse_planner::check(&snapshot, &plan).is_empty());
            on += report.hosts_on_after;
            bound += report.lower_bound;
        }
        Row {
            case: format!("{hosts} x {vms}, 10 % of VMs under rules"),
            reach: "at most 2 x the time without, no invalid step".to_owned(),
            measured: format!(
                "{} x ({}), {invalid} invalid plans of {count}, {on} hosts against a bound of {bound} in sum",
                times(factor),
                millis(spent)
            ),
            verdict: Verdict::of(factor <= 2000 && invalid == 0),
        }
    };
    sizes.iter().map(row).collect()
}

fn to_u64(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn failover(quick: bool) -> Vec<Row> {
    let bare = Mixed::of(200, 2000);
    let safe = Mixed { knobs: "spare.min=0 spare.target=0 failover=1", ..bare };
    let seeds = seeds(quick, 5, 100);
    let count = *seeds.end();
    let (mut good, mut lost) = (0, 0);
    for seed in seeds {
        let without = plan(&Mixed { seed, ..bare }.picture()).1.hosts_on_after;
        let with = Weighed::of(&Mixed { seed, ..safe }.picture());
        good += u64::from(with.on <= without + 1);
        lost += judge::deaths_not_survived(&with.after);
    }
    vec![Row {
        case: "200 x 2,000, failover=1".to_owned(),
        reach: "one host more at most on 99 % of seeds, each single death tried".to_owned(),
        measured: format!("on {good} of {count} seeds; {lost} deaths whose VMs found no place"),
        verdict: Verdict::of(good * 100 >= count * 99 && lost == 0),
    }]
}

/// As `plan --deadline` has it: nothing new is begun in the last quarter.
fn deadline(quick: bool) -> Vec<Row> {
    let sizes: &[u64] =
        if quick { &[200, 1000] } else { &[200, 1000, 2000, 3000, 5000, 10_000, 20_000, 50_000] };
    let limit = Duration::from_millis(10);
    let mut longest = Duration::ZERO;
    let told: Vec<String> = sizes
        .iter()
        .map(|hosts| {
            let snapshot = Mixed::of(*hosts, hosts * 10).picture();
            let start = cpu();
            let mut more = || cpu().saturating_sub(start) < limit * 3 / 4;
            let (plan, report) = dormouse_planner::plan_within(&snapshot, NIGHT, PlanId(1), &mut more);
            let spent = cpu().saturating_sub(start);
            assert!(dormouse_planner::check(&snapshot, &plan).is_empty(), "whatever the time, it is valid");
            longest = longest.max(spent);
            format!("{hosts} hosts: {}, {} left on", millis(spent), report.hosts_on_after)
        })
        .collect();
    vec![Row {
        case: "a plan within 10 ms".to_owned(),
        reach: "at every size".to_owned(),
        measured: told.join("; "),
        verdict: Verdict::of(longest <= limit),
    }]
}

/// The second opinion costs time, too.
fn check(quick: bool) -> Vec<Row> {
    let sizes: &[(u64, u64)] =
        if quick { &[(200, 2000)] } else { &[(200, 2000), (1000, 10_000), (10_000, 100_000)] };
    let row = |(hosts, vms): &(u64, u64)| {
        let snapshot = Mixed { knobs: "", ..Mixed::of(*hosts, *vms) }.picture();
        let (plan, _) = plan(&snapshot);
        let spent = cost(|| dormouse_planner::check(&snapshot, &plan));
        format!("{hosts} x {vms}: {}", millis(spent))
    };
    vec![Row {
        case: "checking a plan, with defaults".to_owned(),
        reach: "-".to_owned(),
        measured: sizes.iter().map(row).collect::<Vec<_>>().join(", "),
        verdict: Verdict::Told,
    }]
}

fn parse(_: bool) -> Vec<Row> {
    let text: String = (1..=10_000)
        .map(|n| {
            format!("host h{n} cpus=2 mem=16G boot={}s\nvm v{n}@h{n} mem={n}M cpu=0.02 home=h{n}\n", n % 90)
        })
        .collect();
    let spent = cost(|| dormouse_model::text::parse(&text));
    vec![Row {
        case: "a text of 10,000 hosts and as many VMs, a line each, parsed".to_owned(),
        reach: "100 ms".to_owned(),
        measured: millis(spent),
        verdict: Verdict::of(spent < Duration::from_millis(100)),
    }]
}
