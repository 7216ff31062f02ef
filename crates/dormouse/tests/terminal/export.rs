use super::Terminal;
use expect_test::expect;

const SMALL: &str = "\
cluster lab zone=Europe/Rome
host h1 cpus=2 mem=2G watts=45/95/3 role=manager mac=52:54:00:00:00:01
host h2 cpus=2 mem=2G watts=45/95/3
vm v1@h1 vcpus=1 mem=256M cpu=0.1 home=h1
vm \"a<b\"@h1 mem=256M
vm v3@h1 mem=256M stopped
asleep h2
";

#[test]
fn the_cluster_as_xml() {
    Terminal::with(SMALL).check(
        "export clusterinfo --cluster cluster",
        expect![[r#"
            $ dormouse export clusterinfo --cluster cluster
            <?xml version="1.0" encoding="UTF-8"?>
            <clusterInfo schema="1" name="lab" zone="Europe/Rome" policy="balanced" hosts="2" hostsOn="1" watts="50">
              <host name="h1" state="on" macs="52:54:00:00:00:01" cpus="2" memoryMiB="2048" memoryUsedMiB="512" load15Permille="50" wattsIdle="45" wattsBusy="95" wattsAsleep="3" role="manager" vms="2">
                <vm name="v1" uuid="c3db7f7a-1e62-555b-baf5-843ce179e80b" state="running" vcpus="1" memoryMiB="256" cpuMillicores="100" home="h1"/>
                <vm name="a&lt;b" uuid="1bf9b94c-fcc3-590f-8601-7ffd38d9de8f" state="running" vcpus="1" memoryMiB="256" cpuMillicores="0"/>
              </host>
              <host name="h2" state="asleep" cpus="2" memoryMiB="2048" memoryUsedMiB="0" wattsIdle="45" wattsBusy="95" wattsAsleep="3" vms="0">
              </host>
              <vm name="v3" uuid="4715842c-00d4-5eb3-9b08-f2abe0ae7bdf" state="stopped" vcpus="1" memoryMiB="256" cpuMillicores="0"/>
            </clusterInfo>
            exit status 0
        "#]],
    );
}

#[test]
fn the_cluster_as_json_says_the_same() {
    let info = Terminal::with(SMALL).json("export clusterinfo --cluster cluster --format json");
    assert_eq!(info["schema"], 1);
    assert_eq!(info["hosts_on"], 1);
    assert_eq!(info["hosts"][0]["vms"][1]["name"], "a<b");
    assert_eq!(info["hosts"][1]["state"], "asleep");
    assert_eq!(info["vms"][0]["state"], "stopped");
}

#[test]
fn lab_hours_are_a_trace_of_the_vms_and_come_from_the_seed() {
    let lab = Terminal::with("cluster lab\nhost h cpus=8 mem=8G\nvm pc[1-3]@h vcpus=2 mem=512M\n");
    // The sizes, the first sample, and a few of the morning.
    let columns = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let shown = cells.iter().enumerate().filter(|(at, _)| *at < 5 || (116..120).contains(at));
        shown.map(|(_, cell)| *cell).collect::<Vec<_>>().join(",") + "\n"
    };
    let shown = lab.type_in("export lab-hours --cluster cluster --seed 7 --days 1");
    expect![[r#"
        $ dormouse export lab-hours --cluster cluster --seed 7 --days 1
        vm,cores,mhz,mem_mb,t0,t33600,t33900,t34200,t34500
        pc1,2,2000,512,12,12,12,12,12
        pc2,2,2000,512,13,200,134,92,95
        pc3,2,2000,512,13,295,190,188,141
        exit status 0
    "#]]
    .assert_eq(&shown.lines().map(columns).collect::<String>());
    let again = |seed| lab.type_in(&format!("export lab-hours --cluster cluster --days 2 --seed {seed}"));
    assert_eq!(again(7), again(7));
    assert_ne!(again(7).split_once('\n').unwrap().1, again(8).split_once('\n').unwrap().1);
}

#[test]
fn lab_hours_that_make_no_sense_are_refused() {
    Terminal::with(SMALL).check("export lab-hours --exams 2026-02-02..2026-01-01", expect![[r#"
        $ dormouse export lab-hours --exams 2026-02-02..2026-01-01
        stderr: error: invalid value '2026-02-02..2026-01-01' for '--exams <DATE..DATE>': write two days like 2026-02-02..2026-02-15, the first one first
        stderr:
        stderr: For more information, try '--help'.
        exit status 2
    "#]]);
    Terminal::with("cluster c\nhost h cpus=8 mem=8G\n").check(
        "export lab-hours --cluster cluster",
        expect![[r#"
            $ dormouse export lab-hours --cluster cluster
            stderr: Error: the cluster has no VM
            stderr: Hint: a line `vm pc[01-10]@h[01-10] …` adds some
            exit status 2
        "#]],
    );
    Terminal::with("cluster c\nhost h cpus=8 mem=8G\nvm \"a,b\"@h vcpus=2 mem=512M\n").check(
        "export lab-hours --cluster cluster",
        expect![[r#"
            $ dormouse export lab-hours --cluster cluster
            stderr: Error: the VM `a,b` cannot stand in a trace
            stderr: Hint: names in a trace hold no comma, quote or control character
            exit status 2
        "#]],
    );
}
