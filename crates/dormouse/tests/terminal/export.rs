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
