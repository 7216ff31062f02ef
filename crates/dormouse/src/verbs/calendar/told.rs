//! What the daemon has in use, and the daemon told that the text has changed.

use crate::cli::{Ctx, Exit, Failure, safe};
use crate::daemon::client::Client;
use crate::daemon::wire::{CalendarView, OrderWord, Verb};
use dormouse_model::schedule::Schedule;
use dormouse_model::{Cluster, text};
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// A reload waits for what runs to end, as a stop does.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The daemon's calendar and its time, if one answers.
pub(super) fn in_use(ctx: &Ctx) -> Option<(String, Schedule, Timestamp)> {
    let view = ask(ctx).ok()?;
    let cluster = text::parse(&view.text).ok()?;
    Some((cluster.name, cluster.schedule, Timestamp::from_millisecond(view.now_ms).ok()?))
}

fn ask(ctx: &Ctx) -> Result<CalendarView, Failure> {
    Client::connect(ctx)?.ask(Verb::Calendar)
}

/// Has the daemon read its texts again and waits until it has this calendar in use; says since when it counts.
pub(super) fn tell(ctx: &Ctx, cluster: &Cluster) -> Result<(), Failure> {
    let Ok(mut client) = Client::connect(ctx) else {
        return ctx.print("No daemon runs here: it counts from its next start.\n");
    };
    let not = |why: Failure| {
        Failure::new("the daemon does not go by it yet").because_of(why.one_line()).hint(
            "what was written stays; `dormouse config check` looks at it, and the daemon takes it in with SIGHUP",
        )
    };
    match client.order(OrderWord::Reload) {
        // It may end the connection before its answer is through: what it has in use decides.
        Err(failure) if failure.exit() != Exit::Unreachable => return Err(not(failure)),
        _ => {}
    }
    let wanted = crate::daemon::wire::calendar_text(&cluster.name, &cluster.schedule);
    let began = Instant::now();
    loop {
        let seen = ask(ctx);
        if let Ok(view) = &seen
            && view.text == wanted
        {
            let zone = cluster.schedule.zone.rules().clone();
            let since = Timestamp::from_millisecond(view.now_ms).unwrap_or_default().to_zoned(zone);
            return ctx.print(&format!("In use since {}.\n", since.strftime("%a %Y-%m-%d %H:%M:%S %Z")));
        }
        if began.elapsed() > PATIENCE {
            return Err(not(seen.err().unwrap_or_else(|| {
                Failure::new(format!("after {} s it still has the old one: see its log", PATIENCE.as_secs()))
            })));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A note where the text on disk is not what the daemon goes by.
pub(super) fn differs(ctx: &Ctx, used: &Schedule) -> Option<String> {
    let path = crate::verbs::input::settings(ctx).ok()?.config.cluster;
    let written = crate::verbs::input::cluster(&path).ok()?;
    (written.schedule != *used).then(|| {
        format!("`{}` says otherwise: the daemon takes it in with SIGHUP", safe(&path.display().to_string()))
    })
}
