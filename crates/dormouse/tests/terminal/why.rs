use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn what_keeps_a_host_awake_and_what_would_become_of_a_vm() {
    let lab = Terminal::with(LAB);
    lab.check("why lab01 --cluster cluster", expect![[""]]);
    lab.check("why lab62 --cluster cluster", expect![[""]]);
    lab.check("why pc62 --cluster cluster", expect![[""]]);
}

#[test]
fn a_vm_that_has_to_stay() {
    let text = "\
host h1 cpus=2 mem=2G watts=45/95/3 keep-on
host h[2-3] cpus=2 mem=2G watts=45/95/3
vm db@h2 mem=256M local-disk
vm web@h3 mem=256M
group pair = db web spread
hold h3 by=ops why=exam
policy balanced failover=0 spare.target=0 spare.min=0
";
    let terminal = Terminal::with(text);
    terminal.check("why db --cluster cluster", expect![[""]]);
    terminal.check("why h2 --cluster cluster", expect![[""]]);
    terminal.check("why h3 --cluster cluster --format json", expect![[""]]);
}
