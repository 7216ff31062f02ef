//! The load average of a lab host. The kernel's own is the machine's, the same in every host; this one counts the
//! CPU time of the host's own guests against the host's nominal share of a core, damped as the kernel does it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::spec::LabSpec;
use crate::truth::qemu_processes;

/// The damping times of the three averages, in seconds.
const SPANS: [f64; 3] = [60.0, 300.0, 900.0];

pub(super) struct LoadMeter {
    file: File,
    /// CPUs of load for each second of guest CPU time per second.
    per_core: f64,
    scale: f64,
    averages: [f64; 3],
    fixed: Option<f64>,
    last: Option<(Instant, f64)>,
}

impl LoadMeter {
    pub(super) fn new(lab: &LabSpec, file: File) -> Self {
        Self {
            file,
            per_core: f64::from(lab.host_cpus) * 100.0 / f64::from(lab.host_share_percent),
            scale: f64::from(lab.time_scale.max(1)),
            averages: [0.0; 3],
            fixed: None,
            last: None,
        }
    }

    pub(super) fn fix(&mut self, hundredths: Option<u32>) {
        self.fixed = hundredths.map(|h| f64::from(h) / 100.0);
        self.measure();
    }

    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        let used: f64 = qemu_processes().iter().map(|q| q.cpu_seconds).sum();
        if let Some((before, was)) = self.last {
            let passed = now.duration_since(before).as_secs_f64();
            // A guest that left takes its past with it: never less than nothing.
            let load = if passed > 0.0 { ((used - was) / passed).max(0.0) * self.per_core } else { 0.0 };
            for (average, span) in self.averages.iter_mut().zip(SPANS) {
                let keep = (-passed * self.scale / span).exp();
                *average = *average * keep + load * (1.0 - keep);
            }
        }
        self.last = Some((now, used));
        let [a, b, c] = self.fixed.map_or(self.averages, |f| [f; 3]);
        let text = format!("{a:.2} {b:.2} {c:.2} 1/100 1000\n");
        // A load that cannot be written stays the last one; the host itself goes on.
        if self.file.write_all_at(text.as_bytes(), 0).is_ok() {
            let _ = self.file.set_len(text.len() as u64);
        }
    }
}
