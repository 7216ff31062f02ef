//! Draws the picture on a terminal of any size, from 80 x 24 on without loss.

use super::keys::{Over, View};
use super::picture::{Picture, Row, Seen, Tab, Tone};
use crate::cli::{counted, safe};
use crate::verbs::picture::blocks;
use crate::verbs_live::age;
use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as Shown, Table};

const KEYS: &str = "q quit  tab VMs, events  / filter  s sort  w why  d drain  ? help";
const HELP: &str = "\
q            quit
tab 1 2 3    hosts, VMs, events
up down      choose; also j k, page up and down, home, end
/            filter by any text or address; Esc takes it away
s r          sort by the next column; backward
w Enter      why: what keeps a host awake, where a VM is and would go
d            drain the host: its VMs move away, it stays on
z u          put the host to sleep; wake it
c            clear: end drain, maintenance or distrust
p            pause the automation, or end the pause

d z u c p ask before anything is done.";
const BAR: usize = 5;
/// Moves that are named; of more it is said how many.
const MOVES: usize = 4;

pub(super) fn draw(canvas: &mut Canvas<'_>, picture: &Picture, view: &mut View) {
    let area = canvas.area();
    let moves = picture.seen.as_ref().map_or(0, |seen| seen.status.running.len());
    let moves = u16::try_from(moves.min(MOVES + 1)).expect("a few");
    let [head, power, next, _, table, under_way, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(moves),
        Constraint::Length(1),
    ])
    .areas(area);
    if let Some(seen) = &picture.seen {
        canvas.render_widget(Paragraph::new(headline(seen)), head);
        canvas.render_widget(Paragraph::new(power_line(seen)), power);
        canvas.render_widget(Paragraph::new(next_line(seen)), next);
        canvas.render_widget(Paragraph::new(running(seen)), under_way);
    } else {
        canvas.render_widget(Paragraph::new("asking the daemon …").dim(), head);
    }
    draw_rows(canvas, table, picture, view);
    draw_foot(canvas, foot, picture, view);
    draw_over(canvas, area, view);
}

fn headline(seen: &Seen) -> Line<'static> {
    let status = &seen.status;
    let lead = match (&status.standby, status.epoch) {
        (Some(standby), _) => format!("standby of {}, {} ago", safe(&standby.leader), age(standby.age_ms)),
        (None, Some(epoch)) => format!("leads, epoch {epoch}"),
        (None, None) => "does not lead".to_owned(),
    };
    let mut spans = vec![
        Span::from(safe(&status.cluster).into_owned()).bold(),
        Span::from(format!("  {}, {lead}  ", status.mode)),
        Span::from(status.time.clone()).bold(),
    ];
    if status.paused {
        spans.push(Span::from("  paused").fg(Color::Red).bold());
    }
    if status.frozen {
        spans.push(Span::from("  frozen: too many hosts vanished").fg(Color::Red).bold());
    }
    if status.store_trouble.is_some() {
        spans.push(Span::from("  the store takes nothing").fg(Color::Red).bold());
    }
    Line::from(spans)
}

fn power_line(seen: &Seen) -> Line<'static> {
    let status = &seen.status;
    let all_on = status.watts_all_on.max(1);
    Line::from(vec![
        Span::from(format!("{} W ", status.watts)).bold(),
        Span::from(blocks(status.watts * 1000 / all_on, 2 * BAR)).fg(Color::Yellow),
        Span::from(format!(" of {} W with all on  ", status.watts_all_on)),
        Span::from(format!("{} of {} hosts on", status.hosts_on, seen.hosts.len())).bold(),
        Span::from(format!("  {}", counted(seen.vms.len(), "VM"))),
    ])
}

fn next_line(seen: &Seen) -> Line<'static> {
    let status = &seen.status;
    let next = status.next.as_ref().map_or_else(String::new, |next| {
        let up_by = next.up_by.as_ref().map_or_else(String::new, |up_by| format!(", up by {up_by}"));
        format!("; `{}` {} {} (in {}){up_by}", safe(&next.window), next.event, next.at, age(next.in_ms))
    });
    let tally = &status.since_start;
    let done = format!("   {} moves, {} sleeps, {} wakes", tally.moves, tally.sleeps, tally.wakes);
    Line::from(vec![Span::from(format!("goal {}{next}", status.goal)), Span::from(done).dim()])
}

fn running(seen: &Seen) -> Vec<Line<'static>> {
    let running = &seen.status.running;
    let mut lines: Vec<Line<'static>> = running
        .iter()
        .take(MOVES)
        .map(|step| {
            let what = step.vm.as_deref().map_or_else(String::new, |vm| format!(" {}", safe(vm)));
            let to = step.to.as_deref().map_or_else(String::new, |to| format!(" -> {}", safe(to)));
            let text = format!("{}{what}  {}{to}  for {}", step.kind, safe(&step.host), age(step.for_ms));
            Line::from(text).fg(Color::Cyan)
        })
        .collect();
    if running.len() > MOVES {
        lines.push(Line::from(format!("… and {} more under way", running.len() - MOVES)).dim());
    }
    lines
}

