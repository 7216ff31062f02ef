use super::Terminal;
use expect_test::expect;

const SMALL: &str = "\
cluster lab zone=Europe/Rome
host h1 cpus=2 mem=2G watts=45/95/3 role=manager mac=52:54:00:00:00:01
host h2 cpus=2 mem=2G watts=45/95/3
vm v1@h1 vcpus=1 mem=256M cpu=0.1 home=h1
vm a<b@h1 mem=256M
vm v3@h1 mem=256M stopped
asleep h2
";

#[test]
fn the_cluster_as_xml() {
    Terminal::with(SMALL).check("export clusterinfo --cluster cluster", expect![[""]]);
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
