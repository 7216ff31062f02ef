//! How long the cluster text and the calendar take: `cargo run --release -p dormouse-model --example parse_bench`.
#![expect(clippy::print_stdout, reason = "a bench talks to people")]

use std::time::Instant;

fn main() -> Result<(), dormouse_model::text::TextError> {
    for hosts in [1_000, 10_000, 100_000] {
        let ranges = format!(
            "cluster big zone=Europe/Rome\n\
             host h[1-{hosts}] cpus=2 mem=16G\nvm v[1-{hosts}]@h[1-{hosts}] mem=256M cpu=0.02 home=h[1-{hosts}]\n"
        );
        // A line for each, as a capture of a live cluster has them.
        let lines: String = (1..=hosts)
            .map(|n| {
                format!(
                    "host h{n} cpus=2 mem=16G boot={}s\nvm v{n}@h{n} mem={n}M cpu=0.02 home=h{n}\n",
                    n % 90
                )
            })
            .collect();
        for (kind, text) in [("ranges", ranges), ("lines", lines)] {
            let start = Instant::now();
            let cluster = dormouse_model::text::parse(&text)?;
            let parsed = start.elapsed();
            let start = Instant::now();
            let printed = dormouse_model::text::print(&cluster);
            println!(
                "{hosts:>7} hosts and VMs by {kind:<6}: parse {:>7.1} ms, print {:>7.1} ms, {} bytes",
                parsed.as_secs_f64() * 1000.0,
                start.elapsed().as_secs_f64() * 1000.0,
                printed.len()
            );
        }
    }
    let text = "cluster x zone=Europe/Rome\nwindow open Mon-Fri 09:00-19:45, Sat 09:00-13:45 up-by=-30m\n";
    let schedule = dormouse_model::text::parse(text)?.schedule;
    let start = Instant::now();
    let spread = (0..1_000).filter(|hour| {
        let now = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(500_000 + hour);
        schedule.at(now).window.is_some()
    });
    let spread = spread.count();
    println!(
        "calendar: {:.1} us a look ({spread} of 1000 hours are open)",
        start.elapsed().as_secs_f64() * 1000.0
    );
    Ok(())
}