/// Names get the room they need within these.
const NAME_MIN: u16 = 6;
const NAME_MAX: u16 = 20;

/// Titles of the columns, and widths between the first, which holds names, and the last, which takes what is left.
fn columns(tab: Tab) -> (&'static [&'static str], &'static [u16]) {
    match tab {
        Tab::Hosts => (&["host", "state", "for", "load", "memory", "VMs", "notes"], &[9, 7, 10, 10, 3]),
        Tab::Vms => (&["VM", "state", "host", "CPU", "memory", "moves", "notes"], &[9, 12, 10, 10, 5]),
        Tab::Events => (&["newest first"], &[]),
    }
}

fn draw_rows(canvas: &mut Canvas<'_>, area: Rect, picture: &Picture, view: &mut View) {
    let rows = view.rows(picture);
    let at = view.cursor(&rows);
    view.page = usize::from(area.height.saturating_sub(1)).max(1);
    view.top = view.top.min(at).max((at + 1).saturating_sub(view.page));
    let (titles, widths) = columns(view.tab);
    let longest = rows.iter().filter_map(|row| row.cells.first()).map(|name| name.chars().count()).max();
    let name = u16::try_from(longest.unwrap_or(0)).unwrap_or(NAME_MAX).clamp(NAME_MIN, NAME_MAX);
    let name = Some(name).filter(|_| !widths.is_empty());
    let widths = name.into_iter().chain(widths.iter().copied()).map(Constraint::Length);
    let constraints = widths.chain([Constraint::Min(0)]);
    let shown = rows.iter().enumerate().skip(view.top).take(view.page).map(|(place, row)| {
        let style = if place == at { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        Shown::new(cells(row)).style(style.patch(tone(row.tone)))
    });
    let head = Shown::new(titles.iter().map(|title| Cell::from(*title))).style(Style::new().bold());
    canvas.render_widget(Table::new(shown, constraints).header(head).column_spacing(1), area);
}

fn cells(row: &Row) -> Vec<Cell<'static>> {
    row.cells
        .iter()
        .enumerate()
        .map(|(place, text)| match row.bars.iter().find(|(at, _)| *at == place) {
            Some((_, permille)) => Cell::from(format!("{} {text:>4}", blocks(*permille, BAR))),
            None => Cell::from(text.clone()),
        })
        .collect()
}

fn tone(tone: Tone) -> Style {
    match tone {
        Tone::Fine => Style::new(),
        Tone::Dim => Style::new().add_modifier(Modifier::DIM),
        Tone::OnItsWay => Style::new().fg(Color::Cyan),
        Tone::Trouble => Style::new().fg(Color::Red),
    }
}

fn draw_foot(canvas: &mut Canvas<'_>, area: Rect, picture: &Picture, view: &View) {
    let line = match (&view.over, &view.word, &picture.silent) {
        (Over::Filter, ..) => Line::from(format!("/{}▏  Enter keeps it, Esc takes it away", view.filter)),
        (Over::Ask(question, _), ..) => Line::from(format!("{question} [y/N]")).fg(Color::Yellow).bold(),
        (_, Some((word, true)), _) => Line::from(safe(word).into_owned()).fg(Color::Red),
        (_, Some((word, false)), _) => Line::from(safe(word).into_owned()).fg(Color::Green),
        (_, None, Some(why)) => Line::from(format!("of before; {}", safe(why))).fg(Color::Red),
        _ if !view.filter.is_empty() => Line::from(format!("filter `{}`; Esc takes it away", view.filter)),
        _ => {
            let sorted = if view.tab == Tab::Events { "" } else { view.sort.word() };
            let way = if view.backward { " backward" } else { "" };
            let sort = if sorted.is_empty() { String::new() } else { format!("  by {sorted}{way}") };
            Line::from(format!("{KEYS}{sort}")).dim()
        }
    };
    canvas.render_widget(Paragraph::new(line), area);
}

fn draw_over(canvas: &mut Canvas<'_>, area: Rect, view: &View) {
    let (title, text, scroll) = match &view.over {
        Over::Help => (" keys ", HELP, 0),
        Over::Why(text, scroll) => (" why ", text.as_str(), *scroll),
        _ => return,
    };
    let lines = text.lines().count();
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let fit = |wanted: usize, room: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(room);
    let (width, height) = (fit(longest + 4, area.width), fit(lines + 2, area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let last = u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(height.saturating_sub(2));
    let words = Paragraph::new(text)
        .scroll((scroll.min(last), 0))
        .block(Block::bordered().title(title).title_bottom(" any key closes it "));
    canvas.render_widget(Clear, place);
    canvas.render_widget(words, place);
}
