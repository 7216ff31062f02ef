use super::asker::{Said, Wish};
use super::keys::{Next, Over, View};
use super::picture::{Picture, Seen};
use crate::daemon::wire::{HostView, NextView, OrderWord, RunningView, StatusView, TallyView, VmView};
use dormouse_driver::EventRecord;
use expect_test::expect;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};

fn host(name: &str, state: &str, load: Option<u64>, vms: usize) -> HostView {
    HostView {
        name: name.to_owned(),
        state: state.to_owned(),
        in_state_ms: 5_400_000,
        address: Some(format!("root@10.0.0.{}", name.len())),
        vms: (0..vms).map(|n| format!("pc{n:02}")).collect(),
        mem_mib: 2048,
        mem_used_mib: vms as u64 * 256,
        cpus: 2,
        load15_permille: load,
        marks: vec![],
        obstacles: vec![],
        cycles_day: 0,
        seen_ms: Some(1000),
        error: None,
        moves: None,
    }
}

fn vm(name: &str, state: &str, at: &str, cpu_milli: u64) -> VmView {
    VmView {
        uuid: format!("00000000-0000-0000-0000-{:012}", name.len()),
        name: name.to_owned(),
        state: state.to_owned(),
        host: Some(at.to_owned()),
        hosts: vec![],
        home: None,
        mem_mib: 256,
        vcpus: 1,
        cpu_milli,
        moves_hour: 0,
        moves_day: 1,
        immovable: None,
        doubles: vec![],
        barred: vec![],
    }
}

fn lab() -> Picture {
    let mut held = host("lab03", "on", Some(120), 0);
    held.obstacles = vec!["mila logged in from 10.0.7.3".to_owned()];
    let mut dead = host("lab11", "unknown", None, 2);
    dead.error = Some("no answer within 10s".to_owned());
    let hosts = vec![
        host("lab10", "waking", None, 0),
        host("lab2", "on", Some(1430), 7),
        host("lab1", "draining", Some(310), 1),
        held,
        host("lab4", "asleep", None, 0),
        dead,
    ];
    let status = StatusView {
        version: "0.1.0".to_owned(),
        cluster: "ercolani".to_owned(),
        mode: "auto".to_owned(),
        epoch: Some(3),
        store_trouble: None,
        standby: None,
        paused: false,
        frozen: false,
        policy: "balanced".to_owned(),
        goal: "compact".to_owned(),
        horizon_ms: Some(3_600_000),
        time: "Mon 2026-11-23 23:10:00 CET".to_owned(),
        hosts: vec![],
        hosts_on: 5,
        vms: vec![],
        watts: 212,
        watts_all_on: 401,
        next: Some(NextView {
            event: "opens".to_owned(),
            window: "open".to_owned(),
            at: "Tue 08:00".to_owned(),
            in_ms: 31_800_000,
            up_by: Some("07:30".to_owned()),
        }),
        running: vec![RunningView {
            intent: 7,
            kind: "migrate".to_owned(),
            vm: Some("pc09".to_owned()),
            host: "lab1".to_owned(),
            to: Some("lab2".to_owned()),
            for_ms: 2300,
        }],
        trouble: vec![],
        doubles: vec![],
        since_start: TallyView { moves: 12, moves_failed: 1, wakes: 2, sleeps: 3, plans: 4 },
        moves: vec![],
    };
    let trail = |seq: u64, level: &str, name: &str| EventRecord {
        seq,
        at_ms: 0,
        level: level.to_owned(),
        name: name.to_owned(),
        fields: vec![("host".to_owned(), "lab11\u{1b}[2J".to_owned())],
    };
    let mut picture = Picture::default();
    picture.seen(Seen {
        status,
        hosts,
        vms: vec![
            vm("pc1", "running", "lab2", 1000),
            vm("$(reboot)\u{1b}[2J", "running", "lab2", 20),
            vm("pc09", "migrating", "lab1", 150),
        ],
        trail: vec![trail(1, "info", "plan.made"), trail(2, "alarm", "host.unreachable")],
    });
    picture
}

fn shown(width: u16, height: u16, picture: &Picture, view: &mut View) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|canvas| super::screen::draw(canvas, picture, view)).expect("draws");
    let buffer = terminal.backend().buffer();
    let lines: Vec<String> = buffer
        .content
        .chunks(usize::from(width).max(1))
        .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn press(view: &mut View, picture: &Picture, keys: &str) -> Next {
    let mut last = Next::Stay;
    for key in keys.split_whitespace() {
        let code = match key {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "down" => KeyCode::Down,
            "end" => KeyCode::End,
            letter => KeyCode::Char(letter.chars().next().expect("a letter")),
        };
        last = view.press(code, KeyModifiers::NONE, picture);
    }
    last
}

