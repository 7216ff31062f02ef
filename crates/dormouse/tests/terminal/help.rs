use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn help_names_the_verbs_and_the_exit_codes() {
    let shown = Terminal::new().type_in("--help");
    for word in
        ["demo", "plan", "simulate", "why", "config", "export", "Exit codes: 0 done, 1 failed, 2 usage"]
    {
        assert!(shown.contains(word), "{word} is missing in {shown}");
    }
    assert!(!shown.contains("internal"), "{shown}");
}

#[test]
fn the_config_is_checked_and_explained() {
    let lab = Terminal::with(LAB);
    lab.check("config check --cluster cluster", expect![[""]]);
    lab.check("config explain --cluster cluster --set payback=2 --from 2026-12-01T00:00", expect![[""]]);
}
