use super::Terminal;
use expect_test::expect;
use std::fs;

/// Three hosts of 2 cores; four VMs that fit on two of them by memory, and are busy in turns.
const FLEET: &str = "\
cluster small
host h[1-3] cpus=2 mem=4G watts=100/200/4 boot=60s shutdown=10s link=1000M
policy balanced failover=0 spare.min=0 spare.target=0
";
const TRACE: &str = "\
vm,cores,mhz,mem_mb,t0,t300,t600,t900
a,1,1000,2000,900,900,0,0
b,1,1000,2000,100,100,900,900
c,1,1000,1000,0,0,0,500
d,1,1000,1000,100,100,100,100
";

fn with_trace() -> Terminal {
    let terminal = Terminal::new();
    fs::write(terminal.folder.path().join("fleet"), FLEET).unwrap();
    fs::write(terminal.folder.path().join("day1.csv"), TRACE).unwrap();
    fs::write(terminal.folder.path().join("day2.csv"), TRACE.replace(",900", ",300")).unwrap();
    terminal
}

#[test]
fn all_policies_stand_side_by_side() {
    with_trace().check("replay --fleet fleet day1.csv", expect![[r#"
        $ dormouse replay --fleet fleet day1.csv
        fleet small (3 hosts), rules honest

        day1: 4 VMs, floor 0.088 kWh, bound 0.088 kWh
          policy            kWh  / floor  / bound  hosts on  least  moves  wakes  unserved %  SLATAH %   PDM %  waiting min
          none            0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          emptiest-first  0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          thr-mmt-0.8     0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          iqr-mmt-1.5     0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          mad-mmt-2.5     0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          lr-mmt-1.2      0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          seed            0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0
          balanced        0.088   1.0000   1.0000       2.0      2      0      0      0.0000     0.000  0.0000          0.0

        knobs (all others as usual)
          seed: spare.min=0 spare.target=0 failover=0
          balanced: spare.min=0 spare.target=0 failover=0
        stderr: hsqueeze is left out: it is not installed (Debian package ganeti-htools)
        exit status 0
    "#]]);
}

#[test]
fn days_follow_one_another_and_are_summed_up() {
    with_trace().check(
        "replay --fleet fleet --rules churn --policy none,balanced --set failover=1 day1.csv day2.csv",
        expect![[r#"
            $ dormouse replay --fleet fleet --rules churn --policy none,balanced --set failover=1 day1.csv day2.csv
            fleet small (3 hosts), rules churn

            day1: 4 VMs, floor 0.080 kWh, bound 0.080 kWh
              policy      kWh  / floor  / bound  hosts on  least  moves  wakes  unserved %  SLATAH %   PDM %  waiting min
              none      0.088   1.1005   1.1005       2.0      2      0      0      0.0000     0.000  0.0000          0.0
              balanced  0.114   1.4264   1.4264       2.8      2      0      1      0.0000     0.000  0.0000          0.0

            day2: 4 VMs, floor 0.070 kWh, bound 0.070 kWh
              policy      kWh  / floor  / bound  hosts on  least  moves  wakes  unserved %  SLATAH %   PDM %  waiting min
              none      0.078   1.1150   1.1150       2.0      2      0      0      0.0000     0.000  0.0000          0.0
              balanced  0.104   1.4877   1.4877       2.8      2      0      1      0.0000     0.000  0.0000          0.0

            all 2 days, figures of a day on average
              policy      kWh  / floor  / bound  hosts on  least  moves  wakes  unserved %  SLATAH %   PDM %  waiting min
              none      0.083   1.1067   1.1067       2.0      2    0.0    0.0      0.0000     0.000  0.0000          0.0
              balanced  0.109   1.4533   1.4533       2.8      2    0.0    1.0      0.0000     0.000  0.0000          0.0

            knobs (all others as usual)
              balanced: spare.min=0 spare.target=0 failover=1
            exit status 0
        "#]],
    );
}

#[test]
fn programs_get_an_array_with_an_object_a_day() {
    let terminal = with_trace();
    let days = terminal.json("replay --fleet fleet --policy thr-mmt-0.7 --format json day1.csv day2.csv");
    let days = days.as_array().unwrap();
    assert_eq!(days.len(), 2);
    assert_eq!(days[0]["policy"], "thr-mmt-0.7");
    assert_eq!((&days[0]["trace"], &days[1]["trace"]), (&"day1".into(), &"day2".into()));
    for field in [
        "seed",
        "days",
        "energy_kwh",
        "energy_always_on_kwh",
        "hosts_on_mean",
        "hosts_on_min",
        "migrations",
        "wakes",
        "sleeps",
        "slatah",
        "pdm",
        "slav",
        "thrash",
        "unserved_mips_s",
        "unserved_share",
        "waiting_vm_min",
        "knobs",
        "violations",
        "wall_ms",
        "floor_kwh",
        "bound_kwh",
    ] {
        assert!(!days[0][field].is_null(), "{field} is missing in {}", days[0]);
    }
}

#[test]
fn the_fleet_of_the_literature_needs_no_file() {
    let terminal = with_trace();
    let days = terminal.json("replay --policy none --format json day1.csv");
    assert_eq!((&days[0]["fleet"], &days[0]["hosts"]), (&"planetlab".into(), &800.into()));
}

#[test]
fn what_cannot_be_replayed_is_said_with_its_place() {
    let terminal = with_trace();
    let folder = terminal.folder.path();
    fs::write(folder.join("short.csv"), "vm,t0,t300\na,1,2\nb,1\n").unwrap();
    fs::write(folder.join("much.csv"), "vm,t0\na,101\n").unwrap();
    fs::write(folder.join("minus.csv"), "vm,t0\na,-1\n").unwrap();
    fs::write(folder.join("bad.csv.gz"), [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    fs::write(folder.join("large.csv"), "vm,cores,mhz,mem_mb,t0\na,1,1000,5000,0\n").unwrap();
    let said: String = [
        "replay gone.csv",
        "replay short.csv",
        "replay much.csv",
        "replay minus.csv",
        "replay bad.csv.gz",
        "replay --fleet fleet large.csv",
        "replay --fleet gone day1.csv",
        "replay --policy balancd day1.csv",
        "replay --policy thr-mmt-x day1.csv",
        "replay --policy balanced --set failovr=1 day1.csv",
        "replay --rules fair day1.csv",
    ]
    .map(|line| terminal.type_in(line))
    .concat();
    expect![[r#"
        $ dormouse replay gone.csv
        stderr: Error: cannot read the trace `gone.csv`
        stderr: Caused by: No such file or directory (os error 2)
        exit status 1
        $ dormouse replay short.csv
        stderr: Error: the trace `short.csv` cannot be used
        stderr: Caused by: short.csv:3:4: VM `b` has 1 sample, the header promises 2
        stderr: Hint: was the file cut off? Where a sample is missing, repeat the one before it
        exit status 2
        $ dormouse replay much.csv
        stderr: Error: the trace `much.csv` cannot be used
        stderr: Caused by: much.csv:2:3: `101` is no sample (VM `a`, column t0)
        stderr: Hint: a whole number from 0 to 100, in percent
        exit status 2
        $ dormouse replay minus.csv
        stderr: Error: the trace `minus.csv` cannot be used
        stderr: Caused by: minus.csv:2:3: `-1` is no sample (VM `a`, column t0)
        stderr: Hint: a whole number from 0 to 100, in percent
        exit status 2
        $ dormouse replay bad.csv.gz
        stderr: Error: the trace `bad.csv.gz` cannot be used
        stderr: Caused by: bad.csv.gz:1:1: the gzip data end in the middle
        stderr: Hint: the file is not whole; fetch it again
        exit status 2
        $ dormouse replay --fleet fleet large.csv
        stderr: hsqueeze is left out: it is not installed (Debian package ganeti-htools)
        stderr: Error: the trace `large` cannot be replayed
        stderr: Caused by: VM `a` wants 5000 MiB, and the largest host of fleet small has 4096 MiB for one VM
        stderr: Hint: --fleet FILE takes the hosts of a cluster text
        exit status 2
        $ dormouse replay --fleet gone day1.csv
        stderr: Error: cannot read `gone`
        stderr: Caused by: No such file or directory (os error 2)
        stderr: Hint: --fleet takes a cluster text or `planetlab`
        exit status 1
        $ dormouse replay --policy balancd day1.csv
        stderr: Error: the policy cannot be had
        stderr: Caused by: unknown policy `balancd`; did you mean `balanced`?
        stderr: Hint: the policies are none, emptiest-first, thr-mmt-0.8, iqr-mmt-1.5, mad-mmt-2.5, lr-mmt-1.2, seed, balanced
        exit status 2
        $ dormouse replay --policy thr-mmt-x day1.csv
        stderr: Error: the policy cannot be had
        stderr: Caused by: `thr-mmt-x`: its parameter is a number above 0 with at most three decimals, like 0.8
        stderr: Hint: the policies are none, emptiest-first, thr-mmt-0.8, iqr-mmt-1.5, mad-mmt-2.5, lr-mmt-1.2, seed, balanced
        exit status 2
        $ dormouse replay --policy balanced --set failovr=1 day1.csv
        stderr: Error: the policy cannot be had
        stderr: Caused by: cannot set failovr=1
        stderr: Caused by: unknown knob `failovr`; did you mean `failover`?
        stderr: Hint: `dormouse config explain` lists every knob
        exit status 2
        $ dormouse replay --rules fair day1.csv
        stderr: error: invalid value 'fair' for '--rules <RULES>': use honest or churn
        stderr:
        stderr: For more information, try '--help'.
        exit status 2
    "#]].assert_eq(&said);
}

#[test]
fn a_page_is_written_beside_the_table() {
    let terminal = with_trace();
    let shown = terminal.type_in("replay --fleet fleet --policy none,balanced --html page.html day1.csv");
    assert!(shown.contains("all others as usual"), "{shown}");
    let page = fs::read_to_string(terminal.folder.path().join("page.html")).unwrap();
    for part in ["<h2>All policies</h2>", "<h2>day1</h2>", ">balanced<", "failover=0", "</html>"] {
        assert!(page.contains(part), "{part}");
    }
    terminal.check(
        "replay --fleet fleet --policy none --html no/page.html day1.csv",
        expect![[r#"
        $ dormouse replay --fleet fleet --policy none --html no/page.html day1.csv
        stderr: Error: cannot write the page `no/page.html`
        stderr: Caused by: No such file or directory (os error 2)
        exit status 1
    "#]],
    );
}

#[test]
fn hsqueeze_is_left_out_with_a_word_where_it_is_not_installed() {
    with_trace().check(
        "replay --fleet fleet --policy hsqueeze day1.csv",
        expect![[r#"
        $ dormouse replay --fleet fleet --policy hsqueeze day1.csv
        stderr: Error: the policy cannot be had
        stderr: Caused by: hsqueeze is left out: it is not installed (Debian package ganeti-htools)
        exit status 2
    "#]],
    );
    with_trace().check(
        "replay --policy hsqueeze day1.csv",
        expect![[r#"
        $ dormouse replay --policy hsqueeze day1.csv
        stderr: Error: the policy cannot be had
        stderr: Caused by: hsqueeze is left out: 800 hosts would take it days; it is asked up to 62
        exit status 2
    "#]],
    );
}
