//! How many connections fit in the process's file descriptors.

use std::fs;

use tracing::warn;

use crate::observe::admin::AdminOptions;
use crate::options::ShellOptions;

/// Descriptors of the program itself, beside its listeners and workers: runtimes of threads that do not serve,
/// standard streams, temporarily open files.
const OWN: usize = 24;

/// Descriptors of a worker's runtime.
const PER_WORKER: usize = 5;

/// Raises the soft limit, which exists for programs that use select(). If it is still too low for the maximum number
/// of connections, each of which takes `per_connection`, reduces that maximum, so that the server can refuse the excess
/// with an answer.
pub(super) fn fit(
    options: &mut ShellOptions,
    admin: &mut AdminOptions,
    listeners: usize,
    per_connection: usize,
) {
    let Ok(limit) = rlimit::increase_nofile_limit(u64::MAX) else {
        return;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let inherited = fs::read_dir("/proc/self/fd").map_or(3, Iterator::count);
    let fixed = inherited + OWN + listeners + options.workers * (PER_WORKER + listeners);
    let wanted = options.max_connections;
    share_out(limit.saturating_sub(fixed), options, admin, per_connection);
    let now = options.max_connections;
    if now < wanted {
        warn!(
            "only {limit} files can be open: --max-connections is {now}, not {wanted}; raise ulimit -n for more"
        );
    }
}

/// Distributes this many descriptors among the limits for peers.
fn share_out(
    descriptors: usize,
    options: &mut ShellOptions,
    admin: &mut AdminOptions,
    per_connection: usize,
) {
    let share = (descriptors / 8).max(1);
    admin.max_connections = share.min(admin.max_connections);
    options.max_refusals = share.min(options.max_refusals);
    let rest = descriptors.saturating_sub(admin.max_connections + options.max_refusals);
    options.max_connections = (rest / per_connection).max(1).min(options.max_connections);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reduced_to_fit_the_descriptors() {
        let fits = |descriptors| {
            let (mut options, mut admin) = (ShellOptions::default(), AdminOptions::default());
            share_out(descriptors, &mut options, &mut admin, 1);
            (options.max_connections, options.max_refusals, admin.max_connections)
        };
        assert_eq!(fits(100_000), (16_384, 256, 64));
        assert_eq!(fits(16_384 + 256 + 64), (16_384, 256, 64));
        assert_eq!(fits(16_384), (16_384 - 256 - 64, 256, 64));
        assert_eq!(fits(80), (60, 10, 10));
        assert_eq!(fits(0), (1, 1, 1));
    }
}
