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
    lab.check(
        "config check --cluster cluster",
        expect![[r#"
        $ dormouse config check --cluster cluster
        ok: cluster ercolani, 62 hosts, 62 VMs, 1 window, policy balanced
        exit status 0
    "#]],
    );
    lab.check("config explain --cluster cluster --set payback=2 --from 2026-12-01T00:00", expect![[r#"
        $ dormouse config explain --cluster cluster --set payback=2 --from 2026-12-01T00:00
        Policy balanced, from cluster
          knob             value  standard  meaning
          load.low         0.30             seed: below this load (loadavg15 / CPUs) a host may give its VMs away
          load.high        0.80             above this load a host gives its lightest VM away
          cpu.target       0.70             a host is filled with CPU demand up to this share
          spare.min        0      1         wake a host when fewer places for the largest VM are free
          spare.target     0      2         put a host to sleep only if so many places stay free
          failover         0      1         how many hosts may die at once and their VMs still fit on the rest, by memory
          min_on           1                so many hosts stay on whatever happens
          payback          2.00   3.00      watts saved x time asleep over energy of moves and boot, at least
          disrupt.max      2.00             share of VMs disturbed over share of watts saved, at most
          window.sleep     40m              how far back demand is looked at before a host may sleep
          window.wake      5m               how far back demand is looked at before a host is woken
          window.churn     1h               how far back the most memory that VMs took together is looked at: hosts stay on for so much of it, since VMs that went may come back; 0: not at all
          forecast         none             what is expected of the hours to come: nothing, or what the same hour of the week before saw; it only adds demand, so it may cost watts and prevents overloads
          min_up           30m              a host stays on at least so long
          min_down         10m              a host stays asleep at least so long, unless it is needed
          moves.vm_hour    2                moves of one VM in an hour, at most
          moves.vm_day     6                moves of one VM in a day, at most
          moves.host_out   2                moves out of one host at once, at most
          moves.host_in    2                moves into one host at once, at most
          moves.all        32               moves in the cluster at once, at most; 0 is no limit
          wakes.burst      8                wakes in 10 s, at most
          sleeps.burst     64               hosts put to sleep in 10 min, at most
          cycles.host_day  4                times a host is put to sleep in a day, at most
          unproven.sleep   no               put hosts to sleep that were never seen to wake
          slot.mib         256              seed: memory of one slot, in MiB
          time.scale       1                lab and demos: the policy's durations and rates are divided by this

        Windows of the next 14 days, zone Europe/Rome
          day             hours        window  goal    hosts up by
          Tue 2026-12-01  09:00-19:45  open    spread  08:30
          Wed 2026-12-02  09:00-19:45  open    spread  08:30
          Thu 2026-12-03  09:00-19:45  open    spread  08:30
          Fri 2026-12-04  09:00-19:45  open    spread  08:30
          Sat 2026-12-05  09:00-13:45  open    spread  08:30
          Mon 2026-12-07  09:00-19:45  open    spread  08:30
          Tue 2026-12-08  09:00-19:45  open    spread  08:30
          Wed 2026-12-09  09:00-19:45  open    spread  08:30
          Thu 2026-12-10  09:00-19:45  open    spread  08:30
          Fri 2026-12-11  09:00-19:45  open    spread  08:30
          Sat 2026-12-12  09:00-13:45  open    spread  08:30
          Mon 2026-12-14  09:00-19:45  open    spread  08:30
        exit status 0
    "#]]);
}
