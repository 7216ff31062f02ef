//! What a key means: where the cursor is, what is shown, and what a person asks for. Nothing is asked of the daemon that
//! changes a host before a second key has confirmed it.

use super::asker::{Said, Wish};
use super::picture::{Picture, Row, Sort, Tab};
use crate::daemon::wire::OrderWord;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Leave,
    Wish(Wish),
}

/// What lies over the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Nothing,
    Help,
    /// Lines, and how far they are scrolled.
    Why(String, u16),
    /// A question, and what is done upon `y`.
    Ask(String, OrderWord),
    /// The filter is being typed.
    Filter,
}

#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) tab: Tab,
    pub(super) sort: Sort,
    pub(super) backward: bool,
    pub(super) filter: String,
    pub(super) over: Over,
    /// What the cursor is on, by key: it stays there when rows change places.
    pub(super) at: Option<String>,
    /// The first row that is shown.
    pub(super) top: usize,
    /// Rows that fit, as last drawn.
    pub(super) page: usize,
    /// The daemon's last word, and whether it was a refusal.
    pub(super) word: Option<(String, bool)>,
}

impl View {
    pub(super) fn rows(&self, picture: &Picture) -> Vec<Row> {
        picture.rows(self.tab, self.sort, self.backward, &self.filter)
    }

    pub(super) fn cursor(&self, rows: &[Row]) -> usize {
        self.at.as_ref().and_then(|at| rows.iter().position(|row| row.key == *at)).unwrap_or(0)
    }

    pub(super) fn hear(&mut self, said: Said) {
        match said {
            Said::Why(text) => self.over = Over::Why(text, 0),
            Said::Done(word) => self.word = Some((word, false)),
            Said::Refused(word) => self.word = Some((word, true)),
        }
    }

    pub(super) fn press(&mut self, key: KeyCode, with: KeyModifiers, picture: &Picture) -> Next {
        if with.contains(KeyModifiers::CONTROL) {
            // Others are what a terminal sends whose input is gone: no person's key.
            return if key == KeyCode::Char('c') { Next::Leave } else { Next::Stay };
        }
        match &mut self.over {
            Over::Filter => return self.type_in(key),
            Over::Ask(_, order) => {
                let order = order.clone();
                self.over = Over::Nothing;
                let yes = matches!(key, KeyCode::Char('y' | 'Y'));
                return if yes { Next::Wish(Wish::Order(order)) } else { Next::Stay };
            }
            Over::Why(_, line) => {
                match key {
                    KeyCode::Down | KeyCode::Char('j') => *line = line.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => *line = line.saturating_sub(1),
                    _ => self.over = Over::Nothing,
                }
                return Next::Stay;
            }
            Over::Help => {
                self.over = Over::Nothing;
                return Next::Stay;
            }
            Over::Nothing => {}
        }
        self.word = None;
        match key {
            KeyCode::Char('q') => return Next::Leave,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.over = Over::Help,
            KeyCode::Char('/') => self.over = Over::Filter,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.backward = !self.backward,
            KeyCode::Tab | KeyCode::Right => self.show(match self.tab {
                Tab::Hosts => Tab::Vms,
                Tab::Vms => Tab::Events,
                Tab::Events => Tab::Hosts,
            }),
            KeyCode::BackTab | KeyCode::Left => self.show(match self.tab {
                Tab::Hosts => Tab::Events,
                Tab::Vms => Tab::Hosts,
                Tab::Events => Tab::Vms,
            }),
            KeyCode::Char('1') => self.show(Tab::Hosts),
            KeyCode::Char('2') => self.show(Tab::Vms),
            KeyCode::Char('3') => self.show(Tab::Events),
            KeyCode::Down | KeyCode::Char('j') => self.step(picture, 1),
            KeyCode::Up | KeyCode::Char('k') => self.step(picture, -1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(picture, self.page.cast_signed()),
            KeyCode::PageUp => self.step(picture, -self.page.cast_signed()),
            KeyCode::Home | KeyCode::Char('g') => self.step(picture, isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(picture, isize::MAX),
            KeyCode::Enter | KeyCode::Char('w') if self.tab != Tab::Events => {
                if let Some(key) = self.chosen(picture) {
                    return Next::Wish(Wish::Why(key));
                }
            }
            KeyCode::Char(letter @ ('d' | 'c' | 'u' | 'z')) if self.tab == Tab::Hosts => {
                self.ask(letter, picture);
            }
            KeyCode::Char('p') => {
                let paused = picture.seen.as_ref().is_some_and(|seen| seen.status.paused);
                self.over = if paused {
                    Over::Ask("End the pause?".to_owned(), OrderWord::Resume)
                } else {
                    let meant = "Pause: start nothing new until it is ended; what runs will end?";
                    Over::Ask(meant.to_owned(), OrderWord::Pause { for_ms: None })
                };
            }
            _ => {}
        }
        Next::Stay
    }

    fn show(&mut self, tab: Tab) {
        (self.tab, self.at, self.top) = (tab, None, 0);
    }

    fn type_in(&mut self, key: KeyCode) -> Next {
        /// Longer than any name.
        const FILTER_MAX: usize = 64;
        match key {
            KeyCode::Enter => self.over = Over::Nothing,
            KeyCode::Esc => {
                self.filter.clear();
                self.over = Over::Nothing;
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(c) if self.filter.len() < FILTER_MAX && !c.is_control() => self.filter.push(c),
            _ => {}
        }
        Next::Stay
    }

    fn step(&mut self, picture: &Picture, by: isize) {
        let rows = self.rows(picture);
        let Some(last) = rows.len().checked_sub(1) else { return };
        let to = self.cursor(&rows).saturating_add_signed(by).min(last);
        self.at = Some(rows[to].key.clone());
    }

    fn chosen(&self, picture: &Picture) -> Option<String> {
        let rows = self.rows(picture);
        rows.get(self.cursor(&rows)).map(|row| row.key.clone())
    }

    /// Says what will happen, to whom.
    fn ask(&mut self, letter: char, picture: &Picture) {
        let (Some(name), Some(seen)) = (self.chosen(picture), &picture.seen) else { return };
        let Some(host) = seen.hosts.iter().find(|host| host.name == name) else { return };
        let shown = crate::cli::safe(&name).into_owned();
        let vms = crate::cli::counted(host.vms.len(), "VM");
        let host = name.clone();
        self.over = match letter {
            'd' => Over::Ask(
                format!("Drain {shown}: move its {vms} away, and leave it on?"),
                OrderWord::Drain { host },
            ),
            'z' => Over::Ask(
                format!("Put {shown} to sleep: move its {vms} away, then switch it off?"),
                OrderWord::Sleep { host },
            ),
            'u' => Over::Ask(format!("Wake {shown}?"), OrderWord::Wake { host }),
            _ => Over::Ask(
                format!("Clear {shown}: end drain, maintenance or distrust?"),
                OrderWord::Clear { host },
            ),
        };
    }
}
