//! Just enough of Rust's grammar to tell code from comments, strings and tests.

/// One line of a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The code, with the insides of strings left out.
    pub(super) code: String,
    /// What comments say on this line.
    pub(super) comment: String,
    /// Inside an item under `#[cfg(test)]`.
    pub(super) test: bool,
}

enum State {
    Code,
    LineComment,
    BlockComment { depth: u32 },
    Text,
    RawText { hashes: usize },
}

pub(super) fn lines(source: &str) -> Vec<Line> {
    let chars: Vec<char> = source.chars().collect();
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        if c == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let Some(line) = lines.last_mut() else { break };
        match state {
            State::Code => match (c, next) {
                ('/', Some('/')) => state = State::LineComment,
                ('/', Some('*')) => {
                    state = State::BlockComment { depth: 1 };
                    at += 1;
                }
                ('"', _) => {
                    line.code.push('"');
                    state = State::Text;
                }
                ('r', Some('"' | '#')) if !ends_in_word(&line.code) || line.code.ends_with('b') => {
                    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                    line.code.push('r');
                    if chars.get(at + 1 + hashes) == Some(&'"') {
                        line.code.push('"');
                        at += 1 + hashes;
                        state = State::RawText { hashes };
                    }
                }
                ('\'', Some('\\')) => {
                    // An escaped character: on to its closing quote.
                    at += 3;
                    at += chars[at.min(chars.len())..].iter().take_while(|c| **c != '\'').count();
                }
                // A character; otherwise it is a lifetime.
                ('\'', _) if chars.get(at + 2) == Some(&'\'') => at += 2,
                _ => line.code.push(c),
            },
            State::LineComment => line.comment.push(c),
            State::BlockComment { depth } => match (c, next) {
                ('/', Some('*')) => {
                    state = State::BlockComment { depth: depth + 1 };
                    at += 1;
                }
                ('*', Some('/')) => {
                    state = if depth == 1 { State::Code } else { State::BlockComment { depth: depth - 1 } };
                    at += 1;
                }
                _ => line.comment.push(c),
            },
            State::Text => match c {
                // The escaped character goes with it, unless it is the end of the line.
                '\\' if next != Some('\n') => at += 1,
                '"' => {
                    line.code.push('"');
                    state = State::Code;
                }
                _ => {}
            },
            State::RawText { hashes } => {
                if c == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
                    line.code.push('"');
                    at += hashes;
                    state = State::Code;
                }
            }
        }
        at += 1;
    }
    mark_tests(&mut lines);
    lines
}

fn ends_in_word(code: &str) -> bool {
    code.chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Marks the item that follows each `#[cfg(test)]`, to its closing brace or semicolon.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].code.contains("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        let mut over = false;
        while at < lines.len() && !over {
            lines[at].test = true;
            for c in lines[at].code.replace("#[cfg(test)]", "").chars() {
                match c {
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        over |= depth == 0;
                    }
                    ';' => over |= depth == 0,
                    _ => {}
                }
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_told_from_code() {
        let source = r####"
let a = "in // text \" here"; // a comment
let b = r#"raw "quoted" text"#; /* one /* two */
still */ let c = '"'; let d: &'static str = b"x";
let e = "over
two lines"; let f = '\''; let g = br"y";
"####;
        let lines = lines(source);
        let code: Vec<&str> = lines.iter().map(|line| line.code.trim()).collect();
        assert_eq!(
            code,
            [
                "",
                "let a = \"\";",
                "let b = r\"\";",
                "let c = ; let d: &'static str = b\"\";",
                "let e = \"",
                "\"; let f = ; let g = br\"\";",
                ""
            ]
        );
        assert_eq!(lines[1].comment, "/ a comment");
        assert_eq!(lines[3].comment, "still ");
    }

    #[test]
    fn only_the_item_under_cfg_test_is_a_test() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}";
        let test: Vec<bool> = lines(source).iter().map(|line| line.test).collect();
        assert_eq!(test, [false, true, true, true, true, false, true, true, false]);
    }
}
