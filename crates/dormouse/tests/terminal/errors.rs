use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn a_misspelt_key_is_shown_with_its_place_and_the_right_word() {
    Terminal::with(&LAB.replace("boot=", "bot=")).check("plan --cluster cluster", expect![[""]]);
    Terminal::with(&LAB.replace("boot=", "bot=")).check("config check --cluster cluster", expect![[""]]);
}

#[test]
fn a_file_that_is_not_there() {
    Terminal::new().check("plan --cluster nothing", expect![[""]]);
}

#[test]
fn a_file_that_is_not_text() {
    let terminal = Terminal::new();
    std::fs::write(terminal.folder.path().join("cluster"), [b'h', 0xff, b'x']).unwrap();
    terminal.check("why h1 --cluster cluster", expect![[""]]);
}

#[test]
fn a_misspelt_verb() {
    Terminal::new().check("pln", expect![[""]]);
}

#[test]
fn a_misspelt_knob() {
    let lab = Terminal::with(LAB);
    lab.check("plan --cluster cluster --set failver=0", expect![[""]]);
    lab.check("plan --cluster cluster --set failover", expect![[""]]);
    lab.check("plan --cluster cluster --set failover=many", expect![[""]]);
}

#[test]
fn a_misspelt_host() {
    Terminal::with(LAB).check("why lab7 --cluster cluster", expect![[""]]);
}

#[test]
fn a_verb_that_lacks_its_cluster() {
    Terminal::new().check("export clusterinfo", expect![[""]]);
}

#[test]
fn a_file_name_cannot_steer_the_terminal() {
    let shown = Terminal::new().type_in("plan --cluster a\u{1b}[2Jb");
    assert!(shown.split_once('\n').unwrap().1.chars().all(|c| c == '\n' || !c.is_control()), "{shown}");
}
