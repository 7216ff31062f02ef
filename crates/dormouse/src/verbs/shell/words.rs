//! A line of the shell as words, and a name as a word of a line.
//!
//! Blanks part words, `;` and line ends part commands, `#` at the start of a word begins a comment. `'…'` takes everything as it
//! stands; `"…"` knows `\"`, `\\`, `\n`, `\r`, `\t` and `\u{…}`, which is how hostile names are shown everywhere, so what was shown
//! can be typed. Never here: variables, patterns, pipes; nothing in a line is ever run by another shell.

use crate::cli::safe;
use std::iter::Peekable;
use std::str::CharIndices;

/// A word without its quotes, and where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start: usize,
    /// No part of it was quoted.
    pub(super) bare: bool,
}

/// How far a line got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After a blank, a `;` or nothing: another word may begin.
    Between,
    InWord,
    InComment,
    /// A backslash is the last character: the next line belongs to this one.
    Backslash,
    /// The quote that began here has no end.
    Open(usize),
}

/// A line as commands; the last one may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) commands: Vec<Vec<Word>>,
    pub(super) end: End,
}

pub(super) fn split(line: &str) -> Line {
    let mut commands = vec![vec![]];
    let mut chars = line.char_indices().peekable();
    let mut end = End::Between;
    while let Some(&(at, c)) = chars.peek() {
        match c {
            ';' | '\n' => {
                commands.push(vec![]);
                chars.next();
            }
            '#' => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
                if chars.peek().is_none() {
                    end = End::InComment;
                }
            }
            _ if c.is_whitespace() => {
                chars.next();
            }
            _ => {
                let (word, after) = word(at, &mut chars);
                commands.last_mut().expect("one at least").push(word);
                if chars.peek().is_none() {
                    end = after;
                }
            }
        }
    }
    Line { commands, end }
}

fn word(start: usize, chars: &mut Peekable<CharIndices<'_>>) -> (Word, End) {
    let mut word = Word { text: String::new(), start, bare: true };
    while let Some(&(at, c)) = chars.peek() {
        if c == ';' || c.is_whitespace() {
            break;
        }
        chars.next();
        match c {
            '\'' | '"' => {
                word.bare = false;
                if !quoted(c, chars, &mut word.text) {
                    return (word, End::Open(at));
                }
            }
            '\\' => {
                word.bare = false;
                match chars.next() {
                    None => return (word, End::Backslash),
                    Some((_, 'u')) => {
                        word.text.push_str(&code_point(chars).unwrap_or_else(|| "u".to_owned()))
                    }
                    Some((_, c)) => word.text.push(c),
                }
            }
            _ => word.text.push(c),
        }
    }
    (word, End::InWord)
}

/// Up to the quote that ends it; whether there is one.
fn quoted(quote: char, chars: &mut Peekable<CharIndices<'_>>, into: &mut String) -> bool {
    while let Some((_, c)) = chars.next() {
        match c {
            _ if c == quote => return true,
            '\\' if quote == '"' => match chars.next() {
                None => return false,
                Some((_, c @ ('"' | '\\'))) => into.push(c),
                Some((_, 'n')) => into.push('\n'),
                Some((_, 'r')) => into.push('\r'),
                Some((_, 't')) => into.push('\t'),
                Some((_, 'u')) => into.push_str(&code_point(chars).unwrap_or_else(|| "\\u".to_owned())),
                Some((_, c)) => into.extend(['\\', c]),
            },
            _ => into.push(c),
        }
    }
    false
}

/// `{1b}` after `\u`. What is no such thing is left to be read as it stands.
fn code_point(chars: &mut Peekable<CharIndices<'_>>) -> Option<String> {
    let mut ahead = chars.clone();
    ahead.next_if(|(_, c)| *c == '{')?;
    let mut digits = String::new();
    while let Some((_, c)) = ahead.next_if(|(_, c)| c.is_ascii_hexdigit()) {
        digits.push(c);
    }
    ahead.next_if(|(_, c)| *c == '}')?;
    let c = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
    *chars = ahead;
    Some(c.to_string())
}

/// The name as it can be typed, with nothing in it that a terminal obeys.
pub(super) fn quote(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-+@:/=,%~[]{}^!?*".contains(c);
    if !name.is_empty() && name.chars().all(plain) && safe(name) == name {
        return name.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ => quoted.push_str(&safe(c.encode_utf8(&mut [0; 4]))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn shown(line: &str) -> String {
        let split = split(line);
        let commands: Vec<String> = split
            .commands
            .iter()
            .map(|words| words.iter().map(|word| format!("<{}>", safe(&word.text))).collect::<String>())
            .collect();
        format!("{} {:?}\n", commands.join(" ; "), split.end)
    }

    #[test]
    fn lines_are_words_and_commands() {
        let lines = [
            "",
            "host list",
            "vm show 'my vm' ; host list # both",
            r#"vm show "a \"b\" \u{1b}[2J" x'y z'w"#,
            r"vm show my\ vm a\u{1b}b \u{zz}",
            "a;b ;",
            "a#b #c",
            "a # x\nb",
            "vm show 'my",
            r#"vm show "my\"#,
            r"vm show \",
            r"'\n' $(reboot) `x` $HOME *",
        ];
        expect![[r#"
             Between
            <host><list> InWord
            <vm><show><my vm> ; <host><list> InComment
            <vm><show><a "b" \u{1b}[2J><xy zw> InWord
            <vm><show><my vm><a\u{1b}b><u{zz}> InWord
            <a> ; <b> ;  Between
            <a#b> InComment
            <a> ; <b> InWord
            <vm><show><my> Open(8)
            <vm><show><my> Open(8)
            <vm><show><> Backslash
            <\n><$(reboot)><`x`><$HOME><*> InWord
        "#]]
        .assert_eq(&lines.map(shown).concat());
    }

    #[test]
    fn every_name_comes_back_from_its_quotes() {
        let hostile = [
            "",
            "a",
            "my vm",
            "#x",
            "a;b",
            "it's",
            "\"",
            "\\",
            "\\u{41}",
            "a\u{1b}[2J\u{7}",
            "\u{202e}x\n\r\t\0",
            "日本",
            "$(reboot)",
        ];
        for name in hostile {
            let typed = quote(name);
            assert_eq!(safe(&typed), typed, "{name:?} is drawn as it is");
            let line = split(&typed);
            assert_eq!(line.commands.len(), 1, "{typed}");
            assert_eq!(
                line.commands[0].iter().map(|word| word.text.as_str()).collect::<Vec<_>>(),
                [name],
                "{typed}"
            );
        }
    }
}
