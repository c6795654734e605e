//! What must hold in a running mesh.

use std::fmt::Display;

use byrnie_control::api::{FindingItem, ProxyItem, SyncState, VersionInfo};

use super::{Category, Check, hint};
use crate::cli::Context;
use crate::cli::failure::{NOT_RUNNING, object_name};
use crate::cli::version::VERSION;
use crate::output::number;

/// A proxy renews its certificate at 50–70 % of its life; one that is this close to its end has failed to.
const CERTIFICATE_SECONDS_LEFT: i64 = 60;

pub async fn categories(context: &Context) -> Vec<Category> {
    let about = "a control plane answers";
    let info = match context.client.version().await {
        Ok(info) => info,
        Err(body) if body.code == NOT_RUNNING => {
            let hint = hint("control-plane", "start one with `byrnie up -f FILE` or `byrnie demo`");
            let check = Check::warning(about, body.message, &hint);
            return vec![Category { category_name: "control-plane", checks: vec![check] }];
        }
        Err(body) => {
            let check = Check::error(about, body.message, &hint("control-plane", &body.remedy));
            return vec![Category { category_name: "control-plane", checks: vec![check] }];
        }
    };
    let mut categories = vec![Category { category_name: "control-plane", checks: control_plane(&info) }];
    let proxies = context.client.proxies().await;
    categories.push(match proxies {
        Ok(list) => Category { category_name: "proxies", checks: proxy_checks(&list.items, &info.version) },
        Err(body) => Category { category_name: "proxies", checks: vec![asked("its proxies", body)] },
    });
    let findings = context.client.findings().await;
    categories.push(match findings {
        Ok(list) => Category { category_name: "configuration", checks: configuration(&list.items) },
        Err(body) => Category { category_name: "configuration", checks: vec![asked("its findings", body)] },
    });
    categories
}

fn asked(what: &str, error: impl Display) -> Check {
    Check::error(
        format!("the control plane tells {what}"),
        error.to_string(),
        &hint("control-plane", "try again in a second"),
    )
}

fn control_plane(info: &VersionInfo) -> Vec<Check> {
    let about = format!("a control plane answers (pid {}, trust domain {})", info.pid, info.trust_domain);
    let same = "control plane and this program have the same version";
    let skew = if info.version == VERSION {
        Check::good(same)
    } else {
        let error = format!("the control plane is {}, this program {VERSION}", info.version);
        Check::warning(same, error, &hint("versions", "restart `byrnie up` with this program"))
    };
    vec![Check::good(about), skew]
}

fn proxy_checks(proxies: &[ProxyItem], version: &str) -> Vec<Check> {
    if proxies.is_empty() {
        let hint = hint("proxies-connected", "apply a Workload: `byrnie up -f FILE`");
        return vec![Check::warning("a proxy is connected", "none has connected yet", &hint)];
    }
    let which = |wrong: &dyn Fn(&ProxyItem) -> Option<String>| -> Vec<String> {
        let line = |proxy: &ProxyItem| {
            wrong(proxy).map(|why| format!("{}/{} {why}", proxy.namespace, proxy.workload))
        };
        proxies.iter().filter_map(line).collect()
    };
    let away =
        which(&|proxy| (!proxy.connected).then(|| format!("is away for {}", number::age_of(&proxy.since))));
    let rejected = which(&|proxy| {
        (proxy.sync == SyncState::Rejected).then(|| format!("refuses {}", proxy.rejected.join("; ")))
    });
    let stale = which(&|proxy| {
        (proxy.connected && proxy.sync == SyncState::Stale)
            .then(|| format!("lacks {} resources", proxy.stale))
    });
    let expiring = which(&|proxy| {
        let left = number::seconds_since(&proxy.not_after).map(|since| -since)?;
        (left < CERTIFICATE_SECONDS_LEFT)
            .then(|| format!("has a certificate that ends at {}", proxy.not_after))
    });
    let skewed = which(&|proxy| (proxy.version != version).then(|| format!("is {}", proxy.version)));
    let warn = |about: &str, wrong: &[String], hint: &str| match wrong {
        [] => Check::good(about),
        wrong => Check::warning(about, wrong.join("\n"), hint),
    };
    vec![
        Check::all(
            &format!("all {} proxies are connected", proxies.len()),
            &away,
            &hint("proxies-connected", "see the log of `byrnie up`"),
        ),
        Check::all(
            "no proxy refuses a resource",
            &rejected,
            &hint("proxies-refuse", "`byrnie proxy-status` shows which; the last good one rules"),
        ),
        warn(
            "all proxies obey the latest state",
            &stale,
            &hint("proxies-behind", "try again in a second; `byrnie proxy-status`"),
        ),
        Check::all(
            "certificates are renewed in time",
            &expiring,
            &hint("certificates", "see the log of `byrnie up`: identity"),
        ),
        warn(
            "proxies and control plane have the same version",
            &skewed,
            &hint("versions", "restart `byrnie up`"),
        ),
    ]
}

fn configuration(findings: &[FindingItem]) -> Vec<Check> {
    let of = |severity: &str| -> Vec<String> {
        let line = |finding: &FindingItem| {
            let object = object_name(&finding.kind, &finding.namespace, &finding.name);
            format!("{} {object}: {}", finding.code, finding.message)
        };
        findings.iter().filter(|finding| finding.severity == severity).map(line).collect()
    };
    let (errors, warnings) = (of("error"), of("warning"));
    let hint = &hint("findings", "`byrnie analyze` says what to do about each");
    let warned = match warnings.as_slice() {
        [] => Check::good("no object has warnings"),
        lines => Check::warning("no object has warnings", lines.join("\n"), hint),
    };
    vec![Check::all("no object has errors", &errors, hint), warned]
}
