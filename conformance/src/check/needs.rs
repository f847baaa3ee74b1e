//! What a case needs of a server.

use std::time::Duration;

use legacy_websocket_trace::{Action, Protocol, Setting, Step};

use super::target::Target;
use crate::corpus::Case;

/// Whether a case affects every connection of the server, so that no other case may run concurrently.
#[must_use]
pub fn is_exclusive(case: &Case, target: &Target) -> bool {
    let reaches_all =
        |step: &Step| matches!(step, Step::Application(Action::Broadcast(_) | Action::Shutdown));
    advances(case, target) || is_driven(case, target) && case.trace.steps.iter().any(reaches_all)
}

/// Why a case does not apply to a server, if it does not. `says`: the server sends messages in it.
pub(super) fn why_not(case: &Case, says: bool, target: &Target) -> Option<String> {
    let trace = &case.trace;
    if target.application.is_none() {
        if acts(case) {
            return Some("needs the server's application to act".into());
        }
        let pauses = pauses(case);
        if pauses > target.longest_pause {
            return Some(format!("needs {} s to pass", pauses.as_secs()));
        }
    }
    if !has_settings(&trace.settings, target) {
        let names: Vec<_> = trace.settings.iter().map(ToString::to_string).collect();
        return Some(match names.as_slice() {
            [] => "needs a server without settings".into(),
            names => format!("needs a server with: {}", names.join(", ")),
        });
    }
    let speaks = target.protocols.is_empty() || target.protocols.contains(&trace.protocol);
    if trace.protocol != Protocol::None && !speaks {
        return Some(format!("needs a server that speaks {}", trace.protocol.name()));
    }
    (says && !target.echo).then(|| "needs a server that echoes".into())
}

/// Whether the server has exactly these settings. One that is known to speak only some protocols has those as settings,
/// but they are needed only where a case names them.
fn has_settings(needed: &[Setting], target: &Target) -> bool {
    let split = |settings: &[Setting]| -> [Vec<Setting>; 2] {
        let (mut protocols, mut others): (Vec<_>, Vec<_>) =
            settings.iter().cloned().partition(|setting| setting.name == PROTOCOL);
        protocols.sort();
        others.sort();
        [protocols, others]
    };
    let ([needed, others], [mut has, has_others]) = (split(needed), split(&target.settings));
    if needed.is_empty() && has.is_empty() {
        return others == has_others;
    }
    if has.is_empty() {
        let setting = |it: &Protocol| Setting { name: PROTOCOL.into(), value: it.name().into() };
        has = target.protocols.iter().map(setting).collect();
        has.sort();
    }
    others == has_others && needed == has
}

/// The setting that names a protocol which the server speaks.
const PROTOCOL: &str = "protocol";

/// Whether the server's application acts in a case.
fn acts(case: &Case) -> bool {
    case.trace.steps.iter().any(|step| matches!(step, Step::Application(_)))
}

/// How much time a case lets pass.
fn pauses(case: &Case) -> Duration {
    let pause = |step: &Step| match step {
        Step::After(time) => Some(*time),
        _ => None,
    };
    case.trace.steps.iter().filter_map(pause).fold(Duration::ZERO, Duration::saturating_add)
}

/// Whether the server's clock must be advanced, because nobody waits that long.
pub(super) fn advances(case: &Case, target: &Target) -> bool {
    target.application.is_some() && pauses(case) > target.longest_pause
}

/// Whether a case needs a control connection to the server's application.
pub(super) fn is_driven(case: &Case, target: &Target) -> bool {
    target.application.is_some() && (acts(case) || advances(case, target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::Chunkings;
    use legacy_websocket_trace::Variables;

    fn setting(text: &str) -> Setting {
        let (name, value) = text.split_once(' ').unwrap_or((text, ""));
        Setting { name: name.into(), value: value.into() }
    }

    #[test]
    fn protocols_are_settings_too_where_a_case_names_them() {
        let both = ["protocol draft75", "protocol draft76"];
        for (needed, speaks, has, applies) in [
            (&[][..], &[][..], &[][..], true),
            (&[], &[Protocol::Draft76], &[], true),
            (&["authorise"], &[Protocol::Draft76], &["authorise"], true),
            (&["authorise"], &[], &[], false),
            (&both, &[Protocol::Draft76, Protocol::Draft75], &[], true),
            (&both, &[Protocol::Draft76], &[], false),
            (&both, &[], &[], false),
            (&both, &[], &both, true),
            (&[], &[], &both, false),
        ] {
            let target = Target {
                address: ([127, 0, 0, 1], 80).into(),
                tls: None,
                variables: Variables::default(),
                protocols: speaks.to_vec(),
                echo: true,
                settings: has.iter().map(|text| setting(text)).collect(),
                patience: Duration::ZERO,
                longest_pause: Duration::ZERO,
                quiet: Duration::ZERO,
                chunkings: Chunkings::Written,
                seed: 0,
                pause: Duration::ZERO,
                application: None,
            };
            let needed: Vec<_> = needed.iter().map(|text| setting(text)).collect();
            assert_eq!(has_settings(&needed, &target), applies, "{needed:?} {target:?}");
        }
    }
}
