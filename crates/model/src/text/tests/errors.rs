//! Each mistake has a place, a message and, where we know better, a hint.

use super::*;

/// Three hosts, then the line at fault (line 2).
fn check(line: &str, expected: Expect) {
    let text = format!("host h[1-3] cpus=2 mem=2G\n{line}\n");
    match parse(&text) {
        Ok(_) => panic!("accepted: {line}"),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn words_and_keys() {
    check("hots h4", expect!["2:1: unknown word `hots` at the start of a line; did you mean `host`?"]);
    check("host h4 cpus=2 mme=2G", expect!["2:16: unknown key `mme` on this line; did you mean `mem`?"]);
    check(
        "host h4 cpus=2 mem=2G keepon",
        expect!["2:23: unknown word `keepon` on this line; did you mean `keep-on`?"],
    );
    check(
        "host h4 keepon cpus=2 mem=2G",
        expect![
            "2:9: `keepon` stands where names stand; did you mean the flag `keep-on`? If it is a name, quote it"
        ],
    );
    check("host h4 cpus=2 cpus=2 mem=2G", expect!["2:16: `cpus=` is given twice"]);
    check("host h4 cpus = 2", expect!["2:14: no `=` is expected here; write `key=value` without blanks"]);
    check("host h4 cpus= mem=2G", expect!["2:9: `cpus=` has no value; write it without blanks"]);
    check(
        "vm v@h1 mem=1G pin=h1, h2",
        expect![
            "2:23: a value is missing beside this comma; inside a value write commas without blanks: `a,b,c`"
        ],
    );
    check(
        "policy balanced spare.mni=1",
        expect!["2:17: unknown key `spare.mni` on this line; did you mean `spare.min`?"],
    );
    check("policy balancd", expect!["2:8: there is no policy `balancd`; did you mean `balanced`?"]);
    check("\"host\" h4", expect!["2:1: a line begins with a word that says what it is about"]);
    check("@h1", expect!["2:1: a line begins with a word that says what it is about"]);
}

#[test]
fn values() {
    check("host h4 cpus=0 mem=2G", expect!["2:14: `cpus=` takes a whole number from 1 to 65536, not `0`"]);
    check(
        "host h4 cpus=2 mem=2048",
        expect!["2:20: `mem=` takes memory from 0M to 1024T, like 2048M or 64G, not `2048`"],
    );
    check("host h4 cpus=2 mem=0M", expect!["2:16: a host has memory: `mem=` cannot be zero"]);
    check(
        "host h4 cpus=2 mem=99999999999999999999G",
        expect!["2:20: `mem=` takes memory from 0M to 1024T, like 2048M or 64G, not `99999999999999999999G`"],
    );
    check("host h4 cpus=2 mem=2G reserve=2G", expect!["2:23: a reserve of 2 GiB leaves nothing of 2 GiB"]);
    check(
        "host h4 cpus=2 mem=2G watts=95/45/3",
        expect![
            "2:23: asleep 3 W, idle 95 W, busy 45 W do not rise; the order is idle/busy/asleep, like 45/95/3"
        ],
    );
    check(
        "host h4 cpus=2 mem=2G watts=45/95",
        expect![
            "2:29: `watts=` takes three powers up to 1000000 W, idle/busy/asleep, like 45/95/3, not `45/95`"
        ],
    );
    check(
        "host h4 cpus=2 mem=2G role=boss",
        expect!["2:28: `role=` takes one of manager, quorum, storage, gateway, not `boss`"],
    );
    check(
        "host h4 cpus=2 mem=2G mac=01:00:5e:00:00:01",
        expect![
            "2:27: `mac=` takes the MAC address of one machine, like 52:54:00:12:34:56, not `01:00:5e:00:00:01`"
        ],
    );
    check(
        "host h4 cpus=2 mem=2G circuit=room1",
        expect!["2:31: there is no circuit `room1`; define it with a line `circuit room1 wakes=4`"],
    );
    check(
        "host h4 cpus=2",
        expect![
            "2:1: this host line has no `mem=`; write it, like `mem=2048M`; only a host with `address=` can be asked for it"
        ],
    );
    check("vm v@h1 mem=0G", expect!["2:9: a VM has memory: `mem=` cannot be zero"]);
    check("vm v@h1", expect!["2:1: this VM line has no `mem=`; write it, like `mem=256M`"]);
    check("vm v@h1 mem=1G uuid=7", expect!["2:21: `uuid=` takes a UUID, not `7`"]);
    check("policy balanced spare.min=-1", expect!["2:27: `spare.min=` takes a whole number, not `-1`"]);
    check(
        "cluster x zone=Europe/Rom",
        expect!["2:16: there is no time zone `Europe/Rom`; did you mean `Europe/Rome`?"],
    );
    check(
        "hold h1 until=tomorrow",
        expect!["2:15: `until=` takes a date and time like 2026-12-01T08:00, not `tomorrow`"],
    );
    check("hold h1 why=\"half", expect!["2:13: this quote is not closed on its line"]);
    check(
        "hold h1 why=\"a\\q\"",
        expect![[
            r#"2:15: an unknown escape; there are `\"`, `\\`, `\n`, `\r`, `\t` and `\u{…}` (hexadecimal)"#
        ]],
    );
    check(
        "hold h1 why=room#3",
        expect!["2:17: a `#` in the middle of a word; put a blank before a comment, or the text in quotes"],
    );
}

#[test]
fn names_and_ranges() {
    check("asleep h4", expect!["2:8: there is no host `h4`; did you mean `h1`?"]);
    check("host h2 cpus=1 mem=1G", expect!["2:6: host `h2` is already defined on line 1"]);
    check("vm v@h1 mem=1G\nvm v@h2 mem=1G", expect!["3:4: VM `v` is already defined on line 2"]);
    check(
        "vm a[1-3]@h[1-2] mem=1G",
        expect!["2:10: 3 VMs and 2 hosts behind `@`; give one host for all of them, or as many hosts as VMs"],
    );
    check(
        "vm a[1-3]@h1 mem=1G home=h[1-2]",
        expect!["2:21: 3 VMs and 2 hosts in `home=`; give one host for all of them, or as many hosts as VMs"],
    );
    check(
        "vm a[1-3] mem=1G",
        expect![
            "2:1: this line does not say where its VMs are; write `vm NAMES@HOSTS`; a stopped one is placed where it would start"
        ],
    );
    check("vm a[3-1]@h1 mem=1G", expect!["2:4: `a[3-1]`: the range `3-1` runs backwards"]);
    check(
        "vm a[1-x]@h1 mem=1G",
        expect!["2:4: `a[1-x]`: a range is written like `[01-62]` or `[1,3,5-9]`, not `1-x`"],
    );
    check(
        "vm a[1-@h1 mem=1G",
        expect!["2:5: this `[` is not closed; ranges have no blanks: `lab[01-10,12]`"],
    );
    check(
        "vm a[001-02]@h1 mem=1G",
        expect!["2:4: `a[001-02]`: write both ends of `001-02` with the same number of digits"],
    );
    check("vm -rf@h1 mem=1G", expect!["2:4: a plain name begins with a letter or digit, unlike `-rf`"]);
    check(
        "vm a;b@h1 mem=1G",
        expect![
            "2:4: `a;b` is not a plain name because of `;`; plain names have letters, digits, `.`, `_` and `-`; quote any other"
        ],
    );
    check(
        "host \"a b\" cpus=1 mem=1G",
        expect![
            "2:6: `a b` cannot name a host; host names have letters, digits, `.`, `_` and `-`, and begin with a letter or digit"
        ],
    );
    check(
        "vm a[1-2]@h1 mem=1G uuid=67e55044-10b1-426f-9247-bb680e5fe0c8",
        expect!["2:21: 2 VMs cannot share one UUID"],
    );
    check(
        "host l[1-2] address=10.0.0.1",
        expect!["2:13: 2 hosts and 1 addresses; give one address for each host: `10.0.0.[1-62]`"],
    );
    check(
        "host l1 address=10.0.0.1\nhost l2 address=10.0.0.1",
        expect!["3:9: this is the address of `l1` already"],
    );
    check(
        "host l[1-2] cpus=1 mem=1G mac=52:54:00:00:00:01",
        expect!["2:27: 2 hosts cannot share the MAC address 52:54:00:00:00:01"],
    );
}

#[test]
fn rules() {
    check(
        "vm v@h1 mem=1G\nasleep h1",
        expect![
            "3:1: host `h1` is asleep, yet VM `v` runs there; an asleep or off host runs no VM: place it elsewhere, or flag it `stopped`"
        ],
    );
    check("asleep h1\noff h1", expect!["3:1: host `h1` is asleep by line 2"]);
    check("asleep", expect!["2:1: this line names no host"]);
    check("keep 4 of h[1-3]", expect!["2:6: cannot keep 4 of 3 hosts on"]);
    check("keep h1", expect!["2:1: this is written `keep N of HOSTS`; like `keep 2 of lab[01-10]`"]);
    check(
        "group web h1",
        expect!["2:1: a group is written `group NAME = VMS`; like `group web = pc[01-04] spread`"],
    );
    check("group web =", expect!["2:7: group `web` names no VM"]);
    check(
        "vm v[1-2]@h1 mem=1G\ngroup g = v1 v2 spread gather",
        expect!["3:7: no group can both spread and gather"],
    );
    check(
        "circuit room1",
        expect!["2:1: a circuit needs `wakes=`; how many of its hosts boot at once: `wakes=4`"],
    );
    check("policy seed\npolicy balanced", expect!["3:1: a second `policy` line; the first is line 2"]);
}

#[test]
fn calendar() {
    check(
        "window open Mon-Fri 09:00-24:00",
        expect![
            "2:21: `09:00-24:00` is no span of hours; there is no hour 24: write `00:00`, which as an end is the midnight that ends the day"
        ],
    );
    check(
        "window open Monday 09:00-18:00",
        expect![
            "2:13: `Monday` is neither a day nor hours; days are Mon Tue Wed Thu Fri Sat Sun, a range like Mon-Fri, or dates like 2026-11-29; hours are like 09:00-19:45"
        ],
    );
    check("window open Mon", expect!["2:13: days without hours; like `Mon-Fri 09:00-19:45`"]);
    check("window open", expect!["2:1: this window has no span; like `window open Mon-Fri 09:00-19:45`"]);
    check(
        "window open Mon 09:00",
        expect!["2:17: `09:00` is no span of hours; write the start and the end, like `09:00-19:45`"],
    );
    check(
        "window open Mon 09:00-18:60",
        expect![
            "2:17: `09:00-18:60` is no span of hours; hours are 00:00 to 23:59, like `09:00-19:45`; a span may cross midnight, like `22:00-06:00`"
        ],
    );
    check(
        "window open Mon 09:00-18:00 goal=relieve",
        expect!["2:34: `goal=` takes one of compact, spread, hold, not `relieve`"],
    );
    check(
        "window open Mon 09:00-18:00 goal=compact up-by=-30m",
        expect![
            "2:29: a window with `goal=compact` wakes no host; `up-by=` and `wake-all` belong to `goal=spread`"
        ],
    );
    check(
        "window open Mon 09:00-18:00\nwindow open Tue 09:00-18:00",
        expect![
            "3:8: window `open` is already defined; write all its spans on one line, with commas between them"
        ],
    );
    check(
        "holiday 2026-02-30",
        expect![
            "2:9: `2026-02-30` is no date; write 2026-12-25, or 2026-12-31..2027-01-06 with both ends included"
        ],
    );
    check(
        "window open Sat 2026-11-29 09:00-18:00",
        expect![[r"
            2:17: days of the week and dates before the same hours; give each its own hours: `Sat 09:00-13:00, 2026-11-29 09:00-13:00`"]],
    );
    check(
        "window open 2026-02-30 09:00-18:00",
        expect![
            "2:13: `2026-02-30` is no date; write 2026-12-25, or 2026-12-31..2027-01-06 with both ends included"
        ],
    );
    check("holiday 2027-01-06..2026-12-31", expect!["2:9: `2027-01-06..2026-12-31` runs backwards"]);
    check(
        "holiday 2026-12-25 as=holiday",
        expect!["2:23: `as=` takes a day of the week: Mon Tue Wed Thu Fri Sat Sun, not `holiday`"],
    );
}

#[test]
fn a_person_sees_the_line_and_the_place() {
    let text = "cluster x\nhost lab[01-62] cpus=2 mme=2048M boot=75s\n";
    let error = parse(text).expect_err("misspelt");
    assert_eq!((error.line, error.column), (2, 24));
    expect![[r#"
        lab.cluster:2:24: unknown key `mme` on this line
          |
        2 | host lab[01-62] cpus=2 mme=2048M boot=75s
          |                        ^^^
          = did you mean `mem`?
    "#]]
    .assert_eq(&error.render("lab.cluster", text));
}

#[test]
fn what_a_terminal_gets_is_harmless() {
    let text = format!("host {}\u{1b}[2J\u{202e}x cpus=1 mem=1G", "é".repeat(100));
    let error = parse(&text).expect_err("no plain name");
    expect![[r#"
        a�b:1:107: this `[` is not closed
          |
        1 | ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé�[2J�x cpus=1 mem=1G
          |                                                             ^
          = ranges have no blanks: `lab[01-10,12]`
    "#]]
    .assert_eq(&error.render("a\nb", &text));
}
