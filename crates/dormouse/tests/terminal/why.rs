use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn what_keeps_a_host_awake_and_what_would_become_of_a_vm() {
    let lab = Terminal::with(LAB);
    lab.check(
        "why lab01 --cluster cluster",
        expect![[r#"
            $ dormouse why lab01 --cluster cluster
            host lab01 (on): stays awake: memory: its 8 VMs ask 2 GiB, 512 MiB free on the other 7 hosts together
              VMs       1 now (pc01)
              memory    256 MiB of 2 GiB taken
              load      0.01
              power     45 W idle, 95 W busy, 3 W asleep
              planned   migrate pc09 lab09 -> lab01 (empties lab09)
              buys      42 W less, with lab09 asleep
              planned   migrate pc17 lab17 -> lab01 (empties lab17)
              buys      42 W less, with lab17 asleep
              planned   migrate pc25 lab25 -> lab01 (empties lab25)
              buys      42 W less, with lab25 asleep
              planned   migrate pc33 lab33 -> lab01 (empties lab33)
              buys      42 W less, with lab33 asleep
              planned   migrate pc41 lab41 -> lab01 (empties lab41)
              buys      42 W less, with lab41 asleep
              planned   migrate pc45 lab45 -> lab01 (empties lab45)
              buys      42 W less, with lab45 asleep
              planned   migrate pc57 lab57 -> lab01 (empties lab57)
              buys      42 W less, with lab57 asleep
            exit status 0
        "#]],
    );
    lab.check(
        "why lab62 --cluster cluster",
        expect![[r#"
            $ dormouse why lab62 --cluster cluster
            host lab62 (on): nothing keeps it awake: the plan puts it to sleep
              VMs       1 now (pc62)
              memory    256 MiB of 2 GiB taken
              load      0.01
              power     45 W idle, 95 W busy, 3 W asleep
              planned   migrate pc62 lab62 -> lab06 (empties lab62)
              buys      42 W less, with lab62 asleep
              planned   sleep lab62 (empty, and the reserves hold without it)
              buys      42 W less, with lab62 asleep
            exit status 0
        "#]],
    );
    lab.check(
        "why pc62 --cluster cluster",
        expect![[r#"
            $ dormouse why pc62 --cluster cluster
            vm pc62 (running): the plan moves it
              at        lab62
              memory    256 MiB
              CPU       0.020 cores of 1.000 cores
              home      lab62
              planned   migrate pc62 lab62 -> lab06 (empties lab62)
              buys      42 W less, with lab62 asleep
            exit status 0
        "#]],
    );
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
    terminal.check(
        "why db --cluster cluster",
        expect![[r#"
            $ dormouse why db --cluster cluster
            vm db (running): has to stay on h2: its disk or a device is on this host only
              at        h2
              memory    256 MiB
              CPU       0.000 cores of 1.000 cores
              marks     local-disk
              group     pair (spread)
            exit status 0
        "#]],
    );
    terminal.check(
        "why h2 --cluster cluster",
        expect![[r#"
        $ dormouse why h2 --cluster cluster
        host h2 (on): stays awake: db has to stay: its disk or a device is on this host only
          VMs       1 (db)
          memory    256 MiB of 2 GiB taken
          load      0.00
          power     45 W idle, 95 W busy, 3 W asleep
        exit status 0
    "#]],
    );
    terminal.check(
        "why h3 --cluster cluster --format json",
        expect![[r#"
        $ dormouse why h3 --cluster cluster --format json
        [
          {
            "kind": "host",
            "name": "h3",
            "state": "on",
            "because": "stays awake: held by ops: exam",
            "facts": [
              {
                "what": "VMs",
                "value": "1 (web)"
              },
              {
                "what": "memory",
                "value": "256 MiB of 2 GiB taken"
              },
              {
                "what": "load",
                "value": "0.00"
              },
              {
                "what": "power",
                "value": "45 W idle, 95 W busy, 3 W asleep"
              },
              {
                "what": "marks",
                "value": "held by ops"
              }
            ],
            "steps": [],
            "refusals": []
          }
        ]
        exit status 0
    "#]],
    );
}
