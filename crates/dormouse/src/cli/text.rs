//! Untrusted text on its way to a terminal, and long lists made short.

use std::borrow::Cow;

/// A character that could steer a terminal or make text look like other text.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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
