//! Results side by side.

use crate::process::{Kind, Process, Sample};

/// One measure of several servers, round by round.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Name of the measure.
    pub(crate) name: String,
    /// Unit of the count.
    pub(crate) unit: &'static str,
    /// The first is the baseline.
    pub(crate) servers: Vec<Series>,
}

/// The rounds of one server.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) kind: Kind,
    name: String,
    /// Count per second, for each round.
    rates: Vec<f64>,
    /// Microseconds of the server's CPU time per unit, for each round.
    costs: Vec<f64>,
    /// Why there are no results: some servers do not support every measure.
    failure: Option<String>,
}

impl Measure {
    pub(crate) fn new(name: String, unit: &'static str, servers: &[Process]) -> Self {
        Self::of(name, unit, servers.iter().map(|server| (server.kind, server.name())))
    }

    /// A measure of servers by these names.
    pub(crate) fn of(
        name: String,
        unit: &'static str,
        servers: impl IntoIterator<Item = (Kind, String)>,
    ) -> Self {
        let series =
            |(kind, name)| Series { kind, name, rates: Vec::new(), costs: Vec::new(), failure: None };
        Self { name, unit, servers: servers.into_iter().map(series).collect() }
    }

    /// Adds a round of one server.
    pub(crate) fn add(&mut self, at: usize, Sample { count, elapsed, cpu }: Sample) {
        self.servers[at].rates.push(count / elapsed.as_secs_f64());
        self.servers[at].costs.push(cpu.as_secs_f64() * 1e6 / count);
    }

    /// Leaves out the servers that this holds for.
    pub(crate) fn leave_out(&mut self, mut is_out: impl FnMut(Kind) -> bool) {
        for series in self.servers.iter_mut().filter(|series| is_out(series.kind)) {
            series.failure = Some("it does not speak the protocol".into());
        }
    }

    /// Marks a server as unable to run the measure.
    pub(crate) fn fail(&mut self, at: usize, why: String) {
        let series = &mut self.servers[at];
        (series.rates, series.costs, series.failure) = (Vec::new(), Vec::new(), Some(why));
    }

    pub(crate) fn has_failed(&self, at: usize) -> bool {
        self.servers[at].failure.is_some()
    }

    /// Median of the ratios to the baseline; NaN if there are none.
    pub(crate) fn of_baseline(&self, series: &Series) -> f64 {
        median(ratios(&series.rates, &self.servers[0].rates))
    }

    pub(crate) fn print_head() {
        Self::print_head_for("TCP");
    }

    /// With the name of the baseline.
    pub(crate) fn print_head_for(baseline: &str) {
        let of = format!("of {baseline}");
        println!(
            "{:<22} {:<18} {:>12} {:<11} {of:>8}  {:>9} {of:>8}",
            "", "server", "a second", "", "CPU µs"
        );
    }

    pub(crate) fn print(&self) {
        for series in &self.servers {
            if let Some(why) = &series.failure {
                println!("{:<22} {:<18} fails: {why}", self.name, series.name);
                continue;
            }
            println!(
                "{:<22} {:<18} {:>12.0} {:<11} {:>8.2}  {:>9.2} {:>8.2}",
                self.name,
                series.name,
                median(series.rates.iter().copied()),
                self.unit,
                self.of_baseline(series),
                median(series.costs.iter().copied()),
                median(ratios(&series.costs, &self.servers[0].costs)),
            );
        }
    }
}

/// Compares round by round, so that a slow moment of the machine affects both sides.
fn ratios<'a>(these: &'a [f64], those: &'a [f64]) -> impl Iterator<Item = f64> {
    these.iter().zip(those).map(|(this, that)| this / that)
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
