//! The cells of a service's row that say what protects it: limit and queue, and what was refused by class.
//!
//! Words and figures are those of `status`; a limit that only observes "would" limit, in a dashed frame.

use plimsoll_core::Mode;
use plimsoll_measure::{ClassView, ProtectionView, ServiceView, figure};

use super::{Text, put};

/// Both cells.
pub(super) fn cells(out: &mut String, service: &ServiceView) {
    let Some(protection) = &service.protection else {
        out.push_str(
            "<td role=\"cell\" class=\"td-limit\"><span class=\"q\">unknown</span></td>\
<td role=\"cell\" class=\"td-shed\"><span class=\"q\">unknown</span></td>",
        );
        return;
    };
    limit(out, protection);
    refused(out, protection);
}

fn limit(out: &mut String, protection: &ProtectionView) {
    let reason = protection.limit_reason.as_deref().unwrap_or("unknown");
    let first = match protection.limit {
        None => "no limit".to_owned(),
        Some(limit) => {
            let limit = figure::count(limit.into());
            let reason = Text(reason);
            if protection.limits() {
                format!("{limit} <span class=\"qq\">{reason}</span>")
            } else {
                let would = "<span class=\"would\">would limit to";
                format!("{would} {limit}</span> <span class=\"qq\">{reason}</span>")
            }
        }
    };
    let mut second = vec![format!("{} in flight", figure::count(protection.in_flight))];
    if let Some(wait) = protection.wait_max_seconds {
        let queued = figure::count(protection.queued());
        let wait = figure::latency(Some(wait), " ");
        second.push(format!("queue {queued}, for at most {wait}"));
    }
    let objective = figure::latency(protection.objective_seconds, " ");
    let objective = match (protection.objective_seconds, protection.objective_assumed) {
        (None, _) => String::new(),
        (Some(_), true) => format!("objective {objective} assumed"),
        (Some(_), false) => format!("objective {objective}"),
    };
    put(
        out,
        format_args!(
            "<td role=\"cell\" class=\"td-limit\"><div class=\"two\"><span class=\"n\">{first}</span>\
<span class=\"xs qq n\">{}</span><span class=\"xs qq n\">{objective}</span></div></td>",
            second.join(" \u{b7} ")
        ),
    );
}

/// A box for each class, filled from the bottom by what was refused; without requests it is empty.
fn refused(out: &mut String, protection: &ProtectionView) {
    out.push_str("<td role=\"cell\" class=\"td-shed\"><div class=\"shed\">");
    for class in &protection.classes {
        share(out, class);
    }
    out.push_str("</div>");
    let would: u64 = protection.would.iter().map(|action| action.count).sum();
    if would > 0 {
        put(
            out,
            format_args!(
                "<span class=\"xs qq n would\">would have acted {}\u{d7}</span>",
                figure::count(would)
            ),
        );
    } else if protection.mode == Mode::Observe {
        out.push_str("<span class=\"xs qq would\">observing</span>");
    }
    out.push_str("</td>");
}

fn share(out: &mut String, class: &ClassView) {
    const FRAME: &str =
        "<rect x=\".5\" y=\".5\" width=\"33\" height=\"23\" rx=\"3\" fill=\"var(--sunk)\"/>";
    let name = class.class.name();
    let Some(share) = class.refused_share else {
        put(
            out,
            format_args!(
                "<svg viewBox=\"0 0 34 24\" role=\"img\" aria-label=\"{name}: no request\">{FRAME}</svg>"
            ),
        );
        return;
    };
    let says = figure::percent(Some(share), " ");
    put(
        out,
        format_args!(
            "<svg viewBox=\"0 0 34 24\" role=\"img\" aria-label=\"{name}: {says} refused\"><title>{name}: {says} refused</title>{FRAME}"
        ),
    );
    let on = if share > 0.0 {
        // 22 px from the bottom to the top, at least one so that little is told from nothing.
        let top = 23.0 - (22.0 * share.clamp(0.0, 1.0)).max(1.0);
        put(
            out,
            format_args!(
                "<path fill=\"url(#hatch-refused)\" d=\"M1 23V{top:.1}h32V23Z\"/>\
<rect x=\"5\" y=\"4.5\" width=\"24\" height=\"15\" rx=\"2\" fill=\"var(--panel)\"/>"
            ),
        );
        " class=\"on\""
    } else {
        ""
    };
    put(
        out,
        format_args!(
            "<text x=\"17\" y=\"16\" text-anchor=\"middle\"{on}>{}</text></svg>",
            short(share)
        ),
    );
}

