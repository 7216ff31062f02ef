//! `dormouse top`: the whole cluster on one screen, kept up to date. Asks the running daemon like any other verb, and gives
//! a person's word to it; decides nothing.

mod asker;
mod keys;
mod picture;
mod screen;

use super::span;
use crate::cli::{Ctx, Failure, Screen};
use asker::{Asker, Told};
use dormouse_model::Millis;
use keys::{Next, View};
use picture::Picture;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask the daemon this often
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span)]
    every: Millis,
}

/// Over a slow line each picture is a handful of changed cells; more often than that nobody looks.
const PICTURE: Duration = Duration::from_millis(200);
/// Keys heeded within one picture.
const KEYS_MAX: u32 = 32;
const EVERY_MIN: Millis = Millis(200);

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    if !ctx.is_interactive() {
        return Err(Failure::usage("`top` needs a terminal").hint(
            "`dormouse status` and `dormouse host list` print what it shows; both know --format json",
        ));
    }
    let socket = crate::verbs::input::settings(ctx)?.config.socket;
    // Without a daemon there is nothing to look at: said before the screen is taken.
    crate::daemon::client::Client::to(&socket)?;
    const INSTEAD: &str = "dormouse status";
    let failed = |error: io::Error| Screen::failure(INSTEAD, &error);
    let asker = Asker::start(socket, Duration::from_millis(args.every.max(EVERY_MIN).0)).map_err(failed)?;
    let mut screen = Screen::take(INSTEAD)?;
    let (mut picture, mut view) = (Picture::default(), View::default());
    while !screen.shall_leave() {
        while let Some(told) = asker.told() {
            match told {
                Told::Seen(seen) => picture.seen(*seen),
                Told::Silent(why) => picture.silent(why),
                Told::Said(words) => view.hear(words),
            }
        }
        screen.draw(|canvas| screen::draw(canvas, &picture, &mut view)).map_err(failed)?;
        let mut patience = PICTURE;
        for _ in 0..KEYS_MAX {
            if !event::poll(patience).map_err(failed)? {
                break;
            }
            patience = Duration::ZERO;
            if let Event::Key(key) = event::read().map_err(failed)?
                && key.kind == KeyEventKind::Press
            {
                match view.press(key.code, key.modifiers, &picture) {
                    Next::Stay => {}
                    Next::Leave => return Ok(()),
                    Next::Wish(wish) => asker.wish(wish),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
