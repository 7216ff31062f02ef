//! Nothing that a text says may stop the program or fill its memory.

use super::*;
use proptest::prelude::*;

fn refused(text: &str, why: &str) {
    let error = parse(text).expect_err("a bomb").to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn range_bombs_are_counted_and_not_expanded() {
    refused("host h[1-100001] cpus=1 mem=1G", "at most 100000 are allowed");
    refused("host h[0-999999999999999999] cpus=1 mem=1G", "at most 100000 are allowed");
    refused("host h[1-99999][1-99999][1-99999][1-99999] cpus=1 mem=1G", "at most 100000 are allowed");
    refused("host h[1-9][1-9][1-9][1-9][1-9] cpus=1 mem=1G", "more than 4 ranges");
    refused("host h cpus=1 mem=1G\nvm v[1-1000001]@h mem=1M", "at most 1000000 are allowed");
    // Each line is small; together they are not.
    let bans = "host h[1-100000] cpus=1 mem=1G\nvm v[1-1000]@h1 mem=1M ban=h[1-100000]";
    refused(bans, "more than 10000000 in all");
    let asleep = "h[1-100000] ".repeat(101);
    refused(&format!("host h[1-100000] cpus=1 mem=1G\nasleep {asleep}"), "more than 10000000 in all");
    assert!(names("h[1-1000001]").is_err());
    assert!(names("h[1-999999], h[1-2]").is_err());
}

#[test]
fn a_long_word_is_no_work_for_suggestions() {
    refused(&format!("{} x", "h".repeat(5_000_000)), "unknown word");
    refused(&format!("host {} cpus=1 mem=1G", "b".repeat(5_000_000)), "longer than");
    refused(&format!("host a {} cpus=1 mem=1G", "b".repeat(5_000_000)), "longer than");
    refused(&format!("host a cpus=1 mem=1G\nasleep {}", "b".repeat(200)), "there is no host");
    refused(&format!("host h[1-100000] cpus=1 mem=1G\nasleep {}", "h".repeat(60)), "there is no host");
    refused(&"#".repeat((64 << 20) + 1), "at most");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = parse(&text).map_err(|error| error.render("text", &text));
        let _ = names(&text);
    }

    #[test]
    fn any_bytes_behind_a_line_word_are_read_or_refused(
        word in prop::sample::select(vec!["cluster", "host", "vm", "group", "hold", "keep", "policy", "window", "holiday"]),
        rest in "[ -~\\n]{0,60}",
    ) {
        let text = format!("host h1 cpus=1 mem=1G\n{word} {rest}");
        let _ = parse(&text).map_err(|error| error.render("text", &text));
    }

    /// Slips of the keys in a good text: read or refused at a place that exists, and what is read can be printed and read.
    #[test]
    fn a_slip_in_a_good_text_is_read_or_refused(
        slips in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "", "x", "0", "9", "-", "[", "]", "@", "=", ",", "\"", "#", " ", "\n", "\u{1b}", "é", "99999999999999999999",
        ])), 1..4),
    ) {
        let mut text: Vec<String> = ERCOLANI.chars().map(String::from).collect();
        for (place, slip) in slips {
            let place = place.index(text.len());
            text[place] = slip.to_owned();
        }
        let text = text.concat();
        match parse(&text) {
            Ok(cluster) => prop_assert_eq!(parse(&print(&cluster)).expect("printed"), cluster),
            Err(error) => {
                let lines = text.lines().count();
                prop_assert!((1..=lines).contains(&(error.line as usize)), "{}", error);
                let rendered = error.render("text", &text);
                prop_assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()), "{}", rendered);
            }
        }
    }
}