#[test]
fn the_hosts_on_a_plain_terminal() {
    expect![[r#"
        ercolani  auto, leads, epoch 3  Mon 2026-11-23 23:10:00 CET
        212 W █████▎···· of 401 W with all on  5 of 6 hosts on  3 VMs
        goal compact; `open` opens Tue 08:00 (in 8h50m), up by 07:30   12 moves, 3 sleep

        host   state     for     load       memory     VMs notes
        lab1   draining  1h30m   █▌···  31% ▋····  12% 1
        lab2   on        1h30m   █████ 143% ████▍  87% 7
        lab03  on        1h30m   ▌····  12% ·····   0%     mila logged in from 10.0.7.3
        lab4   asleep    1h30m
        lab10  waking    1h30m              ·····   0%
        lab11  unknown   1h30m              █▎···  25% 2   no answer within 10s



        migrate pc09  lab1 -> lab2  for 2.3s
        q quit  tab VMs, events  / filter  s sort  w why  d drain  ? help  by name
    "#]]
    .assert_eq(&shown(80, 16, &lab(), &mut View::default()));
}

#[test]
fn the_vms_by_load_and_a_name_that_would_steer_the_terminal() {
    let (picture, mut view) = (lab(), View::default());
    press(&mut view, &picture, "tab s s");
    expect![[r#"
        ercolani  auto, leads, epoch 3  Mon 2026-11-23 23:10:00 CET
        212 W █████▎···· of 401 W with all on  5 of 6 hosts on  3 VMs
        goal compact; `open` opens Tue 08:00 (in 8h50m), up by 07:30   12 moves, 3 sleep

        VM                 state     host         CPU        memory     moves notes
        pc1                running   lab2         █████ 1.00 256 MiB    1
        pc09               migrating lab1         ▊···· 0.15 256 MiB    1
        $(reboot)\u{1b}[2J running   lab2         ····· 0.02 256 MiB    1


        migrate pc09  lab1 -> lab2  for 2.3s
        q quit  tab VMs, events  / filter  s sort  w why  d drain  ? help  by load
    "#]]
    .assert_eq(&shown(80, 12, &picture, &mut view));
    press(&mut view, &picture, "tab");
    let screen = shown(80, 10, &picture, &mut view);
    let lines: Vec<&str> = screen.lines().filter(|line| line.contains("host=lab11")).collect();
    assert!(lines[0].ends_with(r"alarm host.unreachable  host=lab11\u{1b}[2J"), "newest first: {screen}");
    assert!(lines[1].ends_with(r"info  plan.made  host=lab11\u{1b}[2J"), "{screen}");
}

#[test]
fn a_drain_is_asked_for_and_named_before_it_is_wished() {
    let (picture, mut view) = (lab(), View::default());
    assert_eq!(press(&mut view, &picture, "down d"), Next::Stay);
    let screen = shown(80, 16, &picture, &mut view);
    assert!(screen.contains("Drain lab2: move its 7 VMs away, and leave it on? [y/N]"), "{screen}");
    // Any other key is no.
    assert_eq!(press(&mut view, &picture, "enter"), Next::Stay);
    assert_eq!(view.over, Over::Nothing);
    let wished = Next::Wish(Wish::Order(OrderWord::Drain { host: "lab2".to_owned() }));
    assert_eq!(press(&mut view, &picture, "d y"), wished);
    view.hear(Said::Refused("lab2 has a role".to_owned()));
    assert!(shown(80, 16, &picture, &mut view).contains("lab2 has a role"));
}

#[test]
fn what_is_typed_filters_by_text_and_address_and_the_cursor_stays_on_its_host() {
    let (picture, mut view) = (lab(), View::default());
    press(&mut view, &picture, "end");
    assert_eq!(view.at.as_deref(), Some("lab11"));
    press(&mut view, &picture, "s");
    assert_eq!(view.rows(&picture)[view.cursor(&view.rows(&picture))].key, "lab11");
    press(&mut view, &picture, "/ m i l a enter");
    let keys = |view: &View| view.rows(&picture).into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(&view), ["lab03"]);
    press(&mut view, &picture, "esc / 1 0 . 0 . 0 . 4 enter");
    let mut found = keys(&view);
    found.sort();
    assert_eq!(found, ["lab1", "lab2", "lab4"]);
    press(&mut view, &picture, "esc");
    assert_eq!(keys(&view).len(), 6);
}

#[test]
fn why_is_asked_of_the_daemon_and_shown_over_the_table() {
    let (picture, mut view) = (lab(), View::default());
    assert_eq!(press(&mut view, &picture, "w"), Next::Wish(Wish::Why("lab1".to_owned())));
    view.hear(Said::Why("lab1 is draining\n  v7 is still there".to_owned()));
    let screen = shown(80, 16, &picture, &mut view);
    assert!(screen.contains("lab1 is draining") && screen.contains("any key closes it"), "{screen}");
    press(&mut view, &picture, "x");
    assert_eq!(view.over, Over::Nothing);
}

#[test]
fn a_daemon_that_is_gone_is_told_and_the_last_picture_stays() {
    let (mut picture, mut view) = (lab(), View::default());
    picture.silent("no daemon answers at /run/dormouse/socket".to_owned());
    let screen = shown(80, 16, &picture, &mut view);
    assert!(screen.contains("of before; no daemon answers") && screen.contains("lab11"), "{screen}");
}

#[test]
fn no_terminal_is_too_small_and_a_thousand_hosts_show_the_page_of_the_cursor() {
    let mut picture = lab();
    let many = (1..=1000).map(|n| host(&format!("h{n}"), "on", Some(500), 3)).collect();
    picture.seen.as_mut().expect("seen").hosts = many;
    let mut view = View::default();
    for (width, height) in [(1, 1), (10, 3), (300, 2), (3, 60), (80, 24)] {
        shown(width, height, &picture, &mut view);
        shown(width, height, &Picture::default(), &mut View::default());
    }
    press(&mut view, &picture, "end");
    let screen = shown(80, 24, &picture, &mut view);
    assert!(screen.contains("h1000") && screen.contains("h999") && !screen.contains("h1 "), "{screen}");
}
