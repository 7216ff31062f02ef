//! Hosts drawn in plain text: one small tile each. Used after a plan and at the end of the demo.

use crate::cli::{counted, safe};
use dormouse_model::{HostState, Snapshot};

/// What a tile shows of a host.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    pub(crate) name: String,
    pub(crate) state: HostState,
    pub(crate) vms: usize,
    /// Memory taken by VMs, in thousandths of what there is.
    pub(crate) fill_permille: u64,
}

/// Columns of text in all, so that the picture fits a plain terminal and a log.
const WIDTH: usize = 80;
const BAR: usize = 4;
/// A longer name is cut: hosts of one cluster mostly differ at the front.
const NAME_MAX: usize = 32;

impl Tile {
    pub(crate) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let mut vms = vec![0; snapshot.hosts.len()];
        let mut mem = vec![0; snapshot.hosts.len()];
        for vm in &snapshot.vms {
            for at in vm.state.hosts() {
                vms[at.index()] += 1;
                mem[at.index()] += vm.spec.mem.0 + snapshot.host(at).spec.overhead.0;
            }
        }
        let hosts = snapshot.hosts.iter().zip(vms).zip(mem);
        hosts
            .map(|((host, vms), mem)| Self {
                name: safe(&host.spec.name).into_owned(),
                state: host.state,
                vms,
                fill_permille: mem * 1000 / host.spec.mem_for_vms().0.max(1),
            })
            .collect()
    }
}

/// One line of tiles after the other, and below them what the signs mean.
pub(crate) fn draw(tiles: &[Tile]) -> String {
    let name = tiles.iter().map(|tile| tile.name.chars().count()).max().unwrap_or(0).min(NAME_MAX);
    let vms = tiles.iter().map(|tile| tile.vms.to_string().len()).max().unwrap_or(1);
    let tile_width = name + 1 + BAR + 1 + vms;
    // Two blanks stand before each tile.
    let columns = (WIDTH / (tile_width + 2)).max(1);
    let mut out = String::new();
    for line in tiles.chunks(columns) {
        let line: Vec<String> = line.iter().map(|tile| draw_tile(tile, name, vms)).collect();
        out.push_str(&format!("  {}\n", line.join("  ").trim_end()));
    }
    let mut legend: Vec<String> = vec![];
    for state in HostState::ALL {
        let count = tiles.iter().filter(|tile| tile.state == state).count();
        if count > 0 {
            legend.push(format!("{count} {state}"));
        }
    }
    let running: usize = tiles.iter().map(|tile| tile.vms).sum();
    legend.push(counted(running, "VM"));
    out.push_str(&format!("  {}\n", legend.join(", ")));
    out
}

fn draw_tile(tile: &Tile, name: usize, vms: usize) -> String {
    let bar = match tile.state {
        HostState::On | HostState::Draining | HostState::Unusable => blocks(tile.fill_permille, BAR),
        HostState::Asleep => " zz ".to_owned(),
        HostState::Waking => " ^^ ".to_owned(),
        HostState::Stopping => " vv ".to_owned(),
        HostState::Unknown => " ?? ".to_owned(),
        HostState::Off => " -- ".to_owned(),
        HostState::SetAside => " !! ".to_owned(),
    };
    let count = if tile.vms == 0 { String::new() } else { tile.vms.to_string() };
    format!("{:name$} {bar} {count:>vms$}", cut(&tile.name, name))
}

/// No more than so many characters.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// A bar of `width` characters in eighths; the empty part is dotted so that an empty host is seen to be on.
pub(crate) fn blocks(permille: u64, width: usize) -> String {
    const PARTS: [char; 8] = ['·', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = usize::try_from(permille.min(1000)).expect("at most 1000") * width * 8 / 1000;
    (0..width)
        .map(|cell| match eighths.saturating_sub(cell * 8) {
            8.. => '█',
            part => PARTS[part],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn each_state_has_its_own_sign() {
        let tiles: Vec<Tile> = HostState::ALL
            .into_iter()
            .enumerate()
            .map(|(index, state)| Tile {
                name: format!("h{index}"),
                state,
                vms: if state == HostState::On { 5 } else { 0 },
                fill_permille: if state == HostState::On { 625 } else { 0 },
            })
            .collect();
        expect![[r#"
            hosts
              h0 ██▌· 5  h1 ····    h2  vv     h3  zz     h4  ^^     h5 ····    h6  ??
              h7  --     h8  !!
              1 on, 1 draining, 1 stopping, 1 asleep, 1 waking, 1 unusable, 1 unknown, 1 off, 1 set-aside, 5 VMs
        "#]]
        .assert_eq(&format!("hosts\n{}", draw(&tiles)));
    }
}
