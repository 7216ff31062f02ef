//! Draws one [`Frame`] on a terminal of any size. Knows nothing of the simulation and keeps no state.

use super::frame::{Frame, Line as TrailLine};
use crate::verbs::picture::{Tile, blocks};
use dormouse_model::HostState;
use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use std::collections::VecDeque;

/// What the screen shows beside the frame.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) frame: &'a Frame,
    /// Hosts on, one sample for a stretch of time, oldest first.
    pub(super) history: &'a [u64],
    /// Newest last.
    pub(super) trail: &'a VecDeque<TrailLine>,
    /// Simulated seconds in one second.
    pub(super) speed: u64,
    pub(super) paused: bool,
}

const KEYS: &str = "space pause  + - speed  c close  o open  b burst of load  k kill a host  q quit";

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View<'_>) {
    let area = canvas.area();
    let columns = tile_columns(area.width, &view.frame.tiles);
    let rows = view.frame.tiles.len().div_ceil(columns);
    let grid = u16::try_from(rows).unwrap_or(u16::MAX).min(area.height.saturating_sub(12).max(4));
    let [head, figures, _, tiles, _, below, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(grid),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(canvas, head, view);
    draw_figures(canvas, figures, view.frame);
    draw_tiles(canvas, tiles, &view.frame.tiles, columns);
    let [left, _, right] =
        Layout::horizontal([Constraint::Percentage(40), Constraint::Length(2), Constraint::Min(0)])
            .areas(below);
    let [spark, moves] = Layout::vertical([Constraint::Max(4), Constraint::Min(0)]).areas(left);
    draw_history(canvas, spark, view);
    draw_moves(canvas, moves, view.frame);
    draw_trail(canvas, right, view.trail);
    canvas.render_widget(Paragraph::new(KEYS).dim(), keys);
}

fn draw_head(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let pace = if view.paused { "paused".to_owned() } else { format!("x{}", view.speed) };
    let head = Line::from(vec![
        Span::from("dormouse").bold(),
        Span::from(format!("  {}, simulated  ", view.frame.cluster)),
        Span::from(view.frame.clock.clone()).bold(),
        Span::from(format!("  {}  {pace}", view.frame.goal)),
    ]);
    canvas.render_widget(Paragraph::new(head), area);
}

fn draw_figures(canvas: &mut Canvas<'_>, area: Rect, frame: &Frame) {
    const BAR: usize = 20;
    let share = frame.watts * 1000 / frame.watts_always_on.max(1);
    let power = Line::from(vec![
        Span::from(format!("{:>5} W ", frame.watts)).bold(),
        Span::from(blocks(share, BAR)).fg(Color::Yellow),
        Span::from(format!(" of {} W always on   ", frame.watts_always_on)),
        Span::from(format!("{} of {} hosts on", frame.hosts_on, frame.hosts())).bold(),
    ]);
    let energy = Line::from(vec![
        Span::from(format!("{:>7.2} kWh", frame.kwh)).bold(),
        Span::from(format!(" of {:.2} kWh always on: {} % less", frame.kwh_always_on, frame.saved_percent())),
        Span::from(format!("   {} moves, {} sleeps, {} wakes", frame.migrations, frame.sleeps, frame.wakes))
            .dim(),
    ]);
    canvas.render_widget(Paragraph::new(vec![power, energy]), area);
}

/// Bar, count of VMs and blanks around the name of a host.
const TILE_EXTRA: usize = 3 + 3 + 2;
const BAR: usize = 3;

fn tile_columns(width: u16, tiles: &[Tile]) -> usize {
    let name = tiles.iter().map(|tile| tile.name.chars().count()).max().unwrap_or(1);
    (usize::from(width) / (name + TILE_EXTRA)).max(1)
}

fn draw_tiles(canvas: &mut Canvas<'_>, area: Rect, tiles: &[Tile], columns: usize) {
    let name = tiles.iter().map(|tile| tile.name.chars().count()).max().unwrap_or(1);
    let fitting = usize::from(area.height) * columns;
    let mut lines: Vec<Line<'_>> = tiles
        .chunks(columns)
        .take(usize::from(area.height))
        .map(|row| Line::from(row.iter().flat_map(|tile| tile_spans(tile, name)).collect::<Vec<_>>()))
        .collect();
    if tiles.len() > fitting
        && let Some(last) = lines.last_mut()
    {
        let shown = fitting - columns;
        *last = Line::from(format!("… and {} hosts more", tiles.len() - shown)).dim();
    }
    canvas.render_widget(Paragraph::new(lines), area);
}

