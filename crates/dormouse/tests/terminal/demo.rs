use super::Terminal;
use expect_test::expect;

#[test]
fn without_a_terminal_the_demo_plays_one_night_and_ends_in_a_picture() {
    Terminal::new().check_head(
        "demo",
        19,
        expect![[r#"
            $ dormouse demo
              lab01 ████ 8  lab02 ████ 8  lab03 ████ 8  lab04 ████ 8  lab05 ███· 6
              lab06 ███· 6  lab07 ███· 6  lab08 ███· 6  lab09 ███· 6  lab10  zz
              lab11  zz     lab12  zz     lab13  zz     lab14  zz     lab15  zz
              lab16  zz     lab17  zz     lab18  zz     lab19  zz     lab20  zz
              lab21  zz     lab22  zz     lab23  zz     lab24  zz     lab25  zz
              lab26  zz     lab27  zz     lab28  zz     lab29  zz     lab30  zz
              lab31  zz     lab32  zz     lab33  zz     lab34  zz     lab35  zz
              lab36  zz     lab37  zz     lab38  zz     lab39  zz     lab40  zz
              lab41  zz     lab42  zz     lab43  zz     lab44  zz     lab45  zz
              lab46  zz     lab47  zz     lab48  zz     lab49  zz     lab50  zz
              lab51  zz     lab52  zz     lab53  zz     lab54  zz     lab55  zz
              lab56  zz     lab57  zz     lab58  zz     lab59  zz     lab60  zz
              lab61  zz     lab62  zz
              9 on, 53 asleep, 62 VMs

            ercolani at its quietest, Mon 12 Jan 19:46:00:
              9 of 62 hosts on, 595 W instead of 2821 W
            All of it, until Tue 13 Jan 09:10:00:
              12.53 kWh instead of 40.67 kWh, 69 % less; 106 moves, 53 sleeps, 53 wakes
        "#]],
    );
}

#[test]
fn the_figures_are_the_same_on_each_run() {
    let terminal = Terminal::new();
    let night = terminal.json("demo --night --format json");
    assert_eq!(night, terminal.json("demo --format json"));
    assert_eq!(night["hosts_on_min"], 9);
    assert_eq!(night["violations"], serde_json::json!([]));
}

#[test]
fn without_failover_eight_hosts_are_enough() {
    let night = Terminal::new().json("demo --night --set failover=0 --format json");
    assert_eq!(night["hosts_on_min"], 8);
    assert_eq!(night["knobs"]["failover"], "0");
}

#[test]
fn the_last_picture_fits_a_plain_terminal() {
    let shown = Terminal::new().type_in("demo --night");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}
