//! The text that Ganeti's htools read, and the commands that they answer with.
//!
//! Words only: [`super::hsqueeze`] runs the program. Hosts and VMs are written as numbers (`h12`, `v7`), so that no name
//! can mean anything to it. Three traps are stepped around here: htools never fill a node to its last MiB, so each
//! gets one more; they count virtual CPUs as if all were busy, so each node gets plenty; and a node that is offline
//! makes hsqueeze believe that there is no room anywhere, so hosts that sleep are left out.

use std::fmt::Write as _;

/// A host that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its place among all hosts.
    pub(super) host: usize,
    /// MiB for VMs, and how many of them are free.
    pub(super) mem: u64,
    pub(super) free: u64,
    /// Never to be switched off.
    pub(super) stays: bool,
}

/// A VM that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// Its place among all VMs.
    pub(super) vm: usize,
    pub(super) mem: u64,
    pub(super) host: usize,
}

/// Groups, nodes, instances, tags, policies; an empty line between.
pub(super) fn text(nodes: &[Node], instances: &[Instance]) -> String {
    let mut text = String::from("all|all|preferred||\n\n");
    for node in nodes {
        let role = if node.stays { 'M' } else { 'N' };
        let (mem, free) = (node.mem + 1, node.free + 1);
        _ = writeln!(text, "h{}|{mem}|0|{free}|1000|1000|1000|{role}|all|1000", node.host);
    }
    text.push('\n');
    for Instance { vm, mem, host } in instances {
        // `ext`: storage that every node reaches.
        _ = writeln!(text, "v{vm}|{mem}|0|1|running|Y|h{host}||ext||1");
    }
    // Any size is allowed, and a thousand virtual CPUs for each real one.
    text += "\n\n|1,1,0,0,1,1|0,1,0,0,1,1;4294967296,65535,0,0,9,9|ext|1000.0|1000.0\n";
    text
}

/// What hsqueeze wants done: one set of moves after the other, then hosts to switch off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// (VM, host) by their places.
    pub(super) moves: Vec<Vec<(usize, usize)>>,
    pub(super) off: Vec<usize>,
}

impl Answer {
    /// Reads what `-C` makes it print.
    ///
    /// # Errors
    /// The first command that is none of those we know.
    pub(super) fn read(printed: &str) -> Result<Self, String> {
        let mut answer = Self::default();
        for line in printed.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["echo", "jobset", ..] => answer.moves.push(vec![]),
                ["gnt-instance", "migrate", "-f", "-n", host, vm] => {
                    let (Some(vm), Some(host)) = (place("v", vm), place("h", host)) else {
                        return Err(format!("it answered `{}`", line.trim()));
                    };
                    match answer.moves.last_mut() {
                        Some(set) => set.push((vm, host)),
                        None => answer.moves.push(vec![(vm, host)]),
                    }
                }
                ["gnt-node", "power", "-f", "off", host] => {
                    answer
                        .off
                        .push(place("h", host).ok_or_else(|| format!("it answered `{}`", line.trim()))?);
                }
                ["gnt-node", "add-tags", ..] => {}
                [program, ..] if program.starts_with("gnt-") => {
                    return Err(format!("it answered `{}`, which we do not know", line.trim()));
                }
                // Headings, and `echo job 1/1`.
                _ => {}
            }
        }
        Ok(answer)
    }
}

fn place(letter: &str, name: &str) -> Option<usize> {
    name.strip_prefix(letter)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_cluster_as_htools_read_it() {
        let nodes = [
            Node { host: 0, mem: 2048, free: 1792, stays: true },
            Node { host: 7, mem: 2048, free: 1536, stays: false },
        ];
        let instances =
            [(0, 256, 0), (1, 256, 7), (5, 256, 7)].map(|(vm, mem, host)| Instance { vm, mem, host });
        expect![[r#"
            all|all|preferred||

            h0|2049|0|1793|1000|1000|1000|M|all|1000
            h7|2049|0|1537|1000|1000|1000|N|all|1000

            v0|256|0|1|running|Y|h0||ext||1
            v1|256|0|1|running|Y|h7||ext||1
            v5|256|0|1|running|Y|h7||ext||1


            |1,1,0,0,1,1|0,1,0,0,1,1;4294967296,65535,0,0,9,9|ext|1000.0|1000.0
        "#]]
        .assert_eq(&text(&nodes, &instances));
    }

    const PRINTED: &str = "\
'Nodes to offline'
h3

Commands to run:

  echo jobset 1, 2 jobs
    echo job 1/1
    gnt-instance migrate -f -n h1 v2
    echo job 1/2
    gnt-instance migrate -f -n h2 v3
  echo jobset 2, 1 jobs
    gnt-instance migrate -f -n h1 v4
  echo Tagging Commands
    gnt-node add-tags h3 htools:standby:auto
  echo Power Commands
    gnt-node power -f off h3
";

    #[test]
    fn the_commands_are_read_in_their_order() {
        let answer = Answer { moves: vec![vec![(2, 1), (3, 2)], vec![(4, 1)]], off: vec![3] };
        assert_eq!(Answer::read(PRINTED), Ok(answer));
        assert_eq!(
            Answer::read("'No action'\n\nCommands to run:\n  echo Nothing to do\n"),
            Ok(Answer::default())
        );
    }

    #[test]
    fn what_is_not_known_is_told() {
        let said = |line: &str| Answer::read(line).expect_err("refused");
        assert_eq!(
            said("gnt-instance migrate -f -n h1 w2"),
            "it answered `gnt-instance migrate -f -n h1 w2`"
        );
        assert_eq!(
            said("  gnt-instance replace-disks -n h1 v2"),
            "it answered `gnt-instance replace-disks -n h1 v2`, which we do not know"
        );
    }
}