fn tile_spans(tile: &Tile, name: usize) -> [Span<'static>; 2] {
    let (style, sign) = look(tile.state);
    let bar = sign.map_or_else(|| blocks(tile.fill_permille, BAR), str::to_owned);
    let count = if tile.vms == 0 { String::new() } else { tile.vms.to_string() };
    [Span::styled(format!("{:name$} {bar} {count:<2}", tile.name), style), Span::raw(" ")]
}

/// Colour and sign of a state; a host that is up shows how full it is instead of a sign.
fn look(state: HostState) -> (Style, Option<&'static str>) {
    let fg = |color| Style::new().fg(color);
    match state {
        HostState::On => (fg(Color::Green), None),
        HostState::Draining => (fg(Color::Yellow), None),
        HostState::Stopping => (fg(Color::Yellow).add_modifier(Modifier::DIM), Some(" v ")),
        HostState::Asleep => (fg(Color::Blue).add_modifier(Modifier::DIM), Some("zz ")),
        HostState::Waking => (fg(Color::Cyan), Some(" ^ ")),
        HostState::Unusable => (fg(Color::Magenta), None),
        HostState::Unknown => (fg(Color::Magenta), Some(" ? ")),
        HostState::Off => (fg(Color::DarkGray), Some(" - ")),
        HostState::SetAside => (fg(Color::Red), Some(" ! ")),
    }
}

fn draw_history(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let [title, spark] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    canvas.render_widget(Paragraph::new("hosts on").dim(), title);
    let newest = view.history.len().saturating_sub(usize::from(spark.width));
    let most = u64::try_from(view.frame.hosts()).expect("a number of hosts");
    canvas.render_widget(
        Sparkline::default().data(&view.history[newest..]).max(most.max(1)).fg(Color::Green),
        spark,
    );
}

fn draw_moves(canvas: &mut Canvas<'_>, area: Rect, frame: &Frame) {
    let mut lines = vec![Line::from(format!("moves under way: {}", frame.moves.len())).dim()];
    lines.extend(frame.moves.iter().map(|it| Line::from(format!("{}  {} -> {}", it.vm, it.from, it.to))));
    canvas.render_widget(Paragraph::new(lines), area);
}

