//! Untrusted text on its way to a terminal, and long lists made short.

use std::borrow::Cow;

/// A character that could steer a terminal or make text look like other text: controls, marks and overrides of direction,
/// what takes no room, and fillers that look like a blank.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A letter that is written from right to left, or an Arabic digit: it draws its surroundings along.
fn is_leftward(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Text on its way to a terminal: words written from right to left keep to their place, so that the columns beside a
/// name stay where they are and no name can change places with another.
pub(super) fn isolated(text: &str) -> Cow<'_, str> {
    const FIRST_STRONG: char = '\u{2068}';
    const POP: char = '\u{2069}';
    if !text.contains(is_leftward) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for word in text.split_inclusive([' ', '\n']) {
        let last = word.char_indices().rev().find(|(_, c)| is_leftward(*c));
        match (word.find(is_leftward), last) {
            (Some(from), Some((at, c))) => {
                let to = at + c.len_utf8();
                shown.push_str(&word[..from]);
                shown.push(FIRST_STRONG);
                shown.push_str(&word[from..to]);
                shown.push(POP);
                shown.push_str(&word[to..]);
            }
            _ => shown.push_str(word),
        }
    }
    Cow::Owned(shown)
}

/// Text of hosts, VMs, users and files as it may be shown: on one line, nothing that a terminal obeys.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// `1 host`, `2 hosts`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `lab01-lab03, lab07, srv1`: names in their order, runs of consecutive numbers folded.
pub(crate) fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut parts: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)> = vec![];
    let mut previous: Option<(&str, Option<(&str, u64)>)> = None;
    for name in names {
        let number = trailing_number(name);
        let follows = match (previous, number) {
            (Some((last, Some((stem, n)))), Some((other, m))) => {
                stem == other && n.checked_add(1) == Some(m) && last.len() == name.len()
            }
            _ => false,
        };
        match parts.last_mut() {
            Some((_, end)) if follows => *end = Some(safe(name)),
            _ => parts.push((safe(name), None)),
        }
        previous = Some((name, number));
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(first, end)| match end {
            Some(end) => format!("{first}-{end}"),
            None => first.into_owned(),
        })
        .collect();
    parts.join(", ")
}

fn trailing_number(name: &str) -> Option<(&str, u64)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((stem, name[stem.len()..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_steer_the_terminal() {
        assert_eq!(safe("$(reboot)"), "$(reboot)");
        assert_eq!(safe("a\u{1b}]0;x\u{7}\nb\u{202e}"), r"a\u{1b}]0;x\u{7}\nb\u{202e}");
        for c in "\u{61c}\u{ad}\u{180e}\u{3164}\u{fe0f}\u{e0101}\u{85}\u{2028}\u{2066}".chars() {
            assert_eq!(safe(&format!("h{c}7")), format!("h\\u{{{:x}}}7", u32::from(c)));
        }
        assert_eq!(safe("łab-07 日本 שרת"), "łab-07 日本 שרת", "letters are letters");
    }

    #[test]
    fn names_from_right_to_left_keep_to_their_place() {
        assert_eq!(isolated("h01  on  3"), "h01  on  3");
        assert_eq!(
            isolated("vm=\"שרת\"  h01\nخادم7  h02"),
            "vm=\"\u{2068}שרת\u{2069}\"  h01\n\u{2068}خادم\u{2069}7  h02"
        );
        // Each mark is closed on its word, whatever stands there.
        for text in ["ש", "ש ש\nש", "aשbשc", "  ש"] {
            let shown = isolated(text);
            let (open, close) = (shown.matches('\u{2068}').count(), shown.matches('\u{2069}').count());
            assert!(open == close && open > 0, "{shown:?}");
            assert_eq!(shown.replace(['\u{2068}', '\u{2069}'], ""), text);
        }
    }

    #[test]
    fn runs_of_names_fold() {
        assert_eq!(
            fold(["lab01", "lab02", "lab03", "lab05", "srv1", "lab9", "lab10"]),
            "lab01-lab03, lab05, srv1, lab9, lab10"
        );
        assert_eq!(fold([]), "");
    }
}