/// Percent in at most three characters, told from none and from all.
fn short(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0".to_owned()
    } else if percent < 1.0 {
        "&lt;1".to_owned()
    } else if share < 1.0 {
        format!("{:.0}", percent.floor())
    } else {
        "100".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Class;
    use plimsoll_measure::{Inputs, Layout, Measure, ProtectionInput, Registry, ServiceInput};

    use super::*;

    #[test]
    fn a_share_is_told_from_none_and_from_all() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(0.000_1), "&lt;1");
        assert_eq!(short(0.123), "12");
        assert_eq!(short(0.999), "99");
        assert_eq!(short(1.0), "100");
    }

    #[test]
    fn limit_queue_and_refusals_are_said() {
        let cells = drawn(Some(protection()), |protection| {
            let standard = &mut protection.classes[Class::Standard.index()];
            standard.requests = 1_000;
            standard.refused = 123;
            standard.refused_share = Some(0.123);
        });
        for text in [
            "38 <span class=\"qq\">over the line</span>",
            "36 in flight \u{b7} queue 12, for at most 20 ms",
            "objective 250 ms assumed",
            "aria-label=\"critical: no request\"",
            "aria-label=\"standard: 12.3 % refused\"",
            ">12</text>",
        ] {
            assert!(cells.contains(text), "{text}\nis not in\n{cells}");
        }
        assert!(!cells.contains("would"), "{cells}");
    }

    #[test]
    fn a_limit_that_only_observes_would_limit() {
        let cells = drawn(Some(protection()), |protection| {
            protection.mode = Mode::Observe;
            protection.wait_max_seconds = None;
        });
        assert!(cells.contains("would limit to 38"), "{cells}");
        assert!(cells.contains("observing"), "{cells}");
        assert!(!cells.contains("queue"), "{cells}");
    }

    #[test]
    fn what_is_not_known_is_called_unknown() {
        let unknown = drawn(None, |_| ());
        assert_eq!(unknown.matches("unknown").count(), 2, "{unknown}");
        assert!(!unknown.contains('0'), "{unknown}");
        let unlimited = drawn(Some(ProtectionInput::default()), |_| ());
        assert!(unlimited.contains("no limit"), "{unlimited}");
        assert!(!unlimited.contains("objective"), "{unlimited}");
        assert!(
            !unlimited.contains("%"),
            "no request, no share: {unlimited}"
        );
    }

    fn protection() -> ProtectionInput {
        ProtectionInput {
            limit: Some(38),
            limit_max: Some(1_000),
            limit_reason: "over the line",
            in_flight: 36,
            queued: [0, 9, 3],
            wait_max: Some(std::time::Duration::from_millis(20)),
            objective: Some(std::time::Duration::from_millis(250)),
            objective_assumed: true,
            ..ProtectionInput::default()
        }
    }

    fn drawn(input: Option<ProtectionInput>, change: impl FnOnce(&mut ProtectionView)) -> String {
        let layout = plimsoll_measure::ServiceLayout {
            name: "shop".to_owned(),
            ..plimsoll_measure::ServiceLayout::default()
        };
        let services = vec![layout];
        let registry = std::sync::Arc::new(Registry::new(1, 10));
        let measure = Measure::new(
            registry,
            Layout {
                services,
                ..Layout::default()
            },
            plimsoll_core::Instant::ORIGIN,
        );
        let input = ServiceInput {
            protection: input,
            ..ServiceInput::default()
        };
        let inputs = Inputs {
            services: std::collections::BTreeMap::from([("shop".to_owned(), input)]),
            ..Inputs::default()
        };
        let snapshot = measure.snapshot(plimsoll_core::Timestamp::default(), &inputs);
        let mut service = snapshot.services.into_iter().next().unwrap();
        if let Some(protection) = &mut service.protection {
            change(protection);
        }
        let mut out = String::new();
        cells(&mut out, &service);
        out
    }
}