fn draw_trail(canvas: &mut Canvas<'_>, area: Rect, trail: &VecDeque<TrailLine>) {
    let room = usize::from(area.height);
    let lines: Vec<Line<'_>> = trail
        .iter()
        .skip(trail.len().saturating_sub(room))
        .map(|line| {
            let words = Span::from(line.words.as_str());
            Line::from(vec![
                Span::from(format!("{} ", line.clock)).dim(),
                if line.grave { words.fg(Color::Red) } else { words },
            ])
        })
        .collect();
    canvas.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use super::super::frame::Move;
    use super::*;
    use expect_test::expect;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn night(hosts: usize) -> Frame {
        let tiles = (1..=hosts)
            .map(|n| {
                let (state, vms) = match n {
                    1..=8 => (HostState::On, 7),
                    9 => (HostState::Draining, 1),
                    10 => (HostState::Waking, 0),
                    11 => (HostState::SetAside, 0),
                    _ => (HostState::Asleep, 0),
                };
                Tile { name: format!("lab{n:02}"), state, vms, fill_permille: vms as u64 * 125 }
            })
            .collect();
        Frame {
            cluster: "ercolani".to_owned(),
            clock: "Mon 23 Nov 20:14:05".to_owned(),
            goal: "compact".to_owned(),
            tiles,
            hosts_on: 11,
            watts: 702,
            watts_always_on: 2790,
            kwh: 1.5,
            kwh_always_on: 6.0,
            migrations: 53,
            sleeps: 51,
            wakes: 0,
            moves: vec![Move { vm: "pc09".to_owned(), from: "lab09".to_owned(), to: "lab08".to_owned() }],
        }
    }

    fn shown(width: u16, height: u16, frame: &Frame) -> String {
        let trail: VecDeque<TrailLine> = (1..=9)
            .map(|n| TrailLine {
                clock: format!("20:14:0{n}"),
                words: format!("lab1{n} asleep"),
                grave: n == 9,
            })
            .collect();
        let history: Vec<u64> = (0..60).map(|n| 62 - n).collect();
        let view = View { frame, history: &history, trail: &trail, speed: 30, paused: false };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|canvas| draw(canvas, &view)).unwrap();
        let buffer = terminal.backend().buffer();
        (0..height)
            .map(|y| {
                let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
                line.trim_end().to_owned() + "\n"
            })
            .collect()
    }

    #[test]
    fn the_lab_on_a_plain_terminal() {
        expect![[r#"
            dormouse  ercolani, simulated  Mon 23 Nov 20:14:05  compact  x30
              702 W █████··············· of 2790 W always on   11 of 62 hosts on
               1.50 kWh of 6.00 kWh always on: 75 % less   53 moves, 51 sleeps, 0 wakes

            lab01 ██▋ 7  lab02 ██▋ 7  lab03 ██▋ 7  lab04 ██▋ 7  lab05 ██▋ 7  lab06 ██▋ 7
            lab07 ██▋ 7  lab08 ██▋ 7  lab09 ▍·· 1  lab10  ^     lab11  !     lab12 zz
            lab13 zz     lab14 zz     lab15 zz     lab16 zz     lab17 zz     lab18 zz
            lab19 zz     lab20 zz     lab21 zz     lab22 zz     lab23 zz     lab24 zz
            lab25 zz     lab26 zz     lab27 zz     lab28 zz     lab29 zz     lab30 zz
            lab31 zz     lab32 zz     lab33 zz     lab34 zz     lab35 zz     lab36 zz
            lab37 zz     lab38 zz     lab39 zz     lab40 zz     lab41 zz     lab42 zz
            lab43 zz     lab44 zz     lab45 zz     lab46 zz     lab47 zz     lab48 zz
            lab49 zz     lab50 zz     lab51 zz     lab52 zz     lab53 zz     lab54 zz
            lab55 zz     lab56 zz     lab57 zz     lab58 zz     lab59 zz     lab60 zz
            lab61 zz     lab62 zz

            hosts on                          20:14:03 lab13 asleep
                                              20:14:04 lab14 asleep
            ▅▄▄▄▃▃▂▂▂▁▁                       20:14:05 lab15 asleep
            ██████████████▇▇▆▆▆▅▅▅▄▄▃▃▃▂▂▁▁▁  20:14:06 lab16 asleep
            moves under way: 1                20:14:07 lab17 asleep
            pc09  lab09 -> lab08              20:14:08 lab18 asleep
                                              20:14:09 lab19 asleep
            space pause  + - speed  c close  o open  b burst of load  k kill a host  q quit
        "#]]
        .assert_eq(&shown(80, 24, &night(62)));
    }

    #[test]
    fn a_cluster_that_does_not_fit_says_how_much_is_missing() {
        expect![[r#"
            dormouse  ercolani, simulated  Mon 23 Nov 20:14:05  compact
              702 W █████··············· of 2790 W always on   11 of 300
               1.50 kWh of 6.00 kWh always on: 75 % less   53 moves, 51

            lab01  ██▋ 7  lab02  ██▋ 7  lab03  ██▋ 7  lab04  ██▋ 7
            lab05  ██▋ 7  lab06  ██▋ 7  lab07  ██▋ 7  lab08  ██▋ 7
            lab09  ▍·· 1  lab10   ^     lab11   !     lab12  zz
            lab13  zz     lab14  zz     lab15  zz     lab16  zz
            lab17  zz     lab18  zz     lab19  zz     lab20  zz
            lab21  zz     lab22  zz     lab23  zz     lab24  zz
            lab25  zz     lab26  zz     lab27  zz     lab28  zz
            … and 272 hosts more

            hosts on                  20:14:04 lab14 asleep
                                      20:14:05 lab15 asleep
                                      20:14:06 lab16 asleep
            ▂▂▁▁▁▁▁▁▁▁▁▁▁▁            20:14:07 lab17 asleep
            moves under way: 1        20:14:08 lab18 asleep
            pc09  lab09 -> lab08      20:14:09 lab19 asleep
            space pause  + - speed  c close  o open  b burst of load  k
        "#]]
        .assert_eq(&shown(60, 20, &night(300)));
    }

    #[test]
    fn no_terminal_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (200, 2), (3, 60)] {
            let lines = shown(width, height, &night(62)).lines().count();
            assert_eq!(lines, usize::from(height));
            shown(width, height, &Frame::default());
        }
    }
}
